"""Roster: the state of a workforce: its models, their workers, and the work they have."""

from __future__ import annotations

import operator
from fractions import Fraction

from pydantic import Field

from benchpool.process import State
from benchpool.winston import Winston


class Work(State):
    """An inference that somebody waits for."""

    id: str
    """Of the message that brought it."""
    requester: str
    """Who gets the answer."""
    tags: list[tuple[str, str]]
    """The X- tags that go back with the answer."""
    model: str
    request: str
    arrived: int
    """Nonce of the message that brought it: who came first goes first."""
    multiplier: str = "1"
    """Who pays a higher one goes before that."""
    paid: Winston = 0
    """0 where inference is free."""
    price: Winston = 0
    """0 while it is not known."""
    due_ms: int = 0
    """When the worker that has it counts as silent; 0 where there is no lease."""
    failed: list[str] = Field(default_factory=list)
    """Workers that could not answer it."""
    error: str = ""
    """Why the last of them could not."""


class Worker(State):
    """A process that answers inferences for one model."""

    id: str
    model: str
    name: str
    weights: str
    capacity: int
    open: dict[str, Work] = Field(default_factory=dict)
    """What it was asked and has not answered, by the reference of the message that asked it."""


class ServedModel(State):
    """A model, known from its first worker on. Its weights never change."""

    name: str
    weights: str
    workers: list[str] = Field(default_factory=list)
    """In the order of registration."""
    queue: list[Work] = Field(default_factory=list)
    """What waits for a worker, next first."""
    owner: str = Field(default="", exclude_if=operator.not_)
    """Who may enter it in a pool: the owner of the model process."""
    remote: str = Field(default="", exclude_if=operator.not_)
    """What the model server that runs it can be asked for; empty if none does."""
    runtime: str = Field(default="", exclude_if=operator.not_)
    """What it is computed on: the first that its model process named."""
    vouched: list[str] = Field(default_factory=list, exclude_if=operator.not_)
    """Helpers that the model process vouches for; each works once it has registered too."""
    deserted_ms: int = 0
    """When its last worker left; means nothing while it has workers."""


class Offer(State):
    """What a helper says of itself: whom it helps, and what it loaded."""

    model: str
    weights: str
    capacity: int
    runtime: str = Field(default="", exclude_if=operator.not_)


class Roster(State):
    """The workers by id, the models by the id of the model process."""

    workers: dict[str, Worker] = Field(default_factory=dict)
    models: dict[str, ServedModel] = Field(default_factory=dict)
    lease_ms: int = 0
    worker_modules: list[str] = Field(default_factory=list, exclude_if=operator.not_)
    """Modules whose processes may work here; empty in the first edition, which asks nobody."""
    offers: dict[str, Offer] = Field(default_factory=dict, exclude_if=operator.not_)
    """Helpers that have registered, before their model has vouched for them."""


def rank(work: Work) -> tuple[Fraction, int]:
    """Order a queue: who pays the higher multiplier first, then who came first."""
    return -Fraction(work.multiplier), work.arrived


def has_hope(work: Work, model: ServedModel) -> bool:
    """Tell whether a worker may yet answer, now or when it has time."""
    # A model without workers may get one again; one whose every worker has failed on it may not.
    return not model.workers or any(worker not in work.failed for worker in model.workers)
