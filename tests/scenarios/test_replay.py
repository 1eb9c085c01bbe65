"""Replay: a finished run agrees with its record, and whatever is changed in it is named."""

import json
import sqlite3
from pathlib import Path

import msgspec
import pytest
from pydantic import Field
from replaying import replay_network
from typer.testing import CliRunner

from benchpool import Message, Network, Process, State, handler
from benchpool.ao.message import decode_message, decode_result, encode, encode_result
from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.process.registry import Registry


def database(home: Path) -> sqlite3.Connection:
    return sqlite3.connect(home / "benchpool.sqlite", isolation_level=None)


def place(home: Path, module: str, action: str) -> tuple[str, int]:
    """Find a message in the middle of a log: the second of an action."""
    with database(home) as connection:
        (process,) = connection.execute("SELECT id FROM processes WHERE module = ?", [module])
        rows = connection.execute(
            "SELECT position, message FROM log WHERE process = ? ORDER BY position", process
        )
        found = [position for position, raw in rows if decode_message(raw).action == action]
    return process[0], found[1]


def rewrite(home: Path, at: tuple[str, int], column: str, change) -> None:
    with database(home) as connection:
        (raw,) = connection.execute(
            f"SELECT {column} FROM log WHERE process = ? AND position = ?", at
        ).fetchone()
        connection.execute(
            f"UPDATE log SET {column} = ? WHERE process = ? AND position = ?", [change(raw), *at]
        )


def change_message(**fields):
    return lambda raw: encode(msgspec.structs.replace(decode_message(raw), **fields))


def difference(home: Path) -> tuple[str, int, str]:
    found = replay_home(home).difference
    assert found is not None
    return found.process, found.position, found.what


def test_a_finished_run_agrees_with_its_record(finished: Path):
    done = replay_home(finished)
    assert done.difference is None
    assert done.messages > 200
    assert done.mail > 0
    assert all(each.compared for each in done.processes)
    folded = replay_home(finished, verify=False)
    assert folded.digest == done.digest
    assert (folded.messages, folded.mail) == (done.messages, done.mail)


def test_one_process_is_verified_alone(finished: Path):
    done = replay_home(finished, "SiqaDataset")
    assert [each.info.module for each in done.processes] == ["SiqaDataset"]
    assert done.difference is None


@pytest.mark.parametrize(
    ("module", "action"),
    [("WrappedAR", "Transfer"), ("SiqaDataset", "Inference-Response"), ("Benchmark", "Join-Pool")],
)
def test_one_byte_of_a_result_is_named(finished: Path, module: str, action: str):
    at = place(finished, module, action)
    with database(finished) as connection:
        (raw,) = connection.execute(
            "SELECT result FROM log WHERE process = ? AND position = ?", at
        ).fetchone()
    for byte in {0, 1, len(raw) // 2, len(raw) - 1}:
        changed = bytearray(raw)
        changed[byte] ^= 1
        rewrite(finished, at, "result", lambda _, changed=changed: bytes(changed))
        assert difference(finished)[:2] == at, byte
    rewrite(finished, at, "result", lambda _: raw)
    assert replay_home(finished).difference is None


def test_any_byte_of_a_message_is_named(finished: Path):
    at = place(finished, "WrappedAR", "Transfer")
    with database(finished) as connection:
        (raw,) = connection.execute(
            "SELECT message FROM log WHERE process = ? AND position = ?", at
        ).fetchone()
    for byte in range(0, len(raw), 41):
        changed = bytearray(raw)
        changed[byte] ^= 4
        rewrite(finished, at, "message", lambda _, changed=changed: bytes(changed))
        process, position, _ = difference(finished)
        # A time within the same block shows in the hash chain of the message behind it.
        assert (process, position) in (at, (at[0], at[1] + 1)), byte


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"nonce": 99}, "nonce 99 comes after"),
        ({"position": 99}, "position 99 comes after"),
        ({"data": "other"}, "do not hash to its id"),
        ({"hash_chain": "A" * 43}, "hash chain"),
        ({"id": "A" * 43}, "do not hash to its id"),
        ({"depth": 7}, "not that of its cause"),
        ({"from_module": "Other"}, "not that of its cause"),
        ({"block_height": 1}, "block height"),
        ({"process": "B" * 43}, "the log of"),
    ],
)
def test_a_changed_field_of_a_message_is_named(finished: Path, fields, what: str):
    at = place(finished, "SiqaDataset", "Inference-Response")
    rewrite(finished, at, "message", change_message(**fields))
    process, position, said = difference(finished)
    assert (process, position) == at
    assert what in said


def test_a_changed_time_breaks_the_chain_behind_it(finished: Path):
    at = place(finished, "WrappedAR", "Transfer")
    rewrite(
        finished,
        at,
        "message",
        lambda raw: encode(
            msgspec.structs.replace(
                decode_message(raw), timestamp=decode_message(raw).timestamp + 1
            )
        ),
    )
    process, position, what = difference(finished)
    assert (process, position) == (at[0], at[1] + 1)
    assert "hash chain" in what


def test_a_cron_tick_that_was_not_due_is_named(finished: Path):
    at = place(finished, "SiqaDataset", "Evaluate")
    rewrite(
        finished,
        at,
        "message",
        lambda raw: encode(
            msgspec.structs.replace(
                decode_message(raw), timestamp=decode_message(raw).timestamp + 1
            )
        ),
    )
    assert difference(finished)[:2] == at


@pytest.mark.parametrize(
    "change",
    ["UPDATE log SET id_key = id_key + 1", "UPDATE log SET cron = 1", "UPDATE log SET result = ''"],
)
def test_an_index_that_was_changed_is_named(finished: Path, change: str):
    at = place(finished, "WrappedAR", "Transfer")
    with database(finished) as connection:
        connection.execute(f"{change} WHERE process = ? AND position = ?", at)
    assert difference(finished)[:2] == at


def test_a_message_that_was_taken_out_is_named_by_the_next_one(finished: Path):
    process, position = place(finished, "SiqaDataset", "Inference-Response")
    with database(finished) as connection:
        connection.execute(
            "DELETE FROM log WHERE process = ? AND position = ?", [process, position]
        )
    found = difference(finished)
    assert found[:2] == (process, position + 1)
    assert f"position {position + 1} comes after {position - 1}" in found[2]


def test_mail_that_was_taken_out_is_named_by_its_cause(finished: Path):
    with database(finished) as connection:
        (wallet,) = connection.execute("SELECT address FROM wallets WHERE name = 'ben'").fetchone()
        mail = connection.execute(
            "SELECT position FROM log WHERE process = ? ORDER BY position DESC", [wallet]
        ).fetchone()
        connection.execute("DELETE FROM log WHERE process = ? AND position = ?", [wallet, *mail])
    _, _, what = difference(finished)
    assert f"to {wallet}, and no log holds that message" in what


def test_a_message_without_a_cause_is_named(finished: Path):
    """A forged Credit-Notice in a wallet's mail, with an id and a hash chain that fit."""
    with Network(finished) as network:
        token, ben = network.resolve("WrappedAR"), network.resolve("ben")
        from benchpool.ao.message import Item
        from benchpool.ao.tags import Tags

        item = Item(
            ben,
            network.messenger.address,
            token,
            Tags([("Action", "Credit-Notice"), ("Quantity", "1")]),
            "",
            reference="99999",
            from_module="WrappedAR",
        )
        network.messenger.post(item)
        network.run()
    process, _, what = difference(finished)
    assert process == ben
    assert "no cause" in what


def test_a_state_that_was_changed_is_named(finished: Path):
    with database(finished) as connection:
        (token,) = connection.execute("SELECT id FROM processes WHERE module = 'WrappedAR'")
        connection.execute(
            "UPDATE checkpoints SET memory = CAST(replace(CAST(memory AS TEXT), 'wAR', 'wAS')"
            " AS BLOB) WHERE process = ?",
            token,
        )
    process, _, what = difference(finished)
    assert process == token[0]
    assert "the state that is kept" in what


def test_a_row_of_a_private_database_that_was_changed_is_named(finished: Path):
    with database(finished) as connection:
        (process,) = connection.execute("SELECT id FROM processes WHERE module = 'SiqaDataset'")
    with sqlite3.connect(finished / "databases" / f"{process[0]}.sqlite") as private:
        private.execute("UPDATE evaluations SET prediction = 0 WHERE id = 3")
    found = difference(finished)
    assert found[0] == process[0]
    assert "table evaluations of its private database" in found[2]


def test_a_register_that_was_changed_is_named(finished: Path):
    with database(finished) as connection:
        connection.execute("UPDATE processes SET owner = 'x' WHERE module = 'Benchmark'")
    assert "register of processes" in difference(finished)[2]


def test_the_command_ends_with_4_and_names_process_and_position(finished: Path):
    run = CliRunner().invoke(app, ["replay", "--verify", "--json", "--home", str(finished)])
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout)["verified"] is True
    process, position = at = place(finished, "WrappedAR", "Transfer")
    rewrite(
        finished,
        at,
        "result",
        lambda raw: encode_result(msgspec.structs.replace(decode_result(raw), output="more")),
    )
    run = CliRunner().invoke(app, ["replay", "--verify", "--home", str(finished)])
    assert run.exit_code == 4
    assert f"WrappedAR ({process})" in run.stderr
    assert f"position {position}: output is recorded as 'more'" in run.stderr
    run = CliRunner().invoke(app, ["replay", "--verify", "--json", "--home", str(finished)])
    assert run.exit_code == 4
    assert json.loads(run.stdout)["difference"]["position"] == position


class Seen(State):
    lines: list[str] = Field(default_factory=list)


class Parent(Process):
    """Spawns, assigns, fails and talks to itself."""

    state: Seen
    assignable = ({"Action": "Note"},)

    @handler("Spawn")
    def make(self, message: Message) -> None:
        self.spawn(message.tags["What"], {"Name": "child"})

    @handler("Spawned", "Spawn-Error", "Note")
    def note(self, message: Message) -> None:
        self.state.lines.append(message.action)

    @handler("Hand-On")
    def hand_on(self, message: Message) -> None:
        self.assign(message.tags["What"], [self.id])

    @handler("Fail")
    def fail(self, message: Message) -> None:
        self.state.lines.append("lost")
        raise KeyError("why")

    @handler("Again")
    def again(self, message: Message) -> None:
        self.send(self.id, "Again")


def test_spawns_assignments_failures_and_endless_chains_are_replayed(tmp_path: Path):
    from benchpool.errors import PushLimitExceeded
    from benchpool.units.limits import Limits

    registry = Registry()
    registry.add(Parent)
    limits = Limits(push_depth=10)
    with Network(tmp_path / "home", registry=registry, limits=limits) as network:
        parent = network.spawn("Parent", [("Cron-Interval", "1-hour"), ("Cron-Tag-Action", "Note")])
        other = network.spawn("Parent", data=b"\x00\xff")
        for what in ("Parent", "Nothing"):
            network.send(parent, "Spawn", {"What": what})
        note = network.send(other, "Note", data=b"\xff\x00")
        network.send(parent, "Hand-On", {"What": note.id})
        network.post_assignment(note.id, [parent])
        network.run()
        assert network.send(parent, "Fail").error
        network.send(parent, "Unheard")
        with pytest.raises(PushLimitExceeded):
            network.send(other, "Again")
        network.advance("3h")
        network.post(other, "Note")
        done = replay_network(network, limits=limits)
        assert "lost" not in network.process(parent).state.lines
    assert done.difference is None
    assert done.pending == 1
    assert replay_home(tmp_path / "home", registry=registry, limits=limits).difference is None


def test_data_that_was_missing_then_is_missing_in_the_replay(tmp_path: Path):
    from hashlib import sha256

    from benchpool.ao.ids import encode_id
    from benchpool.extensions.weavedrive import WeaveDrive

    class Reader(Process):
        extensions = ("WeaveDrive",)
        weavedrive: WeaveDrive

        @handler("Read")
        def read(self, message: Message) -> None:
            self.log(self.weavedrive.read(message.tags["Id"]).decode())

    registry = Registry()
    registry.add(Reader)
    data_id = encode_id(sha256(b"late").digest())
    with Network(tmp_path / "home", registry=registry) as network:
        reader = network.spawn("Reader")
        assert "no data with id" in network.send(reader, "Read", {"Id": data_id}).error
        network.data.put(b"late")
        assert network.send(reader, "Read", {"Id": data_id}).result.output == "late"
    assert replay_home(tmp_path / "home", registry=registry).difference is None
