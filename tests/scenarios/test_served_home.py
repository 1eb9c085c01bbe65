"""The command line on a home that a server runs on: every command works, or says what to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import ROOT, Client, Running
from typer.testing import CliRunner, Result

from benchpool import Message, Process, handler
from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.client.served import ServedWriter, open_to_write
from benchpool.client.writer import Writer, send
from benchpool.errors import PushLimitExceeded
from benchpool.evaluation.sample import Sample, to_json
from benchpool.inference.engine import Precision
from benchpool.network import Network
from benchpool.process.registry import Registry
from benchpool.simulation.scripted_engine import ScriptedEngines, write_script
from benchpool.store.server_file import find_server
from benchpool.units.limits import Limits

SAMPLES = [
    Sample(f"Kim met friend {n}.", "How would Kim feel?", ("glad", "sad", "calm"), n % 3 + 1)
    for n in range(6)
]
PATIENCE_S = 20


class Echo(Process):
    """Answers itself for ever; or keeps everybody waiting until it is let go."""

    begun = threading.Event()
    go_on = threading.Event()

    @handler("Loop")
    def loop(self, message: Message) -> None:
        self.send(self.id, "Loop")

    @handler("Wait")
    def wait(self, message: Message) -> None:
        self.begun.set()
        assert self.go_on.wait(PATIENCE_S)


class HeavyEcho(Echo):
    """The same, in a lane of its own."""

    heavy = True


class SteppingEngine:
    """A scripted model that answers one question each time it is told to."""

    steps = threading.Semaphore(0)

    def __init__(self, path: Path, precision: Precision = "stored") -> None:
        self._engine = ScriptedEngines()(path, precision)
        self.card, self.runtime = self._engine.card, self._engine.runtime
        self.close = self._engine.close

    def answer(self, requests: Any, progress: Any = None) -> list[Any]:
        for count in range(1, len(requests) + 1):
            assert self.steps.acquire(timeout=PATIENCE_S)
            progress(count, len(requests))
        return list(self._engine.answer(requests))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_busy(running: Running) -> None:
    """Wait until the model is at something."""
    client = Client(running.url)
    model = next(i.id for i in running.network.processes() if i.module == "LlamaWorker")
    wait_until(lambda: client.http.get(f"/cu/state/{model}").status_code == 202)


def command(*args: str) -> subprocess.Popen[str]:
    """Begin a command in a program of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchpool", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SteppingEngine, "steps", threading.Semaphore(0))
    for module in (Echo, HeavyEcho):
        monkeypatch.setattr(module, "begun", threading.Event())
        monkeypatch.setattr(module, "go_on", threading.Event())


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the home; its exit code is checked."""
    monkeypatch.setenv("BENCHPOOL_HOME", str(home))

    def invoke(*args: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, list(args))
        assert done.exit_code == code, (args, done.stdout, done.stderr, done.exception)
        if code:
            assert done.stderr.startswith("error: "), done.stderr
            assert len(done.stderr.splitlines()) == 1
        return done

    return invoke


@pytest.fixture
def run_json(run: Run) -> Callable[..., Any]:
    """Run a command with --json; read what it prints, which is JSON and nothing else."""
    return lambda *args: json.loads(run(*args, "--json").stdout)


def test_a_refused_spawn_leaves_nothing_behind(
    serve: Callable[..., Running], run: Run, run_json: Any, tmp_path: Path
) -> None:
    serve(engine_factory=ScriptedEngines())
    before = run_json("processes")
    spawn = ("spawn", "LlamaWorker", "--name", "model", "--tag")
    done = run(*spawn, f"Model-Data={'A' * 43}", code=1)
    assert "LlamaWorker refused its tags, and was not spawned: no data with id" in done.stderr
    assert run_json("processes") == before
    script = tmp_path / "model.gguf"
    script.write_bytes(write_script("model", SAMPLES, [1] * len(SAMPLES)))
    data = run("data", "put", str(script)).stdout.strip()
    assert run_json(*spawn, f"Model-Data={data}")["name"] == "model"


def open_pool(run_json: Callable[..., Any], tmp_path: Path) -> str:
    """Make a pool with one model by commands alone; return the pool's id."""
    questions, script = tmp_path / "questions.jsonl", tmp_path / "model.gguf"
    questions.write_text(to_json(SAMPLES))
    script.write_bytes(write_script("model", SAMPLES, [sample.gold for sample in SAMPLES]))
    for name in ("default", "ana"):
        run_json("wallet", "new", name)

    def spawn(module: str, *tags: str, name: str | None = None, owner: str = "") -> None:
        named = [part for tag in tags for part in ("--tag", tag)]
        sender = ("--from", owner) if owner else ()
        run_json("spawn", module, "--name", name or module, *named, *sender)

    spawn("WrappedAR")
    spawn("LlamaRouter")
    spawn("Benchmark", "WrappedAR=@WrappedAR")
    data = run_json("data", "put", str(questions))["id"]
    known = ("WrappedAR", "LlamaRouter", "Benchmark")
    spawn("SiqaDataset", f"DataTxID={data}", *(f"{name}=@{name}" for name in known))
    weights = run_json("data", "put", str(script))["id"]
    loaded = (f"Model-Data={weights}", "Router=@LlamaRouter")
    spawn("LlamaWorker", *loaded, name="model", owner="ana")
    mint = ("--tag", "Quantity=5000", "--tag", "Recipient=@ana")
    run_json("send", "--target", "WrappedAR", "--action", "Mint", *mint)
    terms = ("--dataset", "SiqaDataset", "--allocation", "WinnerTakesAll", "--funds", "0.000000001")
    made = run_json("pool", "create", *terms, "--title", "First", "--from", "ana")
    committed = run_json("pool", "commit", "--model", "model", "--from", "ana")
    assert committed["weights"] == weights
    joined = run_json("pool", "join", "First", "--model", "model", "--from", "ana")
    assert (joined["pool"], joined["committed"]) == (made["id"], True)
    return str(made["id"])


def test_a_pool_from_funding_to_its_statement_by_commands(
    serve: Callable[..., Running], run: Run, run_json: Callable[..., Any], tmp_path: Path
) -> None:
    serve(engine_factory=ScriptedEngines())
    pool = open_pool(run_json, tmp_path)
    run("send", "--target", "SiqaDataset", "--action", "Evaluate")
    run("send", "--target", "Benchmark", "--action", "Update-Leaderboard")
    (row,) = run_json("pool", "leaderboard", "First")
    assert (row["name"], row["evaluated"], row["score"]) == ("model", 6, 1.0)
    assert "model" in run("pool", "leaderboard", pool[:8]).stdout
    (shown,) = run_json("pool", "list")
    assert run_json("pool", "show", "First")["id"] == shown["id"] == pool
    assert "Status" in run("pool", "show", "First").stdout
    (report,) = run_json("pool", "report", "First")
    assert (report["correct"], report["computing"]["Quantization"]) == (6, "none")
    assert "6 of 6" in run("pool", "report", "First").stdout
    assert run_json("audit", "First")["passed"]
    assert "Checks, from the log alone" in run("audit", "First").stdout
    refused = run("pool", "join", "First", "--model", "model", "--from", "ana", code=1)
    assert "in the pool already" in refused.stderr
    refused = run("pool", "create", "--dataset", "SiqaDataset", "--allocation", "Luck",
                  "--funds", "0.000000001", "--from", "ana", code=1)  # fmt: skip
    assert "no allocation rule 'Luck'" in refused.stderr


def test_what_looks_sees_what_was_just_written(
    serve: Callable[..., Running], run: Run, run_json: Callable[..., Any], tmp_path: Path
) -> None:
    serve()
    run("wallet", "new", "ana")
    key, copy = tmp_path / "ana.json", tmp_path / "data"
    assert run_json("wallet", "export", "ana", str(key))["name"] == "ana"
    assert "this key is here already" in run("wallet", "import", "bea", str(key), code=2).stderr
    address = run_json("wallet", "address", "ana")["address"]
    assert [each["address"] for each in run_json("wallet", "list")] == [address]
    token = run_json("spawn", "WrappedAR", "--name", "Token", "--from", "ana")["id"]
    assert "taken" in run("spawn", "WrappedAR", "--name", "Token", "--from", "ana", code=2).stderr
    mint = ("send", "--target", "Token", "--action", "Mint", "--from", "ana")
    sent = run_json(*mint, "--tag", "Quantity=7")
    assert "refused the message" in run(*mint, code=1).stderr.splitlines()[-1]
    assert run_json("result", sent["id"])["Messages"]
    asked = run_json("dryrun", "--target", "Token", "--action", "Balance", "--from", "ana")
    assert asked["Messages"][0]["Data"] == "7"
    assert run_json("inspect", "Token")["state"]["balances"] == {address: "7"}
    assert [each["message"]["Id"] for each in run_json("log", "Token")][1] == sent["id"]
    assert run_json("inbox", "ana")[-1]["Id"] == sent["replies"][-1]["Id"]
    assert [each["id"] for each in run_json("processes")] == [token]
    data = run_json("data", "put", str(key))["id"]
    run("data", "get", data, "--output", str(copy))
    assert copy.read_bytes() == key.read_bytes()
    assert run_json("replay", "--verify")["verified"]
    run_json("export", str(tmp_path / "run.jsonl"))
    done = run_json("import", str(tmp_path / "run.jsonl"), "--home", str(tmp_path / "copy"))
    assert done["processes"] == 1


def test_what_cannot_be_done_meanwhile_says_what_to_do(
    serve: Callable[..., Running], run: Run, tmp_path: Path, home: Path
) -> None:
    serve(engine_factory=ScriptedEngines())
    open_pool(lambda *args: json.loads(run(*args, "--json").stdout), tmp_path)
    server = find_server(home)
    assert server is not None
    for command in (["up"], ["replay", "--verify"], ["demo", "--home", str(home)]):
        for option in ([], ["--json"]):
            refused = CliRunner().invoke(app, [*command, *option])
            if refused.exit_code == 3:  # the demo looks for its models first
                continue
            assert refused.exit_code == 1, refused.stderr
            assert f"(process {os.getpid()}, {server.url}); stop it first, or " in refused.stderr
            assert len(refused.stderr.splitlines()) == 1
    assert "stop it first" in run("advance", "1h", code=2).stderr
    run("export", str(tmp_path / "run.jsonl"))
    assert "name a new home" in run("import", str(tmp_path / "run.jsonl"), code=1).stderr


def test_a_chain_that_a_limit_stops_is_told_to_its_sender_and_to_nobody_else(
    serve: Callable[..., Running], home: Path
) -> None:
    registry = Registry()
    registry.add(Echo)
    running = serve(registry=registry, limits=Limits(push_depth=20))
    with open_to_write(home) as (_, writer):
        assert isinstance(writer, ServedWriter)
        writer.new_wallet("ana")
        echo = writer.spawn("Echo", name="echo", sender="ana")
        other = writer.spawn("Echo", name="other", sender="ana")
    client = Client(running.url)
    outcomes: dict[str, object] = {}

    def do(name: str, work: Callable[[Writer], object]) -> threading.Thread:
        def act() -> None:
            with open_to_write(home) as (_, writer):
                try:
                    outcomes[name] = work(writer)
                except Exception as error:
                    outcomes[name] = error

        thread = threading.Thread(target=act)
        thread.start()
        return thread

    def wait_for(waiting: int) -> None:
        wait_until(lambda: client.http.get("/health").json()["waiting"] == waiting)

    # While a handler keeps the network, both of the others come; they are taken together.
    threads = [do("held", lambda writer: send(writer, other, "Wait", sender="ana"))]
    assert Echo.begun.wait(PATIENCE_S)
    threads.append(do("loop", lambda writer: send(writer, echo, "Loop", sender="ana")))
    wait_for(1)
    threads.append(do("spawn", lambda writer: writer.spawn("Echo", sender="ana")))
    wait_for(2)
    assert "benchpool_queue_depth 2.0" in client.http.get("/metrics").text
    Echo.go_on.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert isinstance(outcomes["loop"], PushLimitExceeded), outcomes
    assert "21 pushes deep (limit 20)" in str(outcomes["loop"])
    assert outcomes["spawn"] in {info.id for info in running.network.processes()}
    assert not isinstance(outcomes["held"], Exception)
    running.stop()
    replay_home(home, registry=registry, limits=Limits(push_depth=20)).check()


def test_a_chain_of_a_heavy_process_that_a_limit_stops_is_told_too(
    serve: Callable[..., Running], home: Path, run: Run
) -> None:
    registry = Registry()
    registry.add(HeavyEcho)
    running = serve(registry=registry, limits=Limits(push_depth=5))
    with open_to_write(home) as (network, writer):
        writer.new_wallet("ana")
        writer.spawn("HeavyEcho", name="echo", sender="ana")
    stopped = run("send", "--target", "echo", "--action", "Loop", "--from", "ana", code=1)
    assert "6 pushes deep (limit 5)" in stopped.stderr
    # A compute unit knows nothing of pushing, here and on AO: the result is that of the handler.
    with open_to_write(home) as (network, writer):
        (last, _) = network.log("echo")[-1]
    result = Client(running.url).result(last.id, last.process)
    assert "Error" not in result
    assert len(result["Messages"]) == 1


def test_who_waits_sees_how_far_the_models_are(
    serve: Callable[..., Running],
    home: Path,
    run_json: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(engine_factory=SteppingEngine)
    open_pool(run_json, tmp_path)
    monkeypatch.setattr("benchpool.client.served.LOOK_S", 0.01)
    seen: list[tuple[str, int, int]] = []

    def show(process: str, answered: int, asked: int) -> None:
        if (process, answered, asked) not in seen:
            seen.append((process, answered, asked))
            SteppingEngine.steps.release()

    SteppingEngine.steps.release()
    with open_to_write(home) as (network, writer):
        writer.on_inference(show)
        send(writer, "SiqaDataset", "Evaluate")
        model = network.resolve("model")
    assert seen == [(model, answered, 6) for answered in range(1, 7)]


def test_ctrl_c_while_waiting_leaves_the_rest_to_the_server(
    serve: Callable[..., Running], home: Path, run_json: Callable[..., Any], tmp_path: Path
) -> None:
    running = serve(engine_factory=SteppingEngine)
    open_pool(run_json, tmp_path)
    with command("send", "--target", "SiqaDataset", "--action", "Evaluate") as sending:
        wait_until_busy(running)
        time.sleep(0.5)  # until the command has read that its message was accepted
        sending.send_signal(signal.SIGINT)
        printed, said = sending.communicate(timeout=30)
    asked = running.network.log("SiqaDataset")[-1][0].id
    assert (sending.returncode, printed) == (130, "")
    assert said == (
        f"interrupted; message {asked} was accepted, and the server goes on with it; see:"
        f" benchpool result {asked}\n"
    )
    SteppingEngine.steps.release(6)
    with open_to_write(home) as (network, writer):
        writer.post("Benchmark", "Update-Leaderboard")
        writer.run()
        client = Client(running.url)
        wait_until(lambda: client.http.get(f"/cu/state/{network.resolve('model')}").is_success)
    assert run_json("result", asked)["Messages"]


def test_a_server_that_stops_tells_who_waits_what_was_accepted(
    serve: Callable[..., Running], run_json: Callable[..., Any], home: Path, tmp_path: Path
) -> None:
    running = serve(engine_factory=SteppingEngine)
    open_pool(run_json, tmp_path)
    with command("send", "--target", "SiqaDataset", "--action", "Evaluate") as sending:
        wait_until_busy(running)
        asked = running.network.log("SiqaDataset")[-1][0].id
        running.server.stop()
        printed, said = sending.communicate(timeout=30)
        SteppingEngine.steps.release(6)
    assert (sending.returncode, printed) == (1, "")
    assert said == (
        f"error: the server is stopping; message {asked} was accepted, and goes on as soon as a"
        " server or another command that writes opens this home\n"
    )
    running.stop()
    SteppingEngine.steps.release(6)
    # The model may have answered before the server ended, or be asked again: nothing is lost.
    assert CliRunner().invoke(app, ["wallet", "new", "ben"]).exit_code == 0
    with Network(home, read_only=True) as network:
        assert asked in [message.id for message, _ in network.log("SiqaDataset")]


def test_the_number_of_a_killed_server_may_belong_to_another_program(
    home: Path, run_json: Callable[..., Any]
) -> None:
    run_json("wallet", "new", "ana")
    mine = {"url": "http://127.0.0.1:9", "token": "t", "pid": os.getpid()}
    (home / "server.json").write_text(json.dumps(mine))
    assert find_server(home) is None
    run_json("wallet", "new", "ben")
