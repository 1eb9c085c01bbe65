"""What asking model servers has taken, in tokens, and the bound that nobody passes.

Before a request is sent, the most that it can take is set aside, and what it took stands in its
place once the server has said so. What a request took that was cut off is unknown, and counts in
full. The account is a file: it bounds all programs and all days together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from benchpool.errors import InferenceError

FILE_NAME: Final = "server-spending.sqlite"
_LOCK_S: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS spent (model TEXT PRIMARY KEY, tokens INTEGER NOT NULL) WITHOUT ROWID
"""


class Spending:
    """The account, in a folder; threads and programs may share it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def reserve(self, model: str, tokens: int, most: int) -> None:
        """Set tokens aside.

        Args:
            model: SHA-256 of the remote model's data.
            tokens: At most needed.
            most: That may ever be spent on it; 0 is without end.

        Raises:
            InferenceError: There are not so many left, or the account cannot be kept.
        """
        with self._open() as database:
            database.execute("INSERT OR IGNORE INTO spent VALUES (?, 0)", (model,))
            changed = database.execute(
                "UPDATE spent SET tokens = tokens + ?1 WHERE model = ?2 AND (?3 = 0 OR"
                " tokens + ?1 <= ?3)",
                (tokens, model, most),
            )
            if changed.rowcount:
                return
        raise InferenceError(
            f"{self.spent(model):,} of {most:,} tokens are spent, and the next request may take"
            f" {tokens:,}: add the server again with a higher --max-tokens-total"
        )

    def settle(self, model: str, reserved: int, used: int) -> None:
        """Put what was used in the place of what was set aside."""
        with self._open() as database:
            database.execute(
                "UPDATE spent SET tokens = MAX(0, tokens - ? + ?) WHERE model = ?",
                (reserved, used, model),
            )

    def spent(self, model: str) -> int:
        """Return the tokens spent on a model, those set aside too."""
        with self._open() as database:
            row = database.execute("SELECT tokens FROM spent WHERE model = ?", (model,)).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_LOCK_S)) as database, database:
                database.execute(_SCHEMA)
                yield database
        except (OSError, sqlite3.Error) as error:
            raise InferenceError(
                f"{self.path}: the account of tokens spent cannot be kept, so nothing is asked:"
                f" {error}"
            ) from None
