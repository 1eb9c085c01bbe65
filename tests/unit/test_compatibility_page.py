"""docs/compatibility.md: every row names a test, and every test that it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in (ROOT / "docs" / "compatibility.md").read_text().splitlines()
    if line.startswith("|") and not re.match(r"\|[-|]+\|$|\| AO \|", line)
]


def is_there(test: str) -> bool:
    """Say whether a test of this name, or a file of tests, is in the repository."""
    file, _, name = test.partition(": ") if ".mjs" in test else test.partition("::")
    path = ROOT / ("tests/wire/suite" if ".mjs" in test else "") / file
    declared = f'test("{name}"' if ".mjs" in test else f"def {name}("
    return path.is_file() and (not name or declared in path.read_text())


def test_the_page_has_rows_of_each_kind():
    assert len(ROWS) > 40
    for verdict in ("same", "differs", "absent"):
        assert sum(here.startswith(verdict) for _, here, _ in ROWS) >= 5


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_says_what_is_here_and_names_a_test(row: list[str]):
    _, here, shown = row
    assert here.split(":")[0].split(",")[0].split(";")[0] in {"same", "differs", "absent"} or (
        here.startswith("same ")
    )
    assert re.fullmatch(r"`[^`]+`", shown)
    assert is_there(shown.strip("`")), shown


def test_a_test_that_is_not_there_is_noticed():
    assert not is_there("token.test.mjs: no such test")
    assert not is_there("tests/unit/process/test_handlers.py::test_no_such")
