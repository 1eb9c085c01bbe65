"""Two models beside each other: in a pool, or on the same data without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from benchpool.cli import output


def show_comparison(result: Mapping[str, Any], limit: int) -> None:
    """Print what two models got right and wrong, and the questions that only one got right.

    Args:
        result: `first` and `second` (`name`, `correct`, `unanswered`), what
            `benchpool.evaluation.pairs.compare_right` says, `told_apart` and `questions`.
        limit: Questions to show at most.
    """
    a, b, n = result["first"], result["second"], result["n"]

    def points(fractions: Sequence[float]) -> str:
        return " to ".join(f"{100 * each:+.1f}" for each in fractions)

    lines = [("Questions", f"{n} that both have met")]
    for side in (a, b):
        silent = f", {side['unanswered']} without an answer" if side["unanswered"] else ""
        lines.append((side["name"], f"{side['correct']} right, {side['correct'] / n:.4f}{silent}"))
    lines += [
        ("Both right", str(result["both_right"])),
        (f"Only {a['name']}", str(result["only_first"])),
        (f"Only {b['name']}", str(result["only_second"])),
        ("Neither", str(result["neither"])),
        ("Difference", f"{100 * result['difference']:+.1f} points"),
        ("95 % interval", f"{points(result['interval'])} points (Newcombe)"),
        ("Bootstrap", f"{points(result['bootstrap'])} points (2,000 paired resamples)"),
        ("Exact McNemar", f"p = {result['p']:.4f}"),
        ("Verdict", verdict(result)),
    ]
    output.fields([(output.clean(name), value) for name, value in lines])
    if result["provisional"]:
        output.note("the pool is not paid yet: what its last board counts")
    shown = result["questions"][:limit]
    told = all(each["gold"] for each in shown)
    if shown:
        output.heading("Questions that only one got right")
        output.table(
            ["Question", "Text", *["Right"][:told], a["name"], b["name"]],
            [
                [
                    each["id"],
                    f"{each['context']} {each['question']}".strip(),
                    *[_right(each)][:told],
                    _choice(each, each["first"]),
                    _choice(each, each["second"]),
                ]
                for each in shown
            ],
            right=["Question"],
        )
    if not told:
        output.note("which choice is right is told when no pool asks any more")
    if more := len(result["questions"]) - len(shown):
        output.note(f"{more} more: --limit {len(result['questions'])}, or --json")


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


def _right(question: Mapping[str, Any]) -> str:
    gold = question["gold"]
    golds = gold if isinstance(gold, list) else [gold]
    return " or ".join(_choice(question, each) for each in golds)


def _choice(question: Mapping[str, Any], choice: int | str | None) -> str:
    if choice is None:
        return "no answer"
    if isinstance(choice, str):
        return choice
    return f"{letter(choice)} {question['choices'][choice - 1].strip()}" if choice else "none"
