"""What the processes of a replay have in place of the outside."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchpool.errors import HandlerError, InferenceError
from benchpool.extensions.base import Extension, Recorder
from benchpool.extensions.host import ExtensionHost
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.inference.engine import Engine, Precision
from benchpool.store import DataStore

_ABSENT: Final = "no data with id "


class ReplayHost(ExtensionHost):
    """Extensions that reach nothing outside: answers are recorded, or were never given."""

    def __init__(self, data: DataStore, folder: Path | None) -> None:
        super().__init__(data, folder, engine_factory=_no_engine)
        self.failure = ""
        """Why the message being folded failed, as recorded."""

    def build(self, name: str, process: str, recorder: Recorder, *, kept: bool = True) -> Extension:
        """See `ExtensionHost`."""
        if name == "WeaveDrive":
            return _RecordedDrive(self.data, self)
        return super().build(name, process, recorder, kept=kept)


class _RecordedDrive(WeaveDrive):
    """Data that was missing when a message was evaluated is missing in its replay."""

    def __init__(self, data: DataStore, host: ReplayHost) -> None:
        super().__init__(data)
        self._replay = host

    def path(self, data_id: str) -> Path:
        failure = self._replay.failure
        if f"{_ABSENT}{data_id}" in failure:
            raise HandlerError(failure[failure.index(_ABSENT) :])
        return super().path(data_id)


def _no_engine(_path: Path, _precision: Precision) -> Engine:
    raise InferenceError("a replay asks no model")
