"""What is sure of a pool's entries: on the board, in the report, and in the audit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from old_homes import unpack
from scipy import stats

from benchpool import Network, handler
from benchpool.ao.clock import HOUR_MS
from benchpool.audit.audit import audit
from benchpool.client.deployment import deploy, upload_model
from benchpool.client.pools import PoolClient
from benchpool.client.standing import Field
from benchpool.errors import HandlerError, PoolError
from benchpool.evaluation.sample import Sample, to_json
from benchpool.inference.engine import ChoicesAnswer, LogLikelihood
from benchpool.simulation.scripted_engine import ScriptedEngine, ScriptedEngines, write_script
from processes.siqa import SiqaDataset


def questions(count: int, **odd: str) -> list[Sample]:
    """Questions; a few odd contexts by their numbers, q3="..."."""
    return [
        Sample(odd.get(f"q{n}", f"Met {n}."), "How?", ("good", "bad", "so"), n % 3 + 1)
        for n in range(count)
    ]


class Contest:
    """A pool of three days whose entries get the questions right that they are told to."""

    def __init__(self, folder: Path, samples: Sequence[Sample], **options: Any) -> None:
        self.samples = samples
        self._folder = folder
        self.network = Network(seed=1, **({"engine_factory": ScriptedEngines()} | options))
        self.network.new_wallet("ann")
        self.ids = deploy(self.network, samples=to_json(samples).encode())
        ann = self.network.resolve("ann")
        self.network.send("WrappedAR", "Mint", {"Quantity": "900", "Recipient": ann})
        terms = {"X-Dataset": self.ids.SiqaDataset, "X-Allocation": "ArithmeticDecrease"}
        created = self.client.create(
            token=self.ids.WrappedAR,
            quantity=900,
            terms={**terms, "X-Duration": "3d"},
            funder=self.network.wallet("ann"),
        )
        self.pool = created.tags["Pool"]

    @property
    def client(self) -> PoolClient:
        return PoolClient(self.network)

    def enter(self, name: str, right: Sequence[int], known: int | None = None) -> None:
        """Enter a model that gets these questions right and knows no more than the first ones."""
        choices = [
            each.gold if n in right else each.gold % 3 + 1 for n, each in enumerate(self.samples)
        ]
        self.enter_choices(name, choices[:known])

    def enter_choices(self, name: str, choices: Sequence[int]) -> None:
        file = self._folder / f"{name}.gguf"
        file.write_bytes(write_script(name, self.samples[: len(choices)], choices))
        model = upload_model(self.network, file, name, sender="ann")
        self.client.join(self.pool, model, owner=self.network.wallet("ann"))

    def field(self) -> Field:
        return Field(self.client, self.client.get(self.pool), self.client.leaderboard(self.pool))

    def board(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.field().standings()}

    def audited(self) -> dict[str, dict[str, Any]]:
        network = self.network
        shown = audit(network.store, network.data, self.pool, registry=network.registry).view()
        return {row["name"]: row for row in json.loads(json.dumps(shown["entries"]))}


@pytest.fixture
def contest_of(tmp_path: Path) -> Iterator[Callable[..., Contest]]:
    """Make contests, whose networks are closed at the end."""
    made: list[Contest] = []

    def make(samples: Sequence[Sample], **options: Any) -> Contest:
        made.append(Contest(tmp_path, samples, **options))
        return made[-1]

    yield make
    for each in made:
        each.network.close()


def same(board: dict[str, dict[str, Any]], audited: dict[str, dict[str, Any]]) -> bool:
    """Tell whether an audit says of accuracies and ranks what the board says."""
    facts = ("n", "accuracy", "interval", "rank_set", "unscored", "rank")
    return all(
        [row[fact] for fact in facts] == [audited[name][fact] for fact in facts]
        for name, row in board.items()
    )


def test_a_board_says_how_sure_it_is_and_the_audit_says_the_same(
    contest_of: Callable[..., Contest],
):
    contest = contest_of(questions(60))
    for name, right in (("high", 55), ("mid", 32), ("low", 30)):
        contest.enter(name, range(right))
    contest.network.advance("25h")
    board = contest.board()
    assert [row["rank_set"] for row in board.values()] == [[1, 1], [2, 3], [2, 3]]
    assert {row["provisional"] for row in board.values()} == {True}
    for row in board.values():
        assert row["n"] == 60
        known = stats.binomtest(row["correct"], 60).proportion_ci(0.95, method="wilson")
        assert row["interval"] == pytest.approx(known)
        assert row["chance"] == pytest.approx(1 / 3)
    assert same(board, contest.audited())
    assert [each["p"] for each in contest.field().indistinct()] == [0.5]  # 2 : 0
    contest.network.advance("4d")
    paid = contest.board()
    assert {row["provisional"] for row in paid.values()} == {False}
    assert same(paid, contest.audited())


def test_what_a_model_does_not_answer_is_in_the_end_not_right(contest_of: Callable[..., Contest]):
    contest = contest_of(questions(40))
    contest.enter("picky", range(20), known=20)
    contest.enter("whole", range(20))
    contest.network.advance("25h")
    picky = contest.board()["picky"]
    assert (picky["correct"], picky["evaluated"], picky["unscored"]) == (20, 20, 20)
    assert (picky["n"], picky["accuracy"]) == (40, 0.5)
    contest.network.advance("4d")
    board = contest.board()
    assert [(row["n"], row["accuracy"]) for row in board.values()] == [(40, 0.5)] * 2
    assert same(board, contest.audited())


def test_until_then_only_questions_count_that_both_have_met(contest_of: Callable[..., Contest]):
    contest = contest_of(questions(700))
    contest.enter("first", range(0, 700, 2))
    contest.enter("second", range(700), known=300)
    network = contest.network
    for _ in range(2):
        network.send("SiqaDataset", "Evaluate")  # the second fails at 400, which are asked again
    network.send("Benchmark", "Update-Leaderboard")
    board = contest.board()
    assert [(row["name"], row["n"], row["accuracy"]) for row in board.values()] == [
        ("first", 700, 0.5),
        ("second", 300, 1.0),
    ]
    # On those 300 the second has 150 more: it is better, whatever the board says by now.
    assert [row["rank_set"] for row in board.values()] == [[2, 2], [1, 1]]
    assert same(board, contest.audited())
    network.advance(3 * HOUR_MS)  # the rest was given up, which the board does not know of yet
    assert contest.board() == board
    network.send("Benchmark", "Update-Leaderboard")
    assert [row["n"] for row in contest.board().values()] == [700, 700]


def test_before_any_ranking_every_rank_is_open(contest_of: Callable[..., Contest]):
    contest = contest_of(questions(12))
    contest.enter("one", range(12))
    contest.enter("two", ())
    contest.network.advance("2h")
    rows = contest.board().values()
    assert [(row["n"], row["interval"], row["rank_set"]) for row in rows] == [(0, None, [1, 2])] * 2
    assert same(contest.board(), contest.audited())

    def reported() -> list[Any]:
        client, pool = contest.client, contest.client.get(contest.pool)
        rows = Field(client, pool, client.reports(contest.pool)).standings()
        return [(row["n"], row["rank_set"]) for row in rows]

    # The answers are there, but the reports tell no more of them than the board.
    assert reported() == [(0, [1, 2])] * 2
    contest.network.advance("23h")
    assert reported() == [(12, [1, 1]), (12, [2, 2])]


def test_a_board_warns_of_what_its_numbers_hide(contest_of: Callable[..., Contest]):
    samples = questions(30, q4="Ann said {{context}}.", q5="{% if x %}")
    contest = contest_of(samples)
    contest.enter_choices("stuck", [2] * 30)
    contest.enter("sound", range(30))
    contest.network.advance("25h")
    board = contest.board()
    marks = "2 of its prompts hold template marks ({{, }} or {%): was a template left unfilled?"
    assert board["sound"]["warnings"] == [marks]
    assert board["stuck"]["warnings"] == [
        "10 of 30 right is within the noise of guessing, 0.3333 (exact binomial p = 0.57)",
        "answers B at 30 of 30 questions",
        marks,
    ]


class Shaky(ScriptedEngine):
    """A model that is never sure: its best two choices are 0.05 nats apart at every third one."""

    def _answer(self, request: Any) -> Any:
        answer = super()._answer(request)
        if int(request.prompt.split("Met ")[1].split(".")[0]) % 3:
            return answer
        nats = [each.nats for each in answer.log_likelihoods]
        best = nats.index(max(nats))
        close = [-1.0 if n == best else -1.05 - (n - best) % 3 for n in range(3)]
        close[(best + 1) % 3] = -1.05
        return ChoicesAnswer(tuple(LogLikelihood(each, 1) for each in close), answer.prompt_tokens)


def test_near_ties_that_could_move_a_rank_are_told(contest_of: Callable[..., Contest]):
    engines = {"engine_factory": lambda path, _: Shaky(path.read_bytes())}
    contest = contest_of(questions(30), **engines)
    contest.enter("ahead", range(24))  # 8 of them near ties
    contest.enter("behind", range(20))  # 3 near ties among the ten it got wrong
    contest.enter("far", ())
    contest.network.advance("25h")
    board = contest.board()
    assert board["behind"]["warnings"] == [
        "ahead is 4 right answers ahead, and 11 answers that could change that are closer than 0.1"
        " nats: another build may rank them otherwise"
    ]
    assert not [text for text in board["far"]["warnings"] if "ahead" in text]


class Discreet(SiqaDataset):
    """A data set that tells nothing of single questions."""

    @handler("Get-Answers")
    def get_answers(self, message: Any) -> None:
        raise HandlerError("nobody must know")


def test_a_data_set_that_tells_nothing_leaves_every_rank_open(contest_of: Callable[..., Contest]):
    contest = contest_of(questions(30))
    contest.enter("high", range(30))
    contest.enter("low", ())
    contest.network.advance("25h")
    assert [row["rank_set"] for row in contest.board().values()] == [[1, 1], [2, 2]]
    client, pool = contest.client, contest.client.get(contest.pool)
    contest.network.registry.add(Discreet)
    given = {"LlamaRouter": contest.ids.LlamaRouter, "Benchmark": contest.ids.Benchmark}
    pool.facts["dataset"] = contest.network.spawn("Discreet", given)
    field = Field(client, pool, client.leaderboard(contest.pool))
    assert [row["rank_set"] for row in field.standings()] == [[1, 2], [1, 2]]
    high, low = (row["model"] for row in field.standings())
    with pytest.raises(PoolError, match="no question yet that both have met"):
        field.compare(high, low)
    with pytest.raises(PoolError, match="with itself"):
        field.compare(high, high)


def test_a_home_of_before_tells_it_too(tmp_path: Path):
    with Network(unpack("plain", tmp_path), read_only=True) as network:
        client = PoolClient(network)
        pool = client.pools()[0]
        first, second = Field(client, pool, client.leaderboard(pool.id)).standings()
    assert (first["correct"], second["correct"], first["n"]) == (6, 1, 6)
    assert [row["rank_set"] for row in (first, second)] == [[1, 2], [1, 2]]  # 5 : 0 shows nothing
