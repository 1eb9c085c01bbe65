from hashlib import sha256
from itertools import pairwise

import pytest

from benchpool.ao.clock import GENESIS_HEIGHT, GENESIS_MS, VirtualClock
from benchpool.ao.dataitem import verify
from benchpool.ao.ids import decode_id, encode_id
from benchpool.ao.message import Item
from benchpool.ao.signers import Ed25519Signer
from benchpool.ao.tags import Tags
from benchpool.ao.wire import assignment_item, kept_assignment
from benchpool.errors import DataItemError
from benchpool.store import MemoryStore
from benchpool.store.sqlite import SqliteStore
from benchpool.units.scheduler import SchedulerUnit, assignment_digest

PROCESS = encode_id(b"\x01" * 32)
KEY = Ed25519Signer(b"k" * 32)


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.sqlite")
    yield store
    store.close()


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def unit(store, clock):
    return SchedulerUnit(store, clock)


def item(data=""):
    return Item(PROCESS, "o", "s", Tags({"A": "1"}), data)


def put(unit, number=0, process=PROCESS):
    return unit.schedule(item(str(number)), encode_id(bytes([number] * 32)), process)


def test_the_hash_chain_starts_with_the_process_and_goes_on_with_the_assignment(unit):
    assert put(unit).hash_chain == "cs1uhCLEB_ttCYaQ8RMLfe1-wvf14dML2dUh8BU2N5M"
    unit._heads[PROCESS].assignment = b"\x02" * 32
    assert put(unit).hash_chain == "2S886r9o0sw8pru-nXvedHsMRi0-97MNtxuaSD_TVeI"


def test_with_a_key_the_chain_goes_on_with_the_id_of_the_signed_assignment(store, clock):
    """The sheet's vector has an assignment with the id 32 times 02: no signature gives that."""
    unit = SchedulerUnit(store, clock, KEY)
    first, second = put(unit, 0), put(unit, 1)
    assert first.hash_chain == "cs1uhCLEB_ttCYaQ8RMLfe1-wvf14dML2dUh8BU2N5M"
    made = assignment_item(first, KEY)
    assert store.signed_assignment(PROCESS, 0).signature == made.signature
    chain = decode_id(made.id) + decode_id(first.hash_chain)
    assert second.hash_chain == encode_id(sha256(chain).digest())
    unit._heads[PROCESS].chain = decode_id(first.hash_chain)
    unit._heads[PROCESS].assignment = b"\x02" * 32
    assert put(unit, 2).hash_chain == "2S886r9o0sw8pru-nXvedHsMRi0-97MNtxuaSD_TVeI"


def test_the_chain_goes_on_after_a_restart_signed_or_not(store, clock):
    """A log that began without signatures goes on from its last unsigned assignment."""
    begun = SchedulerUnit(store, clock)
    put(begun, 0), put(begun, 1)
    whole = SchedulerUnit(store, clock, KEY)
    put(whole, 2), put(whole, 3)
    put(SchedulerUnit(store, clock, KEY), 4)
    log = [entry.message for entry in store.entries(PROCESS)]
    unsigned = [store.signed_assignment(PROCESS, place) is None for place in range(5)]
    assert unsigned == [True] * 2 + [False] * 3
    for before, after in pairwise(log):
        chain = decode_id(before.hash_chain)
        signed = store.signed_assignment(PROCESS, before.position)
        last = assignment_digest(before, chain) if signed is None else signed.id
        assert after.hash_chain == encode_id(sha256(last + chain).digest())


def test_a_signed_assignment_names_what_it_excludes(store, clock):
    unit = SchedulerUnit(store, clock, KEY)
    message_id = encode_id(b"\x07" * 32)
    message = unit.schedule(item(), message_id, PROCESS, exclude=["Data", "Anchor"])
    signed = store.signed_assignment(PROCESS, 0)
    made = kept_assignment(message, signed, KEY.owner)
    verify(made)
    assert made.tags[-3:] == (("Message", message_id), ("Exclude", "Data"), ("Exclude", "Anchor"))
    assert store.assigned(made.id) == message
    for bad in ("", "a,b", "x" * 5000):
        with pytest.raises(DataItemError):
            unit.schedule(item(), message_id, PROCESS, exclude=[bad])
    assert store.last_position(PROCESS) == 0
    assert put(unit, 1).nonce == 1


def test_nonces_go_up_from_0_in_every_process_by_itself(unit):
    other = encode_id(b"\x03" * 32)
    messages = [put(unit, 0), put(unit, 1, other), put(unit, 2), put(unit, 3, other)]
    assert [(m.process == other, m.nonce, m.position) for m in messages] == [
        (False, 0, 0),
        (True, 0, 0),
        (False, 1, 1),
        (True, 1, 1),
    ]


def links(entries):
    """Follow a hash chain as anybody can who reads the log."""
    last = chain = None
    for message in (entry.message for entry in entries):
        if message.cron:
            continue
        if chain is None:
            expected = sha256(decode_id(message.process)).digest()
        else:
            expected = sha256(assignment_digest(last, chain) + chain).digest()
        yield message.hash_chain == encode_id(expected)
        last, chain = message, expected


def test_every_link_of_the_chain_verifies(unit, store):
    for number in range(5):
        put(unit, number)
        if number == 2:
            unit.tick(item(), encode_id(b"\x09" * 32), PROCESS, GENESIS_MS)
    assert list(links(store.entries(PROCESS))) == [True] * 5


def test_a_cron_tick_takes_a_position_and_no_nonce(unit):
    first = put(unit, 0)
    tick = unit.tick(item(), encode_id(b"\x09" * 32), PROCESS, GENESIS_MS - 120_000)
    second = put(unit, 1)
    assert (first.position, tick.position, second.position) == (0, 1, 2)
    assert (first.nonce, tick.nonce, second.nonce) == (0, 0, 1)
    assert tick.cron
    assert tick.hash_chain == tick.reference == ""
    assert tick.timestamp == GENESIS_MS - 120_000
    assert tick.block_height == GENESIS_HEIGHT - 1


def test_messages_bear_the_clock_s_time(unit, clock):
    assert put(unit).timestamp == GENESIS_MS
    clock.set(GENESIS_MS + 240_000)
    later = put(unit, 1)
    assert (later.timestamp, later.block_height) == (GENESIS_MS + 240_000, GENESIS_HEIGHT + 2)


def test_a_new_scheduler_goes_on_where_the_log_ends(unit, store, clock):
    put(unit, 0)
    put(unit, 1)
    unit.tick(item(), encode_id(b"\x09" * 32), PROCESS, GENESIS_MS)
    again = SchedulerUnit(store, clock)
    third = put(again, 3)
    assert (third.nonce, third.position) == (2, 3)
    assert all(links(store.entries(PROCESS)))


def test_a_preview_stands_where_the_next_message_would_and_takes_no_place(unit, store):
    put(unit, 0)
    for _ in range(2):
        preview = unit.preview(item(), PROCESS)
        assert (preview.nonce, preview.position, preview.read_only) == (1, 1, True)
    assert put(unit, 1).nonce == 1
    assert unit.preview(item(), PROCESS).nonce == 2
    assert store.count() == 2


def test_an_address_of_another_form_can_hold_mail(unit, store):
    mail = unit.schedule(item(), encode_id(bytes(32)), "0xAbC", mail=True)
    assert len(mail.hash_chain) == 43
    assert store.pending() == []
