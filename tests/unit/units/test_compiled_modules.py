"""Compiled modules: bounded in number, and nobody waits for another one's compilation."""

import threading
from hashlib import sha256
from pathlib import Path

import pytest
from small_modules import small_module

pytest.importorskip("wasmtime")

from benchpool.wasm import compiled as cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_codes", {})
    return tmp_path / "cache"


def take(code: bytes) -> object:
    return cache.compiled(code, sha256(code).hexdigest())


def test_only_so_many_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MOST_KEPT", 3)
    first = small_module("0")
    for number in range(10):
        take(small_module(str(number)))
        kept = take(first)  # it is used all the time, so it stays
    assert take(first) is kept
    assert len(cache._codes) == 3
    assert len(list(folder.iterdir())) == 3


def test_another_module_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = small_module("slow"), small_module("quick")
    begun, go_on = threading.Event(), threading.Event()
    anew = cache._anew

    def wait_first(code: bytes, digest: str) -> object:
        if code == slow:
            begun.set()
            assert go_on.wait(30)
        return anew(code, digest)

    monkeypatch.setattr(cache, "_anew", wait_first)
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(take(slow))) for _ in range(2)]
    for each in threads:
        each.start()
    assert begun.wait(30)
    assert take(quick) is take(quick)
    go_on.set()
    for each in threads:
        each.join(30)
    assert made[0] is made[1]
