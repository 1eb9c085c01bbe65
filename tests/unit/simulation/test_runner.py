from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchpool import Message, Process, handler
from benchpool.errors import ConfigError, ScenarioError
from benchpool.process.registry import Registry
from benchpool.simulation.runner import ScenarioOutcome, run_scenario
from benchpool.simulation.scenario import load_scenario

HEAD = """\
wallets: {alice: }
processes: {echo: {module: Echo, tags: {Friend: "@alice"}}}
steps:
"""


class Echo(Process):
    """Answers with what it got."""

    @handler("Say", requires=("What",))
    def say(self, message: Message) -> None:
        self.reply(message, "Said", {"What": message.tags["What"], "Key": "k-1"}, data=message.data)


def run(folder: Path, steps: str, head: str = HEAD, **options: Any) -> list[ScenarioOutcome]:
    file = folder / "scenario.yaml"
    file.write_text(head + steps)
    registry = Registry()
    registry.add(Echo)
    return list(run_scenario(load_scenario(file), registry=registry, **options))


def failure(outcomes: list[ScenarioOutcome]) -> tuple[int, str]:
    first = outcomes[-1].failures[0]
    return first.line, first.text


def test_replies_saved_values_and_references(tmp_path: Path) -> None:
    outcomes = run(
        tmp_path,
        """\
  - send: {from: alice, target: echo, action: Say, tags: {What: "@alice"}, data: {a: ["@echo"]}}
    save: {key: Key}
    expect: {reply: {action: Said, from: echo, tags: {What: "@alice"}, data: {a: ["@echo"]}}}
  - send: {from: alice, target: echo, action: Say, tags: {What: "<${key}>"}}
    expect: {reply: {tags: {What: "<k-1>"}}}
  - send: {from: alice, target: echo, action: Say, tags: {What: "@@alice"}}
    expect: {reply: {tags: {What: "@@alice"}}, inbox: {of: alice, action: Said, count: 3}}
""",
    )
    assert [outcome.failures for outcome in outcomes] == [(), (), ()]
    assert outcomes[0].line == 4


@pytest.mark.parametrize(
    ("step", "line", "text"),
    [
        ("send: {target: echo, action: Say}", 4, "the message was refused: What is required!"),
        ("send: {target: echo, action: Say}\n    expect: {error: else}", 5, "What is required!"),
        (
            "send: {target: echo, action: Say, tags: {What: a}}\n    expect:\n      error: other",
            6,
            "got 'none'",
        ),
        (
            "send: {target: echo, action: Say, tags: {What: a}}\n"
            "    expect:\n      reply: {tags: {What: b}}",
            6,
            "Said What=a",
        ),
        ("expect:\n      inbox: [{of: alice}]", 5, "alice has no such message; it has none"),
        ("expect:\n      inbox: {of: alice, count: 2}", 5, "has 0 such messages, expected 2"),
        ("send: {target: nobody}", 4, "no process or wallet named 'nobody'"),
        ("send: {target: echo, tags: {A: '@nobody'}}", 4, "nothing is named 'nobody'"),
        ("send: {target: echo}\n    save: {x: Y}", 4, "no reply has a tag Y"),
        ("expect:\n      supply: 5", 4, "WrappedAR"),
        ("worker-dies: nobody", 4, "no scripted model 'nobody'"),
        ("worker-returns: nobody", 4, "no scripted model 'nobody'"),
    ],
)
def test_a_failure_points_at_its_line(tmp_path: Path, step: str, line: int, text: str) -> None:
    found_line, found_text = failure(run(tmp_path, f"  - {step}\n"))
    assert text in found_text
    assert found_line == line


def test_it_stops_at_the_first_step_that_fails(tmp_path: Path) -> None:
    outcomes = run(tmp_path, "  - send: {target: nobody}\n  - advance: 1h\n")
    assert len(outcomes) == 1


def test_every_failure_of_a_step_is_told(tmp_path: Path) -> None:
    outcomes = run(tmp_path, "  - expect: {inbox: [{of: alice}, {of: alice, action: Said}]}\n")
    assert len(outcomes[0].failures) == 2


def test_time(tmp_path: Path) -> None:
    outcomes = run(tmp_path, "  - at: 0h\n  - at: 2h\n  - advance: 30m\n  - at: 1h\n")
    assert [outcome.time for outcome in outcomes] == ["0h", "2h", "2h30m", "2h30m"]
    assert failure(outcomes) == (7, "it is past 1h already")


@pytest.mark.parametrize(
    ("head", "line", "text"),
    [
        ("processes: {a: {module: Nope}}\n", 1, "no module named 'Nope'"),
        ("data:\n  d: {file: missing}\n", 2, "cannot be read"),
        ("processes: {a: {module: Echo, tags: {B: '@b'}}}\n", 1, "nothing is named 'b'"),
        (
            "processes: {LlamaRouter: {module: Echo}}\nmodels:\n  m: {correct: 5}\n",
            3,
            "needs a data set",
        ),
        ("processes: {a: {module: Echo, owner: nobody}}\n", 1, "no wallet named 'nobody'"),
    ],
)
def test_what_cannot_be_set_up(tmp_path: Path, head: str, line: int, text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        run(tmp_path, "steps: [{advance: 1h}]\n", head=head)
    assert f"scenario.yaml:{line}: " in str(caught.value)
    assert text in str(caught.value)


def test_a_home_is_kept_and_not_taken_twice(tmp_path: Path) -> None:
    home = tmp_path / "home"
    run(tmp_path, "  - advance: 1h\n", home=home)
    with pytest.raises(ConfigError, match="holds a network already"):
        run(tmp_path, "  - advance: 1h\n", home=home)
