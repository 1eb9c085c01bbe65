"""Files that are made once and used again: only as they were made, by this user."""

import os
import stat

import pytest

from benchpool.inference.files import sealed
from benchpool.inference.files.sealed import SUFFIX, identity, is_sealed, own_folder, publish

BYTES = b"made here" * 1000
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def make(folder, name="made", content=BYTES, made_of="source"):
    scratch = folder / "scratch"
    scratch.write_bytes(content)
    publish(scratch, folder / name, made_of)
    return folder / name


@pytest.fixture
def folder(tmp_path):
    assert own_folder(tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def made(folder):
    return make(folder)


def rewrite(path, content):
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(0o400)


def test_what_was_made_is_used_again(made, folder):
    assert is_sealed(made, "source")
    assert made.read_bytes() == BYTES
    assert sorted(path.name for path in folder.iterdir()) == ["made", f"made{SUFFIX}"]


def link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def beside(path):
    return path.with_name(path.name + SUFFIX)


def bit(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    rewrite(path, bytes(raw))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(bit, id="one bit"),
        pytest.param(lambda path: rewrite(path, BYTES[:-1]), id="truncated"),
        pytest.param(lambda path: rewrite(path, b""), id="empty"),
        pytest.param(lambda path: path.chmod(0o620), id="writable by its group"),
        pytest.param(lambda path: path.chmod(0o602), id="writable by all"),
        pytest.param(link, id="a link"),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), id="a folder"),
        pytest.param(lambda path: (path.unlink(), os.mkfifo(path)), id="a pipe"),
        pytest.param(lambda path: os.chown(path, NOBODY, NOBODY), id="another's", marks=as_root),
    ],
)
def test_what_is_not_as_it_was_made_is_not_used(made, change):
    checked = identity(made)
    change(made)
    assert not is_sealed(made, "source")
    assert not is_sealed(made, "source", checked)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: beside(path).unlink(), id="without a seal"),
        pytest.param(lambda path: bit(beside(path)), id="one bit of the seal"),
        pytest.param(lambda path: rewrite(beside(path), b"{" * 10_000), id="a long seal"),
        pytest.param(lambda path: rewrite(beside(path), b"\xff"), id="no seal"),
        pytest.param(lambda path: link(beside(path)), id="a link to a seal"),
        pytest.param(lambda path: beside(path).chmod(0o666), id="an open seal"),
        pytest.param(
            lambda path: os.chown(beside(path), NOBODY, NOBODY), id="another's seal", marks=as_root
        ),
    ],
)
def test_what_has_no_seal_of_this_users_is_not_used(made, change):
    change(made)
    assert not is_sealed(made, "source")


def test_what_was_made_of_something_else_is_not_used(folder, made):
    other = make(folder, "other", b"other", made_of="another source")
    for name in (other, beside(other)):
        name.replace(made.with_name(name.name.replace("other", "made")))
    assert is_sealed(made, "another source")
    assert not is_sealed(made, "source")


def test_what_was_checked_is_not_read_again_until_it_changes(made, monkeypatch):
    read = []
    monkeypatch.setattr(
        sealed, "hash_file", lambda path, real=sealed.hash_file: (read.append(path), real(path))[1]
    )
    assert is_sealed(made, "source")
    checked = identity(made)
    assert is_sealed(made, "source", checked)
    assert read == [made]
    os.utime(made, ns=(0, 0))
    assert is_sealed(made, "source", checked)
    assert read == [made, made]


def test_a_failure_leaves_nothing_half_sealed(folder, monkeypatch):
    made = make(folder)

    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealed.tempfile, "mkstemp", full)
    with pytest.raises(OSError, match="space"):
        make(folder, content=b"newer")
    assert is_sealed(made, "source")


def test_a_folder_is_made_for_this_user_alone(tmp_path):
    assert own_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_an_open_folder_is_closed(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert own_folder(tmp_path / "open")
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o755


def test_a_link_to_a_folder_is_not_taken(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert not own_folder(tmp_path / "link")


@as_root
def test_another_users_folder_is_not_taken(tmp_path):
    (tmp_path / "other").mkdir()
    os.chown(tmp_path / "other", NOBODY, NOBODY)
    assert not own_folder(tmp_path / "other")


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="exists"):
        own_folder(tmp_path / "file")
