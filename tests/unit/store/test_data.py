import hashlib
import os
from pathlib import Path

import pytest

from benchpool.ao.ids import encode_id
from benchpool.errors import DataCorrupt, DataNotFound, StoreError
from benchpool.store import DataStore


@pytest.fixture
def data(tmp_path):
    return DataStore(tmp_path / "data")


def test_bytes_are_kept_under_their_hash(data):
    data_id = data.put(b"hello")
    assert data_id == encode_id(hashlib.sha256(b"hello").digest())
    assert data.get(data_id) == b"hello"
    assert data.path(data_id).read_bytes() == b"hello"


def test_the_same_bytes_are_kept_once(data, tmp_path):
    source = tmp_path / "f"
    source.write_bytes(b"hello")
    assert data.put(b"hello") == data.put(b"hello") == data.put_file(source)
    assert len(list(data.folder.iterdir())) == 1


def test_a_file_is_copied_and_the_copy_cannot_be_written(data, tmp_path):
    source = tmp_path / "f"
    source.write_bytes(b"x" * 3_000_000)
    kept = data.path(data.put_file(source))
    source.write_bytes(b"changed")
    assert kept.stat().st_size == 3_000_000
    assert kept.stat().st_mode & 0o222 == 0


def test_a_file_that_cannot_be_read_leaves_nothing(data, tmp_path):
    with pytest.raises(OSError, match="none"):
        data.put_file(tmp_path / "none")
    assert list(data.folder.iterdir()) == []


def test_a_write_that_fails_leaves_nothing(data, monkeypatch):
    def full(handle):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        data.put(b"hello")
    assert list(data.folder.iterdir()) == []


def test_an_unknown_id_is_not_found(data):
    with pytest.raises(DataNotFound, match="benchpool data put"):
        data.get(encode_id(bytes(32)))


@pytest.mark.parametrize(
    "text",
    ["", "..", "../../etc/passwd", "/etc/passwd", "a/" * 21 + "a", "a" * 42 + "\0", "a" * 44],
)
def test_what_is_no_id_reaches_no_file(data, text):
    with pytest.raises(DataNotFound, match="not a data id"):
        data.path(text)


def change(path, content):
    path.chmod(0o644)
    path.write_bytes(content)


def test_changed_bytes_are_found_out(data):
    data_id = data.put(b"hello")
    change(data.path(data_id), b"jello!")
    for _ in range(2):
        with pytest.raises(DataCorrupt, match="was changed"):
            data.get(data_id)


def test_bytes_changed_before_they_were_first_read_are_found_out(data):
    data_id = data.put(b"hello")
    change(data.folder / data_id, b"jello")
    with pytest.raises(DataCorrupt):
        DataStore(data.folder).get(data_id)


def test_a_store_without_a_folder_goes_away_with_its_bytes():
    data = DataStore(None)
    path = data.path(data.put(b"x"))
    data.close()
    assert not path.exists()
    data.close()


@pytest.mark.parametrize(
    ("owner", "name", "call", "when"),
    [
        (os, "fdopen", 1, "before"),
        (os, "fsync", 1, "before"),
        (os, "fsync", 1, "after"),
        (Path, "rename", 1, "before"),
        (Path, "rename", 1, "after"),
        (os, "fsync", 2, "before"),
    ],
)
def test_a_kill_leaves_the_whole_file_or_none(
    tmp_path, in_a_child, die_at, owner, name, call, when
):
    content = b"x" * 100_000

    def put():
        die_at(owner, name, call, when)
        DataStore(tmp_path).put(content)

    assert in_a_child(put) == -9
    data_id = encode_id(hashlib.sha256(content).digest())
    named = [path for path in tmp_path.iterdir() if not path.name.startswith("incoming-")]
    assert named in ([], [tmp_path / data_id])
    assert all(path.read_bytes() == content for path in named)
    assert DataStore(tmp_path).put(content) == data_id
    assert DataStore(tmp_path).get(data_id) == content


def test_a_file_for_which_there_is_no_room_is_not_even_read(data, tmp_path, monkeypatch):
    source = tmp_path / "sparse"
    with source.open("wb") as file:
        file.truncate(1 << 40)
    monkeypatch.setattr("benchpool.store.data.free_bytes", lambda folder: 1 << 30)
    monkeypatch.setattr("benchpool.store.data.file_id", None)
    wanted = r"sparse has 1,099,511,627,776 bytes, and there is room for 1,073,741,824 in"
    with pytest.raises(StoreError, match=wanted):
        data.put_file(source)
    assert list(data.folder.iterdir()) == []


def test_what_is_kept_already_needs_no_room(data, tmp_path, monkeypatch):
    source = tmp_path / "f"
    source.write_bytes(b"hello")
    kept = data.put_file(source)
    monkeypatch.setattr("benchpool.store.data.free_bytes", lambda folder: 0)
    assert data.put_file(source) == kept
    source.write_bytes(b"hello!")
    with pytest.raises(StoreError, match="there is room for 0"):
        data.put_file(source)
