"""Processes: all of them in short, and one with what it is made of and what it remembers."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import msgspec

from benchpool.ao.message import ProcessInfo
from benchpool.network import Network
from benchpool.process.module import ModuleProcess
from benchpool.process.process import Process
from benchpool.server.dashboard.page import Asked, Page
from benchpool.server.dashboard.pages.data import Node, tree
from benchpool.server.dashboard.pages.parties import Known, Names

PAGE: Final = 100
"""Processes on a page."""
MOST_MAIL: Final = 20
"""Messages of an inbox that are shown."""


class ProcessRow(msgspec.Struct):
    """A process in short."""

    process: Known
    module: str
    owner: Known
    created: int
    messages: int


class ProcessesView(msgspec.Struct):
    """A page of processes, in the order in which they were spawned."""

    processes: list[ProcessRow]
    count: int
    after: int | None
    """What to ask for as `after` to see more; None if there are no more."""
    first: bool


def view_all(network: Network, asked: Asked) -> ProcessesView:
    """List processes."""
    after = asked.number("after", 0)
    known = network.processes()
    part = known[max(after, 0) : max(after, 0) + PAGE]
    names = Names(network)
    rows = [
        ProcessRow(
            names.of(info.id),
            network.registry.name(info.module),
            names.of(info.owner),
            info.created_ms,
            network.logs.last_position(info.id) + 1,
        )
        for info in part
    ]
    more = after + PAGE if len(known) > after + PAGE else None
    return ProcessesView(rows, len(known), more, after <= 0)


class HandlerRow(msgspec.Struct):
    """A row of a handler table."""

    name: str
    pattern: str
    action: str
    """Empty if it answers to no single action."""
    requires: list[str]
    max_runs: int | None


class CronRow(msgspec.Struct):
    """An interval of a process."""

    interval: str
    tags: list[tuple[str, str]]
    due: int


class Mail(msgspec.Struct):
    """A message that no handler took."""

    id: str
    sender: Known
    action: str
    time: int


class ProcessView(msgspec.Struct):
    """A process as it stands."""

    process: Known
    module: str
    module_id: str
    """As its spawn names it."""
    kind: str
    """What its module is written in."""
    owner: Known
    created: int
    messages: int
    tags: list[tuple[str, str]]
    extensions: list[str]
    heavy: bool
    facts: list[tuple[str, str]]
    """What its module says of it."""
    handlers: list[HandlerRow]
    cron: list[CronRow]
    inbox: list[Mail]
    """The newest first."""
    inbox_count: int
    state: Node


def view(network: Network, asked: Asked) -> ProcessView:
    """Show a process. Raises: UnknownProcess, AmbiguousId; what folding its log raises."""
    info = network.info(asked.parts["process"])
    process = network.process(info.id)
    shown = process.inspect()
    names = Names(network)
    inbox = process.inbox
    return ProcessView(
        process=names.of(info.id),
        module=network.registry.name(info.module),
        module_id=info.module,
        kind=kind_of(process, info),
        owner=names.of(info.owner),
        created=info.created_ms,
        messages=network.logs.last_position(info.id) + 1,
        tags=list(info.tags),
        extensions=list(process.extensions),
        heavy=process.heavy,
        facts=[(str(name), str(value)) for name, value in shown["description"].items()],
        handlers=handlers(shown),
        cron=[
            CronRow(entry.text, list(entry.tags), due_ms)
            for entry, due_ms in network.timeline.entries(info.id)
        ],
        inbox=[
            Mail(each.id, names.of(each.sender), each.action, each.timestamp)
            for each in list(inbox)[-MOST_MAIL:][::-1]
        ],
        inbox_count=len(inbox),
        state=tree(process.state, "state"),
    )


def handlers(shown: dict[str, Any]) -> list[HandlerRow]:
    """Read the handler table out of what `ModuleProcess.inspect` says."""
    return [
        HandlerRow(
            str(row["name"]),
            str(row["pattern"]),
            row.get("action") or "",
            list(row.get("requires", ())),
            row["max_runs"],
        )
        for row in shown["handlers"]
    ]


def kind_of(process: ModuleProcess, info: ProcessInfo) -> str:
    """Say what a module is written in."""
    if isinstance(process, Process):
        return "Python"
    return info.tags.get("Module-Format") or type(process).__name__


def follows(network: Network, asked: Asked) -> Hashable:
    """Follow its log."""
    info = network.info(asked.parts["process"])
    end = network.logs.last_position(info.id)
    pending = network.store.part(info.id, beyond=end - 1, limit=1)
    evaluated = pending and network.store.find(pending[0].message.id, info.id)
    return (end, bool(evaluated and evaluated.result))


def follows_all(network: Network, _asked: Asked) -> Hashable:
    """Follow how many there are, and what they got."""
    return (len(network.processes()), network.store.end())


PAGES: Final = (
    Page("/processes", "processes.html", view_all, follows_all),
    Page("/processes/{process}", "process.html", view, follows),
)
