"""Whatever is sent, it is refused at the door or evaluated, and the money stays what it was."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchpool.ao.message import Message, decode_message, encode
from benchpool.ao.tags import Tags
from benchpool.errors import BenchpoolError, MessageError
from benchpool.network import Network
from benchpool.units.cron import parse_interval
from benchpool.winston import parse_quantity
from processes.workers.inference_request import read_request, write_request
from processes.wrapped_ar import WrappedAR

ANY_TEXT = st.text(st.characters(), max_size=40)
NAMES = st.sampled_from(["Action", "Quantity", "Recipient", "Sender", "X-Reference", "Reply-To"])
PAIRS = st.lists(st.tuples(NAMES | ANY_TEXT, ANY_TEXT), max_size=8)
ACTIONS = st.sampled_from(["Transfer", "Mint", "Burn", "Balance", "Info", ""]) | ANY_TEXT


@pytest.fixture(scope="module")
def token():
    with Network(seed=1) as network:
        network.registry.add(WrappedAR)
        network.spawn("WrappedAR", name="token")
        network.new_wallet("mallory")
        network.send("token", "Mint", {"Quantity": "1000"})
        yield network


@settings(max_examples=150, deadline=None)
@given(ACTIONS, PAIRS, ANY_TEXT | st.binary(max_size=40))
def test_no_message_of_a_stranger_moves_money_or_stops_the_network(token, action, tags, data):
    count = token.store.count()
    try:
        token.send("token", action, tags, data=data, sender="mallory")
    except MessageError:
        assert token.store.count() == count
    state = token.process("token").state
    assert state.balances[token.wallet().address] == state.supply == 1000
    assert token.send("token", "Info").reply().tags["Total-Supply"] == "1000"


@given(st.lists(st.tuples(st.text(), st.text())), st.text() | st.binary())
def test_a_message_comes_out_of_the_log_as_it_went_in(pairs, data):
    message = Message("i", "p", "t", "o", "s", Tags(pairs), data)
    assert decode_message(encode(message)) == message


@given(st.text(st.characters(exclude_categories=())))
def test_a_quantity_is_canonical_or_none(text):
    with suppress(BenchpoolError):
        assert str(parse_quantity(text)) == text


@given(st.text() | st.from_regex(r"[0-9]{1,12}-[a-z]{1,8}", fullmatch=True))
def test_a_cron_interval_is_read_or_refused(text):
    try:
        interval_ms, _ = parse_interval(text)
        assert interval_ms % 1000 == 0
        assert interval_ms > 0
    except BenchpoolError:
        pass


@given(st.text() | st.recursive(st.text(), lambda t: st.builds(lambda x: f'{{"prompt":{x!r}}}', t)))
def test_a_request_is_read_the_same_again(text):
    try:
        asked = read_request(text)
    except BenchpoolError:
        return
    if not asked.prompt.startswith("{"):
        assert read_request(write_request(asked)) == asked
