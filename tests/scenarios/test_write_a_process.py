"""docs/write-a-process.md shows the example as it is, and the example is found as a package's."""

import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchpool.cli import app
from benchpool.process import registry

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "write-a-process.md").read_text()
SOURCE = "".join(path.read_text() for path in sorted((DOCS / "examples").glob("*auction.py")))


@pytest.fixture
def installed(monkeypatch):
    """The example, as if a package had offered it in the words of the page."""
    (toml,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (offered,) = tomllib.loads(toml)["project"]["entry-points"].values()
    points = {name: EntryPoint(name, value, registry.GROUP) for name, value in offered.items()}
    known = registry._installed()
    monkeypatch.setattr(registry, "_installed", lambda: {**known, **points})


def test_every_piece_of_code_is_the_examples():
    pieces = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(pieces) >= 6
    for piece in pieces:
        assert piece in SOURCE


def test_the_commands_of_the_page_sell_a_lamp(installed, tmp_path):
    (spawn,) = re.findall(r"^    benchpool (spawn .*)$", PAGE, re.MULTILINE)
    home = ["--home", str(tmp_path / "home")]

    def run(command):
        done = CliRunner().invoke(app, [*command.split(), *home])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "Auction" in CliRunner().invoke(app, ["module", "list"]).stdout
    run("spawn WrappedAR --name WrappedAR")
    run(spawn)
    run("wallet new ana")
    send = "send --target WrappedAR --tag Quantity=9 --action"
    run(f"{send} Mint --tag Recipient=@ana")
    run(f"{send} Transfer --tag Recipient=@Lamp --from ana")
    run("advance 1d")
    assert "Won" in run("inbox ana")
    assert '"closed": true' in run("inspect Lamp")
    run("replay --verify")


def test_the_readme_sends_people_to_the_page():
    assert "docs/write-a-process.md" in (DOCS.parent / "README.md").read_text()
