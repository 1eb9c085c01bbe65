"""benchpool export and import: a whole run as one file that anybody can check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchpool.cli import output
from benchpool.cli.options import HomeOption, JsonOption


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Such as run.jsonl.zst.")],
    *,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Include the seed and the wallets' secrets.")
    ] = False,
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Include data above 16 MiB, such as models.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Write the whole run of a home to one file, without its keys.

    Example: benchpool export run.jsonl.zst
    """
    from benchpool.audit.export import export_home
    from benchpool.store.home import find_home, open_run

    folder = find_home(home)
    with open_run(folder) as run:
        total = run.store.count()
    with output.progress() as report:
        done = export_home(
            folder,
            file,
            with_keys=with_keys,
            with_data=with_data,
            overwrite=force,
            on_progress=lambda count: report(count, total, "export"),
        )
    if as_json:
        left_out = [{"id": data_id, "size": size} for data_id, size in done.left_out]
        output.print_json({"schema": "export/1", **done._asdict(), "left_out": left_out})
        return
    lines, all_bytes = output.count(done.lines, "line"), output.count(done.size, "byte")
    output.line(f"{output.count(done.entries, 'message')} in {lines}, {all_bytes}")
    output.line(f"hash {done.hash}")
    for data_id, size in done.left_out:
        output.note(
            f"left out data {data_id} of {output.count(size, 'byte')}; include it with --with-data"
        )
    if with_keys:
        output.note("the file holds the keys of all wallets: keep it to yourself")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What export wrote.")],
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make a new home of an exported run, checked to the last bit and folded again.

    Exit code 1: the file is damaged, and the line is named. 4: it is whole, and its log does not
    give the results that it records.

    Example: benchpool import run.jsonl.zst --home copy
    """
    from benchpool.audit.export import import_file
    from benchpool.store.home import find_home

    folder = find_home(home)
    done = import_file(file, folder)
    if as_json:
        output.print_json(
            {
                "schema": "import/1",
                "home": str(folder),
                "messages": done.messages,
                "mail": done.mail,
                "pending": done.pending,
                "processes": len(done.processes),
                "state": done.digest,
            }
        )
        return
    output.line(
        f"{output.paint('✓', 'good')} {folder}: {output.count(done.messages, 'message')} of"
        f" {output.count(len(done.processes), 'process', 'processes')} verified and folded"
    )
