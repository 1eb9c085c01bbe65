"""Which exemplars stand before a question, as lm-evaluation-harness chooses them.

Source: `lm_eval/api/samplers.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from benchpool.errors import DatasetError
from benchpool.tasks.task import FewshotSettings

SEED = 1234
"""With which lm-evaluation-harness draws exemplars, unless told otherwise."""

Exemplar = dict[str, Any]


class Exemplars:
    """Chooses the exemplars of question after question, in the order of the data.

    Args:
        settings: how many, and how they are chosen.
        pool: what they are chosen from.

    Raises:
        DatasetError: there are too few.
    """

    def __init__(self, settings: FewshotSettings, pool: Sequence[Exemplar]) -> None:
        self._settings = settings
        self._pool = pool
        self._random = Random(SEED)  # noqa: S311 - the draws of lm-evaluation-harness
        self._check(len(pool))

    def choose(self, own: Exemplar) -> Sequence[Exemplar]:
        """Return the exemplars of a question, given its record."""
        count, pool = self._settings.count, self._pool
        if not count:
            return ()
        without_own = self._settings.without_own
        if self._settings.sampler == "first_n":
            first = []
            for each in pool:
                if not (without_own and each == own):
                    first.append(each)
                    if len(first) == count:
                        break
            self._check(len(first))
            return first
        if not without_own:
            self._check(len(pool))
            return self._random.sample(pool, count)
        self._check(len(pool) - 1)
        drawn = [each for each in self._random.sample(pool, count + 1) if each != own][:count]
        if len(drawn) < count:
            others = [each for each in pool if each != own]
            self._check(len(others))
            drawn = self._random.sample(others, count)
        return drawn

    def _check(self, there: int) -> None:
        wanted = self._settings.count
        if there < wanted:
            split = f"the split {self._settings.split!r}" if self._settings.split else "the task"
            raise DatasetError(f"{split} has {there} exemplars, and {wanted} are wanted")
