"""Homes that an older benchpool wrote, and results of a log changed behind its back."""

import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

from benchpool.ao.message import Result, decode_result, encode_result

FIXTURES = Path(__file__).parent / "fixtures" / "home-0.1"


def unpack(kind: str, folder: Path) -> Path:
    """Make a copy of a home of 0.1, "plain" or "signed"."""
    unpack_tar(FIXTURES / f"{kind}.tar.xz", folder)
    return folder / "home"


def unpack_tar(path: Path, folder: Path) -> None:
    """Unpack an archive of our own making; Python before 3.11.4 has no filters for others."""
    with tarfile.open(path) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:
            archive.extractall(folder)


def places(home: Path) -> list[tuple[tuple[str, int], Result]]:
    """Return every evaluation of a home: where it stands in the log, and its result."""
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        rows = connection.execute(
            "SELECT process, position, result FROM log WHERE length(result) ORDER BY sequence"
        ).fetchall()
    return [((process, position), decode_result(raw)) for process, position, raw in rows]


def change_result(home: Path, at: tuple[str, int], change: Callable[[Result], Result]) -> None:
    """Put another result in place of one."""
    result = dict(places(home))[at]
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        connection.execute(
            "UPDATE log SET result = ? WHERE process = ? AND position = ?",
            [encode_result(change(result)), *at],
        )
