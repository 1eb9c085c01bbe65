"""The order of a leaderboard: exact, total, and the same whatever order the scores came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from benchpool.errors import PoolError


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an entry has come in a pool.

    Attributes:
        entry: The id of the model that takes part.
        correct: Answers that are right.
        evaluated: Questions that are answered.
        total: Questions that the data set asks.
        joined_at: When it joined, milliseconds.
        order: Its number in the order of joining, which tells entries of one millisecond apart.

    Raises:
        PoolError: Unless 0 <= correct <= evaluated <= total.
    """

    entry: str
    correct: int
    evaluated: int
    total: int
    joined_at: int
    order: int

    def __post_init__(self) -> None:
        # The counts come in a message from a data set; money follows them, so they are checked.
        if not 0 <= self.correct <= self.evaluated <= self.total:
            raise PoolError(
                f"entry {self.entry} reports impossible counts: {self.correct} correct, "
                f"{self.evaluated} evaluated, {self.total} in total"
            )

    @property
    def has_progress(self) -> bool:
        """Whether any question was answered; an entry without progress is never paid."""
        return self.evaluated > 0

    @property
    def score(self) -> Fraction:
        """Correct answers out of all questions, exact.

        A question without an answer counts as not correct: else an entry that answered three
        questions by luck and then fell silent would lead the board.
        """
        return Fraction(self.correct, self.total) if self.total else Fraction(0)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A standing and its rank, counted from 1. Equal scores share a rank: 1, 1, 3."""

    rank: int
    standing: Standing

    @property
    def entry(self) -> str:
        """The id of the model."""
        return self.standing.entry

    @property
    def has_progress(self) -> bool:
        """Whether any question was answered."""
        return self.standing.has_progress


def rank(standings: Sequence[Standing]) -> list[Ranked]:
    """Rank entries by score, best first.

    Within a tie the earlier to join stands first, which gives it no better rank. Entries without
    progress come last and share the rank after everybody else's, even below entries that
    answered and got nothing right.

    Raises:
        PoolError: One entry stands twice.
    """
    entries = {standing.entry for standing in standings}
    if len(entries) != len(standings):
        raise PoolError("one entry stands twice in a ranking")
    # One Fraction a standing, not one a comparison; they compare by cross multiplication.
    keyed = sorted(((_key(standing), standing) for standing in standings), key=lambda pair: pair[0])
    ranked: list[Ranked] = []
    for _, tied in groupby(keyed, key=lambda pair: pair[0][:2]):
        place = len(ranked) + 1
        ranked += [Ranked(rank=place, standing=standing) for _, standing in tied]
    return ranked


def _key(standing: Standing) -> tuple[bool, Fraction, int, int, str]:
    # The id comes last so that even equal order numbers leave nothing to the order of the input.
    return (
        not standing.has_progress,
        -standing.score,
        standing.joined_at,
        standing.order,
        standing.entry,
    )
