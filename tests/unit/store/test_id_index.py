"""An id is found in the time that one look takes, and wherever it stands."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from benchpool.ao.ids import encode_id
from benchpool.ao.message import Message
from benchpool.store.sqlite import SqliteStore
from benchpool.store.stretches import GROUP, Stretches

COUNT = 21
"""Stretches with a message each, the last of them not full; more than two groups."""


def an_id(text):
    return encode_id(sha256(text.encode()).digest())


def message(position, message_id=""):
    return Message(
        id=message_id or an_id(f"p{position}"),
        process="p",
        target="p",
        owner="o",
        sender="s",
        timestamp=1,
        position=position,
    )


@contextmanager
def edited(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        yield connection
        connection.commit()


def spread(path: Path, *, known: bool = True) -> None:
    """Make a log whose messages stand in a stretch each."""
    store = SqliteStore(path)
    for place in range(COUNT):
        store.append(message(place), mail=False)
    store.commit(1)
    store.close()
    with edited(path) as connection:
        connection.execute("UPDATE log SET sequence = -(position * 65536 + 7)")
        connection.execute("UPDATE log SET sequence = -sequence")
    if known:
        store = SqliteStore(path)
        store.commit(1)
        store.close()


def finds_all(store: SqliteStore, count: int = COUNT) -> None:
    for place in range(count):
        assert store.find(an_id(f"p{place}")).message.position == place
        assert store.find(an_id(f"p{place}"), "p").message.position == place
        assert store.find(an_id(f"p{place}"), "q") is None
    assert store.find(an_id("nobody")) is None
    assert set(store.beginning(an_id("p3")[:20])) == {an_id("p3")}


@contextmanager
def traced(store: SqliteStore) -> Iterator[list[str]]:
    seen: list[str] = []
    store._driver.set_trace_callback(seen.append)
    yield seen
    store._driver.set_trace_callback(None)


def test_an_id_is_looked_for_where_it_can_be_alone(tmp_path):
    path = tmp_path / "s.sqlite"
    spread(path)
    store = SqliteStore(path)
    finds_all(store)
    with traced(store) as seen:
        for number in range(100):
            assert store.find(an_id(f"unknown {number}")) is None
    assert len(seen) <= 101  # the stretch that is not full, each time
    with traced(store) as seen:
        store.find(an_id("p3"))
    assert len(seen) == 1
    store.close()


def test_what_is_kept_is_read_and_not_made_again(tmp_path):
    path = tmp_path / "s.sqlite"
    spread(path)
    for read_only in (False, True):
        store = SqliteStore(path, read_only=read_only)
        with traced(store) as seen:
            finds_all(store)
        assert not [each for each in seen if each.startswith("SELECT id_key")]
        store.close()


def test_an_opening_that_looks_nothing_up_reads_no_filter(tmp_path):
    path = tmp_path / "s.sqlite"
    spread(path)
    store = SqliteStore(path)
    with traced(store) as seen:
        store.append(message(COUNT), mail=False)
        store.commit(2)
    assert not [each for each in seen if "bits" in each]
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE filters SET bits = zeroblob(length(bits)) WHERE number = 1",
        "UPDATE filters SET bits = x'00'",
        "UPDATE filters SET bits = 'text'",
        "UPDATE filters SET checksum = checksum + 1 WHERE number = 2",
        "UPDATE filters SET stretches = 7 WHERE number = 0",
        "UPDATE filters SET stretches = 'many'",
        "UPDATE filters SET number = number + 1000",
        "DELETE FROM filters WHERE number = 0",
        "DELETE FROM filters WHERE number = 2",
        "DELETE FROM filters",
        "DROP TABLE filters",
        "INSERT INTO filters SELECT number + 3, stretches, checksum, bits FROM filters",
    ],
)
def test_filters_that_are_not_as_they_were_written_are_made_again(tmp_path, damage):
    path = tmp_path / "s.sqlite"
    spread(path)
    with edited(path) as connection:
        before = connection.execute("SELECT * FROM filters").fetchall()
        connection.execute(damage)
    reader = SqliteStore(path, read_only=True)
    finds_all(reader)
    reader.close()
    for _ in range(2):
        store = SqliteStore(path)
        finds_all(store)
        store.commit(2)
        store.close()
    with edited(path) as connection:
        assert connection.execute("SELECT * FROM filters").fetchall() == before
        assert [row[:2] for row in before] == [(0, 8), (1, 8), (2, COUNT - 1 - 2 * GROUP)]


def test_a_log_that_was_cut_off_goes_on_without_what_its_filters_had(tmp_path):
    path = tmp_path / "s.sqlite"
    spread(path)
    with edited(path) as connection:
        connection.execute("DELETE FROM log WHERE position >= 5")
    store = SqliteStore(path)
    store.append(message(5, an_id("new")), mail=False)
    store.commit(2)
    assert store.find(an_id("new")).message.position == 5
    finds_all(store, 5)
    assert store.find(an_id("p5")) is None
    store.close()


def test_a_crash_takes_the_filter_with_the_entries_that_it_is_of(tmp_path):
    path = tmp_path / "s.sqlite"
    spread(path, known=False)
    store = SqliteStore(path)
    finds_all(store)  # its filters are in memory, and not written yet
    store.close()
    store = SqliteStore(path)
    store._keep_filters()
    store.close()  # written, and not committed
    with edited(path) as connection:
        assert connection.execute("SELECT count(*) FROM filters").fetchone() == (0,)
    store = SqliteStore(path)
    store.commit(2)
    store.close()
    store = SqliteStore(path, read_only=True)
    finds_all(store)
    store.close()


def test_a_reader_takes_in_what_was_written_since(tmp_path):
    path = tmp_path / "s.sqlite"
    spread(path)
    reader = SqliteStore(path, read_only=True)
    finds_all(reader)
    with edited(path) as connection:
        rows = connection.execute("SELECT * FROM log WHERE position = 3").fetchall()
        (_, process, position, *rest) = rows[0]
        late = (40 * 65536, process, position + 1000, *rest)
        connection.execute(f"INSERT INTO log VALUES ({', '.join('?' * len(late))})", late)
    assert reader.end() == (COUNT - 1) * 65536 + 7
    reader.refresh()
    assert reader.end() == 40 * 65536
    finds_all(reader)
    assert len(list(reader._written(rows[0][3], None))) == 2
    reader.close()


def test_filters_miss_nothing_and_let_little_through():
    draw, stretches, held = Random(1), Stretches(), []
    for _ in range(2 * GROUP + 1):
        keys = [draw.randrange(-(1 << 63), 1 << 63) for _ in range(500)]
        stretches.add(keys)
        held.append(keys)
    for number, keys in enumerate(held):
        assert all(number in stretches.that_may_hold(key) for key in keys)
    again = Stretches()
    again.take_over([stretches.column(group) for group in range(3)], stretches.full)
    unknown = [draw.randrange(-(1 << 63), 1 << 63) for _ in range(1_000)]
    assert sum(len(list(again.that_may_hold(key))) for key in unknown) < 20
    known = [key for keys in held for key in keys]
    assert all(list(again.that_may_hold(k)) == list(stretches.that_may_hold(k)) for k in known)


def test_full_stretches_let_one_in_four_hundred_through():
    draw, stretches = Random(2), Stretches()
    stretches.add(draw.randrange(-(1 << 63), 1 << 63) for _ in range(1 << 16))
    tried = [draw.randrange(-(1 << 63), 1 << 63) for _ in range(20_000)]
    assert sum(len(list(stretches.that_may_hold(key))) for key in tried) < 100
