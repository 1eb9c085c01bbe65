import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchpool.inference.texts import MOST_BYTES, bounded


@given(st.text(max_size=3000), st.integers(200, 3000))
def test_a_text_is_never_longer_than_its_bound(text, most):
    short = bounded(text, most)
    assert len(short.encode()) <= most
    if len(text.encode()) <= most:
        assert short == text


@pytest.mark.parametrize("character", ["x", "ä", "\N{GRINNING FACE}"])
def test_what_was_cut_is_told_by_size_and_hash(character):
    text = character * (1 << 20)
    short = bounded(text)
    raw = text.encode()
    assert len(short.encode()) <= MOST_BYTES
    assert short.startswith(character * 100)
    digest = hashlib.sha256(raw).hexdigest()[:16]
    assert short.endswith(f"… (cut: {len(raw):,} bytes, SHA-256 {digest})")


def test_what_is_no_unicode_is_written_as_an_escape():
    assert bounded("a\udcffb") == r"a\udcffb"
