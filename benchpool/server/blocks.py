"""Blocks: what stands for Arweave's, one every two minutes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchpool.ao.clock import BLOCK_MS, GENESIS_HEIGHT, GENESIS_MS
from benchpool.ao.ids import decode_id, encode_id


def block_id(height: int) -> str:
    """Return the id of the block of a height."""
    return encode_id(max(height, 0).to_bytes(32, "big"))


def block_json(height: int) -> dict[str, Any]:
    """Show the block of a height, with the time at which it begins in seconds."""
    begins_ms = max(GENESIS_MS + (height - GENESIS_HEIGHT) * BLOCK_MS, 0)
    return {
        "id": block_id(height),
        "timestamp": begins_ms // 1000,
        "height": height,
        "previous": block_id(height - 1),
    }


def height_of(block: str, newest: int) -> int | None:
    """Return the height of a block by its id; None if there is none yet, or it is no id."""
    try:
        height = int.from_bytes(decode_id(block), "big")
    except ValueError:
        return None
    return height if height <= newest and block_id(height) == block else None


def heights(
    lowest: int | None, highest: int | None, newest: int, *, descending: bool
) -> Iterator[int]:
    """Go through the heights of blocks within bounds."""
    low = max(lowest or 0, 0)
    high = newest if highest is None else min(highest, newest)
    yield from range(high, low - 1, -1) if descending else range(low, high + 1)
