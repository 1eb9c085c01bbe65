"""Coverage: what runs of seeds met of all that can be said, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from benchpool.ao.message import Message, ProcessInfo, Result
from benchpool.ao.tags import NO_TAGS
from benchpool.process.registry import Registry
from benchpool.simulation.plan import Plan
from benchpool.simulation.record import Record

SENDERS: Final = ("wallets", "processes", "ticks")
MAIL: Final = "(wallet)"
"""Stands for the module where it is a wallet that hears something."""
OUTCOMES: Final = ("ok", "error", "refused")
_REFUSED: Final = "is not trusted!"
_SPAWN: Final = "(spawn)"


@dataclass(slots=True)
class Coverage:
    """Counts by the module that heard it and the action, such as `WrappedAR Mint`."""

    operations: Counter[str] = field(default_factory=Counter)
    """By kind."""
    wallets: Counter[str] = field(default_factory=Counter)
    """What wallets said."""
    processes: Counter[str] = field(default_factory=Counter)
    """What processes said."""
    ticks: Counter[str] = field(default_factory=Counter)
    """What cron ticks said."""
    ok: Counter[str] = field(default_factory=Counter)
    """What was handled."""
    error: Counter[str] = field(default_factory=Counter)
    """Where the handler failed."""
    refused: Counter[str] = field(default_factory=Counter)
    """What no handler saw: its sender is not trusted."""

    @classmethod
    def of(cls, plan: Plan, record: Record) -> Self:
        """Count what a run met."""
        coverage = cls()
        coverage.operations.update(operation.kind for operation in plan.operations)
        kind = "served" if plan.served else "in virtual time"
        coverage.operations.update([f"network {kind}", *["network signed"] * plan.signed])
        modules = {info.id: info.module for info in record.processes}
        for party, log in record.logs.items():
            for message, result in log:
                coverage._add(modules.get(party, MAIL), message, result)
        return coverage

    def _add(self, module: str, message: Message, result: Result | None) -> None:
        spawned = message.type == "Process" and message.target == message.process
        key = f"{module} {_SPAWN if spawned else message.action or '(no action)'}"
        who = "ticks" if message.cron else "processes" if message.from_module else "wallets"
        getattr(self, who)[key] += 1
        if result is not None:
            refused = _REFUSED in result.output
            outcome = "error" if result.error else "refused" if refused else "ok"
            getattr(self, outcome)[key] += 1

    def merge(self, other: Coverage) -> None:
        """Add what other runs met."""
        for each in fields(self):
            getattr(self, each.name).update(getattr(other, each.name))

    def actions(self) -> dict[str, dict[str, int]]:
        """Return the counts of every action, by name."""
        named = sorted({key for who in SENDERS for key in getattr(self, who)})
        return {
            key: {name: getattr(self, name)[key] for name in (*SENDERS, *OUTCOMES)} for key in named
        }

    def never(self, registry: Registry | None = None) -> list[str]:
        """Return the handlers of the installed modules that no message came to."""
        met = {key.lower() for key in (*self.ok, *self.error)}
        modules = {key.partition(" ")[0] for key in met}
        return [
            f"{module} {name}"
            for module, name, action in handlers(registry or Registry())
            if (
                f"{module} {action}".lower() not in met if action else module.lower() not in modules
            )
        ]

    def view(self) -> dict[str, Any]:
        """Show it as JSON."""
        return {
            "operations": dict(sorted(self.operations.items())),
            "actions": self.actions(),
            "handlers_never_met": self.never(),
        }


def total(coverages: Iterable[Coverage]) -> Coverage:
    """Add what many runs met up."""
    everything = Coverage()
    for each in coverages:
        everything.merge(each)
    return everything


def handlers(registry: Registry) -> list[tuple[str, str, str | None]]:
    """Return module, name and action of every handler; one that takes several actions has none."""
    found = []
    for module in registry.names():
        info = ProcessInfo(
            id="", module=module, owner="", tags=NO_TAGS, created_ms=0, created_height=0, order=0
        )
        rows = registry.find(module)(info).inspect()["handlers"]
        found += [(module, row["name"], row["action"]) for row in rows]
    return found


def sayable(plan: Plan) -> set[str]:
    """Return what wallets may say by a plan, as module and action."""
    modules = {each.name: each.module for each in plan.operations if each.kind == "spawn"}
    return {
        f"{modules[say.target]} {say.action}"
        for operation in plan.operations
        for say in operation.messages
    }
