"""A model in a child process of a worker of a cluster, and that worker as the network sees it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import structs

from benchpool.errors import InferenceError, ModelDied, WorkerLost, WorkerUnfit
from benchpool.inference.cores import ChildOptions
from benchpool.inference.engine import EngineStats, Precision, Request, fits
from benchpool.inference.frames import Answered
from benchpool.inference.ray.frames import (
    About,
    Ask,
    Given,
    Load,
    Loaded,
    Missing,
    ModelFile,
    More,
    pack,
)
from benchpool.inference.ray.link import Link
from benchpool.inference.shared_model import SharedModel
from benchpool.inference.texts import bounded
from benchpool.inference.workplaces import Child

LOAD_S: Final = 600.0
"""Time to load a model on a node, also to transcode it there."""
PLACE_S: Final = 4 * 3600.0
"""Time to send a file to a node. Ray tells if that node is lost meanwhile."""

_numbers = itertools.count(1)


class Node:
    """A machine of the cluster."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.files: set[str] = set()
        """Hashes of the files that it is known to have."""
        self.memory_bytes = 0
        self.placing = threading.Lock()
        """One file is sent to it at a time."""


class Worker:
    """A worker as the network sees it. Guarded by the lock of the pool, but for its child."""

    def __init__(self, name: str, node: Node, about: About) -> None:
        self.id = name
        self.node = node
        self.about = about
        self.gone = ""
        """Why it is not there any more."""
        self.loaded: dict[SharedModel, RayChild] = {}
        """One child a model, idle or at work."""
        self.busy: dict[RayChild, float] = {}
        """Since when each is at its share."""
        self.refused: dict[tuple[str, Precision], str] = {}
        """Models that it computes in another way than the others do, and what that is."""
        self.paces: dict[tuple[str, Precision], float] = {}
        """Time that it took for an answer of each model."""
        self.runtime = ""
        self.stats = EngineStats()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note that this worker is gone, if that turns out meanwhile."""
        try:
            yield
        except WorkerLost as error:
            self.gone = self.gone or str(error)
            raise


class RayChild(Child):
    """A model in a child process of a worker.

    Args:
        model: That it runs.
        worker: Who runs it.
        link: To the cluster.
        file: The model's.
        options: How it is run.
        on_refusal: Told when the worker computes this model in another way than others do.
    """

    def __init__(
        self,
        model: SharedModel,
        worker: Worker,
        link: Link,
        *,
        file: ModelFile,
        options: ChildOptions,
        on_refusal: Callable[[RayChild, str], None],
    ) -> None:
        self.model = model
        self.worker = worker
        self.name = f"{next(_numbers)}"
        self.key = model.card.sha256 or "", model.precision
        self._link = link
        self._file = file
        self._options = options
        self._on_refusal = on_refusal
        self._closed = False
        self._loaded = False

    @property
    def pace_s(self) -> float:
        """See `Child`."""
        return self.worker.paces.get(self.key, 0.0)

    @pace_s.setter
    def pace_s(self, seconds: float) -> None:
        self.worker.paces[self.key] = seconds

    @property
    def loaded(self) -> bool:
        """See `Child`."""
        return self._loaded

    @property
    def alive(self) -> bool:
        """See `Child`."""
        return self._loaded and not self._closed and not self.worker.gone

    @property
    def pid(self) -> int | None:
        """See `Child`."""
        return None

    def load(self) -> None:
        """See `Child`."""
        load = Load(
            self.name,
            self._file,
            self.model.card.name,
            self.model.precision,
            self._options["layout"],
            self._options["context_tokens"],
            self._options["memory_bytes"],
        )
        given = call_with_file(self._link, self.worker, self._file, "load", pack(load))
        if not isinstance(given, Loaded):
            raise WorkerLost(f"worker {self.worker.id} did not load {self.model.card.name}")
        said = given.runtime  # a node's word, of any length
        runtime = structs.replace(said, build=bounded(said.build), cpu=bounded(said.cpu))
        self.runtime = runtime
        self.worker.runtime = runtime.machine
        first = self.model.runtime
        wanted = self.model.wanted if first is None else first.id
        if wanted and runtime.id != wanted:
            self.close()
            known = wanted if first is None else f"{wanted} ({first.said})"
            reason = (
                f"{self.model.card.name} is computed on runtime {known}, and this worker has"
                f" {runtime.id} ({runtime.said}): it is not used for this model"
            )
            self._on_refusal(self, reason)
            raise WorkerUnfit(f"worker {self.worker.id}: {reason}")
        self._loaded = True

    def stream(self, requests: Sequence[Request]) -> Generator[Answered]:
        """See `Child`."""
        missing = dict(enumerate(requests))
        ended = not missing
        method, body = "ask", pack(Ask(self.name, tuple(requests)))
        try:
            while not ended:
                with self.worker.watched():
                    given = self._link.call(self.worker.id, method, body)
                if not isinstance(given, More):
                    raise ModelDied(f"worker {self.worker.id} sent no answers")  # noqa: TRY301
                method, body = "more", self.name.encode()
                for frame in given.frames:
                    self._check(frame, missing)
                    self.worker.stats.add(frame.stats)
                    yield frame
                ended = given.end
            if missing:
                raise ModelDied(  # noqa: TRY301
                    f"worker {self.worker.id} left requests without an answer"
                )
        except BaseException:
            self.close()
            raise

    def _check(self, frame: Answered, missing: dict[int, Request]) -> None:
        for place, answer in frame.answers:
            request = missing.pop(place, None)
            if request is None or not fits(request, answer):
                raise ModelDied(
                    f"worker {self.worker.id} sent an answer to nothing that it was asked"
                )

    def close(self) -> None:
        """See `Child`."""
        if not self._closed:
            self._closed = True
            self._link.tell(self.worker.id, "drop", self.name.encode())


def call_with_file(link: Link, worker: Worker, file: ModelFile, method: str, body: bytes) -> Given:
    """Ask a worker for what needs a file; a node that does not have it is sent it first.

    Raises: WorkerLost, InferenceError.
    """
    with worker.watched():
        given = link.call(worker.id, method, body, LOAD_S)
        if isinstance(given, Missing):
            with worker.node.placing:
                link.place(worker.id, file, PLACE_S)
            given = link.call(worker.id, method, body, LOAD_S)
    if isinstance(given, Missing):
        raise InferenceError(f"worker {worker.id}: {file.path} was sent and is not there")
    worker.node.files.add(file.sha256)
    return given
