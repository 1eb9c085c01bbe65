"""A whole run as one file: registers, data, every message with its result, hashes of the states.

The lines of the file are those of `benchpool.audit.hashed_lines`; what they hold is told in
docs/audit.md. An import believes nothing: it checks every byte, follows every hash chain, and folds
the logs again to make the states.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import msgspec

from benchpool.ao.ids import encode_id, is_id
from benchpool.ao.message import ProcessInfo
from benchpool.ao.wallet import Wallet
from benchpool.ao.wire import SCHEDULER_KEY_FACT, SIGNED_FACT, SignedAssignment
from benchpool.audit.entries import entry_fields, read_message, read_result, read_tags
from benchpool.audit.hashed_lines import HashedLine, LineWriter, read_lines
from benchpool.audit.rebuild import keep_states
from benchpool.audit.replay import Replayer
from benchpool.audit.replay_host import ReplayHost
from benchpool.audit.replay_report import Replay
from benchpool.audit.state_hashes import StateHash, kept_in
from benchpool.errors import ConfigError, StoreError
from benchpool.extensions.outside import OLD_LOG_FACT, old_positions
from benchpool.process.registry import Registry
from benchpool.store import DataStore, Store
from benchpool.store.home import Home, OpenHome, open_run
from benchpool.store.opening import open_store
from benchpool.store.schema import SCHEMA_VERSION
from benchpool.store.uploads import UploadRecord
from benchpool.units.limits import LIMITS_FILE, find_limits
from benchpool.version import VERSION

FORMAT: Final = 1
DATA_LIMIT: Final = 16 * 2**20
"""Bytes of a data transaction that is included unless all are asked for."""
CHUNK: Final = 2**20
"""Bytes of data that one line holds."""
_COMMIT_ENTRIES: Final = 5_000
_SEED_DIGEST: Final = "seed_digest"
_FACTS: Final = ("clock", "messenger", "scheduler", SIGNED_FACT, SCHEDULER_KEY_FACT, "sent")
_SECRET_FACTS: Final = frozenset({"seed"})
"""Every key is made from the seed."""


class Exported(NamedTuple):
    """What a file holds."""

    lines: int
    entries: int
    size: int
    left_out: list[tuple[str, int]]
    """Data transactions that are only named: id and size."""
    hash: str
    """SHA-256 of the entries, line by line: equal logs have equal ones, whatever else is held."""


# -- writing ---------------------------------------------------------------------------------


def export_home(
    folder: Path,
    file: Path,
    *,
    with_keys: bool = False,
    with_data: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int], None] = lambda _count: None,
) -> Exported:
    """Write a home to a file, whole or not at all.

    Args:
        folder: the home; it is only looked at.
        file: what to write.
        with_keys: include the seed and the secrets of the wallets; only the user can read the
            file then.
        with_data: include data transactions above `DATA_LIMIT` too.
        overwrite: whether a file that is there may be replaced.
        on_progress: called with the number of log entries written.

    Raises:
        ConfigError: the file is there already.
        StoreError: the home is damaged, or the file cannot be written.
    """
    if file.exists() and not overwrite:
        raise ConfigError(
            f"{file} is there already; name another file, or overwrite it with --force"
        )
    with open_run(folder) as run:
        writer = None
        partial = file.with_name(f".{file.name}.partial")
        try:
            partial.unlink(missing_ok=True)  # of an export that was killed
            mode = 0o600 if with_keys else 0o666
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as out:
                writer = LineWriter(out)
                left_out = _write_registers(writer, run, with_keys=with_keys, with_data=with_data)
                entries, log = 0, sha256()
                signed = run.store if run.store.has_items() else None
                for line in run.store.lines():
                    log.update(writer.write("entry", **entry_fields(line, signed)))
                    entries += 1
                    if entries % _COMMIT_ENTRIES == 0:
                        on_progress(entries)
                _write_memories(writer, run.home, run.store)
                writer.close()
            partial.replace(file)
        except OSError as error:
            raise StoreError(f"{file} cannot be written: {error.strerror or error}") from error
        finally:
            partial.unlink(missing_ok=True)
    return Exported(writer.lines, entries, file.stat().st_size, left_out, encode_id(log.digest()))


def _write_registers(
    writer: LineWriter, run: OpenHome, *, with_keys: bool, with_data: bool
) -> list[tuple[str, int]]:
    home, store, data = run
    seed = store.fact("seed") or ""
    seed_digest = store.fact(_SEED_DIGEST) or sha256(seed.encode()).hexdigest()
    writer.write(
        "header",
        format=FORMAT,
        benchpool=VERSION,
        schema=SCHEMA_VERSION,
        # The seed's own digest makes the keys, so only a digest of that is told.
        seed_digest=seed_digest,
        with_keys=with_keys,
    )
    for name in (*_FACTS, *(_SECRET_FACTS if with_keys else ())):
        value = store.fact(name)
        if value is not None:
            writer.write("fact", name=name, value=value)
    untyped = msgspec.json.encode(old_positions(store)).decode()
    writer.write("fact", name=OLD_LOG_FACT, value=untyped)
    limits = home.folder / LIMITS_FILE
    if limits.exists():
        writer.write("limits", text=limits.read_text(encoding="utf-8"))
    for wallet in store.wallets():
        secret = {"secret": wallet.secret.hex()} if with_keys else {}
        named = {"name": wallet.name, "address": wallet.address, "type": wallet.kind}
        writer.write("wallet", **named, **secret)
    for info in store.processes():
        fields = msgspec.structs.asdict(info)
        del fields["edition"]  # it follows from the positions of the old log
        writer.write("process", **{**fields, "tags": info.tags.pairs})
    for name, identity in store.names().items():
        writer.write("name", name=name, identity=identity)
    return _write_data(writer, data, with_data)


def _write_data(writer: LineWriter, data: DataStore, with_data: bool) -> list[tuple[str, int]]:
    left_out = []
    for path in sorted(data.folder.iterdir()):
        if not is_id(path.name):
            continue
        size = path.stat().st_size
        included = with_data or size <= DATA_LIMIT
        writer.write("data", id=path.name, size=size, included=included)
        if not included:
            left_out.append((path.name, size))
            continue
        with data.path(path.name).open("rb") as stream:
            while chunk := stream.read(CHUNK):
                writer.write("chunk", base64=b64encode(chunk).decode())
    for upload in data.uploads.all():
        fields = msgspec.to_builtins(upload.record)
        writer.write("upload", **fields)
    return left_out


def _write_memories(writer: LineWriter, home: Home, store: Store) -> None:
    kept = kept_in(home, store)
    for info in store.processes():
        memory = kept(info.id)
        if memory is not None:
            position, state, tables = memory
            writer.write("state", process=info.id, position=position, state=state, tables=tables)


# -- reading ---------------------------------------------------------------------------------


def import_file(
    file: Path,
    folder: Path,
    *,
    registry: Registry | None = None,
    on_progress: Callable[[int], None] = lambda _count: None,
) -> Replay:
    """Make a home of a file, verified to the last byte and folded again; or make nothing.

    Raises:
        StoreError: the home is not empty, or the file cannot be read, is truncated or damaged;
            names the line.
        ReplayDivergence: the file is whole, and its log does not give the results that it records.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is not empty; name a new home with --home")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-import-"))
    try:
        with file.open("rb") as stream:
            replay = _make(read_lines(stream, file), Home(made), registry, on_progress)
        if replay.difference is None:
            made.replace(folder)
    except OSError as error:
        raise StoreError(f"{file} cannot be imported: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    replay.check()
    return replay


def _make(
    lines: Iterator[HashedLine],
    home: Home,
    registry: Registry | None,
    on_progress: Callable[[int], None],
) -> Replay:
    home.folder.chmod(0o700)
    store, data = open_store(home.database), DataStore(home.data)
    try:
        maker = _Maker(store, data, home)
        for line in lines:
            maker.take(line)
        maker.finish()
        replay = _fold(maker, registry, on_progress)
        store.commit(maker.clock_ms)
    finally:
        store.close()
        data.close()
    return replay


def _fold(maker: _Maker, registry: Registry | None, on_progress: Callable[[int], None]) -> Replay:
    """Verify all logs, and keep the states that they give."""
    store = maker.store
    replayer = Replayer(
        store,
        maker.data,
        registry=registry,
        kept=maker.states.get,
        host=ReplayHost(maker.data, maker.home.databases),
        limits=find_limits(maker.home.folder),
    )
    try:
        replay = replayer.run(on_progress=on_progress)
        if replay.difference is not None:
            return replay
        keep_states(store, replay)
    finally:
        replayer.close()
    return replay


class _Maker:
    """Puts lines into a new home."""

    def __init__(self, store: Store, data: DataStore, home: Home) -> None:
        self.store = store
        self.data = data
        self.home = home
        self.clock_ms = 0
        self.states: dict[str, StateHash] = {}
        self._incoming: tuple[str, IO[bytes]] | None = None
        self._take: dict[str, Callable[..., None]] = {
            "header": self._header,
            "fact": self._fact,
            "limits": self._limits,
            "wallet": self._wallet,
            "process": self._process,
            "name": store.set_name,
            "data": self._data,
            "chunk": self._chunk,
            "upload": self._upload,
            "entry": self._entry,
            "state": self._state,
        }

    def take(self, line: HashedLine) -> None:
        """Take a line. Raises: StoreError naming it, if it says what no export says."""
        if (line.number == 1) != (line.kind == "header") or line.kind not in self._take:
            raise StoreError(f"line {line.number}: {line.kind[:40]!r} has no place there")
        if line.kind != "chunk":
            self._keep_data()
        try:
            self._take[line.kind](**line.fields)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise StoreError(f"line {line.number}: a bad {line.kind}: {error}") from error
        except StoreError as error:
            raise StoreError(f"line {line.number}: {error}") from error

    def finish(self) -> None:
        """Commit what came."""
        self._keep_data()
        self.store.commit(self.clock_ms)

    def _header(self, *, format: int, schema: int, seed_digest: str, **_: object) -> None:  # noqa: A002
        if format != FORMAT or schema > SCHEMA_VERSION:
            raise StoreError(
                f"the file has format {format} and schema {schema}; this benchpool reads format"
                f" {FORMAT} and schemas up to {SCHEMA_VERSION}"
            )
        # New wallets of the copy get keys of their own, unless the file brings the seed.
        self.store.set_fact("seed", os.urandom(32).hex())
        self.store.set_fact(_SEED_DIGEST, seed_digest)

    def _fact(self, *, name: str, value: str) -> None:
        if name == "clock":
            self.clock_ms = int(value)
        self.store.set_fact(name, value)

    def _limits(self, *, text: str) -> None:
        (self.home.folder / LIMITS_FILE).write_text(text, encoding="utf-8")

    def _wallet(self, *, name: str, address: str, type: str, secret: str = "") -> None:  # noqa: A002
        self.store.add_wallet(Wallet(name, address, bytes.fromhex(secret), type))

    def _process(self, *, tags: list[list[str]], **fields: Any) -> None:
        self.store.add_process(ProcessInfo(tags=read_tags(tags), **fields))

    def _state(self, *, process: str, **fields: Any) -> None:
        self.states[process] = StateHash(**fields)

    def _data(self, *, id: str, size: int, included: bool) -> None:  # noqa: A002, ARG002
        if included:
            self._incoming = (id, (self.home.folder / "incoming").open("w+b"))

    def _upload(self, **fields: Any) -> None:
        self.data.uploads.add(msgspec.convert(fields, UploadRecord))

    def _chunk(self, *, base64: str) -> None:
        if self._incoming is None:
            raise StoreError("a chunk of no data")
        self._incoming[1].write(b64decode(base64, validate=True))

    def _keep_data(self) -> None:
        if self._incoming is None:
            return
        (data_id, stream), self._incoming = self._incoming, None
        path = Path(stream.name)
        stream.close()
        found = self.data.put_file(path)
        path.unlink()
        if found != data_id:
            raise StoreError(f"data {data_id} hashes to {found}")

    def _entry(
        self,
        *,
        message: dict[str, Any],
        result: dict[str, Any] | None = None,
        mail: bool = False,
        item: str = "",
        mark: str = "",
        assignment: str = "",
        exclude: Sequence[str] = (),
    ) -> None:
        made = read_message(message)
        self.store.append(made, mail=mail)
        if item:
            self.store.add_item(made.id, b64decode(item, validate=True), mark)
        if assignment:
            signed = SignedAssignment(b64decode(assignment, validate=True), tuple(exclude))
            self.store.add_signed_assignment(made.process, made.position, signed)
        if result is not None:
            self.store.record(made, read_result(result))
        if self.store.uncommitted >= _COMMIT_ENTRIES:
            self.store.commit(self.clock_ms)
