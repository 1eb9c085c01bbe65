"""Workers of a cluster in this process: all that Ray and its driver would do is left out."""

import threading

import msgspec
import pytest

from benchpool.errors import WorkerLost
from benchpool.inference.ray import places as module
from benchpool.inference.ray.engines import ray_engines
from benchpool.inference.ray.frames import About, Slot, pack, unpack_given
from benchpool.inference.ray.link import Link
from benchpool.inference.ray.worker import Worker


class FakeLink(Link):
    """Calls workers of this process. A test adds nodes and takes them away."""

    def __init__(self, settings, on_slots):
        super().__init__(settings, on_slots)
        self.workers = {}
        self.slots = {}
        self.count = 0
        self.calls = []
        self.placed = []
        self.wanted = []
        self.on_call = lambda worker, method: None

    def begin(self):
        self.tell_slots()

    def add(self, node, cache=None, about=None):
        self.count += 1
        name = f"{node}/{self.count}"
        self.workers[name] = Worker(2)
        self.workers[name]._cache = cache or self.cache / node
        given = msgspec.structs.replace(
            msgspec.msgpack.decode(self.workers[name].about(), type=About), **(about or {})
        )
        self.slots[name] = Slot(name, node, f"host of {node}", "ready", pack(given))
        return name

    def tell_slots(self):
        self._on_slots(tuple(self.slots.values()))

    def kill(self, name):
        """As a node dies: whoever waits for it is told, and the next list is without it."""
        worker = self.workers.pop(name, None)
        self.slots.pop(name, None)
        for child in list(worker._children) if worker else []:
            worker.drop(child)

    def call(self, worker, method, body, seconds=0.0):
        self.calls.append((worker, method))
        self.on_call(worker, method)
        there = self.workers.get(worker)
        if there is None:
            raise WorkerLost(f"worker {worker}: killed")
        given = getattr(there, method)(body.decode() if method in ("more", "drop") else body)
        if worker not in self.workers:
            raise WorkerLost(f"worker {worker}: killed")
        return self._read(worker, given)

    def _read(self, worker, given):
        from benchpool.inference.ray.frames import Failed
        from benchpool.inference.ray.link import _error

        told = unpack_given(given)
        if isinstance(told, Failed):
            raise _error(told)
        return told

    def place(self, worker, file, seconds):
        self.placed.append((worker, file.sha256))
        there = self.workers[worker]
        there.start(pack(file))
        from pathlib import Path

        from benchpool.inference.ray.frames import Piece

        there.write(pack(Piece(file, 0)), Path(file.path).read_bytes())
        self._read(worker, there.finish(pack(file)))

    def tell(self, worker, method, body):
        if worker in self.workers:
            threading.Thread(target=self.workers[worker].drop, args=(body.decode(),)).start()

    def want(self, cpus):
        self.wanted.append(cpus)

    def close(self):
        for name in list(self.workers):
            self.kill(name)


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """Engines on a cluster without Ray, and the link by which a test changes the cluster."""
    links, pools = [], []

    class Linked(FakeLink):
        cache = tmp_path

        def __init__(self, *given):
            super().__init__(*given)
            links.append(self)

    monkeypatch.setattr(module, "Link", Linked)

    def make(**options):
        pools.append(ray_engines("10.0.0.1:6379", layout="canonical-2", **options))
        return pools[-1], links[-1]

    yield make
    for pool in pools:
        pool.close()
