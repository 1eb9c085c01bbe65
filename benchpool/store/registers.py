"""Registers: what a home keeps beside its log: processes, names, wallets, facts, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from benchpool.ao.message import ProcessInfo
from benchpool.ao.tags import Tags
from benchpool.ao.wallet import Wallet
from benchpool.errors import StoreError
from benchpool.store.base import Checkpoint, Durability
from benchpool.store.connections import SqliteFile
from benchpool.store.facts import LOG_END, NAMES, SEALS, digest_names, seal

_COLLECTED_BYTES: Final = 16 << 20
"""Of checkpoints that wait to be written together."""


class Registers(SqliteFile):
    """The part of a store that keeps the registers, see `Store`."""

    def __init__(
        self, path: Path, *, read_only: bool = False, durability: Durability = "power"
    ) -> None:
        self._infos: dict[str, ProcessInfo] = {}
        """The facts of processes, which never change, as far as they were asked for."""
        self._renamed = True
        """Whether the names may not be those of the last commit."""
        self._facts: dict[str, str] | None = None
        """The facts as they stand, once they were read."""
        self._checkpoints: dict[str, tuple[int, bytes]] = {}
        """Those that wait to be written."""
        self._checkpoint_bytes = 0
        super().__init__(path, read_only=read_only, durability=durability)

    def _flush(self) -> None:
        """Write what collected in memory."""
        if self._checkpoints:
            # By id, as the index has them: a hundred thousand at random places take far longer.
            made = sorted(self._checkpoints.items())
            self._write(_ADD_CHECKPOINT, [(process, *rest) for process, rest in made])
            self._checkpoints.clear()
            self._checkpoint_bytes = 0
        super()._flush()

    def add_process(self, info: ProcessInfo) -> None:
        """See `Store`."""
        tags = msgspec.msgpack.encode(info.tags.pairs)
        row = (info.id, info.module, info.owner, tags)
        self._write(_ADD_PROCESS, [(*row, info.created_ms, info.created_height, info.order)])
        self._infos[info.id] = info

    def process(self, process_id: str) -> ProcessInfo | None:
        """See `Store`."""
        self.failure.check()
        known = self._infos.get(process_id)
        if known is None:
            row = self._one(f"{_PROCESSES} WHERE id = ?", (process_id,))
            if row is None:
                return None
            known = self._known(row)
        return known

    def processes(self) -> list[ProcessInfo]:
        """See `Store`."""
        return [self._known(row) for row in self._all(f'{_PROCESSES} ORDER BY "order"')]

    def _known(self, row: tuple[Any, ...]) -> ProcessInfo:
        process_id = row[0]
        if process_id not in self._infos:
            self._infos[process_id] = _info(row)
        return self._infos[process_id]

    def set_name(self, name: str, identity: str) -> None:
        """See `Store`."""
        self._renamed = True
        self._write(_SET_NAME, [(name, identity)])

    def remove_name(self, name: str) -> None:
        """See `Store`."""
        self._renamed = True
        self._write("DELETE FROM names WHERE name = ?", [(name,)])

    def names(self) -> dict[str, str]:
        """See `Store`."""
        return dict(self._all("SELECT name, identity FROM names"))

    def add_wallet(self, wallet: Wallet) -> None:
        """See `Store`."""
        self._write(_ADD_WALLET, [(wallet.name, wallet.address, wallet.secret, wallet.kind)])

    def wallets(self) -> list[Wallet]:
        """See `Store`."""
        rows = self._all('SELECT name, address, secret, kind FROM wallets ORDER BY "order"')
        return [Wallet(*row) for row in rows]

    def set_fact(self, name: str, value: str) -> None:
        """See `Store`."""
        self._set_facts({name: value})

    def fact(self, name: str) -> str | None:
        """See `Store`."""
        return self._facts_now().get(name)

    def facts(self) -> dict[str, str]:
        """See `Store`."""
        return dict(self._facts_now())

    def _facts_now(self) -> dict[str, str]:
        self.failure.check()
        if self._facts is None:
            self._facts = dict(self._all("SELECT name, value FROM facts"))
        return self._facts

    def _set_facts(self, told: dict[str, str]) -> None:
        facts = self._facts_now()
        changed = [(name, value) for name, value in told.items() if facts.get(name) != value]
        if changed:
            self._write(_SET_FACT, changed)
            facts.update(changed)

    def add_checkpoint(self, process: str, checkpoint: Checkpoint) -> None:
        """See `Store`."""
        self._checkpoints[process] = (checkpoint.position, checkpoint.memory)
        self._checkpoint_bytes += len(checkpoint.memory)
        if self._checkpoint_bytes > _COLLECTED_BYTES:
            self._flush()

    def checkpoint(self, process: str) -> Checkpoint | None:
        """See `Store`."""
        self._flush()
        row = self._one("SELECT position, memory FROM checkpoints WHERE process = ?", (process,))
        return None if row is None else Checkpoint(*row)

    def checkpointed(self) -> dict[str, int]:
        """See `Store`."""
        self._flush()
        return dict(self._all("SELECT process, position FROM checkpoints"))

    def _keep_facts(self, now_ms: int, log_end: int) -> None:
        """Note the time, where the log ends and what all facts are, see `store.facts`."""
        told = {"clock": str(now_ms), LOG_END: str(log_end)}
        if self._renamed:
            told[NAMES] = digest_names(self.names().items())
            self._renamed = False
        told[SEALS] = seal(self._facts_now() | told)
        self._set_facts(told)

    def refresh(self) -> None:
        """See `Store`."""
        self._driver.rollback()
        self._facts = None


_PROCESSES = 'SELECT id, module, owner, tags, created_ms, created_height, "order" FROM processes'
_ADD_PROCESS = (
    'INSERT INTO processes (id, module, owner, tags, created_ms, created_height, "order")'
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_SET_NAME = (
    "INSERT INTO names (name, identity) VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET identity = excluded.identity"
)
_ADD_WALLET = "INSERT INTO wallets (name, address, secret, kind) VALUES (?, ?, ?, ?)"
_SET_FACT = (
    "INSERT INTO facts (name, value) VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_ADD_CHECKPOINT = (
    "INSERT INTO checkpoints (process, position, memory) VALUES (?, ?, ?) ON CONFLICT (process)"
    " DO UPDATE SET position = excluded.position, memory = excluded.memory"
)


def _info(row: tuple[Any, ...]) -> ProcessInfo:
    process_id, module, owner, packed, created_ms, created_height, order = row
    try:
        tags = Tags([(name, value) for name, value in msgspec.msgpack.decode(packed)])
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"the register of processes is damaged: the tags of {process_id} cannot be read:"
            f" {error}; restore the home from a backup"
        ) from error
    return ProcessInfo(
        id=process_id,
        module=module,
        owner=owner,
        tags=tags,
        created_ms=created_ms,
        created_height=created_height,
        order=order,
    )
