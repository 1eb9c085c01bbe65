"""By which rules a pool is settled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, Self, get_args

from benchpool.errors import PoolError
from benchpool.pools.allocation import find_rule

Eligible = Literal["above-chance", "all"]
NearCopies = Literal["flag", "merge"]
Ties = Literal["exact", "tiers"]

MOST_PLACES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """By which rules a pool is settled; the defaults are those of a pool that names none.

    Attributes:
        rule: A key of ``allocation.RULES``.
        chance: The score of a blind guess, one for all questions or one a question.
        eligible: ``above-chance``: entries that the exact binomial test tells from a guesser;
            ``all``: every entry that answered anything.
        distinct: Whether copies count as one entry. Only pools of before copies were looked for
            go without.
        near_copies: ``flag``: near copies are named and paid; ``merge``: they count as copies.
        ties: ``exact``: equal scores share their places; ``tiers``: scores that the data cannot
            tell apart do.
        places: How many places are paid; None for all.

    Raises:
        PoolError: A rule or a word that there is not, places that are not positive, or a chance
            that is not in [0, 1).
    """

    rule: str
    chance: Fraction | tuple[Fraction, ...]
    eligible: Eligible = "above-chance"
    distinct: bool = True
    near_copies: NearCopies = "flag"
    ties: Ties = "exact"
    places: int | None = None

    def __post_init__(self) -> None:
        find_rule(self.rule)
        _check_word("X-Eligible", self.eligible, get_args(Eligible))
        _check_word("X-Near-Copies", self.near_copies, get_args(NearCopies))
        _check_word("X-Ties", self.ties, get_args(Ties))
        if self.places is not None and self.places < 1:
            raise PoolError(f"X-Places: a pool cannot pay {self.places} places")
        chances = (self.chance,) if isinstance(self.chance, Fraction) else self.chance
        if not all(0 <= each < 1 for each in chances):
            raise PoolError(f"the score of a blind guess lies in [0, 1), not at {self.chance}")

    @classmethod
    def read(cls, tags: Mapping[str, str], chance: Fraction | tuple[Fraction, ...]) -> Self:
        """Read the tags that a funder wrote; what is absent or empty is the default.

        Raises:
            PoolError: An unknown rule or word, or places that are no whole number above zero.
        """
        places = tags.get("X-Places", "")
        if places and not (re.fullmatch(r"[1-9][0-9]{0,6}", places) and int(places) <= MOST_PLACES):
            raise PoolError(
                f"X-Places must be a whole number from 1 to {MOST_PLACES}, not {places[:40]!r}"
            )
        return cls(
            rule=tags.get("X-Allocation", ""),
            chance=chance,
            eligible=tags.get("X-Eligible") or "above-chance",  # type: ignore[arg-type]
            near_copies=tags.get("X-Near-Copies") or "flag",  # type: ignore[arg-type]
            ties=tags.get("X-Ties") or "exact",  # type: ignore[arg-type]
            places=int(places) if places else None,
        )

    @classmethod
    def first(cls, rule: str, chance: Fraction) -> Self:
        """The rules of the first pools: every entry that answered anything takes part."""
        return cls(rule, chance, eligible="all", distinct=False)

    @property
    def mean_chance(self) -> Fraction:
        """The score of a blind guess over all questions."""
        if isinstance(self.chance, Fraction):
            return self.chance
        return sum(self.chance, Fraction(0)) / max(1, len(self.chance))


def _check_word(tag: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise PoolError(f"{tag} is one of {', '.join(words)}, not {word[:40]!r}")
