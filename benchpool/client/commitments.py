"""What this home has committed to, with the salts that reveal it: secrets of its owner."""

from __future__ import annotations

import json
import os
from pathlib import Path
from secrets import token_urlsafe
from typing import NamedTuple

from benchpool.errors import StoreError
from benchpool.pools.commitment import commitment

FILE = "commitments.json"


class Commitment(NamedTuple):
    """That somebody committed to weights at a Benchmark."""

    benchmark: str
    participant: str
    weights: str
    """The data id of the model's file."""
    salt: str

    @property
    def sha256(self) -> str:
        """What was, or will be, sent."""
        return commitment(self.salt, self.participant, self.weights)


class Commitments:
    """A small file in a home that nobody else may read.

    Args:
        folder: the home.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def find(self, benchmark: str, participant: str, weights: str) -> Commitment | None:
        """Return what was committed to, if it was."""
        wanted = (benchmark, participant, weights)
        return next((each for each in self._all() if each[:3] == wanted), None)

    def keep(self, benchmark: str, participant: str, weights: str, salt: str = "") -> Commitment:
        """Return the commitment that is kept of these weights, or keep a new one.

        One is enough: the first time that it is sent counts. A salt that is not the kept one
        takes its place.

        Raises: StoreError if the file cannot be written.
        """
        kept = self.find(benchmark, participant, weights)
        if kept is not None and salt in ("", kept.salt):
            return kept
        made = Commitment(benchmark, participant, weights, salt or token_urlsafe(24))
        self._write([*(each for each in self._all() if each != kept), made])
        return made

    def _all(self) -> list[Commitment]:
        try:
            return [Commitment(*each) for each in json.loads(self._path.read_text())]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(f"{self._path} cannot be read: {error}") from error

    def _write(self, commitments: list[Commitment]) -> None:
        text = json.dumps(commitments, indent=2)
        fresh = self._path.with_suffix(".new")
        try:
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(f"{text}\n")
            fresh.replace(self._path)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from error
