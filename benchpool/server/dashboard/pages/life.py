"""The life of a pool as a sequence of messages between who takes part, alike ones told once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from benchpool.ao.clock import DAY_MS
from benchpool.ao.message import Message
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient
from benchpool.network import Network
from benchpool.server.dashboard.page import Asked, Page, nothing
from benchpool.server.dashboard.pages.finding import find_pool
from benchpool.server.dashboard.pages.messages import place_behind
from benchpool.server.dashboard.pages.parties import Names
from benchpool.store import Store

MOST_FIRST: Final = 15_000
"""Messages that are looked at from the pool's beginning."""
MOST_LAST: Final = 5_000
"""And up to its end, if there are more."""
MOST_STEPS: Final = 90
"""Arrows that are drawn."""
MOST_ALONE: Final = 3
"""Workers that get lanes of their own."""
_PART: Final = 1_000
_SETTLED_MS: Final = 3 * DAY_MS
"""Behind its end, a pool is paid within this time."""


class Lane(msgspec.Struct):
    """Somebody who takes part, or several of a kind."""

    name: str
    parties: list[str]


class Step(msgspec.Struct):
    """Messages of one action between two lanes, in one stretch of time."""

    source: int
    """The place of a lane; the target's for a cron tick."""
    target: int
    action: str
    count: int
    first: str
    """The id of the first of them."""
    process: str
    """In whose log that is."""
    cron: bool


class Scene(msgspec.Struct):
    """Messages that came of one, or of several that led to the same."""

    time: int
    times: int
    """How many of the same came one behind the other."""
    steps: list[Step]


class LifeView(msgspec.Struct):
    """A pool's life."""

    id: str
    title: str
    lanes: list[Lane]
    scenes: list[Scene]
    messages: int
    """How many are drawn or told as one."""
    skipped: int
    """How many in the middle were not looked at."""
    hidden: int
    """Scenes in the middle that are left out."""


def view(network: Network, asked: Asked) -> LifeView:
    """Show a pool's life. Raises: PoolError."""
    client, pool = find_pool(network, asked.parts["pool"])
    lanes = _lanes(network, client, pool)
    place = {party: i for i, lane in enumerate(lanes) for party in lane.parties}
    store = network.store
    entry = store.find(pool.id)
    begins_ms = entry.message.timestamp if entry else pool.facts["start_time"]
    first = place_behind(store, None, min(begins_ms, pool.facts["start_time"]) - 1)
    last = place_behind(store, None, pool.facts["end_time"] + _SETTLED_MS)
    skipped = max(0, last - first - MOST_FIRST - MOST_LAST)
    scenes: dict[str, Scene] = {}
    count = 0
    for message in _messages(store, first, last):
        source, target = place.get(message.sender), place.get(message.process)
        if target is None or (source is None and not message.cron):
            continue
        count += 1
        _add(scenes, message, target if source is None or message.cron else source, target)
    merged = _merged(list(scenes.values()))
    shown = _few(merged)
    return LifeView(pool.id, pool.title, lanes, shown, count, skipped, len(merged) - len(shown))


def _lanes(network: Network, client: PoolClient, pool: PoolFacts) -> list[Lane]:
    names = Names(network)
    token = network.info(client.benchmark).tags.get("WrappedAR")
    router = client.info(pool.dataset).get("LlamaRouter")
    rows = pool.facts["models"]
    models = [each["model"] for each in rows]
    joined = list(dict.fromkeys(each["participant"] for each in rows))
    givers = [each for each in pool.facts["contributions"] if each not in joined]
    alone = len(models) <= MOST_ALONE
    workers = [[each] for each in models] if alone else [models]
    found = [
        Lane(_title(names, givers, "funders"), givers),
        *(Lane(_title(names, [each], ""), [each]) for each in (token, client.benchmark)),
        *(Lane(_title(names, [each], ""), [each]) for each in (pool.dataset, router)),
        *(Lane(_title(names, each, "workers"), each) for each in workers),
        Lane(_title(names, joined, "trainers"), joined),
    ]
    return [each for each in found if each.parties and all(each.parties)]


def _title(names: Names, parties: list[str], many: str) -> str:
    if len(parties) != 1:
        return f"{len(parties)} {many}"
    known = names.of(parties[0])
    return known.name or (known.kind if known.kind != "wallet" else "") or f"{known.id[:8]}…"


def _messages(store: Store, first: int, last: int) -> Iterator[Message]:
    """Go through messages from a place up to another, the middle left out if they are many."""
    ends = min(last, first + MOST_FIRST)
    for begin, end in ((first, ends), (max(ends, last - MOST_LAST), last)):
        beyond = begin - 1
        while beyond < end - 1:
            part = store.part(beyond=beyond, limit=min(_PART, end - 1 - beyond))
            if not part:
                break
            for each in part:
                if each.place < end:
                    yield each.message
            beyond = part[-1].place


def _add(scenes: dict[str, Scene], message: Message, source: int, target: int) -> None:
    """Put a message into the scene of its chain; ticks of a moment are one chain."""
    root = message.pushed_for or ("" if message.depth or message.cron else message.id)
    scene = scenes.setdefault(root or f"cron {message.timestamp}", Scene(message.timestamp, 1, []))
    action = "spawn" if message.type == "Process" else message.action or "(no action)"
    for step in scene.steps:
        if (step.source, step.target, step.action) == (source, target, action):
            step.count += 1
            return
    cron = message.cron
    step = Step(source, target, action[:40], 1, message.id, message.process, cron)
    scene.steps.append(step)


def _merged(scenes: list[Scene]) -> list[Scene]:
    """Tell scenes that follow each other once, if the later ones do nothing that is new."""
    found: list[Scene] = []
    for scene in scenes:
        into = {_key(step): step for step in found[-1].steps} if found else {}
        if found and all(_key(step) in into for step in scene.steps):
            for step in scene.steps:
                into[_key(step)].count += step.count
            found[-1].times += 1
        else:
            found.append(scene)
    return found


def _key(step: Step) -> tuple[int, int, str]:
    return (step.source, step.target, step.action)


def _few(scenes: list[Scene]) -> list[Scene]:
    """Keep the first scenes and the last ones, up to `MOST_STEPS` arrows."""
    if sum(len(each.steps) for each in scenes) <= MOST_STEPS:
        return scenes
    first: list[Scene] = []
    last: list[Scene] = []
    left = MOST_STEPS
    low, high = 0, len(scenes) - 1
    while low <= high:
        at_end = len(last) < len(first)
        scene = scenes[high] if at_end else scenes[low]
        left -= len(scene.steps)
        if left < 0:
            break
        (last if at_end else first).append(scene)
        low, high = (low, high - 1) if at_end else (low + 1, high)
    return [*first, *reversed(last)]


PAGES: Final = (Page("/pools/{pool}/life", "life.html", view, nothing, follows_asked=True),)
