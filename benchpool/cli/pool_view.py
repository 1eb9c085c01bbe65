"""How pools are shown to people, and how what is asked and sent for them is told."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from benchpool.cli import output, view
from benchpool.client.words import rule_text
from benchpool.winston import format_war

if TYPE_CHECKING:
    from benchpool.cli.view import NameOf
    from benchpool.client.plan import Plan
    from benchpool.client.pool_facts import PoolFacts
    from benchpool.network import Network, Sent

NONE = "–"
"""Stands where nothing is known yet."""
_BOARD = ["Rank", "May be", "Model", "Participant", "Accuracy", "95 % interval", "Evaluated"]
MAY_BE = "May be: the ranks that the answers allow (exact McNemar tests, Holm 5 %)"
PROVISIONAL = "provisional until the pool is paid"


class Verbose:
    """Tells on stderr what a pool client asks and sends."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def say(self, text: str) -> None:
        """Tell what is asked or spawned."""
        output.note(text)

    def sent(self, sent: Sent) -> None:
        """Show what came of a message."""
        with redirect_stdout(sys.stderr):
            view.print_tree(sent.trace, view.names(self._network))


def print_board(rows: Sequence[Mapping[str, Any]], name_of: NameOf) -> None:
    """Print the ranked entries of a pool. See `board_lines`."""
    output.verbatim("\n".join(board_lines(rows, name_of)))


def board_lines(rows: Sequence[Mapping[str, Any]], name_of: NameOf) -> list[str]:
    """Write the ranked entries of a pool, those last that no ranking has counted yet.

    Args:
        rows: rank, name, participant, evaluated, unscored, total, reward, with what is sure of
            them; and joined_at, which has a column then.
        name_of: names participants.
    """
    columns = dict.fromkeys(_BOARD, "")
    columns |= {"Unscored": ""} if any(row["unscored"] for row in rows) else {}
    columns |= {"Fate": ""} if any(map(_fate, rows)) else {}
    columns |= {"Reward": ""}
    columns |= {"Joined": ""} if any("joined_at" in row for row in rows) else {}
    cells = []
    for row in sorted(rows, key=lambda row: (not row["total"], row["rank"])):
        shown = _board_row(row, name_of)
        cells.append([shown[column] for column in columns])
    left = {"May be", "Model", "Participant", "Fate", "Joined"}
    right = [each for each in columns if each not in left]
    return output.table_lines(list(columns), cells, right=right)


def _board_row(row: Mapping[str, Any], name_of: NameOf) -> dict[str, str]:
    shown = {"Model": row["name"], "Participant": name_of(row["participant"])}
    if "joined_at" in row:
        shown["Joined"] = view.moment(row["joined_at"])
    if not row["total"]:  # no ranking has asked for its score
        return dict.fromkeys([*_BOARD, "Unscored", "Fate", "Reward"], NONE) | shown
    return shown | {
        "Rank": str(row["rank"]),
        "May be": span(row["rank_set"], "d"),
        "Accuracy": fraction(row["accuracy"]),
        "95 % interval": span(row["interval"], ".3f"),
        "Evaluated": f"{row['evaluated']}/{row['total']}",
        "Unscored": str(row["unscored"]),
        "Fate": _fate(row),
        "Reward": format_war(int(row["reward"])),
    }


def _fate(row: Mapping[str, Any]) -> str:
    """Return why a row has no place; empty if it has one, or nothing is decided."""
    fate = row.get("fate") or ""
    return "" if fate == "placed" else str(fate)


def say_how_sure(rows: Sequence[Mapping[str, Any]]) -> None:
    """Explain a board's columns, and warn of what its numbers hide."""
    for text in sure_lines(rows):
        output.note(text)


def sure_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write what `say_how_sure` says."""
    lines = []
    if ranked := [row for row in rows if row["total"]]:
        lines.append(f"guessing scores {fraction(ranked[0]['chance'])}; {MAY_BE}")
        if any(row["provisional"] for row in ranked):
            lines.append(PROVISIONAL)
    return lines + [
        f"warning: {row['name']}: {warning}" for row in ranked for warning in row["warnings"]
    ]


def span(bounds: Sequence[float] | None, form: str) -> str:
    """Write two bounds, or one that both are."""
    return (
        NONE if bounds is None else "–".join(dict.fromkeys(format(each, form) for each in bounds))
    )


def fraction(value: float | str | None) -> str:
    """Write a score or its standard error, if there is any."""
    return NONE if value in (None, "") else f"{float(value or 0):.4f}"


def print_pool(pool: Mapping[str, Any], name_of: NameOf, more: Sequence[tuple[str, str]]) -> None:
    """Print the facts of a pool.

    Args:
        pool: what the Benchmark or an audit tells of it.
        name_of: names the funder and the data set.
        more: further facts with their names; empty ones are left out.
    """
    said = [
        ("Id", pool["id"]),
        ("Title", pool["title"]),
        ("Status", pool["status"]),
        ("Funds", format_war(int(pool["funds"]))),
        ("Funder", name_of(pool["funder"])),
        ("Open", f"{view.moment(pool['start_time'])} to {view.moment(pool['end_time'])}"),
        ("Data set", name_of(pool["dataset"])),
        ("Protocol", pool["protocol"]),
        ("Allocation", rule_text(pool["allocation"])),
        *more,
    ]
    output.fields([(name, value) for name, value in said if value])


def bound(pool: PoolFacts, name_of: NameOf) -> list[tuple[str, str]]:
    """Write what a pool is bound to; nothing of a pool of the first edition."""
    binding = pool.binding
    if not binding:
        return []
    asked = (
        f"{binding['samples']}, SHA-256 {binding['samples_sha_256']}"
        if ("samples" in binding)
        else "a secret still"
    )
    until_ms = int(binding["join_until"])
    return [
        ("Questions", asked),
        ("Sealed", binding.get("sealed", "")),
        ("Asked by", name_of(binding["dataset_module"])),
        ("Its owner", name_of(binding["dataset_owner"])),
        ("Router", name_of(binding["router"])),
        ("Join until", view.moment(until_ms) if until_ms != pool.facts["end_time"] else ""),
        ("Bond", format_war(pool.bond) if pool.bond else ""),
        ("Controls", binding.get("controls", "")),
        ("Runtime", binding.get("runtime", "")),
        ("Model servers", "may enter" if binding.get("remote") else ""),
    ]


def say_what_ranks_get(plan: Plan) -> None:
    """Tell a funder what each rank would get, and whether the data can tell ranks so finely."""
    if rewards := plan.rewards():
        parts = ", ".join(format_war(each).removesuffix(" wAR") for each in rewards)
        output.note(f"of {plan.entries} entries the ranks would get {parts} wAR")
    if plan.questions and (warning := plan.too_fine()):
        output.note(f"warning: {warning}")
    output.note("with other numbers: benchpool pool plan")


def control_text(facts: Mapping[str, Any]) -> str:
    """Say what of an accuracy the question earned, by one control."""
    if not facts["evaluated"]:
        return NONE
    right = f"{facts['correct']} of {facts['evaluated']} right, {facts['correct_plain']} as asked"
    return f"{right}, {facts['correct_both']} both ways; the question earned {facts['earned']:.4f}"


def report_lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Write a report as names and values for people; what is empty is left out."""
    score = facts["score"] if facts["evaluated"] else None
    evaluated, margins, computing = facts["evaluated"], facts["margins"], facts["computing"]

    provisional = f", {PROVISIONAL}" if facts["provisional"] else ""

    def letters(counts: dict[str, int]) -> str:
        return "  ".join(f"{letter} {count}" for letter, count in counts.items())

    near = "; ".join(f"{count} within {nats}" for nats, count in margins["near_ties"].items())
    lines = [
        ("Protocol", facts["protocol"]),
        ("Weights", facts["weights"]),
        ("Quantization", computing.get("Quantization", "")),
        ("Chat template", computing.get("Chat-Template", "")),
        (
            "Score",
            f"{fraction(score)}  ({facts['correct']} of {output.count(evaluated, 'answer')})",
        ),
        ("95 % interval", f"{span(facts['interval'], '.4f')}; guessing {facts['chance']:.4f}"),
        ("Rank may be", span(facts["rank_set"], "d") + provisional),
        ("Fate", "; ".join(facts["why"])),
        ("Answers taken", letters(facts["predictions"])),
        ("Right answers", letters(facts["labels"])),
        (
            "Margin",
            f"median {margins['median_nats']:.3f} nats; {near}" if margins["answers"] else "",
        ),
        ("Tokens", f"{facts['tokens']['prompt']:,} + {facts['tokens']['answered']:,}"),
    ]
    for each in facts["runtimes"]:
        said = computing.get(f"Runtime-{each['precision']}", each["runtime"])
        lines.append(
            ("Runtime", f"{each['precision']}, {output.count(each['answers'], 'answer')}: {said}")
        )
    lines += [(f"Control {each['control']}", control_text(each)) for each in facts["controls"]]
    lines += [("Warning", text) for text in facts["warnings"]]
    lines += [
        ("Not answered", f"{each['rows']}: {each['reason']}") for each in facts["not_answered"]
    ]
    lines += [
        ("Left out", f"{each['questions']}: {each['reason']}") for each in facts.get("left_out", ())
    ]
    return lines
