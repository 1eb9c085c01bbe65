"""How a pool must be settled, written a second time.

On purpose it shares nothing with ``pools/`` and ``evaluation/``: what the Benchmark paid is
compared with what comes out here, so a mistake would have to be made twice to stay unseen. It
reads the tags of the pool themselves, and reckons in fractions, the slow and plain way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import comb, floor, isfinite, lcm
from typing import Final, NamedTuple

from benchpool.errors import PoolError

_LEVEL: Final = Fraction(5, 100)
_SAME: Final = 20
_STEP: Final = Fraction(1, 2**20)
_LONG: Final = 1_000


class Claim(NamedTuple):
    """An entry as the logs show it."""

    model: str
    correct: int
    evaluated: int
    total: int
    joined_ms: int
    order: int
    held: int
    """The place in the log of its commitment to its weights, or else of its joining."""
    answers: Mapping[int, tuple[bool, Sequence[float]]]
    """By question: whether it was right, and the log-likelihood of each choice."""
    weights: str = ""
    """The hash of its file."""


class Due(NamedTuple):
    """Who is owed what; nobody with nothing stands in it."""

    payouts: dict[str, int]
    """By model, in winston, best first."""
    refunds: dict[str, int]
    """By contributor, the largest first."""
    places: dict[str, int]
    """By model, the first of the places that it shares."""
    copies: frozenset[str]
    """Models that count as another one."""
    guessers: frozenset[str]
    """Models that were not told from guessers."""


def recount_settlement(
    claims: Sequence[Claim],
    gifts: Mapping[str, int],
    tags: Mapping[str, str],
    chances: Fraction | Sequence[Fraction],
    *,
    distinct: bool = True,
) -> Due:
    """Work out what a pool owes.

    Args:
        claims: All entries.
        gifts: What each contributor gave, winston.
        tags: Those of the pool: X-Allocation, and X-Eligible, X-Near-Copies, X-Ties, X-Places.
        chances: The score of a blind guess, one for all questions or one a question.
        distinct: Whether copies count as one entry, as in all pools but the first ones.

    Raises:
        PoolError: No such allocation rule.
    """
    odds = [chances] if isinstance(chances, Fraction) else list(chances)
    originals = list(claims)
    if distinct:
        originals = _without_copies(claims, merge=tags.get("X-Near-Copies") == "merge")
    running = [each for each in originals if each.evaluated]
    able = running if tags.get("X-Eligible") == "all" else _above_chance(running, odds)
    groups = _groups(able, tiers=tags.get("X-Ties") == "tiers")
    board = [each for group in groups for each in group]
    parts = _parts(tags["X-Allocation"], board[: int(tags.get("X-Places") or len(board))], odds)
    parts += [Fraction(0)] * (len(board) - len(parts))
    shares: list[tuple[str, Fraction]] = []
    places: dict[str, int] = {}
    for group in groups:
        places |= {each.model: len(shares) + 1 for each in group}
        mine = parts[len(shares) : len(shares) + len(group)]
        shares += [(each.model, sum(mine, Fraction(0)) / len(group)) for each in group]
    given = sum(gifts.values())
    payouts = _divide(given, shares)
    return Due(
        payouts,
        share_back(given - sum(payouts.values()), gifts),
        places,
        frozenset({each.model for each in claims} - {each.model for each in originals}),
        frozenset({each.model for each in running} - {each.model for each in able}),
    )


def share_back(amount: int, gifts: Mapping[str, int]) -> dict[str, int]:
    """Divide an amount among contributors by what each gave, the largest first."""
    by_size = sorted(gifts.items(), key=lambda gift: (-gift[1], gift[0]))
    return _divide(amount, [(giver, Fraction(part)) for giver, part in by_size])


# -- copies ------------------------------------------------------------------------------------


def _without_copies(claims: Sequence[Claim], *, merge: bool) -> list[Claim]:
    kept: list[Claim] = []
    for claim in sorted(claims, key=lambda c: (c.held, c.joined_ms, c.order, c.model)):
        if not any(_same(claim, older) or (merge and _near(claim, older)) for older in kept):
            kept.append(claim)
    return kept


def _same(one: Claim, other: Claim) -> bool:
    if one.weights and one.weights == other.weights:
        return True
    common = _comparable(one, other)
    return sum(list(a) == list(b) for a, b in common) >= _SAME


def _near(one: Claim, other: Claim) -> bool:
    common = [(a, b) for a, b in _comparable(one, other) if len(a) == len(b)]
    if len(common) < _SAME:
        return False
    x = [step for a, _ in common for step in _relative(a)]
    y = [step for _, b in common for step in _relative(b)]
    product = sum(a * b for a, b in zip(x, y, strict=True))
    squares = sum(a * a for a in x) * sum(b * b for b in y)
    return product > 0 and Fraction(product * product) >= Fraction(99, 100) ** 2 * squares


def _comparable(one: Claim, other: Claim) -> list[tuple[Sequence[float], Sequence[float]]]:
    both = [
        (one.answers[question][1], other.answers[question][1])
        for question in one.answers
        if question in other.answers
    ]
    return [(a, b) for a, b in both if a and b and all(isfinite(nats) for nats in (*a, *b))]


def _relative(nats: Sequence[float]) -> list[int]:
    steps = [floor(Fraction(each) / _STEP) for each in nats]
    mean = Fraction(sum(steps), len(steps))
    return [floor(each - mean) for each in steps]


# -- better than guessing ----------------------------------------------------------------------


def _above_chance(claims: list[Claim], chances: Sequence[Fraction]) -> list[Claim]:
    """Step down from the surest entry, each time before one fewer."""
    sure: list[Claim] = []
    tails = {each.model: _tail(each.correct, each.total, chances) for each in claims}
    for claim in sorted(claims, key=lambda each: tails[each.model]):
        if tails[claim.model] * (len(claims) - len(sure)) > _LEVEL:
            break
        sure.append(claim)
    return sure


def _tail(correct: int, total: int, chances: Sequence[Fraction]) -> Fraction:
    if len(set(chances)) == 1:
        return _equal_tail(correct, total, chances[0])
    if total <= _LONG:
        return _unequal_tail(correct, chances)
    ceiling = Fraction(-floor(-1000 * sum(chances) / total), 1000)
    enough = correct >= total * ceiling + 1
    return _equal_tail(correct, total, ceiling) if enough else Fraction(1)


def _equal_tail(correct: int, total: int, chance: Fraction) -> Fraction:
    hit, miss = chance.numerator, chance.denominator - chance.numerator
    ways = comb(total, correct) * hit**correct * miss ** (total - correct)
    tail = ways
    for right in range(correct, total):
        ways = ways * (total - right) * hit // ((right + 1) * miss)
        tail += ways
    return Fraction(tail, chance.denominator**total)


def _unequal_tail(correct: int, chances: Sequence[Fraction]) -> Fraction:
    base = lcm(*(chance.denominator for chance in chances))
    ways = [1] + [0] * len(chances)
    for asked, chance in enumerate(chances, start=1):
        hit = int(chance * base)
        for right in range(asked, 0, -1):
            ways[right] = ways[right] * (base - hit) + ways[right - 1] * hit
        ways[0] *= base - hit
    return Fraction(sum(ways[correct:]), base ** len(chances))


# -- places and money --------------------------------------------------------------------------


def _groups(claims: list[Claim], *, tiers: bool) -> list[list[Claim]]:
    """Those who share their places, best first."""
    tied: dict[Fraction, list[Claim]] = {}
    for claim in sorted(claims, key=lambda c: (-_score(c), c.joined_ms, c.order, c.model)):
        tied.setdefault(_score(claim), []).append(claim)
    groups = list(tied.values())
    if not tiers:
        return groups
    differ = _differing(claims)
    merged: list[list[Claim]] = []
    for group in groups:
        top = merged[-1] if merged else []
        head = [each for each in top if _score(each) == _score(top[0])]
        if all((a.model, b.model) in differ for a in head for b in group):
            merged.append(list(group))
        else:
            top.extend(group)
    return merged


def _differing(claims: list[Claim]) -> set[tuple[str, str]]:
    """The pairs of which the first is better, by McNemar's exact test, stepping down."""
    tests: list[tuple[Fraction, str, str]] = []
    for i, one in enumerate(claims):
        for other in claims[:i]:
            alone = sum(1 for q, (hit, _) in one.answers.items() if hit and not _hit(other, q))
            beaten = sum(1 for q, (hit, _) in other.answers.items() if hit and not _hit(one, q))
            first, second = (one, other) if alone > beaten else (other, one)
            n, few = alone + beaten, min(alone, beaten)
            p = Fraction(2 * sum(comb(n, k) for k in range(few + 1)), 2**n)
            tests.append((p, first.model, second.model))
    tests.sort()
    sure: set[tuple[str, str]] = set()
    for p, better, worse in tests:
        if p * (len(tests) - len(sure)) > _LEVEL:
            break
        sure.add((better, worse))
    return sure


def _hit(claim: Claim, question: int) -> bool:
    return question in claim.answers and claim.answers[question][0]


def _score(claim: Claim) -> Fraction:
    return Fraction(claim.correct, claim.total) if claim.total else Fraction(0)


def _parts(rule: str, paid: list[Claim], chances: Sequence[Fraction]) -> list[Fraction]:
    n = len(paid)
    if rule == "ArithmeticDecrease":
        return [Fraction(n - place) for place in range(n)]
    if rule == "GeometricDecrease":
        return [Fraction(1, 2**place) for place in range(n)]
    if rule == "WinnerTakesAll":
        return [Fraction(place == 0) for place in range(n)]
    if rule == "Equal":
        return [Fraction(1)] * n
    if rule == "Proportional":
        mean = sum(chances, Fraction(0)) / max(1, len(chances))
        return [max(Fraction(0), _score(claim) - mean) for claim in paid]
    raise PoolError(f"no allocation rule {rule[:40]!r} is known to the audit")


def _divide(amount: int, shares: Sequence[tuple[str, Fraction]]) -> dict[str, int]:
    """Whole winstons by share; what is left over goes one each from the first on."""
    whole = sum((share for _, share in shares), Fraction(0))
    if not whole:
        return {}
    floors = [floor(amount * share / whole) for _, share in shares]
    odd = amount - sum(floors)
    divided: dict[str, int] = {}
    for (name, share), least in zip(shares, floors, strict=True):
        one = 1 if share and odd else 0
        odd -= one
        if least + one:
            divided[name] = least + one
    return divided
