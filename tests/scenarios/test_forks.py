# ruff: noqa: E501 - Lua stands as it is sent
"""Forks: a process goes on from what another has become, and the other never knows."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ao_modules import ao_module
from libraries import in_a_child
from old_homes import unpack
from pydantic import Field
from serving import PROTOCOL, Client, Running
from typer.testing import CliRunner

from benchpool import Network
from benchpool.ao.dataitem import sign
from benchpool.audit.audit import audit_home
from benchpool.audit.export import export_home, import_file
from benchpool.audit.rebuild import rebuild_home
from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.errors import BenchpoolError, ConfigError, LimitExceeded
from benchpool.process.process import Process, State, handler
from benchpool.process.registry import Registry
from benchpool.simulation.scripted_engine import ScriptedEngines
from benchpool.units import compute, forks, messenger

TOKEN = (Path(__file__).parents[1] / "lua_token.lua").read_text()
ALICE = "A" * 43


class Counts(State):
    total: int = 0
    own: str = ""
    seen: list[str] = Field(default_factory=list)


class Counter(Process):
    """Adds up, knows itself, and talks to itself."""

    state: Counts

    def on_spawn(self, message: Any) -> None:
        self.state.own = self.id
        self.state.total = int(message.tags.get("Start") or 0)

    @handler("Add")
    def add(self, message: Any) -> None:
        self.state.total += int(message.tags["By"])
        self.reply(message, "Added", [("Total", str(self.state.total))])

    @handler("Later")
    def later(self, message: Any) -> None:
        self.send(self.id, "Add", [("By", "100")])

    @handler("Added")
    def added(self, message: Any) -> None:
        self.state.seen.append(message.sender)

    @handler("Tell")
    def tell(self, message: Any) -> None:
        self.send(message.tags["Whom"], "Add", [("By", "7")])

    @handler("Wait")
    def wait(self, message: Any) -> None:
        self.receive({"Action": "Go"}, self.went, by=5)

    def went(self, message: Any, by: int) -> None:
        self.state.total += by

    @handler("Fork-Me")
    def fork_me(self, message: Any) -> None:
        self.spawn("Counter", [("Fork-Of", self.id), ("Fork-At", message.tags["At"])])


class Notebook(Process):
    """Keeps lines in a private database."""

    extensions = ("Database",)

    def on_spawn(self, message: Any) -> None:
        self.database.session.connection().exec_driver_sql("CREATE TABLE line (text TEXT)")

    @handler("Note")
    def note(self, message: Any) -> None:
        said = self.database.session.connection()
        said.exec_driver_sql("INSERT INTO line VALUES (?)", (message.tags["Text"],))

    @handler("Read")
    def read(self, message: Any) -> None:
        rows = self.database.session.connection().exec_driver_sql("SELECT text FROM line")
        self.reply(message, "Lines", data=json.dumps([text for (text,) in rows]))


def registry() -> Registry:
    made = Registry()
    for module in (Counter, Notebook):
        made.add(module)
    return made


def open_home(home: Path | None, **options: Any) -> Network:
    return Network(home, seed=1, registry=registry(), **options)


def total(network: Network, process: str) -> int:
    found: int = network.process(process).state.total
    return found


def add(network: Network, process: str, by: int) -> None:
    network.send(process, "Add", {"By": str(by)}).reply("Added")


def check(home: Path, made: Registry | None = None) -> None:
    """Check that a home replays, travels and is made again from its log."""
    made = made or registry()
    replay_home(home, registry=made).check()
    export_home(home, home.parent / "run")
    copy = home.parent / "copy"
    import_file(home.parent / "run", copy, registry=made).check()
    replay_home(copy, registry=made).check()
    rebuild_home(copy, registry=made).check()
    replay_home(copy, registry=made).check()


@pytest.mark.parametrize("signed", [False, True])
def test_a_fork_goes_its_own_way(tmp_path: Path, signed: bool) -> None:
    home = tmp_path / "home"
    with open_home(home, signed=signed) as network:
        first = network.spawn("Counter", {"Start": "3"}, name="first")
        add(network, first, 10)
        fork = network.fork("first", name="second")
        assert fork != first
        assert (total(network, first), total(network, fork)) == (13, 13)
        add(network, fork, 1)
        assert (total(network, first), total(network, fork)) == (13, 14)
        add(network, first, 20)
        assert (total(network, first), total(network, fork)) == (33, 14)
        info = network.info(fork)
        assert (info.tags["Fork-Of"], info.tags["Fork-At"], info.name) == (first, "1", "second")
        assert network.resolve("second") == fork
        assert len(network.log(fork)) == 2
    with open_home(home) as network:
        assert (total(network, first), total(network, fork)) == (33, 14)
    check(home)


def test_a_fork_begins_at_an_earlier_message(tmp_path: Path) -> None:
    with open_home(tmp_path / "home") as network:
        first = network.spawn("Counter")
        sent = [network.send(first, "Add", {"By": "1"}) for _ in range(4)]
        fork = network.fork(first, at=sent[1].id)
        assert (total(network, first), total(network, fork)) == (4, 2)
        assert total(network, network.fork(first, at=first)) == 0
        with pytest.raises(BenchpoolError, match="no message"):
            network.fork(first, at="x" * 43)
        with pytest.raises(BenchpoolError, match="not in the log"):
            network.fork(fork, at=sent[3].id)
    check(tmp_path / "home")


def test_inside_a_fork_is_its_origin_and_its_origin_is_the_fork() -> None:
    with open_home(None) as network:
        first = network.spawn("Counter")
        network.send(first, "Wait")
        fork = network.fork(first)
        network.send(fork, "Later")  # it sends to itself, and hears from itself
        assert (total(network, first), total(network, fork)) == (0, 100)
        assert network.process(fork).state.own == first
        assert network.process(fork).state.seen == [first]
        network.send(fork, "Tell", {"Whom": fork})  # within, this is the other one
        assert (total(network, first), total(network, fork)) == (7, 100)
        network.send(first, "Tell", {"Whom": fork})
        assert (total(network, first), total(network, fork)) == (7, 107)
        network.send(fork, "Go")
        assert (total(network, first), total(network, fork)) == (7, 112)
        network.send(first, "Go")
        assert (total(network, first), total(network, fork)) == (12, 112)


def test_forks_of_forks_and_the_most_there_may_be(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with open_home(home) as network:
        newest = network.spawn("Counter")
        for number in range(forks.MOST_FORKS):
            add(network, newest, 2**number)
            newest = network.fork(newest)
            network.send(newest, "Later")
            assert total(network, newest) == 2 ** (number + 1) - 1 + 100 * (number + 1)
        with pytest.raises(LimitExceeded, match="forks"):
            network.fork(newest)
    with open_home(home) as network:
        assert total(network, newest) == 2**forks.MOST_FORKS - 1 + 100 * forks.MOST_FORKS
        add(network, newest, 1)
    check(home)


def test_a_process_may_fork_itself(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with open_home(home) as network:
        first = network.spawn("Counter")
        add(network, first, 5)
        spawned = network.send(first, "Fork-Me", {"At": "1"}).trace
        assert "Spawned" in str(spawned)
        [_, fork] = network.processes()
        assert (fork.owner, total(network, fork.id)) == (first, 5)
        network.send(first, "Fork-Me", {"At": "99"})  # is answered by a Spawn-Error
        assert len(network.processes()) == 2
        assert network.log(first)[-1][0].action == "Spawn-Error"
    check(home)


def test_what_cannot_be_forked_is_refused() -> None:
    with open_home(None) as network:
        first = network.spawn("Counter")
        for tags, why in (
            ({"Fork-Of": first}, "needs Fork-At"),
            ({"Fork-Of": first, "Fork-At": "-1"}, "needs Fork-At"),
            ({"Fork-Of": first, "Fork-At": "1"}, "has not evaluated position 1"),
            ({"Fork-Of": "nobody", "Fork-At": "0"}, "no process here"),
            ({"Fork-Of": network.wallet().address, "Fork-At": "0"}, "no process here"),
        ):
            with pytest.raises(ConfigError, match=why):
                network.spawn("Counter", tags)
        with pytest.raises(ConfigError, match="of its module"):
            network.spawn("Notebook", {"Fork-Of": first, "Fork-At": "0"})
        assert len(network.processes()) == 1


def test_a_fork_has_a_private_database_of_its_own(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with open_home(home) as network:
        first = network.spawn("Notebook")
        network.send(first, "Note", {"Text": "both"})
        fork = network.fork(first)
        network.send(first, "Note", {"Text": "first"})
        network.send(fork, "Note", {"Text": "fork"})
        assert json.loads(network.send(fork, "Read").reply("Lines").data) == ["both", "fork"]
        assert json.loads(network.send(first, "Read").reply("Lines").data) == ["both", "first"]
    with open_home(home) as network:
        assert json.loads(network.send(fork, "Read").reply("Lines").data) == ["both", "fork"]
    check(home)


def test_a_fork_outlives_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with open_home(home) as network:
        first = network.spawn("Counter", name="first")
        book = network.spawn("Notebook", name="book")
        add(network, first, 3)
        network.send(book, "Note", {"Text": "a"})

    def work() -> None:
        network = open_home(home)
        add(network, network.fork("first", name="second"), 4)
        network.send(network.fork("book", name="copy"), "Note", {"Text": "b"})
        os.kill(os.getpid(), signal.SIGKILL)

    in_a_child(work)
    with open_home(home) as network:
        assert (total(network, "first"), total(network, "second")) == (3, 7)
        assert json.loads(network.send("copy", "Read").reply("Lines").data) == ["a", "b"]
    check(home)


def test_a_fork_of_lua_goes_its_own_way(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = ao_module("aos2_0_6.wasm")
    with Network(home, seed=1) as network:
        network.add_module(path, name="aos")
        token = network.spawn("aos", name="token")
        assert network.send(token, "Eval", data=TOKEN).error == ""
        network.send(token, "Mint", {"Quantity": "100"})
        sleeper = "Handlers.once('wake', {Action='Wake'}, function (m) Woken = ao.id end)"
        assert network.send(token, "Eval", data=sleeper).error == ""
        fork = network.fork(token, name="what-if")
        for whom, amount in ((token, "30"), (fork, "60")):
            sent = network.send(whom, "Transfer", {"Recipient": ALICE, "Quantity": amount})
            assert sent.reply("Debit-Notice").tags["Quantity"] == amount
        assert [told(network, each, f"return Balances['{ALICE}']") for each in (token, fork)] == [
            "30",
            "60",
        ]
        network.send(fork, "Wake")
        assert told(network, fork, "return tostring(Woken) .. tostring(ao.id)") == token * 2
        assert told(network, token, "return tostring(Woken)") == "nil"
        # To itself; and to its origin, which is known there by the fork's id.
        lua = "Heard = 0 Handlers.add('ping', {Action='Ping'}, function (m) Heard = Heard + 1 From = m.From end)"
        for each in (token, fork):
            assert network.send(each, "Eval", data=lua).error == ""
        network.send(fork, "Eval", data="Send({Target=ao.id, Action='Ping'})")
        assert [told(network, each, "return Heard") for each in (token, fork)] == ["0", "1"]
        sent = network.send(fork, "Eval", data=f"Send({{Target='{fork}', Action='Ping'}})")
        assert [told(network, each, "return Heard") for each in (token, fork)] == ["1", "1"]
        assert told(network, token, "return From") == fork
        given = json.loads(sent.result.given)["Messages"][0]
        assert given["Target"] == token
    with Network(home) as network:
        assert told(network, fork, f"return Balances['{ALICE}']") == "60"
        second = network.fork(fork)
        assert told(network, second, f"return Balances['{ALICE}']") == "60"
    check(home, Registry())


def told(network: Network, process: str, lua: str) -> str:
    return network.dry_run(process, "Eval", data=lua).output


def test_the_command_forks(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def run(*args: object) -> str:
        done = CliRunner().invoke(app, [*map(str, args), "--home", str(home)])
        assert done.exit_code == 0, done.output
        return done.output

    with Network(home, seed=1) as network:
        network.spawn("WrappedAR", name="WAR")
        minted = network.send("WAR", "Mint", {"Quantity": "5", "Recipient": ALICE}).id
        network.send("WAR", "Mint", {"Quantity": "6", "Recipient": ALICE})
    assert run("fork", "WAR", "--name", "Now").split()[-1] == "Now"
    early = json.loads(run("fork", "WAR", "--at", minted, "--json"))["id"]
    with Network(home) as network:
        supplies = [network.process(each).state.supply for each in ("WAR", "Now", early)]
        assert supplies == [11, 11, 5]
    replay_home(home).check()


def test_a_fork_is_made_over_http_and_by_a_command_beside_a_server(
    serve: Callable[..., Running], home: Path
) -> None:
    running = serve()
    ana = Client(running.url)
    token = ana.spawn("WrappedAR", Name="Token")
    ana.result(ana.send(token, "Mint", Quantity="100", Recipient=ana.address), token)
    fork = ana.spawn("WrappedAR", Fork_Of=token, Fork_At="1")
    assert ana.result(fork, fork)["Messages"] == []
    assert ana.balance(fork) == "100"
    ana.result(ana.send(fork, "Mint", Quantity="5", Recipient=ana.address), fork)
    assert (ana.balance(token), ana.balance(fork)) == ("100", "105")
    scheduler = ana.http.get("/su").json()["address"]
    own = [*PROTOCOL, ("Type", "Process"), ("Module", "WrappedAR"), ("Scheduler", scheduler)]
    for tags in ([("Fork-Of", token)], [("Fork-Of", token), ("Fork-At", "9")]):
        refused = ana.http.post("/mu", content=sign(ana.signer, tags=[*own, *tags]).raw)
        assert refused.status_code >= 400
        assert "Fork-At" in refused.text or "position 9" in refused.text
    done = CliRunner().invoke(app, ["fork", token, "--name", "Mine", "--home", str(home)])
    assert done.exit_code == 0, done.output
    assert ana.balance(done.output.split()[0]) == "100"
    running.stop()
    replay_home(home).check()


@pytest.mark.parametrize("kind", ["finished", "plain", "signed"])
def test_every_process_of_a_pool_can_be_forked(tmp_path: Path, kind: str, finished: Path) -> None:
    """Of today's homes and of benchpool 0.1's; pools of the originals stay paid."""
    home = finished if kind == "finished" else unpack(kind, tmp_path)
    before = audit_home(home, "happy")
    with Network(home, engine_factory=ScriptedEngines()) as network:
        for info in network.processes():
            fork = network.fork(info.id)
            assert network.info(fork).owner == info.owner
            assert network.process(fork).dump() == network.process(info.id).dump()
        network.advance("2d")
    after = audit_home(home, "happy")
    assert (after.status, after.paid) == (before.status, before.paid)
    assert [check.name for check in after.checks if not check.passed] == []
    check(home)


def test_a_fork_of_a_long_log_gets_a_checkpoint_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(messenger, "COMMIT_EVERY", 1)
    network = open_home(tmp_path / "home")
    first = network.spawn("Counter")
    for _ in range(9):
        add(network, first, 1)
    early = network.fork(first, at=network.log(first)[1][0].id)
    late = network.fork(first, at=network.log(first)[7][0].id)
    kept = [network.store.checkpoint(each) for each in (early, late)]
    assert [each is None for each in kept] == [True, False]
    network.close(abort=True)
    with open_home(tmp_path / "home") as network:
        assert (total(network, early), total(network, late)) == (1, 7)
    check(tmp_path / "home")


def test_a_fork_of_long_ago_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_home(None) as network:
        first = network.spawn("Counter")
        for _ in range(9):
            add(network, first, 1)
        monkeypatch.setattr(forks, "MOST_FOLDED", 4)
        assert total(network, network.fork(first)) == 9  # which is in memory
        with pytest.raises(LimitExceeded, match="7 messages"):
            network.fork(first, at=network.log(first)[6][0].id)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE log SET result = NULL WHERE process = :first AND position = 2",
        "UPDATE log SET message = x'00' WHERE process = :first AND position = 1",
        "DELETE FROM log WHERE process = :first AND position = 2",
        "DELETE FROM processes WHERE id = :first",
    ],
)
def test_a_fork_whose_origin_was_altered_fails_a_replay(tmp_path: Path, change: str) -> None:
    home = tmp_path / "home"
    with open_home(home) as network:
        first = network.spawn("Counter")
        add(network, first, 5)
        add(network, first, 5)
        fork = network.fork(first)
        add(network, fork, 1)
    with closing(sqlite3.connect(home / "benchpool.sqlite")) as database:
        database.execute(change, {"first": first})
        database.commit()
    assert replay_fails(home, None)
    assert replay_fails(home, fork)


def replay_fails(home: Path, process: str | None) -> bool:
    """Tell whether a replay finds a difference, or refuses the home in a sentence."""
    try:
        return replay_home(home, process, registry=registry()).difference is not None
    except BenchpoolError as error:
        return len(str(error).splitlines()) == 1
