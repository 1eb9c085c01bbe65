"""Where the children of models run: on this machine's cores, or on a cluster's nodes.

An engine pool decides what is computed next by the places that there are: it holds its own lock
while it asks them, so none of this waits for anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchpool.inference.engine import Request, Runtime, WorkerView
from benchpool.inference.frames import Answered

if TYPE_CHECKING:
    from benchpool.inference.recovery import Call
    from benchpool.inference.shared_model import SharedModel


class Child(Protocol):
    """A process that runs one model, somewhere. It is not started before it is loaded."""

    runtime: Runtime
    """What decides the bits of its answers, once it is loaded."""
    pace_s: float
    """Time that it took for an answer of its last share; 0 before."""

    @property
    def loaded(self) -> bool:
        """Whether it has been started."""

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""

    @property
    def pid(self) -> int | None:
        """Process id on this machine; None if it does not run here."""

    def load(self) -> None:
        """Start it, and wait until it has loaded the model.

        Raises:
            ModelFileError: Not a model that llama.cpp can load.
            ModelDied: The child ended, or did not load the model in time.
            WorkerLost: Where it was to run is gone, or must not be used for this model.
        """

    def stream(self, requests: Sequence[Request]) -> Generator[Answered]:
        """Answer every request; see `IsolatedEngine.stream`.

        Raises:
            ModelDied: The child ended or hung.
            WorkerLost: Where it ran is gone.
            InferenceError: llama.cpp failed, or the child was closed.
        """

    def close(self) -> None:
        """End it, also if it computes or is being loaded; closing twice is allowed."""


class Workplaces(Protocol):
    """Where children of models may run."""

    elsewhere: bool = False
    """Whether that is on other machines than this one."""

    @property
    def count(self) -> int:
        """How many children may compute at a time; none while there is no place at all."""

    def begin(self, changed: threading.Condition, waiting: Callable[[], int]) -> None:
        """Get ready.

        Args:
            changed: Told whenever there are more or fewer places.
            waiting: Tells how many requests nobody has begun to compute.
        """

    def choose(
        self, calls: Sequence[Call], models: Sequence[SharedModel]
    ) -> tuple[Call, Child] | None:
        """Choose whose turn it is, and a child for it: an idle one, or one to be loaded.

        None where a worker has to wait: what is due needs a place or memory that others still use.
        """

    def release(self, child: Child) -> None:
        """A child has done with its share."""

    def admit(self, path: Path) -> None:
        """Try a file. See `Engines.admit`."""

    def views(self) -> list[WorkerView]:
        """Return what the workers elsewhere are and do."""

    def close(self) -> None:
        """Let go of the places; closing twice is allowed."""
