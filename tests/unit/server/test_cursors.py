import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchpool.ao.ids import module_id
from benchpool.ao.message import Message
from benchpool.errors import ConfigError
from benchpool.process.registry import Registry
from benchpool.server.cursors import Cursor, place, read_cursor, write_cursor


@given(st.integers(0, 2**53), st.integers(0, 2**31), st.booleans())
def test_a_cursor_reads_back_as_the_place_it_was_written_for(ms, nonce, cron):
    message = Message("i", "p", "p", "o", "o", timestamp=ms, nonce=nonce, cron=cron, position=7)
    text = write_cursor(message, "DESC")
    assert json.loads(base64.b64decode(text))["ordinate"] == str(nonce)
    assert read_cursor(text).key() == place(message)
    assert read_cursor(text).sort == "DESC"


def test_a_cursor_may_be_a_time():
    assert read_cursor("1700000000000") == Cursor(1_700_000_000_000)


@given(st.text())
def test_what_is_no_cursor_is_refused_and_nothing_worse_happens(text):
    with suppress(ConfigError):
        read_cursor(text)


def test_a_module_is_found_by_its_id():
    class Token:
        pass

    registry = Registry()
    registry._added["Token"] = Token
    assert registry.find(module_id("Token")) is Token
    assert registry.name("x" * 43) == "x" * 43


@pytest.mark.parametrize("text", ["", "e30=", "!", "bm8=", "eyJ0aW1lc3RhbXAiOnt9fQ=="])
def test_broken_cursors(text):
    with pytest.raises(ConfigError):
        read_cursor(text)
