"""How pools share the inferences of a tick: in proportion to their funds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchpool.winston import split


class Claim(NamedTuple):
    """What a pool could use."""

    funds: int
    wanted: int


def share_out(budget: int, claims: Sequence[Claim]) -> list[int]:
    """Divide a budget by funds; what one cannot use goes to the others, again by funds.

    Claims without funds get what is left. Returns: one number a claim, in their order.
    """
    shares = [0] * len(claims)
    open_claims = [place for place, claim in enumerate(claims) if claim.funds and claim.wanted]
    while budget and open_claims:
        parts = split(budget, [claims[place].funds for place in open_claims])
        for place, part in zip(open_claims, parts, strict=True):
            taken = min(part, claims[place].wanted - shares[place])
            shares[place] += taken
            budget -= taken
        full = {place for place in open_claims if shares[place] == claims[place].wanted}
        if not full:
            break
        open_claims = [place for place in open_claims if place not in full]
    for place, claim in enumerate(claims):
        if not claim.funds:
            shares[place] = min(budget, claim.wanted)
            budget -= shares[place]
    return shares
