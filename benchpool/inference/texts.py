"""Bounds on texts from outside: what a model's file or its process says may be of any length."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

MOST_BYTES: Final = 2000
"""Of one text that is recorded or shown, in UTF-8."""


def bounded(text: str, most: int = MOST_BYTES) -> str:
    """Return a text that is Unicode and short; what was cut is told by its size and its hash.

    Args:
        text: of any length; what is no Unicode in it is written as an escape.
        most: bytes that it may have in UTF-8.
    """
    raw = text.encode(errors="backslashreplace")
    if len(raw) <= most:
        return raw.decode()
    mark = f"… (cut: {len(raw):,} bytes, SHA-256 {sha256(raw).hexdigest()[:16]})"
    return raw[: most - len(mark.encode())].decode(errors="ignore") + mark
