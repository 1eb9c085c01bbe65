"""benchpool replay: fold the logs of a home again, and compare with what is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import completion, output
from benchpool.cli.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from benchpool.audit.replay_report import Folded, Replay


_VERIFY_A_COPY = (
    "verify a copy: benchpool backup copy.tar, and benchpool restore copy.tar --home copy --verify"
)


def replay(
    *,
    process: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROCESS]",
            help="One process, by name or id; default all.",
            autocompletion=completion.processes,
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with every recorded result and state.")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Fold the log again from the first message; recorded answers stand in for models.

    With --verify the exit code is 4 if anything differs, and the first difference is named.

    Example: benchpool replay --verify
    """
    from benchpool.audit.replay import replay_home
    from benchpool.store.home import find_home, open_run
    from benchpool.store.server_file import refuse_served

    folder = find_home(home)
    if verify and any((folder / "databases").glob("*.sqlite")):
        # A private database commits by itself, and would be ahead of the log that is read here.
        refuse_served(folder, _VERIFY_A_COPY)
    with open_run(folder) as run:
        total = run.store.count()
    with output.progress() as report:
        done = replay_home(
            folder,
            process,
            verify=verify,
            on_progress=lambda count: report(count, total, "replay"),
        )
    if as_json:
        output.print_json(_json(done))
    else:
        _show(done)
    done.check()


def _show(done: Replay) -> None:
    rows = [
        [each.name or "", each.info.id, each.info.module, each.messages, _state(each)]
        for each in done.processes
    ]
    output.table(["Name", "Process", "Module", "Messages", "State"], rows, right=["Messages"])
    rate = done.messages / done.seconds if done.seconds else 0
    folded = output.count(done.messages, "message")
    output.note(f"{folded} in {done.seconds:.2f} s, {rate:,.0f} a second")
    if done.pending:
        output.note(f"pending, and not evaluated yet: {output.count(done.pending, 'message')}")
    if done.verified and done.difference is None:
        compared = sum(each.compared for each in done.processes)
        output.line(
            f"{output.count(done.messages, 'result')}, {output.count(done.mail, 'message')} to"
            f" wallets, every hash chain and {output.count(compared, 'kept state')} are what the"
            " replay gives",
            f"{output.paint('✓', 'good')} ",
            "  ",
        )
        if done.signatures:
            output.line(f"{output.paint('✓', 'good')} signatures that hold: {done.signatures:,}")
        if done.assignments:
            output.line(f"{output.paint('✓', 'good')} signed assignments: {done.assignments:,}")


def _state(each: Folded) -> str:
    return each.memory.digest[:16] if each.memory is not None else ""


def _json(done: Replay) -> dict[str, Any]:
    difference = done.difference
    return {
        "schema": "replay/1",
        "verified": done.verified and difference is None,
        "messages": done.messages,
        "mail": done.mail,
        "pending": done.pending,
        "signatures": done.signatures,
        "assignments": done.assignments,
        "seconds": round(done.seconds, 3),
        "state": done.digest,
        "processes": [
            {
                "id": each.info.id,
                "name": each.name,
                "module": each.info.module,
                "messages": each.messages,
                "nonce": each.nonce,
                "position": each.instance.position,
                "state": each.memory.digest if each.memory is not None else None,
                "state_compared": each.compared,
            }
            for each in done.processes
        ],
        "difference": None if difference is None else difference._asdict(),
    }
