"""What is written collects until the commit, within bounds, and is written in few goes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256

import pytest

from benchpool import Network
from benchpool.ao.ids import encode_id
from benchpool.ao.message import Message, ProcessInfo, Result
from benchpool.ao.tags import Tags
from benchpool.store import Checkpoint
from benchpool.store.connections import watchers
from benchpool.store.sqlite import SqliteStore


def an_id(text):
    return encode_id(sha256(text.encode()).digest())


def message(position):
    return Message(
        id=an_id(f"{position}"),
        process="p",
        target="p",
        owner="o",
        sender="s",
        data="x" * 100,
        position=position,
    )


def add_process(store, number):
    made = {"module": "M", "owner": "o", "tags": Tags(()), "created_ms": 1, "created_height": 1}
    store.add_process(ProcessInfo(id=an_id(f"{number}"), order=number, **made))


@pytest.fixture
def statements() -> Iterator[list[str]]:
    seen: list[str] = []
    watchers.append(seen.append)
    yield seen
    watchers.remove(seen.append)


def test_a_send_is_written_in_four_goes(tmp_path, statements):
    with Network(tmp_path, seed=1) as network:
        network.spawn("WrappedAR", name="T")
        network.send("T", "Info")
        statements.clear()
        network.send("T", "Info")
        assert [each.split(" (")[0] for each in statements] == [
            "INSERT INTO facts",  # how many items were sent
            "INSERT INTO log",
            "INSERT INTO facts",
            "COMMIT",
        ]


def test_a_message_is_written_once_if_its_result_is_known_before_the_commit(tmp_path, statements):
    store = SqliteStore(tmp_path / "s.sqlite")
    for position in range(1_000):
        store.append(message(position), mail=False)
        store.record(message(position), Result(output=f"{position}"))
    store.commit(1)
    assert [each for each in statements if "log" in each and "fact" not in each] == [
        next(each for each in statements if each.startswith("INSERT INTO log"))
    ]
    store.close()


def test_what_collects_in_memory_is_bounded_by_its_bytes(tmp_path, statements, monkeypatch):
    monkeypatch.setattr("benchpool.store.sqlite._COLLECTED_BYTES", 1_000)
    store = SqliteStore(tmp_path / "s.sqlite")
    statements.clear()
    for position in range(100):
        store.append(message(position), mail=False)
        assert store._collected_bytes < 1_500
        assert store.uncommitted == position + 1
    assert len(statements) > 10
    assert "COMMIT" not in statements
    for position in range(100):
        store.record(message(position), Result(output=f"{position}"))
    store.commit(1)
    assert store.uncommitted == 0
    outputs = [entry.result.output for entry in store.entries("p")]
    assert outputs == [f"{position}" for position in range(100)]
    store.append(message(100), mail=False)
    for position in range(101, 200):
        store.append(message(position), mail=False)
    store.close()  # as a crash: it was written, and not committed
    store = SqliteStore(tmp_path / "s.sqlite")
    assert store.count() == 100
    store.close()


def test_checkpoints_are_written_together(tmp_path, statements):
    store = SqliteStore(tmp_path / "s.sqlite")
    for number in range(1_000):
        add_process(store, number)
    statements.clear()
    for number in range(1_000):
        store.add_checkpoint(an_id(f"{number}"), Checkpoint(number, b"x"))
    assert not statements
    store.commit(1)
    assert len([each for each in statements if "checkpoints" in each]) == 1
    store.close()
    store = SqliteStore(tmp_path / "s.sqlite")
    assert len(store.checkpointed()) == 1_000
    store.close()


def test_a_checkpoint_is_read_before_it_is_written_and_lost_in_a_crash(tmp_path, monkeypatch):
    store = SqliteStore(tmp_path / "s.sqlite")
    for number in range(9):
        add_process(store, number)
    store.commit(1)
    for position in (1, 2):
        store.add_checkpoint(an_id("3"), Checkpoint(position, b"x"))
    assert store.checkpoint(an_id("3")) == Checkpoint(2, b"x")
    assert store.checkpointed() == {an_id("3"): 2}
    monkeypatch.setattr("benchpool.store.registers._COLLECTED_BYTES", 10)
    for number in range(9):
        store.add_checkpoint(an_id(f"{number}"), Checkpoint(7, b"x" * 4))
        assert store._checkpoint_bytes <= 10
    store.close()
    store = SqliteStore(tmp_path / "s.sqlite")
    assert store.checkpointed() == {}
    store.close()


def test_a_new_home_has_large_pages_and_an_old_one_keeps_its_own(tmp_path):
    path = tmp_path / "s.sqlite"
    for page_bytes in (4_096, 16_384):
        with closing(sqlite3.connect(path)) as made:
            made.execute(f"PRAGMA page_size={page_bytes}")
            if page_bytes == 4_096:
                made.execute("CREATE TABLE passing (n INTEGER)")
                made.execute("DROP TABLE passing")
        for count in (1, 2):
            store = SqliteStore(path)
            store.append(message(count), mail=False)
            store.commit(1)
            assert store.count() == count
            assert store._one("PRAGMA page_size") == (page_bytes,)
            assert store._one("PRAGMA wal_autocheckpoint") == ((32 << 20) // page_bytes,)
            store.close()
        path.unlink()
