"""The newest results, for requests that come right behind their messages."""

from __future__ import annotations

from benchpool.ao.message import Message, ProcessInfo, Result

MOST = 8_192
LARGEST_BYTES = 16 << 10
"""Results with more data than this are read from the log."""


class Recent:
    """Keeps results by process and message, from their commit on.

    The bus's thread evaluates and commits, and the event loop looks: a result is shown only when it
    is durable.
    """

    def __init__(self) -> None:
        self._shown: dict[tuple[str, str], tuple[Result, ProcessInfo]] = {}
        self._evaluated: list[tuple[tuple[str, str], tuple[Result, ProcessInfo]]] = []

    def evaluated(self, message: Message, result: Result, info: ProcessInfo) -> None:
        """Note a result that is not committed yet."""
        size = len(result.output) + sum(len(each.data) for each in result.messages)
        if size + sum(len(each.data) for each in result.spawns) <= LARGEST_BYTES:
            self._evaluated.append(((message.process, message.id), (result, info)))

    def committed(self) -> None:
        """Show what was evaluated, and let the oldest go."""
        for key, value in self._evaluated[-MOST:]:
            self._shown[key] = value
        self._evaluated.clear()
        while len(self._shown) > MOST:
            del self._shown[next(iter(self._shown))]

    def find(self, process: str, message: str) -> tuple[Result, ProcessInfo] | None:
        """Return a result that is committed, if it is one of the newest."""
        return self._shown.get((process, message))
