"""Models and their workers: what waits, how fast they answer, and what they are."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Hashable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from benchpool.ao.ids import encode_id
from benchpool.errors import BenchpoolError
from benchpool.inference import runs
from benchpool.inference.answer_cache import FILE_NAME
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network
from benchpool.server.dashboard.page import Asked, Page
from benchpool.server.dashboard.pages.finding import processes_of
from benchpool.server.dashboard.pages.parties import Known, Names
from benchpool.server.fields import opened
from benchpool.server.progress import Progress
from benchpool.store.connections import sqlite_uri

ROUTERS: Final = ("LlamaRouter", "LlamaHerder")
MOST_SHOWN: Final = 200
"""Models, and workers, that are shown."""
MOST_RUNS: Final = 1_000
"""The newest batches, of which speeds are drawn."""
POINTS: Final = 60
"""Of one line."""


class WorkerRow(msgspec.Struct):
    """A process that answers for a model."""

    process: Known
    router: Known
    model: str
    """The name."""
    open: int
    """Inferences that it was asked for and has not answered."""
    capacity: int
    batch: list[int]
    """What it computes now: [answered, asked]; empty if nothing."""


class ModelRow(msgspec.Struct):
    """A model that a router serves."""

    process: Known
    router: Known
    name: str
    workers: int
    queue: int
    """Inferences that wait for a worker."""
    facts: list[tuple[str, str]]
    weights: str
    runs: list[RunRow]


class RunRow(msgspec.Struct):
    """How fast a model answered on one runtime."""

    precision: str
    runtime: str
    answered: int
    cached: int
    unanswered: int
    tokens: int
    tokens_per_second: float
    """Of one worker."""
    questions_per_second: float
    """Of all workers."""
    speeds: list[float]
    """Tokens a second of the newest batches, oldest first."""


class InstalledRow(msgspec.Struct):
    """A model of this machine."""

    name: str
    title: str
    architecture: str
    parameters: int
    quantization: str
    context_tokens: int
    size_bytes: int
    licence: str
    sha256: str


class ModelsView(msgspec.Struct):
    """Models and workers."""

    models: list[ModelRow]
    workers: list[WorkerRow]
    memory_bytes: int | None
    """Of the server with all models; None where that is not told."""
    models_bytes: int | None
    """Of the programs that compute alone."""
    installed: list[InstalledRow]
    trouble: list[str]


def view(network: Network, progress: Progress) -> ModelsView:
    """Show models and workers."""
    names, trouble = Names(network), list[str]()
    answered = _runs(network, trouble)
    batches = progress.batches()
    models, workers = [], []
    for router in (each for module in ROUTERS for each in processes_of(network, module)):
        roster = opened(network.process(router).state)
        served: Mapping[str, Any] = roster.get("models", {})
        for model, facts in served.items():
            models.append(_model(network, names, router, model, facts, answered))
        for worker, facts in roster.get("workers", {}).items():
            name = served.get(facts.model, facts).name
            batch = list(batches.get(worker, ()))
            known, load = names.of(worker), len(facts.open)
            workers.append(WorkerRow(known, names.of(router), name, load, facts.capacity, batch))
    own, children = memory()
    return ModelsView(
        models[:MOST_SHOWN],
        workers[:MOST_SHOWN],
        None if own is None else own + (children or 0),
        children,
        _installed(trouble),
        trouble,
    )


def _model(
    network: Network,
    names: Names,
    router: str,
    model: str,
    served: Any,
    answered: Mapping[str, list[RunRow]],
) -> ModelRow:
    facts: list[tuple[str, str]] = []
    if network.store.process(model) is not None:
        state = opened(network.process(model).state)
        state = state if isinstance(state, Mapping) else {}
        said = [
            ("Architecture", state.get("architecture")),
            ("Parameters", f"{state['parameters']:,}" if state.get("parameters") else ""),
            ("Quantization", state.get("quantization")),
            ("Context", f"{state['context']:,} tokens" if state.get("context") else ""),
            ("Chat template", state.get("chat_template")),
        ]
        facts = [(name, str(value)[:200]) for name, value in said if value]
    return ModelRow(
        names.of(model),
        names.of(router),
        served.name,
        len(served.workers),
        len(served.queue),
        facts,
        served.weights,
        answered.get(served.weights, []),
    )


def _runs(network: Network, trouble: list[str]) -> dict[str, list[RunRow]]:
    """Return how fast models answered, by the data id of their weights."""
    assert network.home is not None, "pages show a home"
    path = network.home.answers / FILE_NAME
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(sqlite_uri(path, read_only=True), uri=True)) as database:
            totals = runs.totals(database)
            speeds = runs.speeds(database, MOST_RUNS)
    except (sqlite3.Error, ValueError) as error:
        trouble.append(f"how fast models answered cannot be read: {error}")
        return {}
    found: dict[str, list[RunRow]] = {}
    for one in totals:
        row = RunRow(
            one.runtime.precision,
            f"{one.runtime.build}; {one.runtime.cpu}",
            one.answered,
            one.cached,
            one.unanswered,
            one.tokens,
            one.tokens_per_second,
            one.questions_per_second,
            [round(each, 1) for each in speeds.get((one.model, one.runtime), [])[-POINTS:]],
        )
        with suppress(ValueError):
            found.setdefault(encode_id(bytes.fromhex(one.model)), []).append(row)
    return found


def _installed(trouble: list[str]) -> list[InstalledRow]:
    try:
        return [
            InstalledRow(
                each.name,
                each.title,
                each.card.architecture,
                each.card.parameters,
                each.card.quantization,
                each.card.context_tokens,
                each.card.size_bytes,
                each.licence,
                each.sha256,
            )
            for each in Catalogue().list()
        ]
    except (BenchpoolError, OSError) as error:
        trouble.append(str(error))
        return []


def memory() -> tuple[int | None, int | None]:
    """Return the bytes that this program and the programs below it hold; None if not told."""
    own = _resident(os.getpid())
    waiting, total = _children(os.getpid()), 0
    while waiting:
        child = waiting.pop()
        total += _resident(child) or 0
        waiting += _children(child)
    return own, None if own is None else total


def _resident(pid: int) -> int | None:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def pages(progress: Progress) -> tuple[Page, ...]:
    """Make the page."""

    def show(network: Network, _asked: Asked) -> ModelsView:
        return view(network, progress)

    def follows(network: Network, _asked: Asked) -> Hashable:
        routers = [each for module in ROUTERS for each in processes_of(network, module)]
        positions = tuple(network.logs.last_position(each) for each in routers)
        return (positions, tuple(sorted(progress.batches().items())))

    return (Page("/models", "models.html", show, follows),)
