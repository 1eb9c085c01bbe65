"""Plan: what a seed does, made before anything runs: its operations, their times and crashes.

Names stand for ids: `@bank` is the id of the wallet or process of that name, `%pool2` the id of the
third pool that there is by then, `%weights model0` the id of that model's file, and
`%commitment carol model0` what Carol says to commit to it, with her name for a salt. An operation
whose names mean nothing, because a smaller plan has dropped what made them, is harmless: they
become ids that nobody has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchpool.ao.clock import format_duration
from benchpool.simulation.faults import Crash

Kind = Literal["wallet", "spawn", "send", "assign", "kill", "revive", "restart", "wait"]


@dataclass(frozen=True, slots=True)
class Say:
    """A message to send."""

    sender: str
    target: str
    action: str
    tags: tuple[tuple[str, str], ...] = ()
    data: Any = ""

    def __str__(self) -> str:
        tags = " ".join(f"{name}={value[:44]}" for name, value in self.tags)
        data = self.data if isinstance(self.data, str) else json.dumps(self.data)
        parts = [f"{self.sender} -> {self.target}: {self.action}", tags, data[:60]]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that happens, at a time since the start (ms)."""

    at_ms: int
    kind: Kind
    name: str = ""
    """Of the wallet, process or model that it is about; how to restart; what to assign."""
    sender: str = ""
    module: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    data: bytes = b""
    """Stored first; `%data` in the tags is its id."""
    messages: tuple[Say, ...] = ()
    """Posted one after the other, and run together."""
    number: int = 0
    patient: bool = True
    """Whether a client whose message was not accepted before a crash sends it again."""
    crashes: tuple[Crash, ...] = ()

    def __str__(self) -> str:
        what = {
            "spawn": f"{self.sender} spawns {self.module} {self.name}",
            "send": "; ".join(map(str, self.messages)),
            "assign": f"message {self.number} of {self.name} is assigned to everybody again",
        }.get(self.kind, f"{self.kind} {self.name}".strip())
        crashes = "".join(f" [{crash}]" for crash in self.crashes)
        if self.crashes and not self.patient:
            crashes += " [not sent again]"
        return f"{format_duration(self.at_ms):>10}  {what}{crashes}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a seed decides."""

    seed: int
    operations: tuple[Operation, ...]
    rates: Mapping[str, float] = field(default_factory=dict)
    """Fault to the share of its chances that it takes."""
    threads: int = 1
    served: bool = False
    """Whether the network is live, as that of a server: on a wall clock and with lanes."""
    signed: bool = False
    """Whether it is a signed network."""

    def describe(self) -> list[str]:
        """Return one line an operation, after those for the network and the faults."""
        rates = ", ".join(f"{name} {rate:.0%}" for name, rate in self.rates.items() if rate)
        kind = [name for name in ("served", "signed") if getattr(self, name)]
        network = [f"network: {', '.join(kind)}"] if kind else []
        return [*network, f"faults: {rates or 'none'}", *map(str, self.operations)]
