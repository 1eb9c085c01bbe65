"""docs/explanation/fairness.md: every number on the page is what the code gives."""

import doctest
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchpool.cli import app

FOLDER = Path(__file__).parents[2] / "docs" / "explanation"
PAGE = (FOLDER / "fairness.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_examples_give_what_is_shown():
    examples = "\n".join(blocks("python"))
    test = doctest.DocTestParser().get_doctest(examples, {}, "fairness.md", None, 0)
    assert len(test.examples) > 12
    found: list[str] = []
    assert doctest.DocTestRunner().run(test, out=found.append).failed == 0, "".join(found)


@pytest.mark.slow
def test_the_table_and_the_plot_are_those_of_the_command(tmp_path: Path):
    (block,) = blocks("console")
    line, shown = block.split("\n", 1)
    words = shlex.split(line.removeprefix("$ benchpool "))
    plot = tmp_path / words[-1]
    run = CliRunner().invoke(app, [*words[:-1], str(plot)])
    assert run.stdout.rstrip() == shown.rstrip(), run.output
    assert plot.read_text() == (FOLDER / "strategies.svg").read_text()
