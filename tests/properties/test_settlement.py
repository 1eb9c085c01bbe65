"""What holds of every settlement, whoever plays; and that the audit's second writing agrees."""

from dataclasses import replace
from fractions import Fraction
from itertools import groupby

from contests import clone, contender, contests, settled
from hypothesis import given
from hypothesis import strategies as st

from benchpool.audit.settlement import Claim, recount_settlement
from benchpool.pools.allocation import RULES, allocate
from benchpool.pools.ranking import rank
from benchpool.pools.settlement import settle
from benchpool.pools.terms import PayoutTerms

contest = contests(st.sampled_from(list(RULES)))


@given(contest)
def test_payouts_and_refunds_are_the_funds_to_the_winston(contest):
    entries, funds, terms = contest
    result = settle(entries, funds, terms)
    given_back = sum(result.refunds.values())
    assert sum(payout.winston for payout in result.payouts) + given_back == sum(funds.values())
    assert all(0 < part <= funds[giver] for giver, part in result.refunds.items())
    assert {each.entry for each in result.decisions} == {each.entry for each in entries}
    if not result.payouts:
        assert result.refunds == {giver: gift for giver, gift in funds.items() if gift}


@given(contest)
def test_the_audit_comes_to_the_same(contest):
    entries, funds, terms = contest
    result = settle(entries, funds, terms)
    tags = {
        "X-Allocation": terms.rule,
        "X-Eligible": terms.eligible,
        "X-Near-Copies": terms.near_copies,
        "X-Ties": terms.ties,
        "X-Places": str(terms.places or ""),
    }
    due = recount_settlement([claim(each) for each in entries], funds, tags, terms.chance)
    assert due.payouts == {payout.entry: payout.winston for payout in result.payouts}
    assert list(due.payouts) == [payout.entry for payout in result.payouts]
    assert due.refunds == result.refunds


def test_the_audit_bounds_many_unequal_chances_alike():
    mixed = (Fraction(1, 4), Fraction(1, 2)) * 600
    entries = [contender(f"m{right}", right, 1200, joined=right) for right in range(455, 520, 5)]
    result = settle(entries, {"ann": 900}, PayoutTerms("Equal", mixed))
    due = recount_settlement(
        [claim(each) for each in entries], {"ann": 900}, {"X-Allocation": "Equal"}, mixed
    )
    assert due.payouts == {payout.entry: payout.winston for payout in result.payouts}
    assert 0 < len(due.payouts) < len(entries)


@given(contest, st.randoms(use_true_random=False))
def test_the_order_of_the_messages_changes_nothing(contest, random):
    entries, funds, terms = contest
    expected = settle(entries, funds, terms)
    shuffled, givers = list(entries), list(funds)
    random.shuffle(shuffled)
    random.shuffle(givers)
    reordered = [
        replace(each, answers=dict(random.sample(list(each.answers.items()), len(each.answers))))
        for each in shuffled
    ]
    assert settle(reordered, {giver: funds[giver] for giver in givers}, terms) == expected


@given(contest)
def test_a_better_place_is_never_paid_less_and_equals_get_the_same(contest):
    entries, funds, terms = contest
    result = settle(entries, funds, terms)
    placed = [each for each in result.decisions if each.fate == "placed"]
    assert [each.winston for each in placed] == sorted((e.winston for e in placed), reverse=True)
    assert all(each.winston == 0 for each in result.decisions if each.fate != "placed")
    scores = {each.entry: each.standing.score for each in entries}
    assert [scores[each.entry] for each in placed] == sorted(
        (scores[each.entry] for each in placed), reverse=True
    )
    for _, equals in groupby(placed, key=lambda each: scores[each.entry]):
        paid = [(each.rank, each.share, each.winston) for each in equals]
        assert len({(rank, share) for rank, share, _ in paid}) == 1
        assert max(w for *_, w in paid) - min(w for *_, w in paid) <= 1


@given(contest, st.data())
def test_an_exact_copy_changes_nothing_for_anybody(contest, data):
    entries, funds, terms = contest
    if not entries:
        return
    original = data.draw(st.sampled_from(entries))
    before = settled(settle(entries, funds, terms))
    after = settled(settle([*entries, clone(original, "clone")], funds, terms))
    if len(original.answers) >= 20 or not original.answers:
        assert after.pop("clone") == 0
        assert after == before


@given(contest, st.data())
def test_more_right_answers_are_never_paid_less(contest, data):
    entries, funds, terms = contest
    terms = replace(terms, ties="exact")
    open_to = [e for e in entries if any(not answer.right for answer in e.answers.values())]
    if not open_to:
        return
    lucky = data.draw(st.sampled_from(open_to))
    wrong = data.draw(st.sampled_from([k for k, a in lucky.answers.items() if not a.right]))
    answers = {**lucky.answers, wrong: lucky.answers[wrong]._replace(right=True)}
    standing = replace(lucky.standing, correct=lucky.standing.correct + 1)
    better = replace(lucky, standing=standing, answers=answers)
    others = [each for each in entries if each is not lucky]
    before = settled(settle(entries, funds, terms))[lucky.entry]
    assert settled(settle([*others, better], funds, terms))[lucky.entry] >= before - 1


@given(contest)
def test_the_first_pools_are_settled_as_ever(contest):
    entries, funds, terms = contest
    chance = terms.mean_chance
    result = settle(entries, funds, PayoutTerms.first(terms.rule, chance))
    ranked = rank([each.standing for each in entries])
    assert result.payouts == allocate(terms.rule, sum(funds.values()), ranked, chance=chance)
    due = recount_settlement(
        [claim(each) for each in entries],
        funds,
        {"X-Allocation": terms.rule, "X-Eligible": "all"},
        chance,
        distinct=False,
    )
    assert due.payouts == {payout.entry: payout.winston for payout in result.payouts}


@given(contest)
def test_every_decision_gives_its_reasons(contest):
    entries, funds, terms = contest
    result = settle(entries, funds, terms)
    for each in result.decisions:
        assert each.why
        assert all(line and not line.endswith(".") for line in each.why)
        assert (each.rank > 0) == (each.fate == "placed") == (each.last_place > 0)
    shares = sum(each.share for each in result.decisions)
    assert shares in (0, 1)


def claim(each):
    """What the audit reads of the same entry."""
    standing = each.standing
    committed = standing.joined_at if each.committed_at is None else each.committed_at
    return Claim(
        standing.entry,
        standing.correct,
        standing.evaluated,
        standing.total,
        standing.joined_at,
        standing.order,
        committed,
        each.answers,
    )
