"""The nodes of a Ray cluster as workplaces: a worker on every CPU, each with children of its own.

A model goes first to a worker that has it loaded, then to one whose node has its file, the fastest
first; its weights reach a node once. Each node's memory has a bound of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchpool.errors import InferenceError, WorkerLost
from benchpool.fetching.hashing import hash_file
from benchpool.inference.cores import ChildOptions
from benchpool.inference.engine import EngineStats, Precision, WorkerView
from benchpool.inference.files.gguf_header import read_loadable
from benchpool.inference.ray.child import Node, RayChild, Worker, call_with_file
from benchpool.inference.ray.frames import About, ModelFile, Settings, Slot, Try, pack, unpack
from benchpool.inference.ray.link import Link
from benchpool.inference.recovery import MOST_SHARE, SHARE_S, Call
from benchpool.inference.shared_model import SharedModel
from benchpool.inference.sharing import in_turn
from benchpool.inference.workplaces import Child, Workplaces
from benchpool.version import VERSION

_HELD_S: Final = 2 * SHARE_S
"""How long a share holds a worker before it may take another one beside."""

_MOST_WANTED: Final = 1000
"""CPUs that are asked of an autoscaler for what waits."""

log = logging.getLogger("benchpool.inference")


class RayPlaces(Workplaces):
    """The workers of a cluster.

    Args:
        settings: Where the cluster is.
        options: How children are run; `copies` is each node's own.
        node_memory_bytes: Bound on all loaded models of a node; None for half of what it has.
    """

    def __init__(
        self,
        settings: Settings,
        options: ChildOptions,
        *,
        node_memory_bytes: int | None = None,
    ) -> None:
        self._settings = settings
        self.elsewhere = bool(settings.address)
        self._options = options
        self._shared = not settings.address
        self._bound_bytes = node_memory_bytes
        self._link = Link(settings, self._take)
        self._changed = threading.Condition()
        self._workers: dict[str, Worker] = {}
        self._lost: set[str] = set()
        """Workers that are not used, and of which that was said."""
        self._starting: dict[str, Slot] = {}
        self._nodes: dict[str, Node] = {}
        self._closed = False
        self._wanted = 0
        self._waiting: Callable[[], int] = int

    @property
    def count(self) -> int:
        """See `Workplaces`."""
        return sum(not worker.gone for worker in self._workers.values())

    def begin(self, changed: threading.Condition, waiting: Callable[[], int]) -> None:
        """See `Workplaces`."""
        self._changed, self._waiting = changed, waiting
        self._link.begin()

    # -- the workers that there are ----------------------------------------------------------

    def _take(self, slots: Sequence[Slot]) -> None:
        """Take over which workers there are."""
        with self._changed:
            there = {slot.id: slot for slot in slots}
            for name, worker in list(self._workers.items()):
                slot = there.get(name)
                if slot is None or slot.state != "ready" or worker.gone:
                    worker.gone = worker.gone or (slot.state if slot else "its cluster is lost")
                    self._forget(worker)
            self._starting = {name: slot for name, slot in there.items() if slot.state != "ready"}
            for name, slot in there.items():
                if slot.state == "ready" and name not in self._workers and name not in self._lost:
                    self._welcome(slot)
            self._lost &= set(there)
            self._hint()
            self._changed.notify_all()

    def _welcome(self, slot: Slot) -> None:
        try:
            about = unpack(slot.about, About)
        except msgspec.DecodeError as error:
            self._refuse(slot, f"it talks nonsense: {error}")
            return
        if about.version != VERSION:
            self._refuse(slot, f"it has benchpool {about.version}, and this is {VERSION}")
            return
        node = self._nodes.setdefault(slot.node, Node(slot.host))
        node.files.update(about.files)
        node.memory_bytes = about.memory_bytes
        self._workers[slot.id] = Worker(slot.id, node, about)
        log.info("worker %s of %s is ready", slot.id, node.name)

    def _refuse(self, slot: Slot, why: str) -> None:
        self._lost.add(slot.id)
        log.warning("worker %s of %s is not used: %s", slot.id, slot.host, why)

    def _forget(self, worker: Worker) -> None:
        if not self._closed:
            name, node = worker.id, worker.node.name
            log.warning("worker %s of %s is lost, others do its work: %s", name, node, worker.gone)
        del self._workers[worker.id]
        self._lost.add(worker.id)
        for model, child in worker.loaded.items():
            if child in model.idle:
                model.idle.remove(child)
                model.children -= 1
        worker.loaded.clear()

    # -- whose turn it is --------------------------------------------------------------------

    def choose(
        self,
        calls: Sequence[Call],
        models: Sequence[SharedModel],  # noqa: ARG002 - each node has a bound of its own
    ) -> tuple[Call, Child] | None:
        """See `Workplaces`."""
        free = [worker for worker in self._workers.values() if self._is_free(worker)]
        for call in in_turn(calls, lambda model: any(self._idle(model, each) for each in free)):
            model = call.model
            for worker in sorted(self._large(free, model), key=lambda w: self._rank(model, w)):
                child = self._idle(model, worker)
                if _key(model) in worker.refused:
                    continue
                if child is not None:
                    model.idle.remove(child)
                elif model in worker.loaded or not self._make_room(model, worker.node):
                    continue
                else:
                    child = worker.loaded[model] = self._child(model, worker)
                worker.busy[child] = time.monotonic()
                return call, child
        return None

    def _large(self, free: Sequence[Worker], model: SharedModel) -> list[Worker]:
        """Leave out whose node cannot hold a model, if there is one that can."""

        def holds(worker: Worker) -> bool:
            return model.file_bytes <= worker.node.memory_bytes

        possible = any(map(holds, self._workers.values()))
        return [worker for worker in free if holds(worker) or not possible]

    def _is_free(self, worker: Worker) -> bool:
        now = time.monotonic()
        return not worker.gone and all(now - since > _HELD_S for since in worker.busy.values())

    def _idle(self, model: SharedModel, worker: Worker) -> RayChild | None:
        child = worker.loaded.get(model)
        return child if child is not None and child in model.idle and child.alive else None

    def _rank(self, model: SharedModel, worker: Worker) -> tuple[bool, bool, int, float]:
        """Sort workers: who has it loaded, whose node has the file, who does least, who is fast."""
        key = _key(model)
        return (
            self._idle(model, worker) is None,
            key[0] not in worker.node.files,
            len(worker.loaded),
            worker.paces.get(key, 0.0),
        )

    def _child(self, model: SharedModel, worker: Worker) -> RayChild:
        path = model.path.resolve()
        file = ModelFile(model.card.sha256 or "", model.card.size_bytes, str(path), self._shared)
        return RayChild(
            model,
            worker,
            self._link,
            file=file,
            options=self._options,
            on_refusal=self._on_refusal,
        )

    def _make_room(self, model: SharedModel, node: Node) -> bool:
        """Unload idle children of a node until one more of a model fits; one may run alone."""
        bound = self._bound_bytes or node.memory_bytes // 2
        workers = [worker for worker in self._workers.values() if worker.node is node]
        while True:
            children = [child for worker in workers for child in worker.loaded.values()]
            files = {child.model: child.model.file_bytes for child in children}
            resident = sum(files.values()) + sum(child.model.child_bytes for child in children)
            more = model.child_bytes + (0 if model in files else model.file_bytes)
            if not children or resident + more <= bound:
                return True
            idle = [child for child in children if child in child.model.idle]
            if not idle:
                return False
            oldest = min(idle, key=lambda child: child.model.used)
            oldest.model.idle.remove(oldest)
            oldest.model.children -= 1
            del oldest.worker.loaded[oldest.model]
            oldest.close()

    def release(self, child: Child) -> None:
        """See `Workplaces`."""
        assert isinstance(child, RayChild)
        worker = child.worker
        worker.busy.pop(child, None)
        if not child.alive or not child.model.users:
            worker.loaded.pop(child.model, None)

    def _on_refusal(self, child: RayChild, reason: str) -> None:
        with self._changed:
            child.worker.refused[child.key] = reason
        log.warning("worker %s of %s: %s", child.worker.id, child.worker.node.name, reason)

    # -- the rest ----------------------------------------------------------------------------

    def admit(self, path: Path) -> None:
        """Try a file on a worker. See `Engines.admit`."""
        path = path.resolve()
        read_loadable(path, elsewhere=self.elsewhere)
        file = ModelFile(hash_file(path), path.stat().st_size, str(path), self._shared)
        body = pack(Try(file, self._options["memory_bytes"]))
        while True:
            worker = self._await_worker(file)
            try:
                call_with_file(self._link, worker, file, "admit", body)
            except WorkerLost:  # which it is known by now
                continue
            return

    def _await_worker(self, file: ModelFile) -> Worker:
        with self._changed:
            while not self._closed:
                there = [worker for worker in self._workers.values() if not worker.gone]
                if there:
                    return min(there, key=lambda each: _fitness(file, each))
                self._changed.wait()
        raise InferenceError(f"{file.path}: the engines are closed")

    def views(self) -> list[WorkerView]:
        """See `Workplaces`."""
        starting = [
            WorkerView(slot.id, slot.host, slot.state, (), "", EngineStats())
            for slot in self._starting.values()
        ]
        return [*map(_view, self._workers.values()), *starting]

    def _hint(self) -> None:
        """Tell the cluster's autoscaler how many CPUs have work to do."""
        wanted = min(_MOST_WANTED, -(-self._waiting() // MOST_SHARE))
        wanted += sum(bool(worker.busy) for worker in self._workers.values())
        if wanted != self._wanted and self._settings.address:
            self._wanted = wanted
            self._link.want(wanted)

    def close(self) -> None:
        """See `Workplaces`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._link.close()


def _fitness(file: ModelFile, worker: Worker) -> tuple[bool, bool, int]:
    """Sort workers that may try a file: whose node holds it, who has it, who does least."""
    node = worker.node
    return file.size_bytes > node.memory_bytes, file.sha256 not in node.files, len(worker.busy)


def _key(model: SharedModel) -> tuple[str, Precision]:
    return model.card.sha256 or "", model.precision


def _view(worker: Worker) -> WorkerView:
    state = "busy" if worker.busy else "ready"
    if worker.refused:
        state += f"; not used for {len(worker.refused)} of another runtime"
    models = tuple(sorted(model.card.name for model in worker.loaded))
    return WorkerView(worker.id, worker.node.name, state, models, worker.runtime, worker.stats)
