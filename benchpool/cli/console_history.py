"""The lines that were written before, in the user's state folder, for each home and process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from platformdirs import user_state_path
from prompt_toolkit.history import History

from benchpool.store.home import Home

_KEPT: Final = 1_000
"""Lines that are kept of the past."""
_MOST_BYTES: Final = 1 << 20


class LineHistory(History):
    """What was written before, one JSON text a line, for this user's eyes only.

    A file that cannot be read or written is no reason not to talk: there is no history then.

    Args:
        home: of the network; None of one in memory, which has no history.
        process: the id of whom the lines were said to.
    """

    def __init__(self, home: Home | None, process: str) -> None:
        super().__init__()
        self._file = None if home is None else history_file(home.folder, process)

    def load_history_strings(self) -> Iterable[str]:
        """Return what was written, newest first; what is too old is forgotten."""
        lines = self._read()
        if len(lines) > 2 * _KEPT:
            lines = lines[-_KEPT:]
            self._write("".join(lines), os.O_TRUNC)
        return [json.loads(line) for line in reversed(lines)]

    def store_string(self, string: str) -> None:
        """Keep what was written."""
        self._write(json.dumps(string) + "\n", os.O_APPEND)

    def _read(self) -> list[str]:
        try:
            text = "" if self._file is None else self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return []
        return [line for line in text[-_MOST_BYTES:].splitlines(keepends=True) if _is_text(line)]

    def _write(self, text: str, how: int) -> None:
        if self._file is None:
            return
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how
            with open(os.open(self._file, flags, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(text)


def history_file(home: Path, process: str) -> Path:
    """Return where the lines are kept that are said to a process of a home."""
    key = sha256(str(home.resolve()).encode()).hexdigest()[:16]
    return user_state_path("benchpool") / "console" / key / f"{process}.jsonl"


def _is_text(line: str) -> bool:
    try:
        return isinstance(json.loads(line), str)
    except ValueError:
        return False
