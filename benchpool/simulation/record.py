"""Record: all that a network holds at the end of a run, so that two runs can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from benchpool.ao.message import ProcessInfo, Result, encode, encode_result
from benchpool.network import Network
from benchpool.process.module import ModuleProcess
from benchpool.store.base import LogEntry

_NOT_COMPARED = ("benchpool_", "sqlite_")
"""Tables in a private database that only say how far it was saved."""


@dataclass(frozen=True, slots=True)
class Record:
    """Logs, memories, tables and registers."""

    processes: list[ProcessInfo]
    names: dict[str, str]
    logs: dict[str, list[LogEntry]]
    """Of every process and wallet."""
    memories: dict[str, bytes]
    tables: dict[str, list[tuple[Any, ...]]]
    """Rows of the private databases, by process id."""
    now_ms: int
    pending: int
    resolved: dict[str, ModuleProcess]
    """The processes themselves, to look at."""

    def state(self, name: str) -> Any:
        """Return the state of a process, by name."""
        return self.resolved[self.names[name]].state

    def modules(self, module: str) -> list[str]:
        """Return the names of the processes of a module."""
        ids = {info.id for info in self.processes if info.module == module}
        return [name for name, identity in self.names.items() if identity in ids]


def read_record(network: Network) -> Record:
    """Read everything out of a network at rest."""
    infos = network.processes()
    parties = [info.id for info in infos] + [wallet.address for wallet in network.wallets()]
    resolved = {info.id: network.process(info.id) for info in infos}
    return Record(
        processes=infos,
        names=network.names(),
        logs={party: list(network.store.entries(party)) for party in parties},
        memories={key: process.dump() for key, process in resolved.items()},
        tables={key: rows_of(process) for key, process in resolved.items()},
        now_ms=network.clock.now(),
        pending=network.pending,
        resolved=resolved,
    )


def rows_of(process: ModuleProcess) -> list[tuple[Any, ...]]:
    """Return every row of a process's private database, each with the name of its table."""
    database = getattr(process, "database", None)
    if database is None:
        return []
    connection = database._connection
    began = connection.in_transaction()
    listed = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    )
    tables = [name for (name,) in listed if not name.startswith(_NOT_COMPARED)]
    rows = [
        (table, *row)
        for table in tables
        for row in connection.exec_driver_sql(f'SELECT * FROM "{table}" ORDER BY 1')  # noqa: S608
    ]
    if not began:
        connection.rollback()
    return rows


def differences(interrupted: Record, whole: Record) -> Iterator[str]:
    """Say where a run that was interrupted differs from the one that was not."""
    if interrupted.names != whole.names:
        yield f"names: {interrupted.names} instead of {whole.names}"
    if interrupted.processes != whole.processes:
        yield "the registered processes differ"
    names = {identity: name for name, identity in whole.names.items()}
    for party, expected in whole.logs.items():
        name = names.get(party, party)
        log = interrupted.logs.get(party, [])
        for place, (one, other) in enumerate(zip(log, expected, strict=False)):
            if encode(one.message) != encode(other.message):
                yield f"{name}: message {place} is {_brief(one)} instead of {_brief(other)}"
                break
            if _written(one.result) != _written(other.result):
                yield f"{name}: the result of message {place}, {_brief(one)}, differs"
                break
        else:
            if len(log) != len(expected):
                yield f"{name}: {len(log)} messages in the log instead of {len(expected)}"
    for identity, memory in whole.memories.items():
        if interrupted.memories.get(identity) != memory:
            yield f"{names.get(identity, identity)}: state {_hash(interrupted, identity)} differs"
        if interrupted.tables.get(identity) != whole.tables[identity]:
            yield f"{names.get(identity, identity)}: rows of the private database differ"
    if interrupted.now_ms != whole.now_ms:
        yield f"the time is {interrupted.now_ms} instead of {whole.now_ms}"


def _hash(record: Record, identity: str) -> str:
    return sha256(record.memories.get(identity, b"")).hexdigest()[:12]


def _written(result: Result | None) -> bytes:
    return b"" if result is None else encode_result(result)


def _brief(entry: LogEntry) -> str:
    return f"{entry.message.action or entry.message.type} {entry.message.id[:8]}"
