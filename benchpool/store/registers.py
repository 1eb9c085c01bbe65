"""Registers: what a home keeps beside its log: processes, names, wallets, facts, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select, text
from sqlalchemy.dialects.sqlite import insert as upsert

from benchpool.ao.message import ProcessInfo
from benchpool.ao.tags import Tags
from benchpool.ao.wallet import Wallet
from benchpool.errors import StoreError
from benchpool.store import schema
from benchpool.store.base import Checkpoint
from benchpool.store.connections import SqliteFile
from benchpool.store.facts import LOG_END, NAMES, SEALS, digest_names, seal


class Registers(SqliteFile):
    """The part of a store that keeps the registers, see `Store`."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._infos: dict[str, ProcessInfo] = {}
        """The facts of processes, which never change, as far as they were asked for."""
        self._renamed = True
        """Whether the names may not be those of the last commit."""
        super().__init__(path, read_only=read_only)

    def add_process(self, info: ProcessInfo) -> None:
        """See `Store`."""
        with self._writing() as connection:
            connection.execute(
                insert(schema.processes),
                {
                    "order": info.order,
                    "id": info.id,
                    "module": info.module,
                    "owner": info.owner,
                    "tags": msgspec.msgpack.encode(info.tags.pairs),
                    "created_ms": info.created_ms,
                    "created_height": info.created_height,
                },
            )

    def process(self, process_id: str) -> ProcessInfo | None:
        """See `Store`."""
        known = self._infos.get(process_id)
        if known is None:
            row = self._connection.execute(
                select(schema.processes).where(schema.processes.c.id == process_id)
            ).first()
            if row is None:
                return None
            known = self._infos[process_id] = _info(row._mapping)
        return known

    def processes(self) -> list[ProcessInfo]:
        """See `Store`."""
        rows = self._connection.execute(select(schema.processes).order_by(schema.processes.c.order))
        return [_info(row) for row in rows.mappings()]

    def set_name(self, name: str, identity: str) -> None:
        """See `Store`."""
        self._renamed = True
        statement = upsert(schema.names).values(name=name, identity=identity)
        with self._writing() as connection:
            connection.execute(
                statement.on_conflict_do_update(["name"], set_={"identity": identity})
            )

    def remove_name(self, name: str) -> None:
        """See `Store`."""
        self._renamed = True
        with self._writing() as connection:
            connection.execute(delete(schema.names).where(schema.names.c.name == name))

    def names(self) -> dict[str, str]:
        """See `Store`."""
        rows = self._connection.execute(select(schema.names.c.name, schema.names.c.identity))
        return {row.name: row.identity for row in rows}

    def add_wallet(self, wallet: Wallet) -> None:
        """See `Store`."""
        with self._writing() as connection:
            connection.execute(
                insert(schema.wallets),
                {
                    "name": wallet.name,
                    "address": wallet.address,
                    "secret": wallet.secret,
                    "kind": wallet.kind,
                },
            )

    def wallets(self) -> list[Wallet]:
        """See `Store`."""
        rows = self._connection.execute(
            select(schema.wallets).order_by(schema.wallets.c.order)
        ).mappings()
        return [Wallet(row["name"], row["address"], row["secret"], row["kind"]) for row in rows]

    def set_fact(self, name: str, value: str) -> None:
        """See `Store`."""
        with self._writing() as connection:
            connection.execute(_SET_FACT, {"name": name, "value": value})

    def fact(self, name: str) -> str | None:
        """See `Store`."""
        return self._connection.scalar(
            select(schema.facts.c.value).where(schema.facts.c.name == name)
        )

    def facts(self) -> dict[str, str]:
        """See `Store`."""
        return {row.name: row.value for row in self._connection.execute(select(schema.facts))}

    def add_checkpoint(self, process: str, checkpoint: Checkpoint) -> None:
        """See `Store`."""
        statement = upsert(schema.checkpoints).values(
            process=process, position=checkpoint.position, memory=checkpoint.memory
        )
        with self._writing() as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    ["process"],
                    set_={"position": checkpoint.position, "memory": checkpoint.memory},
                )
            )

    def checkpoint(self, process: str) -> Checkpoint | None:
        """See `Store`."""
        row = self._connection.execute(
            select(schema.checkpoints.c.position, schema.checkpoints.c.memory).where(
                schema.checkpoints.c.process == process
            )
        ).first()
        return None if row is None else Checkpoint(*row)

    def checkpointed(self) -> dict[str, int]:
        """See `Store`."""
        rows = self._connection.execute(
            select(schema.checkpoints.c.process, schema.checkpoints.c.position)
        )
        return {row.process: row.position for row in rows}

    def _keep_facts(self, now_ms: int, log_end: int) -> None:
        """Note the time, where the log ends and what all facts are, see `store.facts`."""
        told = {"clock": str(now_ms), LOG_END: str(log_end)}
        if self._renamed:
            told[NAMES] = digest_names(self.names().items())
            self._renamed = False
        told[SEALS] = seal(self.facts() | told)
        rows = [{"name": name, "value": value} for name, value in told.items()]
        with self._writing() as connection:
            connection.execute(_SET_FACT, rows)


_SET_FACT = text(
    "INSERT INTO facts (name, value) VALUES (:name, :value)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


def _info(row: Any) -> ProcessInfo:
    try:
        tags = Tags([(name, value) for name, value in msgspec.msgpack.decode(row["tags"])])
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"the register of processes is damaged: the tags of {row['id']} cannot be read:"
            f" {error}; restore the home from a backup"
        ) from error
    return ProcessInfo(
        id=row["id"],
        module=row["module"],
        owner=row["owner"],
        tags=tags,
        created_ms=row["created_ms"],
        created_height=row["created_height"],
        order=row["order"],
    )
