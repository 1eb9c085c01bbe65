"""Where an evaluation finds models and data, and keeps answers: a home if there is one, or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchpool.client.evaluating.run import Model, find_model
from benchpool.errors import AmbiguousId, StoreError
from benchpool.inference.engines import Engines
from benchpool.inference.files.folders import default_cache
from benchpool.network.build import engines
from benchpool.store import DataStore
from benchpool.store.home import Home, find_home
from benchpool.units.limits import Limits, find_limits


class Room(NamedTuple):
    """What an evaluation works with."""

    engines: Engines
    answers: Path
    """The folder of the answer cache."""
    data: DataStore | None
    """That of the home."""

    def find_model(self, name: str) -> Model:
        """Find a model. See `benchpool.client.evaluating.run.find_model`."""
        return find_model(name, self._stored)

    def _stored(self, name: str) -> Path | None:
        if self.data is None:
            return None
        try:
            return self.data.path(self.data.resolve(name))
        except AmbiguousId:
            raise
        except StoreError:
            return None


@contextmanager
def open_room(home: Path | None = None, limits: Limits | None = None) -> Iterator[Room]:
    """Open engines and their answer cache.

    The cache is the home's, so that a pool there and an evaluation ask no question twice; without
    a home it stands beside the models of this machine. No network is opened, and none is made.

    Args:
        home: Of a network; None for the usual one, if it is there.
        limits: In place of the home's own.
    """
    place = Home(find_home(home))
    there = place.exists()
    limits = limits or find_limits(place.folder if there else None)
    answers = place.answers if there else default_cache().parent / "answers"
    # A pool's bound is of one message's batch; here somebody waits, and may end it.
    backend = engines(replace(limits, inference_seconds=0), answers)
    data = DataStore(place.data) if there else None
    try:
        yield Room(backend, answers, data)
    finally:
        backend.close()
        if data is not None:
            data.close()
