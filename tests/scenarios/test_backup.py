"""Backup, restore, rebuild: a home in one file, at any moment, and no other file makes a home."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from libraries import begin, check, go_on, library, opened, registry
from old_homes import unpack_tar
from serving import Running
from typer.testing import CliRunner

from benchpool.ao.ids import encode_id
from benchpool.audit.archive import FORMAT, Manifest, Member, write_archive
from benchpool.audit.backup import backup_home, restore_home
from benchpool.audit.rebuild import rebuild_home
from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.errors import BenchpoolError, ConfigError, HomeLocked, StoreError
from benchpool.simulation.scripted_engine import ScriptedEngines
from benchpool.store.home import Home
from benchpool.version import VERSION


@pytest.fixture(scope="module")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with private databases, data and limits, and its backup beside it."""
    folder = tmp_path_factory.mktemp("whole")
    with opened(folder / "home") as network:
        begin(network)
        go_on(network, 2)
        network.data.put(b"some data")
    (folder / "home" / "limits.toml").write_text("tags = 200\n")
    (folder / "home" / "commitments.json").write_text("{}")
    (folder / "home" / "answers").mkdir()
    (folder / "home" / "answers" / "cache").write_text("not to be kept")
    backup_home(folder / "home", folder / "whole.tar")
    return folder


@pytest.fixture
def whole(_whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_whole, tmp_path / "whole"))


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_restored_home_is_the_home(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "new" / "copy"
    manifest = restore_home(whole / "whole.tar", copy, verify=True, registry=registry())
    home = whole / "home"
    assert (
        replay_home(copy, registry=registry()).digest
        == replay_home(home, registry=registry()).digest
    )
    with opened(home, read_only=True) as one, opened(copy, read_only=True) as other:
        assert one.names() == other.names()
        assert one.wallets() == other.wallets()
        assert [w.secret for w in one.wallets()] == [w.secret for w in other.wallets()]
        assert manifest.messages == one.store.count()
        assert one.process("library").dump() == other.process("library").dump()
    assert sorted(path.name for path in copy.iterdir()) == [
        "benchpool.sqlite",
        "commitments.json",
        "data",
        "databases",
        "limits.toml",
    ]
    assert (copy / "limits.toml").read_text() == "tags = 200\n"
    private = [copy, *(each for each in copy.iterdir() if each.name != "data")]
    for path in (*private, library(copy), whole / "whole.tar"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert check(home) is None
    assert check(copy) is None
    assert (
        replay_home(copy, registry=registry()).digest
        == replay_home(home, registry=registry()).digest
    )


def test_the_same_home_gives_the_same_bytes_and_tar_reads_them(whole: Path, tmp_path: Path) -> None:
    backup_home(whole / "home", tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == (whole / "whole.tar").read_bytes()
    with tarfile.open(tmp_path / "again.tar") as tar:
        names = tar.getnames()
        told = tar.extractfile("manifest.json")
        assert told is not None
        assert [each["name"] for each in json.load(told)["members"]] == names[1:-1]
    assert names[0] == "manifest.json"
    assert "limits.toml" in names
    assert not any("answers" in name for name in names)


def test_a_file_that_is_there_is_kept_unless_forced(whole: Path, tmp_path: Path) -> None:
    file = tmp_path / "thesis.tar"
    file.write_text("three years of work")
    with pytest.raises(ConfigError, match=r"thesis.tar is there already"):
        backup_home(whole / "home", file)
    assert file.read_text() == "three years of work"
    backup_home(whole / "home", file, overwrite=True)
    assert file.read_bytes() == (whole / "whole.tar").read_bytes()
    with pytest.raises(StoreError, match=r"not empty"):
        restore_home(file, whole / "home")
    with pytest.raises(StoreError, match=r"holds no network yet"):
        backup_home(tmp_path / "nowhere", tmp_path / "none.tar")
    assert not left_over(tmp_path)


def test_a_killed_home_is_backed_up_with_what_is_in_its_write_ahead_logs(tmp_path: Path) -> None:
    from libraries import killed

    from benchpool.extensions.database import Database

    killed(tmp_path / "home", Database, "save", 9)
    backup_home(tmp_path / "home", tmp_path / "b.tar")
    restore_home(tmp_path / "b.tar", tmp_path / "copy", verify=True, registry=registry())
    assert check(tmp_path / "home") is None
    assert check(tmp_path / "copy") is None
    assert (
        replay_home(tmp_path / "copy", registry=registry()).digest
        == replay_home(tmp_path / "home", registry=registry()).digest
    )


def test_a_backup_while_another_program_writes(tmp_path: Path) -> None:
    """Whatever the moment, it is a home that goes on as its log says."""
    home = tmp_path / "home"
    with opened(home) as network:
        begin(network)
    stop, taken, failures = threading.Event(), 0, []

    def write() -> None:
        try:
            with opened(home) as network:
                while not stop.is_set():
                    go_on(network, 1)
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for taken in range(6):
            backup_home(home, tmp_path / f"{taken}.tar")
    finally:
        stop.set()
        writer.join()
    assert not failures
    for number in range(taken + 1):
        copy = tmp_path / f"copy{number}"
        restore_home(tmp_path / f"{number}.tar", copy, verify=True, registry=registry())
        assert check(copy) is None


def test_a_served_home(serve: Callable[..., Running], home: Path, tmp_path: Path) -> None:
    serve(engine_factory=ScriptedEngines())
    run = CliRunner()
    assert run.invoke(app, ["wallet", "new", "ana", "--home", str(home)]).exit_code == 0
    spawn = ["spawn", "WrappedAR", "--name", "T", "--from", "ana", "--home", str(home)]
    assert run.invoke(app, spawn).exit_code == 0
    file, copy = str(tmp_path / "served.tar"), str(tmp_path / "copy")
    done = run.invoke(app, ["backup", file, "--home", str(home), "--json"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["processes"], told["wallets"], told["schema"]) == (1, 1, "backup/1")
    done = run.invoke(app, ["restore", file, "--home", copy, "--verify", "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["verified"]
    assert "T" in run.invoke(app, ["processes", "--home", copy]).stdout
    rebuilt = run.invoke(app, ["rebuild", "--home", str(home)])
    assert rebuilt.exit_code == 1
    assert "stop it first" in rebuilt.stderr


def test_what_cannot_be_right_is_not_backed_up(whole: Path, tmp_path: Path) -> None:
    home = whole / "home"
    (data,) = (home / "data").iterdir()
    data.chmod(0o600)
    data.write_bytes(b"some dat4")
    with pytest.raises(StoreError, match=r"it changed, or it is damaged"):
        backup_home(home, tmp_path / "b.tar")
    data.write_bytes(b"some data")
    backup_home(home, tmp_path / "b.tar")
    (tmp_path / "b.tar").unlink()
    library(home).unlink()
    with pytest.raises(StoreError, match=f"{home}: the private database of .* is gone"):
        backup_home(home, tmp_path / "b.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole"]


# -- files that are no backup ------------------------------------------------------------------


def refused(file: Path, folder: Path) -> str:
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(StoreError) as refusal:
        restore_home(file, folder / "copy", registry=registry())
    assert sorted(path.name for path in folder.iterdir()) == before
    said = str(refusal.value)
    assert file.name in said
    assert len(said.splitlines()) == 1
    return said


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_flipped_bit_anywhere_is_refused(whole: Path, tmp_path: Path, data: Any) -> None:
    raw = bytearray((whole / "whole.tar").read_bytes())
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    (tmp_path / "changed.tar").write_bytes(raw)
    refused(tmp_path / "changed.tar", tmp_path)


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_truncated_file_is_refused(whole: Path, tmp_path: Path, data: Any) -> None:
    raw = (whole / "whole.tar").read_bytes()
    length = data.draw(st.integers(0, len(raw) - 1))
    (tmp_path / "short.tar").write_bytes(raw[:length])
    assert "truncated" in refused(tmp_path / "short.tar", tmp_path)
    (tmp_path / "short.tar").write_bytes(raw + b"more")
    assert "changed" in refused(tmp_path / "short.tar", tmp_path)


def forged(file: Path, members: list[tuple[str, bytes]], sizes: dict[str, int] = {}) -> Path:  # noqa: B006
    """Write an archive that is right in itself, with members of any name."""
    sources = []
    for number, (_, content) in enumerate(members):
        sources.append(file.with_name(f"{file.name}.{number}"))
        sources[-1].write_bytes(content)
    listed = [
        Member(name, sizes.get(name, len(content)), sha256(content).hexdigest())
        for name, content in members
    ]
    manifest = Manifest(FORMAT, VERSION, 0, 0, 0, 0, listed)
    out = io.BytesIO()
    try:
        write_archive(out, manifest, sources, lambda *_: None)
    except StoreError:
        assert sizes
    file.write_bytes(out.getvalue())
    for source in sources:
        source.unlink()
    return file


ID = encode_id(bytes(32))
NAMES = [
    "../escaped",
    "/tmp/escaped",
    "databases/../../escaped",
    f"databases/{ID}.sqlite/../x",
    "benchpool.sqlite-wal",
    f"databases/{ID}.sqlite-wal",
    f"data/{ID[:-1]}/",
    "lock",
    "server.json",
    "answers/x",
    "limits.toml\n",
    "",
    "é" * 60,
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_no_backup_holds(tmp_path: Path, name: str) -> None:
    said = refused(forged(tmp_path / "bad.tar", [(name, b"x")]), tmp_path)
    assert "which no backup does" in said


def test_the_same_name_twice(tmp_path: Path) -> None:
    members = [("limits.toml", b"a"), ("limits.toml", b"b")]
    assert "twice" in refused(forged(tmp_path / "bad.tar", members), tmp_path)


@pytest.mark.parametrize("size", [2**62, 10**12, -1])
def test_sizes_that_are_not_there(tmp_path: Path, size: int) -> None:
    name = "benchpool.sqlite"
    file = tmp_path / "bad.tar"
    if size < 0:
        head = msgspec.json.encode(Manifest(FORMAT, VERSION, 0, 0, 0, 0, [Member(name, -1, "")]))
        info = tarfile.TarInfo("manifest.json")
        info.size, info.mode = len(head), 0o600
        file.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + head + bytes(-len(head) % 512 + 4096))
        assert "-1 bytes" in refused(file, tmp_path)
        return
    forged(file, [(name, b"x")], {name: size})
    assert "truncated" in refused(file, tmp_path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
)
def test_links_and_devices(tmp_path: Path, kind: bytes) -> None:
    """In place of a file that a manifest speaks of, or of the manifest."""
    content = b"x" * 10
    file = forged(tmp_path / "bad.tar", [("limits.toml", content)])
    raw = bytearray(file.read_bytes())
    for name in ("limits.toml", "manifest.json"):
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mode = kind, "/etc/passwd", 0o600
        changed = bytearray(raw)
        place = raw.index(name.encode() + bytes(10))
        changed[place : place + 512] = info.tobuf(tarfile.GNU_FORMAT)
        file.write_bytes(changed)
        refused(file, tmp_path)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        bytes(512),
        bytes(10240),
        b"PK\x03\x04" + bytes(600),
        b"\x1f\x8b" + bytes(600),
        tarfile.TarInfo("manifest.json").tobuf() + bytes(2048),
    ],
)
def test_files_of_another_kind(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "bad.tar").write_bytes(raw)
    refused(tmp_path / "bad.tar", tmp_path)
    with pytest.raises(StoreError, match="cannot be restored"):
        restore_home(tmp_path / "none.tar", tmp_path / "copy")


def test_a_manifest_nested_without_end(tmp_path: Path) -> None:
    head = b"[" * 10_000_000
    info = tarfile.TarInfo("manifest.json")
    info.size, info.mode = len(head), 0o600
    content = info.tobuf(tarfile.GNU_FORMAT) + head + bytes(-len(head) % 512)
    (tmp_path / "bad.tar").write_bytes(content)
    assert "manifest cannot be read" in refused(tmp_path / "bad.tar", tmp_path)


def repacked(whole: Path, change: Callable[[Path], None], file: Path) -> Path:
    """Write a backup that is right in itself of a home that is not."""
    made = file.with_name("unpacked")
    unpack_tar(whole / "whole.tar", made)
    change(made)
    manifest = msgspec.json.decode((made / "manifest.json").read_bytes(), type=Manifest)
    paths = [
        path
        for path in sorted(made.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", "digest")
    ]
    members = [
        Member(
            str(path.relative_to(made)), path.stat().st_size, sha256(path.read_bytes()).hexdigest()
        )
        for path in paths
    ]
    with file.open("wb") as out:
        changed = msgspec.structs.replace(manifest, members=members)
        write_archive(out, changed, paths, lambda *_: None)
    shutil.rmtree(made)
    return file


def edit(sql: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        with sqlite3.connect(home / "benchpool.sqlite") as connection:
            connection.executescript(sql)
        connection.close()

    return change


def cut(home: Path) -> None:
    path = library(home)
    path.write_bytes(path.read_bytes()[:8192])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda home: (home / "benchpool.sqlite").unlink(), "no benchpool.sqlite"),
        (lambda home: (home / "benchpool.sqlite").write_bytes(b""), "and no network"),
        (lambda home: (home / "benchpool.sqlite").write_bytes(b"x" * 9000), "not a database"),
        (lambda home: library(home).unlink(), "is gone, and its log"),
        (cut, "is damaged"),
        (edit("DELETE FROM log WHERE sequence > 8"), "log ends at entry"),
        (edit("UPDATE facts SET value = value + 1 WHERE name = 'clock'"), "'clock'"),
        (edit("DELETE FROM wallets"), "counts"),
        (edit("CREATE TRIGGER t AFTER INSERT ON log BEGIN DELETE FROM names; END"), "a trigger"),
        (edit("CREATE VIEW v AS SELECT * FROM log"), "a view"),
    ],
)
def test_a_whole_backup_of_a_home_that_is_not(
    whole: Path, tmp_path: Path, change: Callable[[Path], None], why: str
) -> None:
    file = repacked(whole, change, tmp_path / "bad.tar")
    assert why in refused(file, tmp_path)


def test_data_that_does_not_hash_to_its_name(whole: Path, tmp_path: Path) -> None:
    def change(home: Path) -> None:
        (path,) = (home / "data").iterdir()
        path.chmod(0o600)
        path.write_bytes(b"other data")

    assert "now hashes to" in refused(repacked(whole, change, tmp_path / "bad.tar"), tmp_path)


# -- rebuild -----------------------------------------------------------------------------------


def lose(home: Path) -> None:
    library(home).unlink()


def forge_clock(home: Path) -> None:
    edit("UPDATE facts SET value = 'noon' WHERE name = 'clock'")(home)


def forge_sent(home: Path) -> None:
    edit("UPDATE facts SET value = '0' WHERE name = 'sent'")(home)


def forge_counts(home: Path) -> None:
    edit("UPDATE facts SET value = '[' WHERE name IN ('pushed', 'naming')")(home)


def forge_names(home: Path) -> None:
    edit("INSERT INTO names VALUES ('ghost', 'nobody')")(home)


def forge_memory(home: Path) -> None:
    edit("UPDATE checkpoints SET memory = x'00'")(home)


def fill(home: Path) -> None:
    library(home).write_bytes(b"no database at all, and long enough to be taken for one" * 99)


def cut_log(home: Path) -> None:
    """As a write-ahead log that was deleted does: the last commits are gone, whole."""
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        query = "SELECT sequence FROM log JOIN names ON identity = process WHERE cron = 1"
        (last,) = connection.execute(f"{query} ORDER BY sequence DESC LIMIT 1").fetchone()
        connection.execute("DELETE FROM log WHERE sequence >= ?", (last - 1,))
    connection.close()


def look_at_states(home: Path) -> None:
    with opened(home) as network:
        for name in ("library", "tally"):
            network.process(name)


@pytest.mark.parametrize(
    "damage",
    [lose, fill, forge_clock, forge_sent, forge_counts, forge_names, forge_memory, cut, cut_log],
)
def test_a_home_is_rebuilt_from_its_log(whole: Path, damage: Callable[[Path], None]) -> None:
    home = whole / "home"
    digest = replay_home(home, registry=registry()).digest
    damage(home)
    with pytest.raises(BenchpoolError) as refusal:
        look_at_states(home)
    assert "benchpool rebuild" in str(refusal.value) or "damaged" in str(refusal.value)
    done = rebuild_home(home, registry=registry())
    done.check()
    assert (done.digest == digest) is (damage is not cut_log)
    assert check(home) is None
    assert not [path.name for path in home.iterdir() if path.name.startswith("databases.")]


def test_a_log_that_lies_is_not_rebuilt(whole: Path) -> None:
    home = whole / "home"
    edit("UPDATE log SET result = (SELECT result FROM log WHERE sequence = 1) WHERE sequence = 9")(
        home
    )
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file() and p.name != "lock"}
    assert rebuild_home(home, registry=registry()).difference is not None
    after = {p: p.read_bytes() for p in home.rglob("*") if p.is_file() and p.name != "lock"}
    assert {path: after[path] == raw for path, raw in before.items()} == dict.fromkeys(before, True)


def test_a_seed_that_was_changed_is_not_rebuilt(whole: Path) -> None:
    edit(f"UPDATE facts SET value = '{'ab' * 32}' WHERE name = 'seed'")(whole / "home")
    with pytest.raises(StoreError, match=r"'seed' .* restore the home from a backup$"):
        opened(whole / "home")
    with pytest.raises(StoreError, match=r"'seed' .* restore the home from a backup$"):
        rebuild_home(whole / "home", registry=registry())


def test_a_home_in_use_is_not_rebuilt(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Home.lock, "__defaults__", (0.0,))
    with opened(whole / "home"), pytest.raises(HomeLocked):
        rebuild_home(whole / "home", registry=registry())
