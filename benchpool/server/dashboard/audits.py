"""Audits: pools checked from their logs, in a program of its own, and what it said.

An audit reads whole logs, so it takes no time of the server's own threads; one runs at a time.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from benchpool.errors import Unavailable

MOST_KEPT: Final = 64
"""Pools of which the last audit is kept."""
LONGEST_S: Final = 600.0


class Check(msgspec.Struct):
    """One thing that must hold."""

    name: str
    passed: bool | None
    """None while it is not due yet."""
    detail: str


class Audit(msgspec.Struct):
    """What is known of the audit of a pool."""

    state: str
    """`none`, `running`, `done`, or `failed`."""
    passed: bool = False
    checks: list[Check] = []
    error: str = ""
    """Why there is no statement."""
    message: int = 0
    """Up to which message of the network it was done."""


class Audits:
    """Audits pools of a home. All but `of` is called in the event loop.

    Args:
        home: the folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._found: dict[str, Audit] = {}
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self.changes = 0
        """How often anything became of an audit."""

    def of(self, pool: str) -> Audit:
        """Return what is known of a pool's audit."""
        return self._found.get(pool) or Audit("none")

    def begin(self, pool: str, end: int) -> None:
        """Audit a pool that there is, unless that is under way.

        Args:
            pool: its id.
            end: the newest message of the network.

        Raises: Unavailable if another pool is being audited.
        """
        if self._ended:
            raise Unavailable("the server is stopping")
        if self._task is not None and not self._task.done():
            if self.of(pool).state == "running":
                return
            raise Unavailable("another pool is being audited; ask again when that is done")
        self._keep(pool, Audit("running", message=end))
        self._task = asyncio.create_task(self._run(pool, end))

    async def end(self) -> None:
        """End what is under way."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _keep(self, pool: str, audit: Audit) -> None:
        self._found.pop(pool, None)
        self._found[pool] = audit
        while len(self._found) > MOST_KEPT:
            del self._found[next(iter(self._found))]
        self.changes += 1

    async def _run(self, pool: str, end: int) -> None:
        command = [sys.executable, "-m", "benchpool", "audit", "--json"]
        command += ["--home", str(self._home), "--", pool]
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            self._keep(pool, Audit("failed", error=str(error)))
            return
        try:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, child.pid, 10)
            async with asyncio.timeout(LONGEST_S):
                said, errors = await child.communicate()
            self._keep(pool, _read(said, errors, end))
        except TimeoutError:
            self._keep(pool, Audit("failed", error="it took longer than ten minutes"))
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


def _read(said: bytes, errors: bytes, end: int) -> Audit:
    try:
        told: dict[str, Any] = msgspec.json.decode(said)
        checks = msgspec.convert(told["checks"], list[Check])
        return Audit("done", bool(told["passed"]), checks, message=end)
    except (msgspec.MsgspecError, KeyError, TypeError):
        lines = errors.decode(errors="replace").strip().splitlines()
        return Audit("failed", error=lines[-1][:500] if lines else "it said nothing")
