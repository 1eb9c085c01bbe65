"""What became of an entry, and the sentences that say why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, NamedTuple

from benchpool.evaluation.statistics import LEVEL
from benchpool.pools.allocation import find_rule
from benchpool.pools.copies import Contender, Copies, Likeness
from benchpool.pools.terms import PayoutTerms

Fate = Literal["placed", "copy", "not above chance", "no answers"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of an entry, and why.

    Attributes:
        entry: The id of the model.
        fate: Whether it took a place; if not, why.
        rank: The first of the places that it shares; 0 without a place.
        last_place: The last of them: the rank itself unless the place is shared.
        share: Its part of the funds, exact.
        winston: What it is paid.
        why: One sentence a step, in the order in which the steps were taken.
    """

    entry: str
    fate: Fate
    rank: int = 0
    last_place: int = 0
    share: Fraction = Fraction(0)
    winston: int = 0
    why: tuple[str, ...] = ()


def forfeits(fate: str, unscored: int) -> bool:
    """Tell whether an entry's bond is lost: it is a copy, a guesser, or failed at every question.

    Args:
        fate: What became of it; empty if nobody decided.
        unscored: How many questions were given up.
    """
    return fate in ("copy", "not above chance") or (fate == "no answers" and unscored > 0)


class ChanceTest(NamedTuple):
    """What the test against guessing says of an entry."""

    p: Fraction
    corrected: Fraction
    """The same for the whole family of entries that took the test."""

    @property
    def passed(self) -> bool:
        """Whether a guesser would hardly have got there."""
        return self.corrected <= LEVEL


@dataclass(frozen=True, slots=True)
class Grounds:
    """All that decisions rest on.

    Attributes:
        contenders: All entries by id.
        terms: The rules of the pool.
        copies: Which of them are copies or near copies.
        tests: What the test against guessing says; empty if nobody took it.
    """

    contenders: Mapping[str, Contender]
    terms: PayoutTerms
    copies: Copies
    tests: Mapping[str, ChanceTest]

    @property
    def merged(self) -> Mapping[str, Likeness]:
        """The entries that count as another one."""
        merging = self.terms.near_copies == "merge"
        return {**self.copies.identical, **self.copies.near} if merging else self.copies.identical

    def explain(self, decision: Decision, total: int) -> Decision:
        """Add the reasons of an entry that has a place in a pool of so much winston."""
        lines = [self._score(decision.entry), *self._flag(decision.entry), self._place(decision)]
        lines.append(self._money(decision, total))
        return replace(decision, why=tuple(lines))

    def exclude(self, entry: str) -> Decision:
        """Say why an entry has no place."""
        likeness = self.merged.get(entry)
        if likeness is not None:
            return Decision(entry, "copy", why=(self._copy(entry, likeness),))
        if not self.contenders[entry].standing.has_progress:
            return Decision(entry, "no answers", why=("answered nothing",))
        lines = (self._score(entry), *self._flag(entry), "takes no place")
        return Decision(entry, "not above chance", why=lines)

    def _score(self, entry: str) -> str:
        standing = self.contenders[entry].standing
        score = f"{standing.correct} of {standing.total} right"
        test = self.tests.get(entry)
        if test is None:
            return score
        verdict = "better than guessing" if test.passed else "no better than a guesser may be"
        family = f"{len(self.tests)} {'entry' if len(self.tests) == 1 else 'entries'}"
        return (
            f"{score}: {verdict} (p = {_short(test.p)}; corrected for {family}"
            f" {_short(test.corrected)}, at most {_short(LEVEL)} allowed)"
        )

    def _copy(self, entry: str, likeness: Likeness) -> str:
        if entry in self.copies.identical and not likeness.questions:
            how = "the same weights"
        elif entry in self.copies.identical:
            how = f"the same log-likelihoods, bit for bit, on {likeness.questions} questions"
        else:
            how = f"{_likeness(likeness)}, and this pool merges near copies"
        return f"a copy of {likeness.original}, which was first: {how}"

    def _flag(self, entry: str) -> Sequence[str]:
        likeness = self.copies.near.get(entry)
        if likeness is None:
            return ()
        return (f"a near copy of {likeness.original}, which was first: {_likeness(likeness)}",)

    def _place(self, decision: Decision) -> str:
        if decision.rank == decision.last_place:
            return f"place {decision.rank}"
        tiers = self.terms.ties == "tiers"
        how = "the answers do not tell them apart" if tiers else "the same score"
        return f"shares places {decision.rank} to {decision.last_place}: {how}"

    def _money(self, decision: Decision, total: int) -> str:
        rule = find_rule(self.terms.rule).name
        if self.terms.places is not None:
            rule += f" of {self.terms.places} places"
        left_over = decision.winston - int(decision.share * total)
        text = f"{float(decision.share):.2%} of {total} winston by {rule}: {decision.winston}"
        return f"{text}, {left_over} of them left over by the division" if left_over else text


def _likeness(likeness: Likeness) -> str:
    return (
        f"log-likelihoods correlate by {likeness.correlation:.4f}"
        f" over {likeness.questions} questions"
    )


def _short(p: Fraction) -> str:
    return f"{float(p):.2g}"
