"""benchpool pool explain and counterfactual: who got what and why, and who would otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.options import HomeOption, JsonOption, VerboseOption
from benchpool.cli.pool import BenchmarkOption, PoolArgument, pool_client
from benchpool.cli.pool_terms import (
    ALLOCATION_HELP,
    EligibleOption,
    NearCopiesOption,
    PlacesOption,
    TiesOption,
    payout_tags,
)

if TYPE_CHECKING:
    from benchpool.audit.counterfactual import Counterfactual
    from benchpool.cli.view import NameOf
    from benchpool.client.explain import ExplainedEntry, Explanation


def explain(
    pool: PoolArgument,
    entry: Annotated[
        str | None, typer.Argument(metavar="ENTRY", help="Only this one, by its name or id.")
    ] = None,
    *,
    benchmark: BenchmarkOption = "Benchmark",
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Say line by line who got what of a pool and why; of an open one, what it would be now.

    Example: benchpool pool explain 4fT9 smollm2-135m
    """
    from benchpool.cli import view
    from benchpool.client.explain import explain as explain_pool

    with session.reading(home) as network:
        client = pool_client(network, benchmark, verbose=verbose)
        found = explain_pool(client, client.get(client.find(pool).id))
        name_of = view.names(network)
    entries = list(found.entries) if entry is None else [found.only(entry)]
    if as_json:
        output.print_json(found.view(entries))
        return
    for each in entries:
        _show_entry(each, name_of)
    if entry is None:
        _show_rest(found, name_of)
    for text in found.notes:
        output.note(text)


def _show_entry(entry: ExplainedEntry, name_of: NameOf) -> None:
    from benchpool.winston import format_war

    who = output.clean(f"{entry.name} ({name_of(entry.participant)})")
    output.line(f"{output.paint(who, 'strong')}: {format_war(entry.reward)}")
    lines = list(entry.why)
    if entry.bond:
        fate = "comes back" if entry.bond_back else "is lost to the contributors"
        lines.append(f"its bond of {format_war(entry.bond)} {fate}")
    for text in lines:
        output.line(output.clean(text), "  ", "    ")


def _show_rest(found: Explanation, name_of: NameOf) -> None:
    from benchpool.client.words import conditions, rule_text
    from benchpool.winston import format_war

    if not found.entries:
        output.line("no model entered")
    for giver, gave in found.contributions.items():
        back = format_war(found.refunds.get(giver, 0))
        output.line(output.clean(f"{name_of(giver)} gave {format_war(gave)}: {back} back"))
    rewards = sum(each.reward for each in found.entries)
    refunds, funds = sum(found.refunds.values()), int(found.pool.text("funds"))
    lost = f" and {format_war(found.lost)} of lost bonds" if found.lost else ""
    output.line(
        f"{format_war(rewards)} to entries and {format_war(refunds)} back are"
        f" {format_war(funds)} of funds{lost}"
    )
    output.note(rule_text(found.pool.text("allocation")))
    for name, text in conditions(found.pool.payout):
        output.note(f"{name} {text}")


def counterfactual(
    pool: PoolArgument,
    *,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule", metavar="RULE", help=ALLOCATION_HELP, autocompletion=completion.rules
        ),
    ] = None,
    eligible: EligibleOption = None,
    near_copies: NearCopiesOption = None,
    ties: TiesOption = None,
    places: PlacesOption = None,
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", help="By the answers under another protocol, if there are any."),
    ] = None,
    per_character: Annotated[
        bool,
        typer.Option(
            "--per-character", help="Take the choice that is likeliest for its length (cloze)."
        ),
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Settle a finished pool another way, from the log, and say who would gain and who would lose.

    What is not named stays as the pool has it. A pool that pays only its first places cannot be
    settled by all of them again: --places with the number of entries does that.

    Example: benchpool pool counterfactual 4fT9 --rule Equal --ties tiers
    """
    from benchpool.audit.counterfactual import counterfactual_home
    from benchpool.store.home import find_home

    changes = payout_tags(
        allocation=rule, eligible=eligible, near_copies=near_copies, ties=ties, places=places
    )
    if not (changes or protocol or per_character):
        raise typer.BadParameter("name what is to be different, such as --rule Equal")
    how = {"protocol": protocol or "", "per_character": per_character}
    found = counterfactual_home(find_home(home), pool, changes, **how)
    if as_json:
        output.print_json(found.view())
        return
    with session.reading(home) as network:
        from benchpool.cli import view

        _show_other(found, view.names(network))


def _show_other(found: Counterfactual, name_of: NameOf) -> None:
    from benchpool.cli.pool_view import NONE
    from benchpool.client.words import conditions, rule_text
    from benchpool.winston import format_war

    def gain(winston: int) -> str:
        return f"{'+' if winston > 0 else ''}{format_war(winston)}"

    columns = ["Model", "Participant", "Right", "Was placed", "Was paid"]
    columns += ["Would place", "Would get", "Difference"]
    rows = [
        [
            each.name,
            name_of(each.participant),
            f"{each.correct}/{each.total}",
            each.place_paid or NONE,
            format_war(each.paid),
            each.place or each.fate,
            format_war(each.would_get),
            gain(each.would_get - each.paid),
        ]
        for each in found.entries
    ]
    if rows:
        output.table(columns, rows, right=["Right", "Was paid", "Would get", "Difference"])
    for giver in found.contributors:
        back = f"{format_war(giver.would_get)} back, not {format_war(giver.paid)}"
        if giver.would_get != giver.paid:
            output.line(output.clean(f"{name_of(giver.contributor)} would get {back}"))
    differences = found.differences
    for account, winston in sorted(differences.items(), key=lambda each: -each[1]):
        does = "gains" if winston > 0 else "loses"
        output.line(output.clean(f"{name_of(account)} {does} {format_war(abs(winston))}"))
    if not differences:
        output.line("nobody gains or loses anything")
    output.note(rule_text(found.terms.rule))
    for name, text in conditions(found.tags):
        output.note(f"{name} {text}")
    for model, count in found.missing.items():
        name = next(each.name for each in found.entries if each.model == model)
        questions = output.count(count, "question")
        output.note(f"{name} has no answer to {questions} by {found.protocol}: not right")
