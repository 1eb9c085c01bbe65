"""BF16 copies: only as they were made, else they are made anew."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchpool.errors import ModelFileError
from benchpool.inference import ChoicesRequest, isolated
from benchpool.inference.files import transcoding
from benchpool.inference.files.gguf_header import read_header
from benchpool.inference.files.sealed import SUFFIX, identity
from benchpool.inference.files.transcoding import bf16_copy
from benchpool.inference.isolated import IsolatedEngine

NOBODY = 65534
QUESTION = ChoicesRequest("The sky is", (" blue", " green"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "copies"


@pytest.fixture
def copy(tiny, folder):
    """Makes copies; counts how often one is made."""
    made = []

    def quantize(source, target):
        made.append(source)
        shutil.copyfile(source, target)

    def copy(path=tiny, **options):
        return bf16_copy(read_header(path), quantize, build="1.0", folder=folder, **options)

    copy.made = made
    return copy


def bit(path):
    raw = bytearray(path.read_bytes())
    raw[-100] ^= 1
    path.chmod(0o600)
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(bit, id="one bit"),
        pytest.param(lambda path: path.with_name(path.name + SUFFIX).unlink(), id="from before"),
        pytest.param(lambda path: path.chmod(0o666), id="open to all"),
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(
            lambda path: os.chown(path, NOBODY, NOBODY),
            id="another's",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away"),
        ),
    ],
)
def test_a_copy_that_is_not_as_it_was_made_is_made_anew(copy, tiny, change):
    path = copy()
    assert copy() == path
    assert len(copy.made) == 1
    change(path)
    assert copy() == path
    assert len(copy.made) == 2
    assert path.read_bytes() == tiny.read_bytes()
    copy()
    assert len(copy.made) == 2


def test_another_models_copy_under_the_name_is_made_anew(copy, tiny, write_gguf, tmp_path):
    mine = copy()
    other = copy(write_gguf(tmp_path / "other.gguf", output_weight=0.01))
    for suffix in ("", SUFFIX):
        Path(f"{other}{suffix}").replace(f"{mine}{suffix}")
    assert copy().read_bytes() == tiny.read_bytes()
    assert len(copy.made) == 3


def test_a_copy_that_was_checked_is_not_read_again(copy, monkeypatch):
    path = copy()
    checked = identity(path)
    monkeypatch.setattr("benchpool.inference.files.sealed.hash_file", None)
    assert copy(checked=checked, sha256=path.name.partition(".")[0]) == path


def test_a_folder_that_is_not_this_users_is_named(copy, folder, tmp_path):
    (tmp_path / "real").mkdir()
    folder.symlink_to(tmp_path / "real")
    with pytest.raises(ModelFileError, match="copies is not a folder of this user's"):
        copy()


def test_a_folder_that_cannot_be_made_is_named(copy, folder):
    folder.write_bytes(b"")
    with pytest.raises(ModelFileError, match="copies: no BF16 copy can be kept there"):
        copy()


def test_a_copy_larger_than_the_disk_is_not_begun(copy, monkeypatch):
    monkeypatch.setattr(transcoding.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(ModelFileError, match=r"a BF16 copy has [\d,]+ bytes, and 10,000 are free"):
        copy()
    assert not copy.made


def test_a_child_checks_a_copy_once_for_all_of_a_program(tiny, folder, monkeypatch):
    with IsolatedEngine(tiny, threads=1, precision="bf16", copies=folder) as engine:
        first = engine.answer([QUESTION])
    (path,) = folder.glob("*.gguf")
    checked = isolated._checked[engine.card.sha256, folder]
    assert checked == identity(path)
    with IsolatedEngine(tiny, threads=1, precision="bf16", copies=folder) as engine:
        assert engine._settings.checked == checked
        assert engine.answer([QUESTION]) == first
    bit(path)
    with IsolatedEngine(tiny, threads=1, precision="bf16", copies=folder) as engine:
        assert engine.answer([QUESTION]) == first, "it was made anew"
    assert isolated._checked[engine.card.sha256, folder] == identity(path) != checked
