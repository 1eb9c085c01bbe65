"""benchpool backup, restore and rebuild: a home kept safe, made again, and made sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import output
from benchpool.cli.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from benchpool.audit.archive import Manifest


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Such as monday.tar.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Write a home to one file as it stands, keys and all, while it is in use or not.

    Nobody but you can read the file. It can be looked into with tar.

    Example: benchpool backup monday.tar
    """
    from benchpool.audit.backup import backup_home
    from benchpool.store.home import find_home

    with output.progress() as report:
        done = backup_home(
            find_home(home),
            file,
            overwrite=force,
            report=report,
        )
    if as_json:
        told = {"schema": "backup/1", "file": str(file), "size": done.size, **_told(done.manifest)}
        output.print_json(told)
        return
    output.line(f"{file}, {output.count(done.size, 'byte')}: {_shown(done.manifest)}")
    output.note("the file holds the keys of all wallets: keep it to yourself")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What backup wrote.")],
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Fold the log again, too, and compare.")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make a new home of a backup, checked to the last byte.

    A file that was changed or cut off makes nothing. With --verify the exit code is 4 if the log
    does not give what it records.

    Example: benchpool restore monday.tar --home copy
    """
    from benchpool.audit.backup import restore_home
    from benchpool.store.home import find_home

    folder = find_home(home)
    with output.progress() as report:
        manifest = restore_home(
            file,
            folder,
            verify=verify,
            report=report,
        )
    if as_json:
        told = {"schema": "restore/1", "home": str(folder), "verified": verify, **_told(manifest)}
        output.print_json(told)
        return
    done = "restored and verified" if verify else "restored"
    output.line(f"{output.paint('✓', 'good')} {folder} {done}: {_shown(manifest)}")


def rebuild(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Take the log of a home as it is, verify it, and make all states from it anew.

    For a home whose files do not belong together, and of which there is no backup. What its log
    has lost stays lost. Exit code 4: the log does not give what it records; nothing is changed.

    Example: benchpool rebuild
    """
    from benchpool.audit.rebuild import rebuild_home
    from benchpool.store.home import find_home
    from benchpool.store.server_file import refuse_served

    folder = find_home(home)
    refuse_served(folder)
    with output.progress() as report:
        done = rebuild_home(folder, report=report)
    done.check()
    if as_json:
        output.print_json(
            {
                "schema": "rebuild/1",
                "home": str(folder),
                "messages": done.messages,
                "pending": done.pending,
                "processes": len(done.processes),
                "state": done.digest,
            }
        )
        return
    output.line(
        f"{output.paint('✓', 'good')} {folder}: the states of"
        f" {output.count(len(done.processes), 'process', 'processes')} made anew from"
        f" {output.count(done.messages, 'message')}"
    )


def _told(manifest: Manifest) -> dict[str, Any]:
    data = [each for each in manifest.members if each.name.startswith("data/")]
    return {
        "messages": manifest.messages,
        "processes": manifest.processes,
        "wallets": manifest.wallets,
        "clock": manifest.clock,
        "data": sum(not each.name.endswith(".item") for each in data),
    }


def _shown(manifest: Manifest) -> str:
    told = _told(manifest)
    counts = (("messages", "message"), ("wallets", "wallet"))
    parts = [output.count(told[name], one) for name, one in counts]
    parts.insert(1, output.count(told["processes"], "process", "processes"))
    return ", ".join(parts) + f" and {output.count(told['data'], 'data file')}"
