"""Pages, followed word by word: every console line is run, every line shown is found."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ao_modules import ao_module

from benchpool.errors import PrerequisiteError
from benchpool.inference.files.catalogue import Catalogue

ROOT = Path(__file__).parents[2]
MEASURED = re.compile(
    "Score-Response|^Score|^Answers taken|^Margin|^Runtime|log_likelihoods| right"
)
"""Lines with numbers that come of a model's answers."""


def console_blocks(page: Path) -> list[tuple[str, list[str]]]:
    """Return (command, lines shown under it) of every console block of a page."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def matches(shown: list[str], printed: str) -> bool:
    """Tell whether an output is what a page shows.

    On a page, `…` stands for anything in a line, such as the rest of an id, and a line `...` for
    any lines. Ids, and what a model's answers are on this processor, are not compared.
    """
    lines = [".*" if line == "..." else pattern_of(line) + "\n" for line in shown]
    expected = "".join(lines)
    return re.fullmatch(expected, plain(printed), re.DOTALL) is not None


def pattern_of(line: str) -> str:
    """Return the regular expression of a shown line."""
    return "[^\n]*".join(re.escape(each) for each in plain(line).split("…"))


def plain(text: str) -> str:
    """Return lines without what differs from run to run and from processor to processor."""
    text = re.sub(r"(?<![\w-])[\w-]{43}(?![\w-])|(?<![\w-])[\w-]{8}…", "ID", text)
    text = re.sub(r"\b[0-9a-f]{16}\b", "RUNTIME", text)  # of this processor
    text = re.sub(r"[ ]+", " ", text)
    lines = [
        re.sub(r"\d+", "N", line) if MEASURED.search(line) else line for line in text.split("\n")
    ]
    return re.sub(r"\d+\.\d+", "F", "\n".join(line.rstrip() for line in lines))


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "least"),
    [
        ("tutorial", 20),
        ("how-to/run-a-sealed-pool", 12),
        ("how-to/commit-an-entry", 9),
        ("how-to/add-a-dataset", 12),
    ],
)
def test_a_page_does_what_it_says(tmp_path: Path, page: str, least: int):
    try:
        Catalogue().find("smollm2-135m")
    except PrerequisiteError as error:
        pytest.skip(str(error))
    follow(tmp_path, page, least)


@pytest.mark.slow
def test_the_page_on_backups_does_what_it_says(tmp_path: Path):
    follow(tmp_path, "how-to/back-up-a-home", 4)


def test_the_page_on_data_sets_does_what_it_says_without_a_model(tmp_path: Path):
    follow(tmp_path, "how-to/add-a-dataset", 5, until="benchpool init")


def test_the_page_on_forks_does_what_it_says(tmp_path: Path):
    follow(tmp_path, "how-to/fork-a-process", 5)


@pytest.mark.slow
def test_the_page_on_lua_does_what_it_says(tmp_path: Path):
    shutil.copy(ao_module("aos2_0_6.wasm"), tmp_path / "aos.wasm")
    follow(tmp_path, "how-to/run-lua-processes", 8)


@pytest.mark.slow
def test_the_page_on_the_console_does_what_it_says(tmp_path: Path):
    shutil.copy(ao_module("aos2_0_6.wasm"), tmp_path / "aos.wasm")
    follow(tmp_path, "how-to/console", 6)


def written_files(page: Path) -> dict[str, str]:
    """Return what a page asks to write, by the names of the files."""
    shown = re.compile(r"rite this as `([\w.-]+)`:\n\n```\w+\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return dict(shown.findall(page.read_text()))


def follow(tmp_path: Path, page: str, least: int, *, until: str = "") -> None:
    """Run every line of a page in a folder, up to a command, and compare what is shown."""
    (tmp_path / "datasets").mkdir()
    shutil.copy(ROOT / "datasets" / "siqa-sample.jsonl", tmp_path / "datasets")
    for name, content in written_files(ROOT / "docs" / f"{page}.md").items():
        (tmp_path / name).write_text(content)
    steps = console_blocks(ROOT / "docs" / f"{page}.md")
    commands = [command for command, _ in steps]
    steps = steps[: commands.index(until) if until else None]
    assert len(steps) > least
    # One shell for all of it, so that DATA and POOL live on; a mark tells the outputs apart.
    script = "\n".join(f"{command} 2>&1; echo '@@@'" for command, _ in steps)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if key != "BENCHPOOL_HOME"}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    for (command, shown), printed in zip(steps, done.stdout.split("@@@\n"), strict=False):
        assert matches(shown, printed), f"{command}\n{printed}"


@pytest.mark.parametrize(
    ("printed", "same"),
    [
        ("Quantity=250 a1b2c3d4-a1b2c3d4-a1b2c3d4-a1b2c3d4-a1b2c3d\n", True),
        ("Quantity=251 a1b2c3d4-a1b2c3d4-a1b2c3d4-a1b2c3d4-a1b2c3d\n", False),
        ("Quantity=250 a1b2c3d4-a1b2c3d4-a1b2c3d4-a1b2c3d4-a1b2c3d\nmore\n", False),
        ("", False),
    ],
)
def test_an_output_that_differs_is_noticed(printed: str, same: bool):
    assert matches(["Quantity=250 xyzxyzxy…"], printed) is same
    assert matches(["...", "Quantity=250 …"], f"first\nsecond\n{printed}") is same


def test_every_path_that_a_page_names_is_there():
    place = re.compile(
        r"(?<![\w/.-])((?:benchpool|processes|benchmarks|scripts|tests|datasets|docs)/[\w./-]+)"
    )
    pages = [ROOT / "README.md", ROOT / "BENCHMARKS.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        (page.name, path.rstrip("./")) for page in pages for path in place.findall(page.read_text())
    }
    lost = {(page, path) for page, path in named if not (ROOT / path).exists()}
    assert len(named) > 50
    assert lost == set()
