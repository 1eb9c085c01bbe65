"""The driver of a Ray cluster: ``python -m benchpool.inference.ray.driver SETTINGS``.

It keeps a worker on every CPU of every node, passes on what the network asks of them, and sends
files. It runs apart from the network because Ray ends a driver whose cluster is lost: then the
network starts another one. It ends when the network does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

# All of it before Ray is imported, which reads it then.
_ENVIRONMENT: Final[Mapping[str, str]] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "PYTHONWARNINGS": "ignore",
}
_ALONE: Final[Mapping[str, str]] = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_worker_niceness": "0",  # 15 by default: whatever else runs would go before the models
}
"""For a cluster that listens on this machine's loopback address alone."""

import msgspec  # noqa: E402

from benchpool.inference.ray.frames import (  # noqa: E402
    Call,
    Down,
    Lost,
    Missing,
    ModelFile,
    Piece,
    Place,
    Returned,
    Settings,
    Slot,
    Slots,
    Want,
    pack,
    read_to_driver,
    unpack_given,
    write,
)
from benchpool.inference.ray.worker import Worker  # noqa: E402

PIECE_BYTES: Final = 16 << 20
_IN_FLIGHT: Final = 3
"""Pieces of a file that one node has not confirmed."""
_KEPT_PIECES: Final = 6
"""Pieces that stay in the object store for the next node that needs them."""
_LOOK_S: Final = 1.0
_STORE_BYTES: Final = 256 << 20
"""The object store of a cluster of this machine: pieces alone pass through it."""
_THREADS: Final = 8
"""Calls that a worker takes at a time: it computes, and is asked how far it is, or to end."""
_FIRST_PAUSE_S: Final = 1.0
_MOST_PAUSE_S: Final = 60.0


class _Worker:
    """A worker as the driver sees it."""

    def __init__(self, actor: Any, node: str, place: int, host: str) -> None:
        self.actor = actor
        self.node = node
        self.place = place
        """Which of the node's CPUs it has, counted from 0."""
        self.host = host
        self.state = "starting"
        self.about = b""


class Driver:
    """Keeps the workers of a cluster. Everything it sends goes through `send`."""

    def __init__(self, ray: Any, send: Callable[[Any], None]) -> None:
        self._ray = ray
        self._send = send
        self._actor = ray.remote(Worker)
        self._workers: dict[str, _Worker] = {}
        self._deaths: dict[tuple[str, int], tuple[int, float]] = {}
        """How often the worker of a node's CPU died in a row, and when it last did."""
        self._count = 0
        self._lock = threading.RLock()
        self._pieces: OrderedDict[tuple[str, int], Any] = OrderedDict()

    # -- workers -----------------------------------------------------------------------------

    def watch(self) -> None:
        """Keep a worker on each CPU, and tell of them, for ever. Raises: whatever Ray does."""
        while True:
            nodes = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
            with self._lock:
                for worker in self._workers.values():
                    if worker.node not in nodes:
                        worker.state = "its node is gone"
                slots = tuple(
                    Slot(name, each.node, each.host, each.state, each.about)
                    for name, each in self._workers.items()
                )
                for name, worker in list(self._workers.items()):
                    if worker.state not in ("starting", "ready"):
                        del self._workers[name]
                for node in nodes.values():
                    self._staff(node)
            self._send(Slots(slots))
            time.sleep(_LOOK_S)

    def _staff(self, node: dict[str, Any]) -> None:
        """Have a worker on each CPU of a node."""
        name, resources = node["NodeID"], node["Resources"]
        cpus = int(resources.get("CPU", 0))
        memory = int(resources.get("memory", 0) / max(1, cpus) / 2)
        there = {key.rpartition("/")[2] for key, each in self._workers.items() if each.node == name}
        for place in range(cpus):
            if any(key.split(".")[0] == str(place) for key in there) or self._pauses(name, place):
                continue
            self._count += 1
            affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            actor = self._actor.options(
                num_cpus=1,
                memory=memory,
                max_concurrency=_THREADS,
                max_restarts=0,
                scheduling_strategy=affinity(name, soft=False),
            ).remote(cpus)
            key = f"{name[:8]}/{place}.{self._count}"
            host = f"{node['NodeManagerHostname']} {name[:8]}"
            self._workers[key] = _Worker(actor, name, place, host)
            self._await(actor.about.remote(), partial(self._about, key))

    def _pauses(self, node: str, place: int) -> bool:
        deaths, at = self._deaths.get((node, place), (0, 0.0))
        pause_s = min(_MOST_PAUSE_S, _FIRST_PAUSE_S * 2**deaths) if deaths else 0.0
        if time.monotonic() > at + 2 * _MOST_PAUSE_S:
            self._deaths.pop((node, place), None)
        return time.monotonic() < at + pause_s

    def _about(self, key: str, future: Future[bytes]) -> None:
        error = future.exception()
        if error is not None:
            self._gone(key, error)
            return
        with self._lock:
            worker = self._workers.get(key)
            if worker is not None:
                worker.state, worker.about = "ready", future.result()

    def _gone(self, key: str, error: BaseException) -> None:
        with self._lock:
            worker = self._workers.get(key)
            if worker is None or worker.state not in ("starting", "ready"):
                return
            worker.state = _reason(error)
            place = worker.node, worker.place
            deaths, _ = self._deaths.get(place, (0, 0.0))
            self._deaths[place] = deaths + 1, time.monotonic()

    def _await(self, reference: Any, then: Callable[[Future[bytes]], None]) -> None:
        reference.future().add_done_callback(then)

    # -- what the network asks ---------------------------------------------------------------

    def ask(self, call: Call) -> None:
        """Pass a call on to its worker."""
        worker = self._find(call.worker)
        if worker is None:
            self._send(Lost(call.id, "the worker is gone"))
            return
        body: Any = call.body.decode() if call.method in ("more", "drop") else call.body
        try:
            reference = getattr(worker.actor, call.method).remote(body)
        except Exception as error:
            self._send(Lost(call.id, _reason(error)))
            return
        self._await(reference, partial(self._answered, call))

    def _answered(self, call: Call, future: Future[bytes]) -> None:
        error = future.exception()
        if error is None:
            self._send(Returned(call.id, future.result()))
            return
        self._gone(call.worker, error)
        self._send(Lost(call.id, _reason(error)))

    def place(self, place: Place) -> None:
        """Send a file to a node, unless it is there already."""
        worker = self._find(place.worker)
        try:
            if worker is None:
                raise LookupError("the worker is gone")  # noqa: TRY301
            body = self._send_file(worker.actor, place.file)
        except Exception as error:
            self._send(Lost(place.id, _reason(error)))
        else:
            self._send(Returned(place.id, body))

    def _send_file(self, actor: Any, file: ModelFile) -> bytes:
        get = self._ray.get
        body = pack(file)
        told: bytes = get(actor.start.remote(body))
        if not isinstance(unpack_given(told), Missing):
            return told
        flying: list[Any] = []
        with Path(file.path).open("rb") as source:
            for offset in range(0, file.size_bytes, PIECE_BYTES):
                piece = self._piece(source, file, offset)
                flying.append(actor.write.remote(pack(Piece(file, offset)), piece))
                if len(flying) >= _IN_FLIGHT:
                    get(flying.pop(0))
        get(flying)
        finished: bytes = get(actor.finish.remote(body))
        return finished

    def _piece(self, source: Any, file: ModelFile, offset: int) -> Any:
        """Put a piece into the object store, or find it there: nodes often want the same file."""
        key = file.sha256, offset
        with self._lock:
            found = self._pieces.get(key)
        if found is None:
            source.seek(offset)
            found = self._ray.put(source.read(PIECE_BYTES))
            with self._lock:
                self._pieces[key] = found
                while len(self._pieces) > _KEPT_PIECES:
                    self._pieces.popitem(last=False)
        return found

    def want(self, cpus: int) -> None:
        """Have a worker hint to the cluster's autoscaler how much there is to do."""
        with self._lock:
            ready = [each for each in self._workers.values() if each.state == "ready"]
        if ready:
            ready[0].actor.want.remote(cpus)

    def _find(self, key: str) -> _Worker | None:
        with self._lock:
            return self._workers.get(key)


def _reason(error: BaseException) -> str:
    """Say in one line why a worker is gone."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def main(arguments: list[str]) -> int:
    """Connect, and serve the network until it is gone.

    Args:
        arguments: `Settings` as JSON.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Ray may print
    settings = msgspec.json.decode(arguments[0], type=Settings)
    os.environ.update(_ENVIRONMENT)
    if not settings.address or settings.address.startswith("127.0.0.1:"):
        os.environ.update(_ALONE)
    lock = threading.Lock()

    def send(message: Any) -> None:
        with lock, suppress(OSError, ValueError):
            write(frames, message)

    try:
        ray = _connect(settings)
        driver = Driver(ray, send)
        threading.Thread(target=_serve, args=(driver, ray), daemon=True).start()
        driver.watch()
    except Exception as error:
        send(Down(_reason(error)))
    return 1


def _connect(settings: Settings) -> Any:
    import ray  # noqa: PLC0415 - after the environment
    import ray.util.scheduling_strategies  # noqa: PLC0415

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if settings.address.startswith("ray://"):
        ray.init(settings.address, **quiet)
    elif settings.address:
        ray.init(settings.address, configure_logging=False, **quiet)
    else:
        ray.init(
            "local",
            num_cpus=settings.cores,
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            **quiet,
        )
    return ray


def _serve(driver: Driver, ray: Any) -> None:
    """Do what the network asks, each file in a thread of its own, until it is gone."""
    while (message := read_to_driver(sys.stdin.buffer)) is not None:
        if isinstance(message, Call):
            driver.ask(message)
        elif isinstance(message, Place):
            threading.Thread(target=driver.place, args=(message,), daemon=True).start()
        elif isinstance(message, Want):
            driver.want(message.cpus)
    with suppress(Exception):
        ray.shutdown()
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
