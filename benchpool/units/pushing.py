"""Pushing: the items that an outbox becomes, and the ids under which the logs have them.

Nothing of this is stored: what came of an evaluation follows from its result.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchpool.ao.message import Item, Message, Outgoing, ProcessInfo, Result, SpawnRequest
from benchpool.ao.tags import Pair, Tags, normalise_name
from benchpool.ao.wire import mark_of
from benchpool.errors import PushLimitExceeded
from benchpool.store import Store


def root_of(message: Message) -> str:
    """Return the wallet's message that a message was pushed for; of a cron tick there is none."""
    return "" if message.cron else message.pushed_for or (message.id if not message.depth else "")


def pushed_messages(result: Result) -> list[Outgoing]:
    """Return the messages of a result that are sent on."""
    return [each for each in result.messages if not is_patch(each.tags.pairs)]


def is_patch(tags: Iterable[Pair]) -> bool:
    """Tell whether a message goes nowhere, but changes what its process shows at its URLs.

    Source: HyperBEAM's device patch@1.0.
    """
    for name, value in tags:  # of every message that is pushed, so without a generator
        if value in _PATCH_VALUES and value == _PATCHES.get(normalise_name(name)):
            return True
    return False


_PATCHES = {"Device": "patch@1.0", "Method": "PATCH"}
_PATCH_VALUES = frozenset(_PATCHES.values())


def pushed_item(outgoing: Outgoing, emitter: ProcessInfo, address: str, root: str) -> Item:
    """Make the message that an outbox entry becomes.

    Args:
        outgoing: the entry.
        emitter: whose outbox it is in: it is From that process.
        address: the messenger, which signs it.
        root: the message that it is pushed for.
    """
    return Item(  # by position, which is faster: this runs for every message that is pushed
        outgoing.target,
        address,
        emitter.id,
        outgoing.tags,
        outgoing.data,
        "",
        str(outgoing.reference),
        root,
        emitter.module,
    )


def spawn_item(spawn: SpawnRequest, emitter: ProcessInfo, address: str, root: str) -> Item:
    """Make the process item that a spawn request becomes, see `pushed_item`."""
    return Item(
        "",
        address,
        emitter.id,
        Tags([("Module", spawn.module), *spawn.tags, ("Authority", address)]),
        spawn.data,
        reference=str(spawn.reference),
        pushed_for=root,
        from_module=emitter.module,
        type="Process",
    )


def spawned_notice(item: Item, process: str) -> Item:
    """Make the message that tells a process the id of the one that it asked for."""
    return _spawn_notice(item, ("Action", "Spawned"), ("Process", process))


def spawn_error_notice(item: Item, reason: str) -> Item:
    """Make the message that tells a process why the one that it asked for was not made."""
    return _spawn_notice(item, ("Action", "Spawn-Error"), ("Error", reason))


def _spawn_notice(item: Item, *outcome: Pair) -> Item:
    hidden = {"authority", "action", "process"}
    kept = [pair for pair in item.tags if pair[0].lower() not in hidden]
    return Item(
        item.sender,
        item.owner,
        item.sender,
        Tags([*outcome, *kept]),
        "",
        reference=item.reference,
        pushed_for=item.pushed_for,
    )


def stopped_chain(message: Message, why: str) -> PushLimitExceeded:
    """Return what is raised about a chain that broke a limit, with its last message."""
    return PushLimitExceeded(
        f"stopped a chain of messages that went on without end: {why}; its last message is"
        f" {message.action[:100] or 'without Action'} {message.id} in process"
        f" {message.process}",
        root_of(message),
    )


def pushed_id(store: Store, item: Item, kind: str, *, signed: bool) -> str:
    """Return the id that a pushed item has in the logs, if it is there.

    Args:
        store: the logs.
        item: what was pushed.
        kind: a message, a process or a notice, see `wire.mark_of`.
        signed: whether the logs hold signed items; else the id is the hash of the content. Then a
            mark helps to find it, and proves nothing.
    """
    mark = mark_of(kind, item.sender, item.reference)
    return (store.marked(mark) if signed else None) or item.id()
