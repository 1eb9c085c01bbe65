"""More than two of a kind in one pool: third copies, and contributors who give and give again."""

from __future__ import annotations

from itertools import permutations

import pytest
from heists import DAY, FUNDS, Heist

from benchpool.audit.audit import audit
from benchpool.winston import split

BOND = 50

# -- copies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 4])
def test_of_many_alike_the_first_alone_is_paid(heist: Heist, count: int) -> None:
    pool = heist.fund()
    first = heist.enter(pool, "ana", "a", 20)
    copies = []
    for number, who in zip(range(count), ("thief", "ben", "ana", "thief"), strict=False):
        if number == 1:
            heist.enter(pool, "ben", "rival", 16)
        copies.append(heist.enter(pool, who, f"c{number}", 20, seed="a", remark="!" * number))
    rows = heist.settle(pool, ana=FUNDS * 2 // 3, ben=FUNDS // 3, thief=0)
    assert (rows[first]["fate"], rows[first]["places"]) == ("placed", [1, 1])
    assert [rows[each]["fate"] for each in copies] == ["copy"] * count
    assert all(first in " ".join(rows[each]["why"]) for each in copies)
    assert [rows[each]["reward"] for each in copies] == ["0"] * count


@pytest.mark.parametrize("near", ["flag", "merge"])
def test_of_three_that_are_nearly_alike_the_audit_thinks_the_same(heist: Heist, near: str) -> None:
    pool = heist.fund(X_Near_Copies=near, X_Allocation="Equal")
    heist.enter(pool, "ana", "a", 20)
    others = [
        heist.enter(pool, who, f"near{who}", 20, seed="a", noise=0.2) for who in ("thief", "ben")
    ]
    third = FUNDS // 3
    gains = (third, third, third) if near == "flag" else (FUNDS, 0, 0)
    rows = heist.settle(pool, **dict(zip(("ana", "thief", "ben"), gains, strict=True)))
    fate = "placed" if near == "flag" else "copy"
    assert [rows[each]["fate"] for each in others] == [fate] * 2


@pytest.mark.parametrize("order", [*permutations(("ana", "ben", "thief"))])
def test_of_three_with_the_same_file_the_first_commitment_holds(
    heist: Heist, order: tuple[str, str, str]
) -> None:
    """Who joins with a file that is in the pool must have committed to it before that one."""
    pool = heist.fund()
    weights = heist.write("a", 20)
    for who in order:
        heist.commit(who, f"{who}'s", weights)
    tags = {"Model-Data": weights, "Router": heist.ids.LlamaRouter}
    models = {who: heist.network.spawn("LlamaWorker", tags, sender=who) for who in order}
    for who in reversed(order):
        assert heist.join(pool, who, models[who], f"{who}'s") == ""
    again = heist.network.spawn("LlamaWorker", tags, sender="ben")
    assert "the same weights are in the pool" in heist.join(pool, "ben", again)
    gains = dict.fromkeys(order, 0) | {order[0]: FUNDS}
    rows = heist.settle(pool, **gains)
    assert [rows[models[who]]["fate"] for who in order] == ["placed", "copy", "copy"]


def test_every_copy_loses_its_bond(heist: Heist) -> None:
    pool = heist.fund(X_Bond=str(BOND))
    for number, who in enumerate(("ana", "thief", "ben", "thief")):
        more = {"seed": "a", "remark": "!" * number}
        model = heist.model(who, f"m{number}", 20, **more)
        assert heist.join_paid(pool, who, model, BOND) == ""
    heist.settle(pool, ana=FUNDS, ben=-BOND, thief=-2 * BOND, funder=3 * BOND - FUNDS)


# -- contributors ----------------------------------------------------------------------------

GIFTS = (("funder", 1_000), ("ana", 333), ("ben", 1), ("ana", 7), ("funder", 20))


def give(heist: Heist, **terms: str) -> str:
    """Fund a pool, and top it up four times."""
    (who, first), *more = GIFTS
    pool = heist.fund(first, who, **terms)
    for who, quantity in more:
        heist.pay(quantity, who, X_Pool=pool)
        assert heist.network.inbox(who)[-1].action == "Pool-Funded"
    return pool


def given() -> dict[str, int]:
    gifts: dict[str, int] = {}
    for who, quantity in GIFTS:
        gifts[who] = gifts.get(who, 0) + quantity
    return gifts


def test_what_several_gave_in_turn_is_counted_and_comes_back_to_each(heist: Heist) -> None:
    pool = give(heist)
    shown = heist.pool(pool)
    contributions = {heist.address(who): str(sum_) for who, sum_ in given().items()}
    assert (shown["funds"], shown["contributions"]) == ("1361", contributions)
    assert {who: heist.gain(who) for who in given()} == {w: -sum_ for w, sum_ in given().items()}
    heist.settle(pool, funder=0, ana=0, ben=0)
    network = heist.network
    statement = audit(network.store, network.data, pool)
    back = {network.name_of(paid.recipient): paid.quantity for paid in statement.paid}
    assert (back, len(statement.paid)) == (given(), 3)
    assert [each.quantity for each in statement.pool.deposits] == [sum_ for _, sum_ in GIFTS]
    assert heist.pool(pool)["status"] == "refunded"


def test_a_refunded_pool_takes_no_more_and_another_one_does(heist: Heist) -> None:
    pool = give(heist)
    heist.network.advance(2 * DAY)
    assert "has ended" in heist.refused(9, "ana", X_Pool=pool)
    heist.settle(pool, funder=0, ana=0, ben=0)
    assert heist.refused(9, "ben", X_Pool=pool)
    again = give(heist, X_Title="again")
    heist.settle(again, funder=0, ana=0, ben=0)
    heist.check(pool)


def test_lost_bonds_go_to_all_who_gave_by_what_they_gave(heist: Heist) -> None:
    pool = give(heist, X_Bond=str(BOND), X_Allocation="WinnerTakesAll")
    for number, who in enumerate(("thief", "thief", "thief")):
        model = heist.model(who, f"m{number}", 20, seed="a", remark="!" * number)
        assert heist.join_paid(pool, who, model, BOND) == ""
    gifts = given()
    shares = dict(zip(gifts, split(2 * BOND, list(gifts.values())), strict=True))
    assert sum(shares.values()) == 2 * BOND
    assert shares == {"funder": 75, "ana": 25, "ben": 0}
    gains = {who: share - gifts[who] for who, share in shares.items()}
    heist.settle(pool, thief=1_361 - 2 * BOND, **gains)


def test_who_gives_to_a_pool_and_wins_it_is_paid_what_all_gave(heist: Heist) -> None:
    pool = give(heist)
    heist.enter(pool, "ana", "a", 20)
    heist.settle(pool, ana=1_361 - 340, funder=-1_020, ben=-1)
