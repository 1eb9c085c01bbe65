"""What a data set can say of a model's answers beyond a score: every figure follows from its rows.

Nothing here depends on when or how fast an answer came: two runs of one pool give equal reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median
from string import ascii_uppercase
from typing import Any, Final, NamedTuple

NEAR_TIES_NATS: Final = (0.01, 0.1, 1.0)
"""An answer whose best two choices are closer than this may come out otherwise elsewhere: layouts
of a batch moved log-likelihoods by 0.01 to 1 nat, depending on the quantization."""
MOST_REASONS: Final = 20
_NO_CHOICE: Final = "none"


class ReportRow(NamedTuple):
    """A row of evaluation as a report reads it."""

    status: str
    gold: int
    prediction: int | None
    """Counted from 1; 0 for an answer that names no choice."""
    margin_nats: float | None
    error: str | None
    answer: dict[str, Any] | None


def report(outcomes: Iterable[ReportRow], choices: int) -> dict[str, Any]:
    """Sum all rows of one model under one protocol up, where questions have so many choices.

    Returns: counts by letter of what was taken and what was right, margins in nats, tokens,
        runtimes with the number of answers of each, and reasons of rows without an answer.
    """
    rows = list(outcomes)
    done = [row for row in rows if row.status == "done"]
    answers = [row.answer or {} for row in done]
    margins = [row.margin_nats for row in done if row.margin_nats is not None]
    runtimes = Counter(
        (str(each.get("precision", "")), str(each.get("layout", "")), str(each.get("runtime", "")))
        for each in answers
    )
    reasons = Counter(row.error for row in rows if row.status != "done" and row.error)
    return {
        "predictions": _by_letter((row.prediction or 0 for row in done), choices),
        "labels": _by_letter((row.gold for row in done), choices),
        "margins": {
            "answers": len(margins),
            "median_nats": median(margins) if margins else None,
            "near_ties": {
                str(bound): sum(margin < bound for margin in margins) for bound in NEAR_TIES_NATS
            },
        },
        "tokens": {
            "prompt": sum(_whole(each.get("prompt_tokens")) for each in answers),
            "answered": sum(_answered(each) for each in answers),
        },
        "runtimes": [
            {"precision": precision, "layout": layout, "runtime": runtime, "answers": count}
            for (precision, layout, runtime), count in runtimes.most_common()
        ],
        "not_answered": [
            {"reason": reason, "rows": count} for reason, count in reasons.most_common(MOST_REASONS)
        ],
    }


def _by_letter(numbers: Iterable[int], choices: int) -> dict[str, int]:
    counts = Counter(numbers)
    letters = [*ascii_uppercase, *map(str, range(len(ascii_uppercase) + 1, choices + 1))]
    named = {letter: counts[place] for place, letter in enumerate(letters[:choices], 1)}
    return named | ({_NO_CHOICE: counts[0]} if counts[0] else {})


def _answered(answer: dict[str, Any]) -> int:
    """Count the tokens of the choices, or of the text."""
    likelihoods = answer.get("log_likelihoods")
    if isinstance(likelihoods, list):
        return sum(_whole(each.get("tokens")) for each in likelihoods if isinstance(each, dict))
    return _whole(answer.get("tokens"))


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
