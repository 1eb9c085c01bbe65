from __future__ import annotations

import pytest

from benchpool.ao.ids import complete_id, encode_id, id_key, id_keys
from benchpool.errors import AmbiguousId

IDS = [f"{name}{'A' * 38}0" for name in ("abcd", "abce", "xyzw")]


def test_the_only_id_that_begins_so() -> None:
    assert complete_id("xyzw", IDS, "ids") == IDS[2]
    assert complete_id("xyzwAAAA…", IDS, "ids") == IDS[2]
    assert complete_id(IDS[0], IDS, "ids") == IDS[0]
    assert complete_id("xyz", IDS, "ids") is None
    assert complete_id("nope", IDS, "ids") is None


def test_several_are_named_while_they_are_few() -> None:
    many = [f"same{number}" for number in range(6)]
    with pytest.raises(AmbiguousId, match=r"^'same' is too short: 2 ids match: same0, same1$"):
        complete_id("same", many[:2], "ids")
    with pytest.raises(AmbiguousId, match=r"^'same' is too short: 6 ids match$"):
        complete_id("same", many, "ids")


@pytest.mark.parametrize("length", [1, 4, 10, 11, 12, 42, 43])
def test_the_keys_of_ids_that_begin_alike(length: int) -> None:
    for first in (0, 127, 128, 255):
        name = encode_id(bytes([first, *range(31)]))
        least, most = id_keys(name[:length])
        assert least <= id_key(name) <= most
    assert id_keys("AAAA") == (0, 2**40 - 1)
