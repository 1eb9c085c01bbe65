"""Made-up entries for tests of how pools are settled."""

from dataclasses import replace
from fractions import Fraction
from random import Random

from hypothesis import strategies as st

from benchpool.pools.copies import Answer, Contender
from benchpool.pools.ranking import Standing
from benchpool.pools.terms import PayoutTerms

THIRD = Fraction(1, 3)


def contender(entry, right, total=60, *, answered=None, joined=0, committed=None, seed=None):
    """An entry that got these questions right: a number of them, or which.

    Its log-likelihoods follow from its seed; by default every entry has its own.
    """
    right = set(range(right)) if isinstance(right, int) else set(right)
    asked = range(total if answered is None else answered)
    random = Random(f"{entry if seed is None else seed}")
    nats = [tuple(-20 * random.random() for _ in range(3)) for _ in range(total)]
    answers = {key: Answer(key in right, nats[key]) for key in asked}
    return build(entry, answers, total, joined=joined, committed=committed)


def build(entry, answers, total, *, joined=0, committed=None):
    """An entry with these answers."""
    correct = sum(answer.right for answer in answers.values())
    standing = Standing(entry, correct, len(answers), total, joined, joined)
    return Contender(standing, answers, committed)


def clone(original, entry, *, joined=99):
    """The same weights under another name."""
    return build(entry, original.answers, original.standing.total, joined=joined)


def blurred(original, entry, nats, *, joined=99, seed=0):
    """Almost the same weights: every log-likelihood moved by up to so much."""
    random = Random(seed)
    answers = {
        key: answer._replace(
            log_likelihoods=tuple(each + random.uniform(-nats, nats) for each in answer[1])
        )
        for key, answer in original.answers.items()
    }
    return build(entry, answers, original.standing.total, joined=joined)


def settled(result):
    """Winston by entry, those with nothing too."""
    return {each.entry: each.winston for each in result.decisions}


@st.composite
def contests(draw, rules):
    """Entries with copies, near copies, silent and guessing ones among them; funds; terms."""
    total = draw(st.sampled_from([12, 24, 40]))
    random = Random(draw(st.integers(0, 2**32)))
    entries = []
    for number in range(draw(st.integers(0, 7))):
        joined = draw(st.integers(0, 3))
        kind = draw(st.sampled_from(["own", "own", "own", "clone", "near"]))
        if kind == "own" or not entries:
            asked = draw(st.sampled_from([total, total, total - 2, 0]))
            skill = draw(st.sampled_from([0.3, 0.5, 0.6, 0.9]))
            right = [key for key in range(asked) if random.random() < skill]
            entry = contender(f"m{number}", right, total, answered=asked, seed=random.random())
        else:
            model = draw(st.sampled_from(entries))
            nats = draw(st.sampled_from([0.0, 0.4, 1.0]))
            entry = blurred(model, f"m{number}", nats, seed=number)
            if draw(st.booleans()):
                few = list(entry.answers.items())[:21]
                entry = build(entry.entry, dict(few), total)
        standing = replace(entry.standing, joined_at=joined, order=number)
        committed = draw(st.sampled_from([None, None, -1]))
        entries.append(Contender(standing, entry.answers, committed))
    funds = draw(
        st.dictionaries(
            st.sampled_from(["ann", "bob", "cyd"]),
            st.one_of(st.integers(0, 30), st.integers(0, 10**30)),
        )
    )
    chance = draw(
        st.sampled_from(
            [THIRD, THIRD, Fraction(1, 4), (Fraction(1, 4), Fraction(1, 2)) * (total // 2)]
        )
    )
    terms = PayoutTerms(
        rule=draw(rules),
        chance=chance,
        eligible=draw(st.sampled_from(["above-chance", "above-chance", "all"])),
        near_copies=draw(st.sampled_from(["flag", "merge"])),
        ties=draw(st.sampled_from(["exact", "tiers"])),
        places=draw(st.sampled_from([None, None, 1, 2, 3, 9])),
    )
    return entries, funds, terms
