"""Makes a home of the lines of an export, and believes none of them."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from benchpool.ao.ids import is_id
from benchpool.ao.message import ProcessInfo
from benchpool.ao.wallet import Wallet
from benchpool.ao.wire import SCHEDULER_KEY_FACT, SIGNED_FACT, SignedAssignment
from benchpool.audit.entries import read_message, read_result, read_tags
from benchpool.audit.hashed_lines import HashedLine
from benchpool.audit.state_hashes import StateHash
from benchpool.errors import BenchpoolError, StoreError
from benchpool.extensions.outside import OLD_LOG_FACT
from benchpool.store import DataStore, Store
from benchpool.store.facts import is_form
from benchpool.store.home import Home
from benchpool.store.schema import SCHEMA_VERSION
from benchpool.store.shelf import GIVEN_IDS, MODULES, PACKAGES
from benchpool.store.uploads import UploadRecord
from benchpool.units.limits import LIMITS_FILE, forget_cluster

FORMAT: Final = 1
CHUNK: Final = 2**20
"""Bytes of data that one line holds."""
_COMMIT_ENTRIES: Final = 5_000
SEED_DIGEST: Final = "seed_digest"
FACTS: Final = (
    *("clock", "messenger", "scheduler", SIGNED_FACT, SCHEDULER_KEY_FACT, "sent"),
    *(MODULES, PACKAGES, GIVEN_IDS),
)
SECRET_FACTS: Final = frozenset({"seed"})
"""Every key is made from the seed."""


class HomeMaker:
    """Puts lines into a new home."""

    def __init__(self, store: Store, data: DataStore, home: Home) -> None:
        self.store = store
        self.data = data
        self.home = home
        self.clock_ms = 0
        self.states: dict[str, StateHash] = {}
        self._incoming: tuple[str, IO[bytes]] | None = None
        self._left = 0
        """Bytes of it that are still to come."""
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
        except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
            raise StoreError(f"line {line.number}: a bad {line.kind}: {error}") from error
        except BenchpoolError as error:
            raise StoreError(f"line {line.number}: {error}") from error

    def finish(self) -> None:
        """Commit what came."""
        self._keep_data()
        try:
            self.store.commit(self.clock_ms)
        except ArithmeticError as error:
            raise StoreError(f"an entry says a number that none has: {error}") from error

    def close(self) -> None:
        """Let go of what was coming in."""
        if self._incoming is not None:
            self._incoming[1].close()

    def _header(self, *, format: int, schema: int, seed_digest: str, **_: object) -> None:  # noqa: A002
        if format != FORMAT or schema > SCHEMA_VERSION:
            raise StoreError(
                f"the file has format {format} and schema {schema}; this benchpool reads format"
                f" {FORMAT} and schemas up to {SCHEMA_VERSION}"
            )
        # New wallets of the copy get keys of their own, unless the file brings the seed.
        self.store.set_fact("seed", os.urandom(32).hex())
        self.store.set_fact(SEED_DIGEST, seed_digest)

    def _fact(self, *, name: str, value: str) -> None:
        if name not in {*FACTS, *SECRET_FACTS, OLD_LOG_FACT} or not is_form(name, value):
            raise StoreError(f"no export tells a fact {name[:40]!r} with value {value[:40]!r}")
        if name == "clock":
            self.clock_ms = int(value)
        self.store.set_fact(name, value)

    def _limits(self, *, text: str) -> None:
        path = self.home.folder / LIMITS_FILE
        path.write_text(text, encoding="utf-8")
        forget_cluster(path)

    def _wallet(self, *, name: str, address: str, type: str, secret: str = "") -> None:  # noqa: A002
        self.store.add_wallet(Wallet(name, address, bytes.fromhex(secret), type))

    def _process(self, *, tags: list[list[str]], **fields: Any) -> None:
        self.store.add_process(ProcessInfo(tags=read_tags(tags), **fields))

    def _state(self, *, process: str, **fields: Any) -> None:
        self.states[process] = StateHash(**fields)

    def _data(self, *, id: str, size: int, included: bool) -> None:  # noqa: A002
        if not is_id(id) or size < 0:
            raise StoreError(f"no data has id {id[:80]!r} and {size} bytes")
        if included:
            self._incoming = (id, (self.home.folder / "incoming").open("w+b"))
            self._left = size

    def _upload(self, **fields: Any) -> None:
        self.data.uploads.add(msgspec.convert(fields, UploadRecord))

    def _chunk(self, *, base64: str) -> None:
        if self._incoming is None:
            raise StoreError("a chunk of no data")
        data = b64decode(base64, validate=True)
        self._left -= len(data)
        if len(data) > CHUNK or self._left < 0:
            raise StoreError(f"data {self._incoming[0]} has more bytes than it says")
        self._incoming[1].write(data)

    def _keep_data(self) -> None:
        if self._incoming is None:
            return
        (data_id, stream), self._incoming = self._incoming, None
        path = Path(stream.name)
        stream.close()
        if self._left:
            raise StoreError(f"data {data_id} has {self._left:,} bytes less than it says")
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
