"""A client of many connections for benchmarks/bench_wire.py: as little as HTTP/1.1 needs.

So that the server is what is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from measure import percentile, row


class Refused(Exception):
    """A server did not do what was asked."""


class Figures(NamedTuple):
    """What a run gave: messages a second, and milliseconds of one message."""

    rate: float
    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: float, took: Sequence[float]) -> Figures:
        """Summarise a run; `took` is milliseconds a message."""
        return cls(len(took) / seconds, percentile(took, 50), percentile(took, 99))

    def row(self, *texts: object) -> str:
        """Write a row of the table."""
        return row(*texts, *(f"{figure:,.1f}" for figure in self))


class Connection:
    """One connection, kept for all requests unless each is to have a fresh one."""

    def __init__(self, host: str, port: int, *, fresh: bool = False) -> None:
        self._host, self._port, self._fresh = host, port, fresh

    async def open(self) -> Connection:
        """Connect, once the server listens."""
        for _ in range(100):
            with suppress(ConnectionRefusedError):
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
                return self
            await asyncio.sleep(0.1)
        raise Refused(f"nobody listens on port {self._port}")

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request; return status and body."""
        if self._fresh:
            self.close()
            await self.open()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        lines = answer.decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        data = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return int(lines[0].split(" ")[1]), data

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()


async def drive(
    clients: int, count: int, work: Callable[[int], Awaitable[Callable[[int], Awaitable[None]]]]
) -> Figures:
    """Let this many clients do `count` pieces of work between them."""
    took: list[float] = []
    pieces = iter(range(count))

    async def client(do: Callable[[int], Awaitable[None]]) -> None:
        for piece in pieces:
            begun = time.perf_counter()
            await do(piece)
            took.append((time.perf_counter() - begun) * 1000)

    ready = [await work(number) for number in range(clients)]
    begun = time.perf_counter()
    await asyncio.gather(*map(client, ready))
    return Figures.of(time.perf_counter() - begun, took)
