"""Modules that are data of a network: WASM files as AO has them, added or uploaded here.

A module that was added has a name, and may have further ids: those that it has on AO's main
network. One that was uploaded as a signed item of type Module, as on AO, has the id of the item.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from benchpool.ao.ids import decode_id, encode_id, is_id
from benchpool.ao.shapes import PROTOCOL
from benchpool.ao.tags import Tags
from benchpool.ao.wallet import check_name
from benchpool.errors import (
    ConfigError,
    DataCorrupt,
    DataNotFound,
    LimitExceeded,
    MessageError,
    PrerequisiteError,
    StoreError,
)
from benchpool.process.module import Module
from benchpool.process.registry import Registry
from benchpool.store import DataStore, Store
from benchpool.store.shelf import MODULES, AddedModule, encode_fact, modules_of
from benchpool.store.uploads import Upload
from benchpool.units.limits import Limits

if TYPE_CHECKING:
    from benchpool.wasm.module import Described

MODULE: Final = "Module"
"""The Type of an item that is one."""
CONTENT_TYPE: Final = "application/wasm"
_UNITS: Final = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


class ModuleShelf:
    """The modules of one network that are data; see `ModuleData`.

    Args:
        store: what was added.
        data: their bytes.
        limits: those of the network.
        read_only: somebody else may add modules meanwhile.
    """

    def __init__(
        self, store: Store, data: DataStore, limits: Limits, *, read_only: bool = False
    ) -> None:
        self._store = store
        self._data = data
        self._limits = limits
        self._read_only = read_only
        self._records: list[AddedModule] | None = None
        self._made: dict[str, Module] = {}

    # -- looking -----------------------------------------------------------------------------

    def records(self) -> list[AddedModule]:
        """Return the modules that were added, in order."""
        if self._records is None or self._read_only:
            self._records = modules_of(self._store)
        return self._records

    def record(self, text: str) -> AddedModule | None:
        """Return the added module of this name or id."""
        return next((each for each in self.records() if each.known_as(text)), None)

    def names(self) -> list[str]:
        """See `ModuleData`."""
        return [each.name for each in self.records()]

    def name(self, module_id: str) -> str:
        """See `ModuleData`."""
        record = self.record(module_id)
        return "" if record is None else record.name

    def pin(self, name: str) -> str:
        """See `ModuleData`."""
        record = self.record(name)
        return "" if record is None else record.id

    def find(self, module_id: str) -> Module | None:
        """See `ModuleData`. Its bytes are looked at once."""
        made = self._made.get(module_id)
        if made is None:
            record = self.record(module_id)
            upload = None if record is not None else self._upload(module_id)
            if record is not None:
                made = self._make(record, module_id)
            elif upload is not None:
                made = self._make(_record_of(upload), module_id, upload)
            else:
                return None
            self._made[module_id] = made
        return made

    def bounds(self, record: AddedModule) -> tuple[int, int]:
        """Return the fuel of a message and the memory in bytes that a module may use here."""
        compute, memory = self._limits.wasm_fuel_per_message, self._limits.wasm_memory_bytes
        return (
            min(record.compute_limit or compute, compute),
            min(record.memory_limit or memory, memory),
        )

    def tags(self, record: AddedModule) -> Tags:
        """Return what an item of a module that was added would say of it."""
        compute, memory = self.bounds(record)
        return Tags(
            [
                *PROTOCOL,
                ("Type", MODULE),
                ("Name", record.name),
                ("Module-Format", record.format),
                ("Input-Encoding", "JSON-1"),
                ("Output-Encoding", "JSON-1"),
                ("Memory-Limit", _written_size(memory)),
                ("Compute-Limit", str(compute)),
                ("Content-Type", CONTENT_TYPE),
            ]
        )

    def damage(self) -> str | None:
        """Say which module that was added has not its bytes here; None if all have."""
        for record in self.records():
            try:
                self._bytes(record)
            except StoreError as error:
                return str(error)
        return None

    def _make(self, record: AddedModule, module_id: str, upload: Upload | None = None) -> Module:
        from benchpool.wasm.module import WasmModule, check  # noqa: PLC0415 - most have none

        code = self._bytes(record)
        try:
            check(code)  # else each message would fail for ever, for want of something outside
        except MessageError as error:
            raise DataCorrupt(f"module {record.name} {record.id} cannot be run: {error}") from error
        compute, memory = self.bounds(record)
        scheduler = self._store.fact("scheduler") or ""
        made = WasmModule(
            code,
            id=module_id,
            format=record.format,
            compute_limit=compute,
            memory_limit_bytes=memory,
            tags=self.tags(record) if upload is None else Tags(upload.item.tags),
            owner=scheduler if upload is None else upload.item.address,
            name=record.name,
        )
        made.authority, made.scheduler = self._store.fact("messenger") or "", scheduler
        return made

    def _bytes(self, record: AddedModule) -> bytes:
        """Return the bytes of a module. Raises: DataNotFound, DataCorrupt naming it."""
        what = f"module {record.name or '(uploaded)'} {record.id}"
        try:
            return self._data.get(record.id)
        except DataNotFound:
            raise DataNotFound(
                f"the bytes of {what} are gone; put the file back with: benchpool data put FILE"
            ) from None
        except DataCorrupt as error:
            raise DataCorrupt(
                f"the bytes of {what} were changed; put the file back with: benchpool data put FILE"
            ) from error

    def _upload(self, module_id: str) -> Upload | None:
        upload = self._data.uploads.find(module_id)
        if upload is None or upload.record.size > self._limits.module_bytes:
            return None
        return upload if is_module(Tags(upload.item.tags)) else None

    # -- adding ------------------------------------------------------------------------------

    def check_size(self, size: int) -> None:
        """Accept the size of a module before it is read. Raises: LimitExceeded."""
        if size > self._limits.module_bytes:
            raise LimitExceeded(
                f"this module has {size:,} bytes; at most {self._limits.module_bytes:,} are"
                " allowed (module_bytes)"
            )

    def describe(self, module: bytes | Path) -> Described:
        """Compile a module, which takes long the first time, and say what it is.

        Raises: LimitExceeded; PrerequisiteError; BenchpoolError if it is none of AO.
        """
        from benchpool.wasm.module import check  # noqa: PLC0415 - most networks have none

        if isinstance(module, Path):
            self.check_size(module.stat().st_size)
            module = module.read_bytes()
        self.check_size(len(module))
        return check(module)

    def try_upload(self, module: Path) -> None:
        """Accept a module that somebody uploads. Raises: as `describe`; not without wasmtime."""
        with suppress(PrerequisiteError):
            self.describe(module)

    def add(
        self,
        code: bytes,
        name: str,
        code_registry: Registry,
        *,
        ids: Sequence[str] = (),
        compute_limit: int | None = None,
        memory_limit: int | None = None,
    ) -> AddedModule:
        """Take a module in, under a name and any number of ids; it stands from the next commit on.

        The same again is nothing new, and may bring further ids.

        Args:
            code: the WASM file.
            name: to spawn it by.
            code_registry: the modules that are code, whose names and ids are taken.
            ids: further ids, such as those that it has on AO's main network.
            compute_limit: what a message may use of fuel; None is what the network allows.
            memory_limit: in bytes; None is what the network allows.

        Raises:
            ConfigError: a name or id that is none or is taken; other bounds than before.
            LimitExceeded: it is too large.
            BenchpoolError: it is no module of AO.
        """
        self._check_name(name, code_registry)
        described = self.describe(code)
        ids = tuple(dict.fromkeys(ids))
        made = AddedModule(
            id=encode_id(sha256(code).digest()),
            name=name,
            format=described.format,
            size=len(code),
            ids=ids,
            compute_limit=compute_limit,
            memory_limit=memory_limit,
        )
        for each in ids:
            self._check_id(each, made, code_registry)
        known = self.record(made.id)
        if known is None:
            taken = self.record(name)
            if taken is not None:
                raise ConfigError(
                    f"module {name} is another file here, with SHA-256 {taken.sha256};"
                    " take another name"
                )
        else:
            made = _joined(known, made)
        self._data.put(code)
        records = [made if each.id == made.id else each for each in self.records()]
        self._keep(records if known is not None else [*records, made])
        return made

    def _keep(self, records: list[AddedModule]) -> None:
        self._store.set_fact(MODULES, encode_fact(records))
        self._records = records

    def _check_name(self, name: str, code_registry: Registry) -> None:
        check_name(name)
        if name.lower() in {each.lower() for each in code_registry.names()}:
            raise ConfigError(f"{name} is a module that is installed here; take another name")

    def _check_id(self, given: str, made: AddedModule, code_registry: Registry) -> None:
        """Accept a further id of a module, which nothing else may have. Raises: ConfigError."""
        if not is_id(given) or encode_id(decode_id(given)) != given:
            raise ConfigError(f"not an id: {given[:80]!r}; it has 43 base64url characters")
        taken = self._taken_by(given, made, code_registry)
        if taken:
            raise ConfigError(f"id {given} is {taken}; a module cannot have it too")

    def _taken_by(self, given: str, made: AddedModule, code_registry: Registry) -> str:
        """Say what has an id already; empty if nothing has, or this module itself."""
        if given == made.id:
            return ""
        record, upload = self.record(given), self._data.uploads.find(given)
        other = upload is not None and upload.record.data != made.id
        unknown = record is None and upload is None
        holders = {
            "that of a module that is installed here": not code_registry.is_data(given),
            "that of another module": record is not None and record.id != made.id,
            "that of other data": other or self._data.size(given) is not None,
            "that of a process, message or wallet": self._store.process(given) is not None
            or self._store.find(given) is not None
            or self._store.last_position(given) >= 0
            or given in self._store.names().values(),
            "that of a module which is not here, and of which there are processes": unknown
            and any(info.module == given for info in self._store.processes()),
        }
        return next((what for what, held in holders.items() if held), "")


def is_module(tags: Tags) -> bool:
    """Tell whether the tags of an item say that it is a WASM module of AO."""
    return tags.get("Type") == MODULE and tags.get("Module-Format").startswith("wasm")


def read_size(text: str) -> int | None:
    """Read what Memory-Limit says, such as `500-mb`, in bytes; None if it says nothing clear."""
    found = re.fullmatch(r"(\d{1,12})[- ]?(b|kb|mb|gb)", text.strip().lower(), re.ASCII)
    return int(found[1]) * _UNITS[found[2]] or None if found else None


def _written_size(size: int) -> str:
    unit = next(each for each in reversed(_UNITS) if size % _UNITS[each] == 0)
    return f"{size // _UNITS[unit]}-{unit}"


def _record_of(upload: Upload) -> AddedModule:
    tags = Tags(upload.item.tags)
    compute = tags.get("Compute-Limit")
    return AddedModule(
        id=upload.record.data,
        name="",
        format=tags.get("Module-Format"),
        size=upload.record.size,
        compute_limit=int(compute) or None if compute.isascii() and compute.isdigit() else None,
        memory_limit=read_size(tags.get("Memory-Limit")),
    )


def _joined(known: AddedModule, again: AddedModule) -> AddedModule:
    """Return a module that was added before and is added again. Raises: ConfigError."""
    if again.name != known.name:
        raise ConfigError(f"this file is here as module {known.name}; give it no second name")
    for name in ("compute_limit", "memory_limit"):
        value = getattr(again, name)
        if value is not None and value != getattr(known, name):
            raise ConfigError(
                f"module {known.name} runs within other bounds here, and processes may rest on"
                " them; take a new home for it"
            )
    return replace(known, ids=tuple(dict.fromkeys((*known.ids, *again.ids))))
