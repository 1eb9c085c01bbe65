"""From the entries of a pool to its payouts: one pure function, exact, that says why.

In order: copies are one entry, the earlier; only entries better than guessing stay; equal ones
are tied; the rule divides the funds among the places; what nobody can be given goes back.

Copies go first because the test against guessing is stricter the more entries take it: a copy
that took it too would cost everybody else. Entries that answered nothing do not take it either.
Every comparison on which a winston depends is one of integers and fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby

from benchpool.errors import PoolError
from benchpool.evaluation.pairs import told_apart
from benchpool.evaluation.statistics import above_chance, holm
from benchpool.pools.allocation import Payout, find_rule, share_groups
from benchpool.pools.copies import Contender, Copies, find_copies
from benchpool.pools.decision import ChanceTest, Decision, Grounds
from benchpool.pools.ranking import Ranked, rank
from benchpool.pools.terms import PayoutTerms
from benchpool.winston import split


@dataclass(frozen=True, slots=True)
class Settlement:
    """How the funds of a pool are divided.

    Attributes:
        decisions: One an entry: those with a place by rank and joining, then the others.
        refunds: By contributor, what goes back; payouts and refunds add up to the funds.
        copies: What was found of copies and near copies.
    """

    decisions: tuple[Decision, ...]
    refunds: Mapping[str, int]
    copies: Copies

    @property
    def payouts(self) -> list[Payout]:
        """Those who are paid, in the order in which they are."""
        return [
            Payout(each.entry, each.rank, each.winston) for each in self.decisions if each.winston
        ]


def settle(
    contenders: Sequence[Contender], funds: Mapping[str, int], terms: PayoutTerms
) -> Settlement:
    """Divide a pool's funds among its entries.

    Args:
        contenders: All entries, in any order.
        funds: Who gave how much, winston.
        terms: By which rules.

    Returns:
        A decision for every entry, and what goes back: in proportion to what each gave, the
        winstons left over one each to the largest givers.

    Raises:
        PoolError: An entry that stands twice, whose answers are not those of its counts, or
            whose questions are not as many as there are chances; tiers without answers;
            negative funds.
    """
    _check(contenders, funds, terms)
    copies = Copies({}, {})
    if terms.distinct:
        copies = find_copies(contenders, merge_near=terms.near_copies == "merge")
    grounds = Grounds({each.entry: each for each in contenders}, terms, copies, {})
    merged = grounds.merged
    running = [
        each for each in contenders if each.entry not in merged and each.standing.has_progress
    ]
    placed = running
    if terms.eligible == "above-chance":
        grounds = replace(grounds, tests=_test(running, terms))
        placed = [each for each in running if grounds.tests[each.entry].passed]
    total = sum(funds.values())
    decisions = [grounds.explain(each, total) for each in _place(_tie(placed, terms), total, terms)]
    refunds = give_back(total - sum(each.winston for each in decisions), funds)
    taken = {each.entry for each in placed}
    board = rank([each.standing for each in contenders])
    decisions += [grounds.exclude(each.entry) for each in board if each.entry not in taken]
    return Settlement(tuple(decisions), refunds, copies)


def _check(contenders: Sequence[Contender], funds: Mapping[str, int], terms: PayoutTerms) -> None:
    if any(amount < 0 for amount in funds.values()):
        raise PoolError("nobody can have given less than nothing to a pool")
    for each in contenders:
        standing, answers = each.standing, each.answers
        right = sum(answer.right for answer in answers.values())
        if answers and (right, len(answers)) != (standing.correct, standing.evaluated):
            raise PoolError(
                f"entry {each.entry} has {right} of {len(answers)} answers right, but"
                f" reports {standing.correct} of {standing.evaluated}"
            )
        if terms.ties == "tiers" and standing.correct and not answers:
            raise PoolError(f"entry {each.entry} has no answers to draw tiers by")
        if not isinstance(terms.chance, Fraction) and standing.total != len(terms.chance):
            raise PoolError(
                f"entry {each.entry} has {standing.total} questions, the chances are of"
                f" {len(terms.chance)}"
            )


def _test(running: Sequence[Contender], terms: PayoutTerms) -> dict[str, ChanceTest]:
    # Of all questions, as the score is: one that answers only what it knows is no better for it.
    found = [
        above_chance(each.standing.correct, each.standing.total, terms.chance) for each in running
    ]
    return {
        each.entry: ChanceTest(p, corrected)
        for each, p, corrected in zip(running, found, holm(found), strict=True)
    }


def _tie(placed: Sequence[Contender], terms: PayoutTerms) -> list[list[Ranked]]:
    """Group the entries that share their places, best first."""
    ranked = rank([each.standing for each in placed])
    groups = [list(tied) for _, tied in groupby(ranked, key=lambda place: place.rank)]
    if terms.ties == "exact":
        return groups
    apart = told_apart({each.entry: each.right for each in placed})
    tiers: list[list[Ranked]] = []
    heads: list[Ranked] = []
    for group in groups:
        # Equal scores stay together, whoever joined first: all of them must be told apart.
        if tiers and any((a.entry, b.entry) not in apart for a in heads for b in group):
            tiers[-1] += group
        else:
            tiers.append([*group])
            heads = group
    return tiers


def _place(groups: Sequence[Sequence[Ranked]], total: int, terms: PayoutTerms) -> list[Decision]:
    ranked = [place for group in groups for place in group]
    sizes = [len(group) for group in groups]
    paid = [place.standing for place in ranked][: terms.places]
    weights = find_rule(terms.rule).weights(paid, terms.mean_chance)
    weights = share_groups([*weights, *[0] * (len(ranked) - len(paid))], sizes)
    whole = sum(weights)
    # Places are in rank order, and so is the way split() hands out the winstons left over.
    shares = split(total if whole else 0, weights)
    decisions: list[Decision] = []
    for size in sizes:
        first = len(decisions)
        decisions += [
            Decision(
                ranked[index].entry,
                "placed",
                rank=first + 1,
                last_place=first + size,
                share=Fraction(weights[index], whole) if whole else Fraction(0),
                winston=shares[index],
            )
            for index in range(first, first + size)
        ]
    return decisions


def give_back(amount: int, funds: Mapping[str, int]) -> dict[str, int]:
    """Divide an amount among contributors by what each gave; who gets nothing is left out."""
    givers = sorted(funds, key=lambda giver: (-funds[giver], giver))
    back = split(amount, [funds[giver] for giver in givers])
    return {giver: part for giver, part in zip(givers, back, strict=True) if part}
