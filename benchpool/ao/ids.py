"""Ids and addresses: 32 bytes, written as 43 characters of base64url."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping
from hashlib import sha256

from benchpool.errors import AmbiguousId

ID_LENGTH = 43
"""Characters of an id or address: 32 bytes as base64url without padding."""
MIN_BEGINNING = 4
"""Characters that stand for the id that begins with them."""
_MOST_NAMED = 5

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/", b"+/..")  # what base64url does not have is refused


def encode_id(digest: bytes) -> str:
    """Write 32 bytes as the 43 base64url characters of an AO id."""
    return b2a_base64(digest, newline=False).translate(_TO_URL)[:ID_LENGTH].decode()


def decode_id(text: str) -> bytes:
    """Read the 32 bytes of an id back. Raises: ValueError if it is not one."""
    raw = text.encode("ascii")
    if len(raw) != ID_LENGTH:
        raise ValueError(f"an id has {ID_LENGTH} characters, this has {len(raw)}: {text[:60]!r}")
    return a2b_base64(raw.translate(_FROM_URL) + b"=", strict_mode=True)


def is_id(text: str) -> bool:
    """Tell whether a text has the form of an id or address."""
    try:
        return len(decode_id(text)) == 32
    except ValueError:
        return False


def module_id(name: str) -> str:
    """Return the id under which a module is known on the wire, where ids stand for modules."""
    return encode_id(sha256(b"benchpool module\0" + name.encode()).digest())


def id_key(text: str, digest: bytes = b"") -> int:
    """Return what an index of ids holds of one: its first 8 bytes as a signed integer.

    Args:
        text: the id.
        digest: its 32 bytes, where they are known already.

    Raises: ValueError if it is no id.
    """
    return int.from_bytes((digest or decode_id(text))[:8], "big", signed=True)


def id_keys(beginning: str) -> tuple[int, int]:
    """Return the least and the greatest key of the ids that begin so. Raises: ValueError."""
    rest = ID_LENGTH - 1
    return id_key(beginning.ljust(ID_LENGTH, "A")), id_key(f"{beginning.ljust(rest, '_')[:rest]}8")


def complete_id(beginning: str, ids: Iterable[str], what: str) -> str | None:
    """Return the one id that begins so; None if there is none, or too little is given.

    Args:
        beginning: what a user typed; the ellipsis of a shortened id may stand at its end.
        ids: those that may be meant.
        what: what they are ids of, as a plural.

    Raises: AmbiguousId.
    """
    text = beginning.removesuffix("…")
    if len(text) < MIN_BEGINNING:
        return None
    found = sorted({each for each in ids if each.startswith(text)})
    if len(found) > 1:
        named = f": {', '.join(found)}" if len(found) <= _MOST_NAMED else ""
        raise AmbiguousId(f"{text!r} is too short: {len(found)} {what} match{named}")
    return found[0] if found else None


def find_titled(text: str, titles: Mapping[str, str], what: str) -> str | None:
    """Return the id that a text is, or whose title it is, or that begins with it.

    Args:
        text: what a user typed.
        titles: ids with their titles, which need not differ and may be empty.
        what: what they are, as a plural.

    Raises: AmbiguousId.
    """
    if text in titles:
        return text
    named = [each for each, title in titles.items() if text and title == text]
    if len(named) > 1:
        raise AmbiguousId(f"{text!r} is the title of {len(named)} {what}: {', '.join(named)}")
    return named[0] if named else complete_id(text, titles, what)
