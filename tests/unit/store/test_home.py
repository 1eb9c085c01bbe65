import time
from pathlib import Path

import pytest

from benchpool.errors import HomeLocked, StoreError
from benchpool.store.home import DEFAULT_HOME, Home, find_home


def test_a_home_is_for_its_user_s_eyes_only(tmp_path):
    home = Home(tmp_path / "a" / "home")
    assert not home.exists()
    home.create()
    assert home.folder.stat().st_mode & 0o777 == 0o700


def test_a_file_cannot_become_a_home(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made a home"):
        Home(tmp_path / "file").create()
    with pytest.raises(StoreError, match="cannot be made a home"):
        Home(tmp_path / "file" / "below").create()


def test_a_second_opener_waits_and_is_then_told_who_has_the_home(tmp_path):
    import os

    first, second = Home(tmp_path), Home(tmp_path)
    first.lock()
    started = time.monotonic()
    with pytest.raises(HomeLocked, match=f"process {os.getpid()}"):
        second.lock(wait_s=0.15)
    assert 0.1 < time.monotonic() - started < 2
    first.unlock()
    second.lock(wait_s=0)
    second.unlock()
    second.unlock()


def test_the_home_is_the_one_given_else_the_environment_s_else_the_default(monkeypatch):
    monkeypatch.setenv("BENCHPOOL_HOME", "/somewhere")
    assert find_home(Path("/given")) == Path("/given")
    assert find_home() == Path("/somewhere")
    monkeypatch.delenv("BENCHPOOL_HOME")
    assert find_home() == DEFAULT_HOME
