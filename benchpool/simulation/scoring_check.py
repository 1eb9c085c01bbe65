"""Evaluations, counted a second time from the log alone: an independent model of a data set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from benchpool.ao.message import Message, Result
from benchpool.ao.tags import Tags
from benchpool.evaluation import prompts
from benchpool.evaluation.protocol import STORED, Protocol
from benchpool.evaluation.sample import Sample
from benchpool.simulation.ledger_check import BENCHMARK, TOKEN, actions_of
from benchpool.simulation.record import Record

_MAX_FAILURES: Final = 3
Numbers = tuple[int, int, int, int]
"""Correct, evaluated, unscored, total."""


@dataclass(slots=True)
class _Row:
    """One question asked of one model under one protocol."""

    gold: int
    status: str = "pending"
    reference: str = ""
    failures: int = 0
    price: int = 0
    correct: bool = False

    def fail(self) -> None:
        self.failures += 1
        self.status = "unscored" if self.failures >= _MAX_FAILURES else "pending"


@dataclass(slots=True)
class Recount:
    """What a data set's log says of its evaluations."""

    golds: Mapping[str, int]
    """Prompt to the right choice."""
    total: int
    """Questions that were loaded."""
    token: str
    router: str
    rows: dict[tuple[str, str, str], _Row] = field(default_factory=dict)
    """By model, protocol and prompt."""
    waiting: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Reference to row."""
    weights: dict[tuple[str, str], str] = field(default_factory=dict)
    told: list[tuple[int, str, str, Numbers]] = field(default_factory=list)
    """Every Score-Response: when, model, protocol, its numbers."""
    problems: list[str] = field(default_factory=list)

    def follow(self, message: Message, result: Result) -> None:
        """Take the next message of the log."""
        if result.error:
            return
        done = actions_of(result)
        if "Load-Data-Response" in done:
            self.total += int(done["Load-Data-Response"].tags["Samples"])
        elif "Benchmark-Response" in done:
            self._take_up(done["Benchmark-Response"].tags, message.tags)
        elif message.action in ("Inference-Response", "Inference-Error"):
            self._answered(message)
        elif message.sender == self.token:
            self._paid_back(message)
        elif "Score-Response" in done:
            self._compare(message, done["Score-Response"].tags)
        for out in result.messages:
            if out.tags.get("Action") == "Inference":
                self._asked(out.tags["Model"], out.data, out.tags["X-Reference"], 0)
            elif "X-Request" in out.tags:
                price = int(out.tags["Quantity"])
                self._asked(
                    out.tags["X-Model"], out.tags["X-Request"], out.tags["X-Reference"], price
                )

    def numbers(self, model: str, protocol: str) -> Numbers:
        """Count a model's rows."""
        rows = [r for (m, p, _), r in self.rows.items() if (m, p) == (model, protocol)]
        done = [row for row in rows if row.status == "done"]
        unscored = sum(row.status == "unscored" for row in rows)
        return sum(row.correct for row in done), len(done), unscored, self.total

    def _take_up(self, answer: Tags, asked: Tags) -> None:
        key = (answer["Model"], answer["Protocol"])
        self.weights.setdefault(key, asked.get("Weights"))
        for (model, protocol, _), row in self.rows.items():
            if (model, protocol) == key and row.status == "unscored":
                row.status, row.failures = "pending", 0

    def _asked(self, model: str, data: Any, reference: str, price: int) -> None:
        request = json.loads(data)
        method = "cloze" if "choices" in request else "letters"
        protocol = str(Protocol(method, request.get("precision", STORED)))
        key = (model, protocol, request["prompt"])
        row = self.rows.setdefault(key, _Row(self.golds.get(request["prompt"], 0)))
        if row.status in ("done", "unscored"):
            self.problems.append(f"a question was asked again that is {row.status}: {key[2][:50]}")
        row.status, row.reference, row.price = "started", reference, price
        self.waiting[reference] = key

    def _row(self, message: Message) -> tuple[tuple[str, str, str], _Row] | None:
        reference = message.tags.get("X-Reference")
        key = self.waiting.get(reference)
        if key is None:
            return None
        row = self.rows[key]
        return (key, row) if row.status == "started" and row.reference == reference else None

    def _answered(self, message: Message) -> None:
        found = self._row(message) if message.sender == self.router else None
        if found is None or message.tags.get("Model") not in ("", found[0][0]):
            return
        (model, protocol, _), row = found
        weights = self.weights.get((model, protocol), "")
        choice = _choice(message, protocol)
        if (
            message.action == "Inference-Error"
            or choice is None
            or (weights and message.tags.get("Weights") not in ("", weights))
        ):
            row.fail()
        else:
            row.status, row.correct = "done", choice == row.gold

    def _paid_back(self, message: Message) -> None:
        found = self._row(message)
        if found is None:
            return
        tags, row = message.tags, found[1]
        if message.action == "Transfer-Error":
            row.status = "pending"
        elif (
            message.action == "Credit-Notice"
            and "X-Error" in tags
            and tags.get("Sender") == self.router
        ):
            if int(tags.get("X-Needed", "0")) > row.price:
                row.status = "pending"
            else:
                row.fail()

    def _compare(self, message: Message, tags: Tags) -> None:
        model, protocol = tags["Model"], tags["Protocol"]
        said = tuple(int(tags[name]) for name in ("Correct", "Evaluated", "Unscored", "Total"))
        counted = self.numbers(model, protocol)
        if said != counted:
            self.problems.append(
                f"a score of {model[:8]} by {protocol} says {said}, and the log gives {counted}"
                " (correct, evaluated, unscored, total)"
            )
        self.told.append((message.timestamp, model, protocol, counted))


def _choice(message: Message, protocol: str) -> int | None:
    try:
        answer = json.loads(message.data)
        if Protocol.parse(protocol).method == "letters":
            text = answer["text"]
            return {"A": 1, "B": 2, "C": 3}.get(text, 0) if isinstance(text, str) else None
        nats = [float(each["nats"]) for each in answer["log_likelihoods"]]
        return nats.index(max(nats)) + 1 if len(nats) == 3 else None
    except (ValueError, KeyError, TypeError):
        return None


def recount(record: Record, samples: tuple[Sample, ...]) -> dict[str, Recount]:
    """Follow the log of every data set; return the counts by process id."""
    golds = {prompts.cloze(sample).prompt: sample.gold for sample in samples}
    golds |= {prompts.letters(sample).user: sample.gold for sample in samples}
    counts = {}
    for name in record.modules("SiqaDataset"):
        identity = record.names[name]
        state = record.resolved[identity].state
        first = next(iter(state.loaded.values()), 0)
        counted = Recount(golds, first, record.names.get(TOKEN, ""), state.router)
        for message, result in record.log(name):
            if message.owner in (message.sender, record.messenger):  # else it is not trusted
                counted.follow(message, result)
        counts[identity] = counted
    return counts


def check_counted_once(record: Record, samples: tuple[Sample, ...]) -> Iterator[str]:
    """Each sample counts once for each entry, and as its first good answer says."""
    for identity, counted in recount(record, samples).items():
        yield from counted.problems
        rows = [row for row in record.tables[identity] if row[0] == "evaluations"]
        pairs = {(row[2], row[3]) for row in rows}
        if len(pairs) != len(rows):
            yield "a sample has two rows for one model"
        done = sum("done" in row for row in rows)
        expected = sum(row.status == "done" for row in counted.rows.values())
        if done != expected:
            yield f"{done} evaluations are done, and the log tells of {expected}"


def check_board(record: Record, samples: tuple[Sample, ...]) -> Iterator[str]:
    """Every entry's numbers are those of a recount, at the end of its pool if that is over."""
    if BENCHMARK not in record.names:
        return
    counts = recount(record, samples)
    for pool_id, pool in record.state(BENCHMARK).pools.items():
        told = counts[pool.dataset].told if pool.dataset in counts else []
        for entry in pool.models.values():
            numbers = (entry.correct, entry.evaluated, entry.unscored, entry.total)
            since = pool.end_time if entry.final and not pool.reason else 0
            possible = {
                each[3]
                for each in told
                if each[0] >= since and each[1:3] == (entry.model, pool.protocol)
            }
            if numbers not in possible and entry.evaluated:
                yield (
                    f"pool {pool_id[:8]}, {entry.name}: the board says {numbers}, and the log"
                    f" gives {sorted(possible)}"
                )
