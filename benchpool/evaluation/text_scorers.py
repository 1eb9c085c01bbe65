"""Scorers of generated text: filters, exact match and F1 of words, as the reference harness has.

Whatever the harness computes for a reply and its targets, these compute as well.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Final, Literal

import msgspec

from benchpool.errors import DatasetError
from benchpool.evaluation.patterns import Pattern

NO_MATCH: Final = "[invalid]"
"""What a filter by regular expression makes of a reply that does not match."""

MetricName = Literal["acc", "acc_norm", "exact_match", "f1"]

_OPTIONS: Final = {
    "regex": ("regex_pattern", "group_select", "fallback"),
    "map": ("mapping_dict", "default_value"),
    "take_first_k": ("k",),
}
_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_NO_DIGITS: Final = str.maketrans("", "", string.digits)
_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")


class Metric(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """A scorer by its name; the options are those of ``exact_match``."""

    name: MetricName
    ignore_case: bool = False
    ignore_punctuation: bool = False
    ignore_numbers: bool = False
    regexes_to_ignore: tuple[str, ...] = ()


class Step(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One step of a filter, with the options of ``regex``, of ``map`` and of ``take_first_k``.

    There is one reply, so that to take the first of them, or the most frequent, changes nothing.
    """

    function: Literal[
        "regex",
        "map",
        "take_first",
        "take_first_k",
        "majority_vote",
        "remove_whitespace",
        "lowercase",
        "uppercase",
    ]
    regex_pattern: str = r"#### (\-?[0-9\.\,]+)"
    group_select: int = 0
    fallback: str = NO_MATCH
    mapping_dict: dict[str, str] = msgspec.field(default_factory=dict)
    default_value: str | None = None
    """What ``map`` makes of a reply that is not in its table."""
    k: Literal[1] = 1


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is made of a reply before it is compared, step by step."""

    name: str
    filter: tuple[Step, ...]


def check_metric(metric: Metric) -> None:
    """Check that a scorer can be run.

    Raises:
        DatasetError: An option that the scorer does not have, or a pattern that is refused.
    """
    if metric.name != "exact_match" and metric != Metric(name=metric.name):
        raise DatasetError(f"the metric {metric.name} has no options")
    for pattern in metric.regexes_to_ignore:
        Pattern.read(pattern)


def check_filter(wanted: Filter) -> None:
    """Check that a filter can be run. Raises: DatasetError, as ``check_metric``."""
    for step in wanted.filter:
        function = step.function
        own = _OPTIONS.get(function, ())
        plain = Step(function=function)
        for option in Step.__struct_fields__[1:]:
            if option not in own and getattr(step, option) != getattr(plain, option):
                raise DatasetError(f"the filter {function} has no option {option}")
        if function == "regex":
            Pattern.read(step.regex_pattern)
        if function == "map" and step.default_value is None:
            raise DatasetError("the filter map needs default_value, a text")


def filtered(text: str, wanted: Filter | None) -> str:
    """Return what a filter makes of a reply; without a filter, the reply as it is.

    Raises:
        DatasetError: The reply is too long for a pattern.

    Source: lm-evaluation-harness, ``lm_eval/filters/``.
    """
    for step in wanted.filter if wanted else ():
        if step.function == "regex":
            text = _found(text, step)
        elif step.function == "map":
            text = step.mapping_dict.get(text, step.default_value or "")
        elif step.function == "remove_whitespace":
            text = text.strip()
        elif step.function == "lowercase":
            text = text.lower()
        elif step.function == "uppercase":
            text = text.upper()
    return text


def exact_match(text: str, targets: Sequence[str], options: Metric) -> bool:
    """Whether a reply is one of its targets, after both went through the options.

    Raises:
        DatasetError: A text is too long for a pattern.

    Source: lm-evaluation-harness, ``lm_eval/api/metrics.py``, ``exact_match_hf_evaluate``.
    """
    said = _normalised(text, options)
    return any(said == _normalised(target, options) for target in targets)


def f1(text: str, targets: Sequence[str]) -> Fraction:
    """Return the best F1 of words against a target, 0 to 1, after the normalisation of SQuAD.

    Source: the SQuAD evaluation that the harness's CoQA runs (``compute_f1`` of transformers'
    ``squad_metrics``): lower case, without punctuation, then without a, an and the.
    """
    return max((_f1(_words(text), _words(target)) for target in targets), default=Fraction())


def _found(text: str, step: Step) -> str:
    found = Pattern.read(step.regex_pattern).find_all(text)
    if not -len(found) <= step.group_select < len(found):
        return step.fallback
    match = found[step.group_select]
    if isinstance(match, tuple):  # of the groups, the first that holds something
        match = next(filter(None, match), step.fallback)
    return str(match).strip()


def _normalised(text: str, options: Metric) -> str:
    for pattern in options.regexes_to_ignore:
        text = Pattern.read(pattern).remove(text)
    if options.ignore_case:
        text = text.lower()
    if options.ignore_punctuation:
        text = text.translate(_NO_PUNCTUATION)
    if options.ignore_numbers:
        text = text.translate(_NO_DIGITS)
    return text


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def _f1(said: list[str], target: list[str]) -> Fraction:
    if not said or not target:
        return Fraction(said == target)
    same = (Counter(said) & Counter(target)).total()
    return Fraction(2 * same, len(said) + len(target))
