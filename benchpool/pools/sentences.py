"""What every term of a payout means, a sentence each: for help, commands and documentation.

Nothing is imported here, so that a command's help need not wait for the rules themselves.
"""

from __future__ import annotations

RULES: dict[str, str] = {
    "ArithmeticDecrease": (
        "Of n entries the first gets n parts, the second n - 1, and the last one part."
    ),
    "GeometricDecrease": "Every entry gets twice what the next one gets.",
    "WinnerTakesAll": "The best entry gets everything.",
    "Equal": "Every entry that answered anything gets the same.",
    "Proportional": "Every entry gets in proportion to its score above a blind guess.",
}
"""By the values of `X-Allocation`, in the order in which a funder is shown them."""

CONDITIONS: dict[str, dict[str, str]] = {
    "X-Eligible": {
        "above-chance": (
            "Only entries that are better than a guesser take a place: exact binomial test, Holm's"
            " correction over all entries, 5 %."
        ),
        "all": "Every entry that answered anything takes a place, guessers too.",
    },
    "X-Near-Copies": {
        "flag": (
            "An entry whose log-likelihoods correlate by 0.99 or more with those of an earlier one"
            " is named a near copy, and takes its place all the same."
        ),
        "merge": "Near copies are copies.",
    },
    "X-Ties": {
        "exact": "Equal scores share the sum of their places.",
        "tiers": (
            "Down the board, an entry that the answers do not tell from the head of its tier joins"
            " it, and a tier shares the sum of its places: exact McNemar tests, Holm's correction"
            " over all pairs, 5 %."
        ),
    },
    "X-Places": {
        "": "Every place is paid.",
        "K": "Only the first K places are paid, as if there were no others.",
    },
}
"""By tag and value; the first value of a tag is what holds without it."""

COPIES = (
    "Entries with the same weights, or with the same log-likelihoods, bit for bit, on 20 or more"
    " questions, are one entry: that which committed to its weights first, or joined first."
)
"""Holds in every pool but those of the first edition."""

LEFT = "What no entry gets goes back to the contributors, in proportion to what each gave."

BOND = (
    "Joining costs the bond. It comes back when the pool is settled, unless the entry is a copy, is"
    " not above chance, or failed at every question; then the contributors get it."
)


CONTROLS: dict[str, str] = {
    "answers-only": ("The choices are also asked without context and question, beside the score."),
    "reordered": "With letters, the choices are also asked in another order.",
}
"""By the values of `X-Controls`, which enter no payout."""


def conditions_text(tag: str) -> str:
    """Write what each value of a tag means, for the help of an option."""
    return " ".join(
        f"{value}: {sentence}" if value else sentence for value, sentence in CONDITIONS[tag].items()
    )


def why_nobody(rule_name: str, entries: int, evaluated: int) -> str:
    """Say why ``allocate`` pays nobody, to a funder who gets the money back.

    Args:
        rule_name: A key of ``RULES``.
        entries: How many entries there are.
        evaluated: How many answers they gave, all together.
    """
    if not entries:
        return "no model entered"
    if not evaluated:
        return "no entry answered a question"
    proportional = rule_name == "Proportional"
    return "no entry scored above a blind guess" if proportional else "no entry is above chance"
