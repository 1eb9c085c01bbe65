"""Recompute: tiny models that really answer, and audits that ask them again."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tiny_gguf import write_gguf
from typer.testing import CliRunner, Result

from benchpool.audit.audit import audit_home
from benchpool.audit.recomputation import Recomputation
from benchpool.audit.recompute import Again
from benchpool.cli import app
from benchpool.client.deployment import deploy, sample_path, upload_model
from benchpool.inference.engine import ChoicesRequest, Generation, Outcome, Request, Unanswered
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.engines import MadeEngines
from benchpool.network import Network

WAR = 10**12
QUESTIONS = sample_path().read_bytes().splitlines(keepends=True)[:12]

Change = Callable[[Request, Outcome], Outcome]


class Told:
    """A real engine whose answers are told otherwise, and which may name another runtime."""

    def __init__(self, engine: Any, change: Change, runtime: dict[str, str]) -> None:
        self._engine = engine
        self._change = change
        self.runtime = msgspec.structs.replace(engine.runtime, **runtime)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def answer(self, requests: Sequence[Request], progress: Any = None) -> list[Outcome]:
        answers = self._engine.answer(requests, progress)
        return [self._change(*each) for each in zip(requests, answers, strict=True)]


@dataclass
class Liar:
    """Says of one question that the last choice is the likeliest; forges the letter of it, too."""

    line: int

    def __call__(self, request: Request, outcome: Outcome) -> Outcome:
        text = request.prompt if isinstance(request, ChoicesRequest) else request.user
        if json.loads(QUESTIONS[self.line])["context"] not in text:
            return outcome
        if isinstance(outcome, Generation):
            return msgspec.structs.replace(outcome, text="A")
        *others, last = outcome.log_likelihoods
        forged = msgspec.structs.replace(last, nats=-0.5)
        return msgspec.structs.replace(outcome, log_likelihoods=(*others, forged))


def honest(_request: Request, outcome: Outcome) -> Outcome:
    return outcome


def shifted(_request: Request, outcome: Outcome) -> Outcome:
    """Return an answer that is a little off, as another processor's may be."""
    moved = [
        msgspec.structs.replace(each, nats=each.nats + 0.3) for each in outcome.log_likelihoods
    ]
    return msgspec.structs.replace(outcome, log_likelihoods=tuple(moved))


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnginePool]:
    """Real engines, of all tests of this file together."""
    pool = EnginePool(workers=2)
    yield pool
    pool.close()


@pytest.fixture
def played(tmp_path: Path, real: EnginePool) -> Callable[..., Path]:
    """Play a pool of two tiny models to its end; ben's engine tells what it is made to tell.

    Both name the runtime that is given: a pool takes models of one alone.
    """

    def play(
        change: Change = honest, protocol: str = "cloze", before: str = "", **runtime: str
    ) -> Path:
        def engine(path: Path, precision: Any) -> Any:
            opened = real.open(path, precision)
            is_bens = path.read_bytes() == files["ben"].read_bytes()
            return Told(opened, change if is_bens else honest, runtime)

        files = {
            who: write_gguf(tmp_path / f"{who}.gguf", seed=seed)
            for seed, who in enumerate(("ana", "ben"))
        }
        home = tmp_path / "home"
        with Network(home, seed=1, engine_factory=engine) as network:
            ids = deploy(network, samples=b"".join(QUESTIONS))
            network.send("WrappedAR", "Mint", {"Quantity": str(WAR)})
            if before:
                network.send("Benchmark", "Info", data=before)
            terms = {"X-Dataset": ids.SiqaDataset, "X-Allocation": "Equal", "X-Title": "tiny"}
            terms |= {"X-Duration": "1d", "X-Protocol": protocol}
            tags = {"Recipient": ids.Benchmark, "Quantity": str(WAR), **terms}
            pool = network.send("WrappedAR", "Transfer", tags).reply("Pool-Created").tags["Pool"]
            for who, path in files.items():
                network.new_wallet(who)
                model = upload_model(network, path, f"tiny-{who}", sender=who)
                join = json.dumps({"dataset": pool, "model": model})
                network.send("Benchmark", "Join-Pool", data=join, sender=who).reply("Joined-Pool")
            network.advance("2d")
        return home

    return play


@pytest.fixture
def asked_again(real: EnginePool) -> Callable[..., Recomputation]:
    def ask(home: Path, draws: int = 12, **options: Any) -> Recomputation:
        statement = audit_home(home, "tiny", again=Again(real, draws, **options))
        assert statement.recomputed is not None
        assert all(check.passed for check in statement.checks[:-1])
        assert statement.checks[-1].passed is statement.recomputed.passed
        return statement.recomputed

    return ask


def command(home: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["audit", "tiny", "--home", str(home), *words])


@pytest.mark.parametrize(
    "protocol",
    ["cloze", *(pytest.param(each, marks=pytest.mark.slow) for each in ("letters", "cloze/bf16"))],
)
def test_every_answer_comes_out_again_bit_for_bit(played, asked_again, protocol):
    done = asked_again(played(protocol=protocol))
    assert [(each.answers, each.drawn, each.same) for each in done.entries] == [(12, 12, 12)] * 2
    assert (done.passed, done.detail) == (True, "24 bit for bit")


def test_one_lie_is_named_with_its_place_model_and_question_and_the_command_ends_with_1(
    played, asked_again
):
    home = played(Liar(4))
    done = asked_again(home)
    (lie,) = done.lies
    assert (lie.name, lie.number, lie.same_runtime) == ("tiny-ben", 5, True)
    assert lie.question.startswith(json.loads(QUESTIONS[4])["context"])
    assert lie.recorded["log_likelihoods"][-1]["nats"] == -0.5 != lie.now["log_likelihoods"][-1]
    with Network(home, read_only=True) as network:
        message, _ = network.log(lie.process)[lie.position]
        assert message.json() == lie.recorded
        assert lie.model == network.resolve("tiny-ben")
    assert [(each.same, len(each.lies)) for each in done.entries] == [(12, 0), (11, 1)]
    assert f"position {lie.position} of {lie.process}, tiny-ben, question 5" in done.detail
    run = command(home, "--recompute", "12")
    assert run.exit_code == 1
    assert run.stderr.startswith("error: 1 of ")
    assert "✗ the models give the drawn answers again: position " in run.stdout
    assert "tiny-ben, question 5" in " ".join(run.stdout.split())


@pytest.mark.slow
def test_the_first_of_several_lies_is_the_first_of_the_log(played, asked_again):
    done = asked_again(played(lambda request, outcome: Liar(2)(request, Liar(7)(request, outcome))))
    assert [lie.number for lie in done.lies] == [3, 8]
    assert done.detail.startswith(f"position {done.lies[0].position} ")
    assert done.detail.endswith("; and 1 more")


@pytest.mark.slow
def test_text_that_a_model_did_not_write_is_a_lie(played, asked_again):
    done = asked_again(played(Liar(1), protocol="letters"))
    assert [lie.number for lie in done.lies] == [2]
    assert "recorded is " in done.detail
    assert "'text': 'A'" in done.detail


@pytest.mark.slow
def test_an_answer_of_a_model_that_gives_none_is_a_lie(played, real):
    def silent(path: Path, precision: Any) -> Any:
        return Told(real.open(path, precision), lambda *_: Unanswered("it is too long"), {})

    statement = audit_home(played(), "tiny", again=Again(MadeEngines(silent), 1))
    assert [check.passed for check in statement.checks].count(False) == 1
    assert "it is too long" in statement.checks[-1].detail


@pytest.mark.slow
def test_on_another_runtime_a_margin_holds(played, asked_again):
    home = played(shifted, build="elsewhere")
    near = asked_again(home)
    assert [(each.same, each.near) for each in near.entries] == [(0, 12), (0, 12)]
    assert near.detail == "24 on another runtime, within 2 nats"
    far = asked_again(home, margin=0.1)
    assert (len(far.lies), far.lies[0].same_runtime) == (12, False)


@pytest.mark.slow
def test_the_log_decides_which_answers_are_drawn(played, real):
    home = played()

    def draw() -> tuple[str, list[str]]:
        def note(request: Any, outcome: Outcome) -> Outcome:
            asked.append(request.prompt)
            return outcome

        def watched(path: Path, precision: Any) -> Any:
            return Told(real.open(path, precision), note, {})

        asked: list[str] = []
        done = audit_home(home, "tiny", again=Again(MadeEngines(watched), 3)).recomputed
        assert done is not None
        assert done.compared == len(asked) == 6
        return done.seed, asked

    seed, asked = draw()
    assert (seed, asked) == draw()
    assert asked[:3] != asked[3:]  # each entry has a draw of its own
    shutil.rmtree(home)
    played(before="a message more")
    other_seed, others = draw()
    assert seed != other_seed
    assert asked != others


@pytest.mark.slow
def test_the_seed_is_the_hash_chain_at_the_settlement(played, asked_again):
    home = played()
    done = asked_again(home, 1)
    with Network(home, read_only=True) as network:
        paid = [
            message.hash_chain
            for message, result in network.log("Benchmark")
            if result is not None
            and any(each.tags.get("Action") == "Transfer" for each in result.messages)
        ]
    assert paid == [done.seed]


@pytest.mark.slow
def test_the_command_prints_what_came_out_again(played):
    home = played()
    run = command(home, "--recompute", "3")
    assert run.exit_code == 0, run.stderr
    assert re.search(r"tiny-ben +12 +3 +3 +0 +0 +14\.3%", run.stdout)
    assert "✓ the models give the drawn answers again: 6 bit for bit" in run.stdout
    shown = json.loads(command(home, "--recompute", "3", "--json").stdout)
    assert shown["recomputed"]["draws_for_99_percent"] == 90
    assert [each["same"] for each in shown["recomputed"]["entries"]] == [3, 3]
    assert "recomputed" not in json.loads(command(home, "--json").stdout)


@pytest.mark.slow
def test_the_command_ends_with_3_where_a_models_file_is_missing(played):
    home = played()
    with Network(home) as network:
        weights = network.log("tiny-ben")[0][0].tags["Model-Data"]
        network.data.path(weights).unlink()
    run = command(home, "--recompute", "2")
    assert run.exit_code == 3
    assert "answers that could not be compared: 2: " in run.stderr
    assert weights in run.stderr
    assert "tiny-ben: 2 not compared: " in run.stdout
    assert "– the models give the drawn answers again: 2 bit for bit, 2 not compared" in run.stdout


@pytest.mark.slow
def test_text_of_another_runtime_is_not_compared(played):
    home = played(Liar(1), protocol="letters", build="elsewhere")
    run = command(home, "--recompute", "2", "--json")
    assert run.exit_code == 3
    assert "4: text of another runtime cannot be compared" in run.stderr
    shown = json.loads(run.stdout)
    assert shown["checks"][-1]["passed"] is None
    assert shown["recomputed"]["entries"][1]["unasked"] == {
        "text of another runtime cannot be compared": 2
    }


def test_a_pool_without_answers_has_nothing_to_ask_again(finished: Path):
    words = ["audit", "empty", "--home", str(finished), "--recompute", "1"]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 3
    assert "there are no answers that could be compared" in run.stderr
