"""How far models are with the batches that they are at."""

from __future__ import annotations


class Progress:
    """Told by the threads of heavy processes, looked at by the event loop.

    Each call does one thing to one dictionary, which needs no lock.
    """

    def __init__(self) -> None:
        self._batches: dict[str, tuple[int, int]] = {}
        self.changes = 0
        """Moves on with every change, by one or more."""

    def report(self, process: str, answered: int, asked: int) -> None:
        """Note how far a process is."""
        self._batches[process] = (answered, asked)
        self.changes += 1

    def ended(self, process: str) -> None:
        """Note that a batch of a process is done, and recorded."""
        self._batches.pop(process, None)
        self.changes += 1

    def batches(self) -> dict[str, tuple[int, int]]:
        """Return process -> (answered, asked)."""
        return self._batches.copy()
