"""A text that a model is writing, and where it ends."""

from __future__ import annotations

from typing import NamedTuple

from benchpool.inference.llama.packing import TokenItem


class Writer(NamedTuple):
    """A generation in progress."""

    item: TokenItem
    pieces: list[bytes]

    def has_stopped(self) -> bool:
        """Whether a stop string has been written, of which the last piece is a part."""
        stops = [stop.encode() for stop in self.item.stops]
        longest = max(map(len, stops), default=0)
        tail = b""
        for place in range(len(self.pieces) - 1, -1, -1):
            if not stops or len(tail) >= longest + len(self.pieces[-1]):
                break
            tail = self.pieces[place] + tail
        return any(stop in tail for stop in stops)

    def text(self) -> str:
        """Return the text up to the first stop string, cut as the reference harness does."""
        text = b"".join(self.pieces).decode("utf-8", errors="replace")
        for stop in self.item.stops:
            text = text.split(stop, 1)[0]
        return text
