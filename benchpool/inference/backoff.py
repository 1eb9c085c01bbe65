"""How long a model that keeps dying waits before it is started again."""

from __future__ import annotations

import time

_FIRST_PAUSE_S = 0.5
_MOST_PAUSE_S = 30.0


class Backoff:
    """Counts deaths in a row: from the second one on there is a pause, which doubles."""

    def __init__(self) -> None:
        self._deaths = 0
        self._died_at = 0.0

    def died(self) -> None:
        """Count a death."""
        self._deaths += 1
        self._died_at = time.monotonic()

    def answered(self) -> None:
        """An answer came: the deaths before it were not in a row with later ones."""
        self._deaths = 0

    def left_s(self) -> float:
        """Time until the next start, in seconds."""
        if self._deaths < 2:
            return 0.0
        pause_s: float = min(_MOST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (self._deaths - 2))
        return max(0.0, self._died_at + pause_s - time.monotonic())
