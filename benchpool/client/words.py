"""Words: what figures of pools and models mean, said alike on the terminal and in pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from benchpool.pools.sentences import CONDITIONS, RULES, why_nobody


def verdict(result: Mapping[str, Any]) -> str:
    """Say whether two models can be told apart, among all that were tested together."""
    if result["told_apart"]:
        better = "first" if result["difference"] > 0 else "second"
        return f"{result[better]['name']} is better"
    beside = ""
    if result["p"] <= 0.05:
        beside = ": alone they could be, but not among all pairs of the pool (Holm 5 %)"
    return f"they cannot be told apart{beside}"


def letter(choice: int) -> str:
    """Name a choice, counted from 1: by a letter, or its number where letters end."""
    return ascii_uppercase[choice - 1] if choice <= len(ascii_uppercase) else str(choice)


def indistinct(pair: Mapping[str, Any]) -> str:
    """Say plainly what the data say of two models.

    Args:
        pair: `models`, `correct`, `only` (two each), `n`, `p` and `told_apart`.
    """
    (a, b), (right_a, right_b), (only_a, only_b) = pair["models"], pair["correct"], pair["only"]
    if pair["told_apart"]:
        better, worse = (a, b) if right_a > right_b else (b, a)
        said = f"{better} is better than {worse}"
    else:
        said = f"{a} and {b} cannot be told apart"
    return (
        f"{said}: {right_a} and {right_b} of {pair['n']} right, {only_a} and {only_b} of them alone"
        f" (exact McNemar p = {_p(pair['p'])})"
    )


def _p(p: float) -> str:
    return f"{p:.2f}" if p >= 0.01 else f"{p:.2g}"


def rule_text(name: str) -> str:
    """Write a rule's name with the sentence that explains it."""
    rule = RULES.get(name)
    return name if rule is None else f"{name}: {rule}"


def conditions(payout: Mapping[str, str]) -> list[tuple[str, str]]:
    """Write the conditions under which a pool is paid out, where they are not the usual ones."""
    lines = []
    for tag, values in CONDITIONS.items():
        word = payout.get(tag)
        if word and word != next(iter(values)):
            sentence = values.get(word) or values["K"].replace("K", word)
            lines.append((tag[2:].replace("-", " "), f"{word}: {sentence}"))
    return lines


def why_refunded(pool: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """Say why a pool was refunded; empty if it was not."""
    if pool["status"] != "refunded":
        return ""
    evaluated = sum(entry["evaluated"] for entry in entries)
    return pool.get("reason") or why_nobody(pool["allocation"], len(entries), evaluated)
