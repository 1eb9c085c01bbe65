"""What the shell offers for values: what a home has, and what this machine has.

Nobody waits for a shell long, and nothing but offers may reach it: what fails offers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from benchpool.ao.ids import MIN_BEGINNING

if TYPE_CHECKING:
    from benchpool.store import Store
    from benchpool.store.home import OpenHome

Offers = Iterable[tuple[str, str]]
"""Values, each with what it is."""


def _quiet(
    offer: Callable[[Path | None, str], Offers],
) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        try:
            given = ctx.params.get("home")
            found = list(offer(Path(given) if given else None, incomplete))
        except Exception:
            return []
        return [each for each in dict(found).items() if each[0].startswith(incomplete)]

    return complete


@contextmanager
def _run(home: Path | None) -> Iterator[OpenHome]:
    from benchpool.store.home import find_home, open_run

    with open_run(find_home(home)) as run:
        yield run


def _processes(store: Store, *, tag: str = "", module: str = "") -> Offers:
    names = {identity: name for name, identity in store.names().items()}
    for info in store.processes():
        if (not tag or tag in info.tags) and module in ("", info.module):
            yield names.get(info.id, info.id), info.module


def _wallets(store: Store) -> Offers:
    return [(wallet.name, "wallet") for wallet in store.wallets()]


@_quiet
def processes(home: Path | None, _incomplete: str) -> Offers:
    """Offer processes: their names, and the ids of those without."""
    with _run(home) as run:
        yield from _processes(run.store)


@_quiet
def wallets(home: Path | None, _incomplete: str) -> Offers:
    """Offer wallets."""
    with _run(home) as run:
        yield from _wallets(run.store)


@_quiet
def parties(home: Path | None, _incomplete: str) -> Offers:
    """Offer processes and wallets."""
    with _run(home) as run:
        yield from _processes(run.store)
        yield from _wallets(run.store)


@_quiet
def datasets(home: Path | None, _incomplete: str) -> Offers:
    """Offer data sets: processes that were spawned for a Benchmark, and what was pulled."""
    from benchpool.tasks.catalogue.shelf import DatasetShelf

    with _run(home) as run:
        yield from _processes(run.store, tag="Benchmark")
    yield from ((each.name, each.header.title) for each in DatasetShelf().list())


@_quiet
def pools(home: Path | None, _incomplete: str) -> Offers:
    """Offer the ids of pools, and titles that are one word."""
    from benchpool.client.pools import PoolClient
    from benchpool.network import Network
    from benchpool.store.home import find_home

    with Network(find_home(home), read_only=True) as network:
        for pool in PoolClient(network).pools():
            yield pool.id, pool.title
            if pool.title and not pool.title.split()[1:]:
                yield pool.title, pool.id


@_quiet
def messages(home: Path | None, incomplete: str) -> Offers:
    """Offer the messages whose ids begin so, of which there are too many otherwise."""
    if len(incomplete) >= MIN_BEGINNING:
        with _run(home) as run:
            yield from ((message_id, "message") for message_id in run.store.beginning(incomplete))


@_quiet
def data_ids(home: Path | None, _incomplete: str) -> Offers:
    """Offer what the data store has."""
    with _run(home) as run:
        yield from ((data_id, "data") for data_id in run.data.ids())


@_quiet
def rules(_home: Path | None, _incomplete: str) -> Offers:
    """Offer allocation rules."""
    from benchpool.pools.allocation import RULES

    return [(rule.name, rule.summary) for rule in RULES.values()]


@_quiet
def modules(home: Path | None, _incomplete: str) -> Offers:
    """Offer modules: those that are installed, and those that were added to a home."""
    from benchpool.process.registry import Registry
    from benchpool.store.shelf import modules_of

    yield from ((name, "module") for name in Registry().names())
    with suppress(Exception), _run(home) as run:  # there may be no home yet
        yield from ((each.name, each.format) for each in modules_of(run.store))


@_quiet
def packages(home: Path | None, _incomplete: str) -> Offers:
    """Offer packages."""
    from benchpool.store.shelf import packages_of

    with _run(home) as run:
        yield from ((each.name, "package") for each in packages_of(run.store))


@_quiet
def models(_home: Path | None, _incomplete: str) -> Offers:
    """Offer the models of this machine."""
    from benchpool.inference.files.catalogue import Catalogue

    return [(model.name, model.title) for model in Catalogue().list()]


@_quiet
def catalogue(_home: Path | None, _incomplete: str) -> Offers:
    """Offer the models that can be pulled."""
    from benchpool.inference.files.catalogue import Catalogue

    return [(entry.name, entry.title) for entry in Catalogue().entries.values()]


@_quiet
def dataset_entries(_home: Path | None, _incomplete: str) -> Offers:
    """Offer the data sets that can be pulled."""
    from benchpool.tasks.catalogue.shelf import DatasetShelf

    return [(entry.name, entry.title) for entry in DatasetShelf().entries.values()]


@_quiet
def evaluable(_home: Path | None, incomplete: str) -> Offers:
    """Offer what models can be evaluated on: data sets, files, and folders that may hold some."""
    from benchpool.tasks.catalogue.shelf import DatasetShelf

    yield from ((each.name, each.header.title) for each in DatasetShelf().list())
    for path in Path().glob(f"{incomplete}*"):
        yield (f"{path}/", "folder") if path.is_dir() else (str(path), "file")


@_quiet
def entries(home: Path | None, _incomplete: str) -> Offers:
    """Offer what can enter a pool: model processes, and the models of this machine."""
    from benchpool.inference.files.catalogue import Catalogue

    with _run(home) as run:
        yield from _processes(run.store, module="LlamaWorker")
    yield from ((model.name, model.title) for model in Catalogue().list())


@_quiet
def scenarios(_home: Path | None, incomplete: str) -> Offers:
    """Offer scenario files, and folders that may hold some."""
    for path in Path().glob(f"{incomplete}*"):
        if path.is_dir():
            yield f"{path}/", "folder"
        elif path.suffix in (".yaml", ".yml"):
            yield str(path), "scenario"
