"""What the processes of a replay have in place of the outside."""

from __future__ import annotations

from pathlib import Path

from benchpool.audit.old_logs import absence
from benchpool.errors import HandlerError, InferenceError
from benchpool.extensions.base import Extension, Recorder
from benchpool.extensions.host import ExtensionHost
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.inference.engine import Engine, Precision
from benchpool.store import DataStore


class ReplayHost(ExtensionHost):
    """Extensions that reach nothing outside: answers are recorded, or were never given."""

    def __init__(self, data: DataStore, folder: Path | None) -> None:
        super().__init__(data, folder, engine_factory=_no_engine)
        self.old_failure: str | None = None
        """Why the message being folded failed, if it stands in an old log; else None."""

    def build(self, name: str, process: str, recorder: Recorder, *, kept: bool = True) -> Extension:
        """See `ExtensionHost`."""
        if name == "WeaveDrive":
            return _OldDrive(self.data, recorder, self)
        return super().build(name, process, recorder, kept=kept)


class _OldDrive(WeaveDrive):
    """Data that was missing when a message of an old log was evaluated is missing in its replay."""

    def __init__(self, data: DataStore, recorder: Recorder, host: ReplayHost) -> None:
        super().__init__(data, recorder)
        self._replay = host

    def path(self, data_id: str) -> Path:
        failure = self._replay.old_failure
        if failure is None:
            return super().path(data_id)
        if absence(data_id) in failure:
            raise HandlerError(absence(data_id))
        return self.find(data_id)


def _no_engine(_path: Path, _precision: Precision) -> Engine:
    raise InferenceError("a replay asks no model")
