"""Two models beside each other: in a pool, or on the same data without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchpool.cli import output
from benchpool.client.words import letter, verdict


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
