"""This machine's cores as workplaces: every core runs one child process of one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypedDict

from benchpool.errors import InferenceError
from benchpool.inference.admission import admit
from benchpool.inference.engine import LayoutName, Request, WorkerView
from benchpool.inference.frames import Answered
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.machine import usable_cores
from benchpool.inference.recovery import Call
from benchpool.inference.shared_model import SharedModel
from benchpool.inference.sharing import Memory, in_turn
from benchpool.inference.workplaces import Child, Workplaces


class ChildOptions(TypedDict):
    """How the children of every model are run; see `IsolatedEngine`."""

    context_tokens: int
    copies: Path | None
    layout: LayoutName | None
    memory_bytes: int | None


class LocalChild(Child):
    """A model in a child process of this one."""

    def __init__(self, model: SharedModel, options: ChildOptions, children: int) -> None:
        self._model = model
        self._options = options
        self._children = children
        self._engine: IsolatedEngine | None = None
        self._closed = False
        self.pace_s = 0.0

    @property
    def loaded(self) -> bool:
        """See `Child`."""
        return self._engine is not None

    @property
    def alive(self) -> bool:
        """See `Child`."""
        return self._engine is not None and self._engine.alive

    @property
    def pid(self) -> int | None:
        """See `Child`."""
        return None if self._engine is None else self._engine.pid

    def load(self) -> None:
        """See `Child`."""
        model = self._model
        engine = self._engine = IsolatedEngine(
            model.path,
            name=model.card.name,
            precision=model.precision,
            sha256=model.card.sha256,
            threads=1,
            children=self._children,
            load=False,
            **self._options,
        )
        if self._closed:  # by another thread, which saw no engine to close
            raise InferenceError(f"{model.card.name}: the engine was closed")
        engine.load()
        self.runtime = engine.runtime

    def stream(self, requests: Sequence[Request]) -> Generator[Answered]:
        """See `Child`."""
        assert self._engine is not None
        return self._engine.stream(requests)

    def close(self) -> None:
        """See `Child`."""
        self._closed = True
        if self._engine is not None:
            self._engine.close()


class Cores(Workplaces):
    """The cores of this machine.

    Args:
        workers: Children that compute at a time; None for one a core.
        memory: Bound on what all loaded models take.
        options: How children are run.
    """

    def __init__(self, workers: int | None, memory: Memory, options: ChildOptions) -> None:
        self._count = workers or usable_cores()
        self.memory = memory
        self.options = options

    @property
    def count(self) -> int:
        """See `Workplaces`."""
        return self._count

    def begin(self, changed: threading.Condition, waiting: Callable[[], int]) -> None:
        """See `Workplaces`."""

    def choose(
        self, calls: Sequence[Call], models: Sequence[SharedModel]
    ) -> tuple[Call, Child] | None:
        """See `Workplaces`."""
        for call in in_turn(calls, lambda model: bool(model.idle)):
            model = call.model
            while model.idle:
                child = model.idle.pop()
                if child.alive:
                    return call, child
                self.memory.end(child)
                model.children -= 1
            if self.memory.make_room(model, models):
                return call, LocalChild(model, self.options, self.count)
        return None

    def release(self, child: Child) -> None:
        """See `Workplaces`."""

    def admit(self, path: Path) -> None:
        """Try a file in a process of its own, which may die of it. See `Engines.admit`."""
        admit(path, memory_bytes=self.options["memory_bytes"], children=self.count)

    def views(self) -> list[WorkerView]:
        """See `Workplaces`."""
        return []

    def close(self) -> None:
        """See `Workplaces`."""
