"""Which entries are one model under several names.

Entries are gone through by seniority. Each is compared with those before it that count as
entries themselves, never with their copies: else a model made to resemble two rivals a little
each could chain the later one to the earlier and so shut it out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, NamedTuple

from benchpool.pools.ranking import Standing

FEWEST_QUESTIONS: Final = 20
"""Questions that two entries must have in common before they can be copies."""
NEAR: Final = Fraction(99, 100)
"""The centred correlation from which on two entries are near copies."""

# Nats become integers before they are multiplied, so that no machine's rounding can decide
# between a copy and a rival. Two to the -20 is a millionth of a nat.
_STEPS_PER_NAT_LOG2: Final = 20


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
    originals: list[_Behaviour] = []
    for contender in sorted(contenders, key=lambda each: each.seniority):
        behaviour = _Behaviour(contender)
        identical = _first(behaviour.identity(each) for each in originals)
        near = None if identical else _first(behaviour.nearness(each) for each in originals)
        if identical:
            found.identical[contender.entry] = identical
        elif near:
            found.near[contender.entry] = near
        if not identical and not (near and merge_near):
            originals.append(behaviour)
    return found


class _Behaviour:
    """A contender's log-likelihoods, made ready to be compared."""

    def __init__(self, contender: Contender) -> None:
        self._entry = contender.entry
        self._weights = contender.weights
        usable = {
            key: answer.log_likelihoods
            for key, answer in contender.answers.items()
            if answer.log_likelihoods and all(map(math.isfinite, answer.log_likelihoods))
        }
        self._exact = frozenset(usable.items())
        self._centred = {key: _centre(nats) for key, nats in usable.items()}

    def identity(self, original: _Behaviour) -> Likeness | None:
        if self._weights and self._weights == original._weights:
            return Likeness(original._entry, 0, 1.0)
        shared = len(self._exact & original._exact)
        return Likeness(original._entry, shared, 1.0) if shared >= FEWEST_QUESTIONS else None

    def nearness(self, original: _Behaviour) -> Likeness | None:
        questions = 0
        xx = xy = yy = 0
        for key, mine in self._centred.items():
            theirs = original._centred.get(key, ())
            if len(mine) == len(theirs):
                questions += 1
                for x, y in zip(mine, theirs, strict=True):
                    xx += x * x
                    xy += x * y
                    yy += y * y
        is_near = xy > 0 and Fraction(xy * xy) >= NEAR * NEAR * xx * yy
        if questions < FEWEST_QUESTIONS or not is_near:
            return None
        return Likeness(original._entry, questions, math.sqrt(xy * xy / (xx * yy)))


def _centre(nats: Sequence[float]) -> tuple[int, ...]:
    steps = []
    for each in nats:
        numerator, denominator = each.as_integer_ratio()
        steps.append((numerator << _STEPS_PER_NAT_LOG2) // denominator)
    total, count = sum(steps), len(steps)
    return tuple((count * step - total) // count for step in steps)


def _first(likenesses: Iterable[Likeness | None]) -> Likeness | None:
    return next((each for each in likenesses if each), None)
