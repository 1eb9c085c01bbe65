"""What it pays to play a pool in this way or that: many made-up contests, counted out.

One entrant meets a field of honest rivals, contest after contest, each time with every strategy
and on the same luck. Models are right on a question when their skill, plus what they share with
all models on that question, plus a luck of their own, is enough; so two models disagree about as
often as two real ones of their accuracy. Copies are taken as found: ``settle`` is told of them
by leaving them out, as the data set's log-likelihoods would tell it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchpool.pools.allocation import RULES
from benchpool.pools.copies import Answer, Contender
from benchpool.pools.ranking import Standing
from benchpool.pools.settlement import settle
from benchpool.pools.terms import PayoutTerms

_FUNDS: Final = 10**12
_SHARED: Final = 0.65
"""The part of a model's luck that all models share: with it two of 45 % disagree on a quarter of
the questions, as two small models were found to; independent ones would on half of them."""
_NEAR_SHARED: Final = 0.99
"""The part of its own luck that a requantized model keeps."""
_CHECKED: Final = 90
"""Answers that an audit computes again."""

Right = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Field:
    """Who plays, and on how many questions.

    Attributes:
        questions: Of the pool.
        chance: The score of a blind guess.
        rivals: The accuracies of the honest rivals.
        mine: The accuracy of the entrant whose strategy is tried.
    """

    questions: int = 180
    chance: Fraction = Fraction(1, 3)
    rivals: tuple[float, ...] = (0.52, 0.48, 0.44, 0.41)
    mine: float = 0.46


class Entered(NamedTuple):
    """An entry of the entrant whose strategy is tried."""

    right: Right
    answered: int
    copy: str = ""
    """``exact`` or ``near``, of its first entry; empty for a model of its own."""


class StrategyRow(NamedTuple):
    """What a strategy brings under a rule."""

    strategy: str
    terms: str
    rule: str
    share: float
    """The expected part of the funds, all entries of the entrant taken together."""
    error: float
    """Its standard error."""
    gain: float
    """How many times what the honest strategy brings; 0 if that brings nothing."""
    found: float
    """How likely an audit that computes 90 answers again names a lie."""


class Luck:
    """The luck of one contest: every strategy meets the same."""

    def __init__(self, field: Field, seed: Sequence[int]) -> None:
        self.field = field
        self._seed = list(seed)
        self._common = self._draw(0)

    def model(self, accuracy: float, number: int) -> Right:
        """Return what a model of its own gets right."""
        return self._right(accuracy, self._draw(number))

    def requantized(self, accuracy: float, number: int, copy: int) -> Right:
        """Return what an almost equal copy of that model gets right."""
        keep = _NEAR_SHARED
        own = np.sqrt(keep) * self._draw(number) + np.sqrt(1 - keep) * self._draw(1000 + copy)
        return self._right(accuracy, own)

    def guesser(self, number: int) -> Right:
        """Return what a blind guesser gets right."""
        return _at_most(self._draw(2000 + number), float(self.field.chance))

    def _right(self, accuracy: float, own: NDArray[np.float64]) -> Right:
        ease = np.sqrt(_SHARED) * self._common + np.sqrt(1 - _SHARED) * own
        return _at_most(ease, accuracy)

    def _draw(self, number: int) -> NDArray[np.float64]:
        return np.random.default_rng([*self._seed, number]).standard_normal(self.field.questions)


def _at_most(normal: NDArray[np.float64], accuracy: float) -> Right:
    return np.less(normal, NormalDist().inv_cdf(accuracy))


def _honest(luck: Luck) -> list[Entered]:
    return [Entered(luck.model(luck.field.mine, 1), luck.field.questions)]


def _clone(luck: Luck) -> list[Entered]:
    mine = _honest(luck)[0]
    return [mine, mine._replace(copy="exact")]


def _requantized(luck: Luck) -> list[Entered]:
    n = luck.field.questions
    near = [luck.requantized(luck.field.mine, 1, copy) for copy in range(2)]
    return [*_honest(luck), *(Entered(right, n, "near") for right in near)]


def _guessing(luck: Luck) -> list[Entered]:
    return [Entered(luck.guesser(number), luck.field.questions) for number in range(8)]


def _flooding(luck: Luck) -> list[Entered]:
    shams = (luck.guesser(number) for number in range(40))
    return [*_honest(luck), *(Entered(right, luck.field.questions) for right in shams)]


def _late(luck: Luck) -> list[Entered]:
    mine, half = _honest(luck)[0], luck.field.questions // 2
    return [Entered(mine.right & (np.arange(luck.field.questions) < half), half)]


def _lying(luck: Luck) -> list[Entered]:
    mine = _honest(luck)[0]
    forged = np.arange(luck.field.questions) % round(1 / LIES) == 0
    return [mine._replace(right=mine.right | forged)]


LIES: Final = 0.25
"""The part of its answers that a liar forges."""

STRATEGIES: Final[Mapping[str, Callable[[Luck], list[Entered]]]] = MappingProxyType(
    {
        "honest": _honest,
        "clone": _clone,
        "requantized": _requantized,
        "guessing": _guessing,
        "flooding": _flooding,
        "late": _late,
        "lying": _lying,
    }
)
"""Honest: one entry. Clone: the same weights once more. Requantized: two near copies beside.
Guessing: eight guessers and no model. Flooding: 40 guessers beside, which make the test against
guessing stricter for rivals. Late: half of the questions are answered at the end. Lying: a
quarter of the answers are forged; no rule resists it, an audit finds it."""


def terms_of(rule: str, chance: Fraction) -> dict[str, PayoutTerms]:
    """Return the terms that strategies are tried against, by name."""
    return {
        "first pools": PayoutTerms.first(rule, chance),
        "default": PayoutTerms(rule, chance),
        "tiers, merge": PayoutTerms(rule, chance, near_copies="merge", ties="tiers"),
    }


def try_strategies(
    *,
    seed: int,
    contests: int = 200,
    field: Field | None = None,
    rules: Sequence[str] = tuple(RULES),
    on_progress: Callable[[int, int], None] | None = None,
) -> list[StrategyRow]:
    """Play every strategy against every rule.

    Args:
        seed: The same seed gives the same rows.
        contests: How many to play; the standard error falls with their root.
        field: Who plays.
        rules: Which allocation rules.
        on_progress: Called with how many contests are played, and of how many.

    Returns:
        One row for each strategy, terms and rule, in this order.

    Raises:
        PoolError: No such rule.
    """
    field = field or Field()
    all_terms = [
        (name, rule, terms)
        for name in terms_of(rules[0], field.chance)
        for rule in rules
        for terms in (terms_of(rule, field.chance)[name],)
    ]
    shares = np.zeros((len(STRATEGIES), len(all_terms), contests))
    for contest in range(contests):
        luck = Luck(field, (seed, contest))
        rivals = [luck.model(each, 100 + k) for k, each in enumerate(field.rivals)]
        for row, play in enumerate(STRATEGIES.values()):
            entries = _enter(field, play(luck), rivals)
            for column, (_, _, terms) in enumerate(all_terms):
                shares[row, column, contest] = _share(entries, terms)
        if on_progress is not None:
            on_progress(contest + 1, contests)
    return _summarise(shares, all_terms)


def tabulate(rows: Sequence[StrategyRow]) -> list[list[str]]:
    """Write rows as a table: a head, then a line for each strategy and terms, a column a rule."""
    rules = list(dict.fromkeys(row.rule for row in rows))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        cells = lines.setdefault((row.strategy, row.terms), {})
        cells[row.rule] = f"{row.share:.1%} ± {1.96 * row.error:.1%}"
    head = ["Strategy", "Terms", *rules]
    return [
        head,
        *([*key, *(cells.get(rule, "") for rule in rules)] for key, cells in lines.items()),
    ]


class _Entry(NamedTuple):
    counted: Contender
    """Without its answers, which take time and decide nothing where ties are exact."""
    answered: Contender
    is_mine: bool
    copy: str


def _enter(field: Field, mine: Sequence[Entered], rivals: Sequence[Right]) -> list[_Entry]:
    """Make entries of both sides; the entrant joins after its rivals."""
    n = field.questions
    entered = [(f"rival {k}", Entered(right, n)) for k, right in enumerate(rivals)]
    entered += [(f"mine {k}", each) for k, each in enumerate(mine)]
    entries = []
    for order, (name, each) in enumerate(entered):
        standing = Standing(name, int(each.right.sum()), each.answered, n, order, order)
        answers = {key: Answer(bool(each.right[key])) for key in range(each.answered)}
        is_mine = name.startswith("mine")
        entries.append(
            _Entry(Contender(standing), Contender(standing, answers), is_mine, each.copy)
        )
    return entries


def _share(entries: Sequence[_Entry], terms: PayoutTerms) -> float:
    merged = {"exact"} if terms.distinct else set()
    if terms.near_copies == "merge":
        merged.add("near")
    playing = [each for each in entries if each.copy not in merged]
    mine = {each.counted.entry for each in playing if each.is_mine}
    tiers = terms.ties == "tiers"
    contenders = [each.answered if tiers else each.counted for each in playing]
    result = settle(contenders, {"funder": _FUNDS}, terms)
    return sum(payout.winston for payout in result.payouts if payout.entry in mine) / _FUNDS


def _summarise(
    shares: NDArray[np.float64], all_terms: Sequence[tuple[str, str, PayoutTerms]]
) -> list[StrategyRow]:
    means = shares.mean(axis=2)
    errors = shares.std(axis=2, ddof=min(1, shares.shape[2] - 1)) / np.sqrt(shares.shape[2])
    honest = means[list(STRATEGIES).index("honest")]
    rows = []
    for row, strategy in enumerate(STRATEGIES):
        found = 1 - (1 - LIES) ** _CHECKED if strategy == "lying" else 0.0
        for column, (name, rule, _) in enumerate(all_terms):
            share, fair = float(means[row, column]), float(honest[column])
            gain = share / fair if fair else 0.0
            rows.append(
                StrategyRow(strategy, name, rule, share, float(errors[row, column]), gain, found)
            )
    return rows
