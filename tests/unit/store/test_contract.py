"""What every store must do, in memory and on disk."""

import sqlite3
from contextlib import closing
from hashlib import sha256

import pytest

from benchpool.ao.ids import encode_id
from benchpool.ao.message import Message, Outgoing, ProcessInfo, Result
from benchpool.ao.tags import Tags
from benchpool.ao.wallet import Wallet
from benchpool.errors import ConfigError, SchemaMismatch, StoreError
from benchpool.store import Checkpoint, MemoryStore, Search, sqlite
from benchpool.store.base import link_at
from benchpool.store.facts import altered, altered_facts
from benchpool.store.opening import open_store
from benchpool.store.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.sqlite")
    yield store
    store.close()


def an_id(text):
    return encode_id(sha256(text.encode()).digest())


def message(process="p", position=0, **fields):
    base = {
        "id": an_id(f"{process}{position}"),
        "process": process,
        "target": process,
        "owner": "o",
        "sender": "s",
        "position": position,
        "nonce": position,
        "tags": Tags([("A", "1"), ("a", "ä")]),
    }
    return Message(**(base | fields))


def result(text="x"):
    return Result((Outgoing("t", Tags({"B": "2"}), b"\xff", 1),), output=text)


def info(order, **fields):
    base = {
        "id": f"p{order}".ljust(43, "x"),
        "module": "M",
        "owner": "o",
        "tags": Tags([("Name", "n"), ("Name", "m")]),
        "created_ms": 2**40,
        "created_height": 5,
        "order": order,
    }
    return ProcessInfo(**(base | fields))


def test_a_log_is_given_back_in_order(store):
    given = [message(position=place, data=str(place)) for place in range(5)]
    for each in given:
        store.append(each, mail=False)
    store.record(given[1], result())
    assert [entry.message for entry in store.entries("p")] == given
    assert [entry.result for entry in store.entries("p")] == [None, result(), None, None, None]
    assert [e.message.position for e in store.entries("p", after=1)] == [2, 3, 4]
    assert [e.message.position for e in store.entries("p", after=1, limit=2)] == [2, 3]
    assert list(store.entries("p", limit=0)) == []
    assert list(store.entries("p", after=4)) == []
    assert list(store.entries("other")) == []
    assert store.count() == 5


def test_the_end_of_a_log_is_known_with_and_without_cron_ticks(store):
    assert store.last_position("p") == -1
    assert store.last_scheduled("p") is None
    first = message()
    store.append(first, mail=False)
    store.append(message(position=1, nonce=0, cron=True), mail=False)
    assert store.last_position("p") == 1
    assert store.last_scheduled("p") == first


def test_pending_is_what_has_no_result_in_the_order_of_scheduling(store):
    a, b, c, d = message("a"), message("b"), message("a", 1), message("b", 1)
    for each in (a, b, c, d):
        store.append(each, mail=False)
    store.append(message("wallet"), mail=True)
    store.record(b, Result())
    assert store.pending() == [a, c, d]
    store.commit(1)
    store.record(c, Result(error="e"))
    assert store.pending() == [a, d]


def test_a_result_is_recorded_before_and_after_a_commit(store):
    a, b = message("a"), message("b")
    store.append(a, mail=False)
    store.record(a, result("early"))
    store.append(b, mail=False)
    store.commit(1)
    store.record(b, result("late"))
    for _ in range(2):
        assert next(store.entries("a")).result == result("early")
        assert next(store.entries("b")).result == result("late")
        store.commit(2)


def test_mail_has_no_result_and_is_never_pending(store):
    store.append(message("w"), mail=True)
    [entry] = store.entries("w")
    assert entry.result is None
    assert store.pending() == []
    assert store.find(an_id("w0")) == entry


def test_an_assigned_message_is_found_where_it_came_first_or_where_asked(store):
    first, second = message("a", id=an_id("m"), data="1"), message("b", 1, id=an_id("m"), data="2")
    store.append(first, mail=False)
    store.append(message("c"), mail=False)
    store.append(message("b"), mail=False)
    store.append(second, mail=False)
    assert store.find(an_id("m")).message == first
    assert store.find(an_id("m"), "a").message == first
    assert store.find(an_id("m"), "b").message == second
    assert store.find(an_id("m"), "c") is None
    assert store.find(an_id("nothing")) is None
    assert store.find("nothing") is None


@pytest.fixture
def searched(store):
    """Fill the logs of two processes and a wallet; return what searches for sequences in them."""
    store.add_process(info(0, id="a"))
    store.add_process(info(1, id="b"))
    said = [
        ("a", {"data": "red"}),
        ("b", {"data": "blue", "owner": "anna"}),
        ("a", {"data": "red and blue", "owner": "anna"}),
        ("a", {"data": "red", "cron": True}),
        ("w", {"data": "red"}),
        ("b", {"data": "red", "target": "a"}),
        ("b", {"data": "green", "tags": Tags([("Colour", "red")])}),
    ]
    for number, (process, fields) in enumerate(said):
        place = store.last_position(process) + 1
        store.append(message(process, place, id=an_id(str(number)), **fields), mail=process == "w")

    def search(*texts, **wanted):
        given = Search(tuple(frozenset(each.split()) for each in texts), **wanted)
        return [sequence for sequence, _ in store.search(given)]

    return search


def test_a_search_finds_texts_anywhere_in_a_message(store, searched):
    assert searched() == [1, 2, 3, 5, 7]  # no tick, and nothing that was assigned
    assert searched("red") == [1, 3, 5, 7]
    assert searched("red blue") == [1, 2, 3, 5, 7]
    assert searched("red", "anna") == [3]
    assert searched("") == []
    [(_, found)] = store.search(Search((frozenset({"green"}),)))
    assert found == store.find(an_id("6")).message


def test_a_search_goes_by_place_order_and_kind(searched):
    assert searched(targets=frozenset({"b", "w"})) == [2, 5, 7]
    assert searched(spawns=True) == [1, 2]
    assert searched("red", after=1) == [3, 5, 7]
    assert searched("red", after=5, descending=True) == [3, 1]
    assert searched(descending=True) == [7, 5, 3, 2, 1]


def test_a_long_search_is_given_whole(store):
    for place in range(450):
        store.append(
            message(position=place, data="odd one" if place % 2 else "even one"), mail=False
        )
    found = list(store.search(Search((frozenset({"odd one"}),), descending=True)))
    assert [each.position for _, each in found] == list(range(449, 0, -2))


def test_processes_keep_their_order_and_tags(store):
    given = [info(0), info(1, module="N")]
    for each in given:
        store.add_process(each)
    assert store.processes() == given
    assert store.process(given[1].id) == given[1]
    assert store.process("none") is None
    assert store.processes()[0].tags.all("Name") == ["n", "m"]


def test_a_name_moves_to_whom_it_was_given_last(store):
    store.set_name("x", "1")
    store.set_name("y", "2")
    store.set_name("x", "3")
    assert store.names() == {"x": "3", "y": "2"}


def test_wallets_come_in_the_order_in_which_they_were_made(store):
    given = [Wallet.derive(b"s", name) for name in ("zoe", "alice", "mia")]
    for each in given:
        store.add_wallet(each)
    assert store.wallets() == given


def test_a_fact_is_replaced(store):
    assert store.fact("f") is None
    store.set_fact("f", "1")
    store.set_fact("f", "2")
    assert store.fact("f") == "2"


def test_a_commit_notes_the_time_and_leaves_nothing_uncommitted(store):
    store.append(message(), mail=False)
    store.commit(123)
    assert store.fact("clock") == "123"
    assert store.uncommitted == 0


def test_a_checkpoint_takes_the_place_of_the_last(store):
    process = info(0)
    store.add_process(process)
    assert store.checkpoint(process.id) is None
    store.add_checkpoint(process.id, Checkpoint(1, b"a"))
    store.add_checkpoint(process.id, Checkpoint(2, b"b"))
    assert store.checkpoint(process.id) == Checkpoint(2, b"b")


def test_what_was_committed_survives_and_the_rest_does_not(tmp_path):
    path = tmp_path / "s.sqlite"
    store = SqliteStore(path)
    store.append(message("a"), mail=False)
    store.append(message("a", 1), mail=False)
    store.commit(1)
    store.record(message("a"), result())
    store.append(message("a", 2), mail=False)
    store.set_name("n", "1")
    assert store.count() == 3
    assert store.find(an_id("a2")) is not None
    store.close()
    again = SqliteStore(path)
    assert again.count() == 2
    assert again.pending() == [message("a"), message("a", 1)]
    assert again.names() == {}
    again.close()


def test_a_store_is_opened_by_its_path_or_address(tmp_path):
    path = tmp_path / "s.sqlite"
    with pytest.raises(ConfigError, match="no store for postgresql: addresses"):
        open_store("postgresql://host/name")
    for where in (path, str(path), f"sqlite:///{path}"):
        store = open_store(where)
        store.set_fact("opened", f"{store.fact('opened') or ''}x")
        store.commit(1)
        store.close()
    reader = open_store(path, read_only=True)
    assert reader.fact("opened") == "xxx"
    reader.close()
    assert open_store(None).fact("opened") is None


def test_a_read_leaves_uncommitted_what_was_not_committed(tmp_path):
    store = SqliteStore(tmp_path / "s.sqlite")
    store.append(message(), mail=False)
    assert store.count() == 1  # a read writes what it must see
    store.append(message(position=1), mail=False)
    assert store.uncommitted == 2
    store.commit(1)
    assert store.uncommitted == 0
    store.close()


def test_a_long_log_is_read_page_by_page(tmp_path):
    store = SqliteStore(tmp_path / "s.sqlite")
    for place in range(2_500):
        store.append(message("a", place), mail=False)
    assert [e.message.position for e in store.entries("a")] == list(range(2_500))
    assert len(list(store.entries("a", after=10, limit=2_000))) == 2_000
    assert [e.message.position for e in store.entries("a", after=2_400, limit=3)] == [
        2_401,
        2_402,
        2_403,
    ]
    store.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_another_version_s_file_is_refused(tmp_path, read_only):
    path = tmp_path / "s.sqlite"
    store = SqliteStore(path)
    store.set_fact("schema_version", "99")
    store.commit(1)
    store.close()
    with pytest.raises(SchemaMismatch, match="version 99"):
        SqliteStore(path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_refused(tmp_path, read_only):
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database, but long enough to be asked" * 50)
    with pytest.raises(StoreError, match=r"damaged|cannot be"):
        SqliteStore(path, read_only=read_only)


def test_a_reader_sees_what_was_committed_when_it_opened(tmp_path):
    path = tmp_path / "s.sqlite"
    writer = SqliteStore(path)
    writer.append(message("a"), mail=False)
    writer.commit(1)
    writer.append(message("a", 1), mail=False)
    assert writer.count() == 2
    reader = SqliteStore(path, read_only=True)
    assert reader.count() == 1
    reader.close()
    writer.close()


def test_a_reader_cannot_write(tmp_path):
    path = tmp_path / "s.sqlite"
    SqliteStore(path).close()
    reader = SqliteStore(path, read_only=True)
    with pytest.raises(Exception, match="readonly"):
        reader.set_fact("a", "b")
    reader.close()


def test_an_id_is_found_in_every_stretch_of_the_log_by_the_index(tmp_path):
    store = SqliteStore(tmp_path / "s.sqlite")
    for place in range(4):
        store.append(message(position=place), mail=False)
    store.commit(1)
    with closing(sqlite3.connect(tmp_path / "s.sqlite")) as edited:
        edited.execute("UPDATE log SET sequence = position * 65536 + 7")
        edited.commit()
    store.refresh()
    for place in range(4):
        assert store.find(an_id(f"p{place}")).message.position == place
        assert store.find(an_id(f"p{place}"), "p").message.position == place
        assert store.find(an_id(f"p{place}"), "q") is None
    assert store.find(an_id("nobody")) is None
    store.close()


def test_a_message_is_found_before_and_after_it_is_written(store):
    here, there = message(), message("q", id=an_id("p0"))
    store.append(here, mail=False)
    store.append(there, mail=False)
    store.record(here, result("before"))
    assert store.find(here.id).message == here
    assert store.find(here.id, "q").message == there
    assert store.find(here.id, "q").result is None
    assert store.find(here.id, "p").result == result("before")
    assert store.find(here.id, "r") is None
    store.commit(1)
    store.record(there, result("after"))
    assert store.find(here.id, "q").result == result("after")
    assert store.find(here.id).message == here
    copy = message("s", id=here.id)
    store.append(copy, mail=False)
    assert store.find(here.id).message == here
    assert store.find(here.id, "s").message == copy


def test_messages_are_found_by_the_beginning_of_an_id(store):
    ids = [an_id(str(number)) for number in range(200)]
    for position, message_id in enumerate(ids):
        store.append(message(position=position, id=message_id), mail=False)
    for length in (1, 4, 11, 42, 43):
        begins = ids[7][:length]
        assert set(store.beginning(begins)) == {one for one in ids if one.startswith(begins)}
    assert not list(store.beginning("no id"))


def test_the_end_of_all_logs(store):
    assert (store.end(), store.newest()) == (0, None)
    store.append(message("a"), mail=False)
    store.append(message("b", timestamp=5), mail=True)
    assert store.end() == 2
    assert store.newest().process == "b"


def test_what_was_scheduled_up_to_a_position(store):
    ticks = {1, 3, 4}
    for place in range(6):
        store.append(message(position=place, cron=place in ticks), mail=False)
    found = [store.last_scheduled("p", place).position for place in range(6)]
    assert found == [0, 0, 2, 2, 2, 5]
    assert store.last_scheduled("p").position == 5
    assert store.last_scheduled("nobody", 3) is None


def test_a_position_is_bound_to_what_stands_before_it(store):
    """Equal ticks differ behind different messages."""
    for process, chain in (("p", "chain"), ("q", "another")):
        for place in range(4):
            tick = {"id": an_id("tick"), "cron": True} if place in {1, 2} else {}
            given = message(process, place, hash_chain=f"{chain}{place}", **tick)
            store.append(given, mail=False)
    links = {(p, place): link_at(store, p, place) for p in "pq" for place in range(4)}
    assert links["p", 1] == links["p", 2]  # the same tick, and the position is kept beside it
    assert len(set(links.values())) == 6
    assert link_at(store, "p", -1) == ""
    assert link_at(store, "p", 4) is None


def test_facts_and_checkpoints_in_all(store):
    store.set_fact("a", "1")
    store.add_process(info(0))
    store.add_checkpoint(info(0).id, Checkpoint(3, b"x"))
    store.add_checkpoint(info(0).id, Checkpoint(5, b"y"))
    assert store.facts()["a"] == "1"
    assert store.checkpointed() == {info(0).id: 5}


def test_a_commit_seals_facts_names_and_the_end_of_the_log(tmp_path):
    store = SqliteStore(tmp_path / "s.sqlite")
    assert altered(store) is None
    store.set_fact("sent", "3")
    store.set_name("ana", an_id("ana"))
    store.append(message(), mail=False)
    store.commit(7)
    assert altered(store) is None
    store.set_fact("sent", "4")
    assert altered(store) == "fact 'sent' of its database was changed to '4'"
    assert altered_facts(store) == ["sent"]
    store.commit(7)
    store.set_name("ana", an_id("ben"))
    assert "names" in altered(store)
    store.commit(7)
    store.append(message(position=1), mail=False)
    assert altered(store) == "its log ends at entry 2, and 1 were committed"
    store.close()


def test_a_part_of_all_logs_or_of_one(store):
    for place in range(6):
        store.append(message("pq"[place % 2], place // 2), mail=False)
    store.commit(1)

    def told(process=None, **bounds):
        found = store.part(process, **bounds)
        return [(each.place, each.message.process, each.message.position) for each in found]

    assert told(limit=2) == [(1, "p", 0), (2, "q", 0)]
    assert told(limit=2, beyond=2) == [(3, "p", 1), (4, "q", 1)]
    assert told(limit=2, descending=True) == [(6, "q", 2), (5, "p", 2)]
    assert told(limit=9, descending=True, beyond=3) == [(2, "q", 0), (1, "p", 0)]
    assert told("q", limit=2) == [(0, "q", 0), (1, "q", 1)]
    assert told("q", limit=9, beyond=0) == [(1, "q", 1), (2, "q", 2)]
    assert told("q", limit=2, descending=True) == [(2, "q", 2), (1, "q", 1)]
    assert told("nobody", limit=2) == told(limit=2, beyond=6) == []


def test_neighbours_are_sifted_by_the_texts_in_them(store):
    for place in range(6):
        store.append(
            message(
                "pq"[place % 2],
                place // 2,
                tags=Tags({"Action": ("Alpha", "Alpha", "Bravo")[place % 3]}),
            ),
            mail=False,
        )
    store.record(message("p", 0), Result(output="said"))
    store.commit(1)
    some = [frozenset({"Bravo"}), frozenset({"nowhere", "Action"})]

    def told(texts, process=None, **bounds):
        sifted = store.sift(texts, process, **bounds)
        for place, entry in sifted.found:
            (same,) = store.part(process, beyond=place - 1, limit=1)
            assert same == (place, entry.message)
        return [place for place, _ in sifted.found], sifted.looked_at, sifted.last

    assert told([], limit=4) == ([1, 2, 3, 4], 4, 4)
    assert told(some, limit=4) == ([3], 4, 4)
    assert told(some, limit=9, beyond=3) == ([6], 3, 6)
    assert told(some, limit=5, descending=True) == ([6, 3], 5, 2)
    assert told(some, "q", limit=9) == ([2], 3, 2)
    assert told(some, limit=9, beyond=6) == told([], "nobody", limit=2) == ([], 0, None)
    assert told([frozenset()], limit=9) == ([], 6, 6)
    assert store.sift([], limit=1).found[0][1].result == Result(output="said")


def test_what_is_sifted_is_bounded_in_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "MOST_SIFTED_BYTES", 5_000)
    store = SqliteStore(tmp_path / "s.sqlite")
    for place in range(9):
        store.append(message("p", place, data="x" * 2_000), mail=False)
    store.commit(1)
    sifted = store.sift([], limit=9)
    assert (len(sifted.found), sifted.looked_at, sifted.last) == (3, 3, 3)
    assert store.sift([frozenset({"nothing"})], limit=9).looked_at == 9
    store.close()


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("beyond", [None, 5])
def test_neighbours_are_read_by_an_index_alone(tmp_path, beyond, descending):
    store = SqliteStore(tmp_path / "s.sqlite")
    seen = []
    store._driver.set_trace_callback(seen.append)
    for process in (None, "p"):
        bounds = {"beyond": beyond, "limit": 10, "descending": descending}
        store.part(process, **bounds)
        store.sift([frozenset({"text"})], process, **bounds)
    store._driver.set_trace_callback(None)
    plans = [store._all(f"EXPLAIN QUERY PLAN {text}") for text in seen if text.startswith("SELECT")]
    sign = "<" if descending else ">"
    assert [row[3] for plan in plans for row in plan] == [
        *[f"SEARCH log USING INTEGER PRIMARY KEY (rowid{sign}?)"] * 2,
        *[f"SEARCH log USING INDEX log_place (process=? AND position{sign}?)"] * 2,
    ]
    store.close()
