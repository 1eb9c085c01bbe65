"""A file of a tebibyte costs nobody a minute: its size is looked at before any of it is hashed."""

from contextlib import closing

import pytest

from benchpool.errors import ModelFileError
from benchpool.fetching import hashing
from benchpool.inference import admission, cores, isolated, machine, shared_model
from benchpool.inference.admission import admit
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.files import catalogue
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.shared_model import SharedModel
from benchpool.network import Network
from benchpool.store import data as store_data


@pytest.fixture(autouse=True)
def nothing_is_hashed(monkeypatch):
    def refuse(path):
        raise AssertionError(f"{path} was hashed")

    for module in (hashing, catalogue, shared_model, admission, isolated):
        monkeypatch.setattr(module, "hash_file", refuse)
    monkeypatch.setattr(store_data, "file_id", refuse)


@pytest.fixture
def sparse(tiny, tmp_path):
    path = tmp_path / "sparse.gguf"
    path.write_bytes(tiny.read_bytes())
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    return path


def add_model(path):
    with Network() as network:
        network.add_model(path)


def put_there_by_hand(path):
    Catalogue(path.parent).list()


TAKERS = [
    admit,
    lambda path: SharedModel(path, "stored", None, 64),
    lambda path: SharedModel(path, "bf16", None, 64),
    lambda path: IsolatedEngine(path, precision="bf16", load=False),
    lambda path: EnginePool().open(path),
    lambda path: EnginePool().admit(path),
    lambda path: Catalogue(path.parent / "models").add(path),
    put_there_by_hand,
    add_model,
]
NAMES = ["admit", "share", "share bf16", "child", "open", "pool", "add", "list", "network"]


@pytest.mark.parametrize("take", TAKERS, ids=NAMES)
def test_a_sparse_file_is_refused_by_its_header(sparse, take):
    with pytest.raises(ModelFileError, match="bytes follow its last tensor"):
        take(sparse)


@pytest.mark.parametrize("take", TAKERS, ids=NAMES)
def test_a_file_that_no_memory_holds_is_refused_by_its_size(tiny, tmp_path, take, monkeypatch):
    path = tmp_path / "large.gguf"
    path.write_bytes(tiny.read_bytes())
    monkeypatch.setattr(machine, "memory_bytes", lambda: 10_000)
    with pytest.raises(ModelFileError, match="and this machine has 10,000 of memory"):
        take(path)


def test_a_bf16_copy_that_no_memory_holds_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(shared_model, "hash_file", lambda path: "ab" * 32)
    monkeypatch.setattr(shared_model, "BF16_BYTES", 1 << 40)
    with pytest.raises(ModelFileError, match="its BF16 copy has"):
        SharedModel(tiny, "bf16", None, 64)


def test_the_limit_of_a_child_follows_the_machine(tiny, monkeypatch):
    def limit(memory, **options):
        monkeypatch.setattr(machine, "memory_bytes", lambda: memory)
        return IsolatedEngine(tiny, load=False, **options)._settings.memory_bytes

    assert limit(64 << 30) == (3 << 30) + 2 * tiny.stat().st_size
    assert limit(1 << 30) == 3 << 28
    assert limit(1 << 30, children=4) == 3 << 26
    assert limit(1 << 30, children=4, memory_bytes=12345) == 12345


def test_the_children_of_a_pool_share_the_machine(tiny, monkeypatch):
    limits = []

    class Looked(IsolatedEngine):
        def load(self):
            limits.append(self._settings.memory_bytes)
            raise ModelFileError("that is enough")

    monkeypatch.setattr(machine, "memory_bytes", lambda: 1 << 30)
    monkeypatch.setattr(cores, "IsolatedEngine", Looked)
    monkeypatch.setattr(shared_model, "hash_file", lambda _: "0" * 64)
    with closing(EnginePool(workers=4)) as pool, pytest.raises(ModelFileError):
        pool.open(tiny)
    assert limits == [3 << 26]
