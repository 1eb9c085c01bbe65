"""Which entries are one model under several names.

Entries are gone through by seniority. Each is compared with those before it that count as
entries themselves, never with their copies: else a model made to resemble two rivals a little
each could chain the later one to the earlier and so shut it out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchpool.pools.ranking import Standing

FEWEST_QUESTIONS: Final = 20
"""Questions that two entries must have in common before they can be copies."""
NEAR: Final = Fraction(99, 100)
"""The centred correlation from which on two entries are near copies."""

_FAR: Final = 0.98
"""Below this correlation, reckoned in floats, no pair is near: their errors are far smaller."""

# Nats become integers before they are multiplied, so that no machine's rounding can decide
# between a copy and a rival. Two to the -20 is a millionth of a nat.
_STEPS_PER_NAT_LOG2: Final = 20

_Row = npt.NDArray[np.float64]


class Answer(NamedTuple):
    """What a model made of one question."""

    right: bool
    log_likelihoods: tuple[float, ...] = ()
    """One a choice, nats; empty where the protocol takes none."""


@dataclass(frozen=True, slots=True)
class Contender:
    """An entry with all that its place and its payout depend on.

    Attributes:
        standing: Its counts, and when it joined.
        answers: By question, those that it answered. May be empty where only counts are known:
            then no copy can be found, and no tier be drawn.
        committed_at: When its weights were committed to, on any scale; None: when it joined.
        weights: The hash of its file; empty where nobody knows it.
    """

    standing: Standing
    answers: Mapping[int, Answer] = field(default_factory=dict)
    committed_at: int | None = None
    weights: str = ""

    @property
    def entry(self) -> str:
        """The id of the model."""
        return self.standing.entry

    @property
    def right(self) -> frozenset[int]:
        """The questions that it answered right."""
        return frozenset(key for key, answer in self.answers.items() if answer.right)

    @property
    def seniority(self) -> tuple[int, int, int, str]:
        """Its place in the order of commits: a smaller one was first."""
        joined = self.standing.joined_at
        committed = joined if self.committed_at is None else self.committed_at
        return committed, joined, self.standing.order, self.entry


class Likeness(NamedTuple):
    """That an entry is a copy, or nearly one, of an earlier entry."""

    original: str
    questions: int
    """On how many questions the answers were compared and found so; 0 if the files are one."""
    correlation: float
    """1.0 of a copy, bit for bit."""


class Copies(NamedTuple):
    """What was found, by entry: no entry stands in both."""

    identical: dict[str, Likeness]
    near: dict[str, Likeness]


def find_copies(contenders: Sequence[Contender], *, merge_near: bool = False) -> Copies:
    """Find the entries that answer as an earlier one does.

    A copy has the same weights; or the same log-likelihoods, bit for bit, on 20 or more questions,
    whatever it answers to others. A near copy has log-likelihoods that correlate by 0.99 or more
    over all questions that both answered, 20 or more; those of each question are taken relative
    to their mean, which mostly tells how long the question is.

    Args:
        contenders: In any order.
        merge_near: Whether a near copy is no entry of its own, with which later ones are
            compared.
    """
    found = Copies({}, {})
    originals = _Originals(contenders)
    for contender in sorted(contenders, key=lambda each: each.seniority):
        behaviour = _Behaviour(contender)
        identical = originals.identity(behaviour)
        near = None if identical else originals.nearness(behaviour)
        if identical:
            found.identical[contender.entry] = identical
        elif near:
            found.near[contender.entry] = near
        if not identical and not (near and merge_near):
            originals.add(behaviour)
    return found


class _Behaviour:
    """A contender's log-likelihoods, made ready to be compared."""

    def __init__(self, contender: Contender) -> None:
        self.entry = contender.entry
        self.weights = contender.weights
        self.usable = {
            key: answer.log_likelihoods
            for key, answer in contender.answers.items()
            if answer.log_likelihoods and all(map(math.isfinite, answer.log_likelihoods))
        }

    @cached_property
    def centred(self) -> dict[int, tuple[int, ...]]:
        """Those of each question, relative to their mean."""
        return {key: _centre(nats) for key, nats in self.usable.items()}

    def nearness(self, original: _Behaviour) -> Likeness | None:
        """Compare with another one, exactly."""
        questions = 0
        xx = xy = yy = 0
        for key, mine in self.centred.items():
            theirs = original.centred.get(key, ())
            if len(mine) == len(theirs):
                questions += 1
                for x, y in zip(mine, theirs, strict=True):
                    xx += x * x
                    xy += x * y
                    yy += y * y
        is_near = xy > 0 and Fraction(xy * xy) >= NEAR * NEAR * xx * yy
        if questions < FEWEST_QUESTIONS or not is_near:
            return None
        return Likeness(original.entry, questions, math.sqrt(xy * xy / (xx * yy)))


class _Originals:
    """The entries that are none's copies, so far.

    Whom one could resemble is looked up, and not tried: pools may have hundreds of entries.
    """

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self._behaviours: list[_Behaviour] = []
        self._by_weights: dict[str, _Behaviour] = {}
        self._by_answer: dict[tuple[int, tuple[float, ...]], list[int]] = {}
        shapes = sorted(
            {
                (key, len(answer.log_likelihoods))
                for each in contenders
                for key, answer in each.answers.items()
            }
        )
        ends = list(accumulate(length for _, length in shapes))
        self._columns = {
            (key, length): slice(end - length, end)
            for (key, length), end in zip(shapes, ends, strict=True)
        }
        size = len(contenders), ends[-1] if ends else 0
        self._nats = np.zeros(size)
        """A row each; zero where a question was not answered."""
        self._squares = np.zeros(size)
        self._asked = np.zeros(size)
        """1 where it was."""

    def add(self, behaviour: _Behaviour) -> None:
        """Let later ones be compared with this one."""
        place = len(self._behaviours)
        self._behaviours.append(behaviour)
        if behaviour.weights:
            self._by_weights.setdefault(behaviour.weights, behaviour)
        for item in behaviour.usable.items():
            self._by_answer.setdefault(item, []).append(place)
        with np.errstate(all="ignore"):
            self._nats[place], self._asked[place] = self._row(behaviour)
            self._squares[place] = self._nats[place] * self._nats[place]

    def identity(self, behaviour: _Behaviour) -> Likeness | None:
        """Find the first of which this one is a copy."""
        holder = self._by_weights.get(behaviour.weights)
        if holder is not None:
            return Likeness(holder.entry, 0, 1.0)
        shared = Counter(
            place for item in behaviour.usable.items() for place in self._by_answer.get(item, ())
        )
        found = [place for place, count in shared.items() if count >= FEWEST_QUESTIONS]
        if not found:
            return None
        first = min(found)
        return Likeness(self._behaviours[first].entry, shared[first], 1.0)

    def nearness(self, behaviour: _Behaviour) -> Likeness | None:
        """Find the first of which this one is nearly a copy."""
        count = len(self._behaviours)
        # Floats say who is far; who may be near is compared exactly. Where they overflow or
        # vanish, the comparison is not true, and nobody is left out.
        with np.errstate(all="ignore"):
            nats, asked = self._row(behaviour)
            xy = self._nats[:count] @ nats
            xx, yy = self._asked[:count] @ (nats * nats), self._squares[:count] @ asked
            far = xy * xy < _FAR * _FAR * xx * yy
        likenesses = (behaviour.nearness(self._behaviours[place]) for place in np.flatnonzero(~far))
        return next((each for each in likenesses if each), None)

    def _row(self, behaviour: _Behaviour) -> tuple[_Row, _Row]:
        nats, asked = np.zeros((2, self._nats.shape[1]))
        for key, values in behaviour.usable.items():
            columns = self._columns[key, len(values)]
            mean = sum(values) / len(values)
            nats[columns] = [each - mean for each in values]
            asked[columns] = 1
        return nats, asked


def _centre(nats: Sequence[float]) -> tuple[int, ...]:
    steps = []
    for each in nats:
        numerator, denominator = each.as_integer_ratio()
        steps.append((numerator << _STEPS_PER_NAT_LOG2) // denominator)
    total, count = sum(steps), len(steps)
    return tuple((count * step - total) // count for step in steps)
