"""A data set's evaluations, counted again from its log.

Every answer is judged again against the questions as they were loaded. Of one question and one
entry one answer counts: the first that came to the request that was open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from benchpool.ao.clock import HOUR_MS, parse_duration
from benchpool.ao.ids import encode_id
from benchpool.ao.message import Message, Outgoing, ProcessInfo, Result
from benchpool.ao.tags import Tags
from benchpool.audit.judges import Judge, asked
from benchpool.audit.ledger import trusted
from benchpool.audit.scores import Count, Score, is_response, said_counts, wrong_answers
from benchpool.errors import BenchpoolError, DatasetError, InferenceError
from benchpool.evaluation import protocol as evaluation_protocol
from benchpool.evaluation.controls import controlled
from benchpool.evaluation.sample import Sample
from benchpool.store import DataStore

MAX_FAILURES: Final = 3
DEFAULT_LEASE_MS: Final = 2 * HOUR_MS


class Sheet(NamedTuple):
    """Which questions an entry got right, of those that it has met."""

    right: frozenset[int]
    met: frozenset[int]


@dataclass(slots=True)
class AskedQuestion:
    """One question asked of one model under one protocol."""

    sample: Sample
    model: str
    weights: str
    method: str
    precision: str
    status: str = "pending"
    attempts: int = 0
    failures: int = 0
    reference: str = ""
    started_ms: int = 0
    price: int = 0
    correct: bool = False
    nats: tuple[float, ...] = ()
    """The log-likelihoods of the answer, if it has any."""
    told: bool = False
    """Whether a Score has told of it."""
    asked_at: int = -1
    """Position of the message whose result asked it last."""
    answered_at: int = -1
    """Position of the answer that counts."""


@dataclass(slots=True)
class DatasetRecount:
    """Goes through the log of a data set."""

    info: ProcessInfo
    data: DataStore
    judge: Judge
    samples: list[Sample] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    """SHA-256 of the questions there were to their number; empty in the first edition."""
    seal: str = ""
    """SHA-256 of salt and questions, as the salt that was revealed gives it."""
    scores: dict[tuple[str, str], Score] = field(default_factory=dict)
    """By who asked and the reference of the question."""
    repeated: int = 0
    """Answers that came when none was awaited; they count nothing."""
    problems: list[str] = field(default_factory=list)
    _rows: dict[tuple[str, str], list[AskedQuestion]] = field(default_factory=dict)
    _asked: dict[tuple[str, str, tuple[str, ...], str], list[AskedQuestion]] = field(
        default_factory=dict
    )
    _weights: dict[tuple[str, str], str] = field(default_factory=dict)
    _runtimes: dict[str, str] = field(default_factory=dict)
    _waiting: dict[str, AskedQuestion] = field(default_factory=dict)
    _loaded: set[str] = field(default_factory=set)
    _router: str = ""
    _token: str = ""
    _benchmark: str = ""
    _lease_ms: int = DEFAULT_LEASE_MS

    def take(self, message: Message, result: Result | None) -> None:
        """Take the next entry of the log."""
        if result is None or result.error or not trusted(self.info, message):
            return  # refused, or undone: it changed nothing
        if message.type == "Process":
            self._configure(message.tags)
            return
        handle = {
            "init": lambda: self._configure(message.tags),
            "load-data": lambda: self._load_data(message),
            "benchmark": lambda: self._take_up(message),
            "evaluate": lambda: self._evaluate(message, result),
            "inference-response": lambda: self._answer(message),
            "inference-error": lambda: self._answer(message),
            "transfer-error": lambda: self._put_back(message),
            "credit-notice": lambda: self._refunded(message),
            "score": lambda: self._score(message, result),
        }.get(message.action.lower())
        if handle is not None:
            handle()

    @property
    def first(self) -> bool:
        """Whether it goes by the rules of the first edition."""
        return self.info.edition == 1

    def rows(self, model: str, protocol: str, most: int | None = None) -> list[AskedQuestion]:
        """Return a model's questions, up to a number of them; none if it is not evaluated here."""
        return self._rows.get((model, protocol), [])[:most]

    def protocols(self, model: str) -> list[str]:
        """Return by which protocols a model has answered here."""
        there = [protocol for each, protocol in self._rows if each == model]
        return [protocol for protocol in there if self.answered(model, protocol)]

    def answered(
        self, model: str, protocol: str, most: int | None = None
    ) -> list[tuple[int, AskedQuestion]]:
        """Return a model's questions that have an answer, each with its number, from 1."""
        rows = enumerate(self.rows(model, protocol, most), start=1)
        return [(number, row) for number, row in rows if row.status == "done"]

    def sheet(
        self, model: str, protocol: str, before: int, *, whole: bool, most: int | None = None
    ) -> Sheet:
        """Return which questions an entry had met before a position, and got right.

        Args:
            model: the entry.
            protocol: by which it was asked.
            before: the position.
            whole: whether all questions count as met, with an answer or without.
            most: up to which question; None for all.
        """
        rows = list(enumerate(self.rows(model, protocol, most)))
        done = [(number, row) for number, row in rows if 0 <= row.answered_at < before]
        met = [number for number, row in rows if whole or row.status == "unscored"]
        right = (number for number, row in done if row.correct)
        return Sheet(frozenset(right), frozenset([*met, *(number for number, _ in done)]))

    @property
    def done(self) -> int:
        """How many questions are answered, of all models."""
        return sum(row.status == "done" for rows in self._rows.values() for row in rows)

    # -- questions and models ----------------------------------------------------------------

    def _configure(self, tags: Tags) -> None:
        self._router = tags.get("LlamaRouter", self._router)
        self._token = tags.get("WrappedAR", self._token)
        self._benchmark = tags.get("Benchmark", self._benchmark)
        if tags.get("Lease"):
            self._lease_ms = parse_duration(tags["Lease"], bare_ms=True)
        if tags.get("DataTxID") and tags["DataTxID"] not in self._loaded:
            self._load(tags["DataTxID"], self.data.get(tags["DataTxID"]))

    def _load_data(self, message: Message) -> None:
        data_id = message.tags.get("DataTxID")
        if data_id:
            data = self.data.get(data_id)
            self._load(data_id, data)
        else:
            data = message.data.encode() if isinstance(message.data, str) else message.data
            self._load(encode_id(sha256(data).digest()), data)
        if message.tags.get("Salt") and not self.first:
            self.seal = self.judge.seal(message.tags["Salt"], data, self.samples)

    def _load(self, data_id: str, data: bytes) -> None:
        samples = self.judge.load(data, data_id)
        self.samples += samples
        self._loaded.add(data_id)
        if not self.first:
            self.known[self.judge.hash(data, self.samples)] = len(self.samples)
            return
        for (model, protocol), rows in self._rows.items():
            self._add(model, rows[0].weights if rows else "", protocol, samples)

    def _take_up(self, message: Message) -> None:
        tags = message.tags
        named = tags.get("Protocol") or self.judge.default()
        key = (tags["Model"], str(evaluation_protocol.Protocol.parse(named)))
        rows, weights = self._rows.get(key), tags.get("Weights")
        if rows is None:
            rows = self._rows[key] = []
            self._weights[key] = weights
            if self.first:
                self._add(key[0], weights, key[1], self.samples)
        elif weights not in ("", self._weights[key]):
            self._weights[key] = weights  # told by the Benchmark: from anybody else it is refused
            for row in rows:
                self._waiting.pop(row.reference, None)
                row.weights, row.status, row.failures, row.told = weights, "pending", 0, False
                row.answered_at, row.correct = -1, False
        else:
            for row in rows:
                if row.status == "unscored":
                    row.status, row.failures, row.told = "pending", 0, False
        if not self.first:
            ours = message.sender == self._benchmark
            most = self.known[tags["Samples-SHA-256"]] if ours else len(self.samples)
            if ours and tags.get("Runtime"):
                self._runtimes[key[0]] = tags["Runtime"]
            self._add(key[0], self._weights[key], key[1], self.samples[len(rows) : most])

    def _add(self, model: str, weights: str, protocol: str, samples: list[Sample]) -> None:
        method, precision, control = evaluation_protocol.Protocol.parse(protocol)
        for each in samples:
            sample = controlled(each, control)
            row = AskedQuestion(sample, model, weights, method, precision)
            self._rows[model, protocol].append(row)
            key = (model, *self.judge.ask(sample, method), precision)
            self._asked.setdefault(key, []).append(row)

    # -- requests and answers ----------------------------------------------------------------

    def _evaluate(self, message: Message, result: Result) -> None:
        for row in list(self._waiting.values()):
            if row.started_ms <= message.timestamp - self._lease_ms:
                self._end(row, "pending")
        for outgoing in result.messages:
            request = _request(outgoing)
            if request is None:
                continue
            model = request[0]
            rows = self._asked.get(request, [])
            pending = [row for row in rows if row.status == "pending"]
            if not pending:
                self._report(message, f"asked {model} a question that was not open")
                continue
            row = min(pending, key=lambda each: each.attempts)  # the first of equals
            row.status, row.started_ms = "started", message.timestamp
            row.attempts += 1
            row.asked_at = message.position
            row.reference = str(outgoing.reference)
            row.price = int(outgoing.tags.get("Quantity", "0"))
            self._waiting[row.reference] = row

    def _answer(self, message: Message) -> None:
        tags = message.tags
        if not self._router or message.sender != self._router:
            return
        row = self._waiting.get(tags.get("X-Reference"))
        if row is None:
            self.repeated += 1
            return
        if tags.get("Model") not in ("", row.model):
            return
        other = row.weights and tags.get("Weights") not in ("", row.weights)
        if message.action.lower() == "inference-error" or other:
            self._fail(row)
            return
        try:
            answer = message.json()
            if not isinstance(answer, dict):
                raise InferenceError("the answer is not a JSON object")
            if answer.get("precision", evaluation_protocol.STORED) != row.precision:
                raise InferenceError(f"it was not computed in {row.precision}")
            admitted = self._runtimes.get(row.model, "")
            if admitted and answer.get("machine", "") not in ("", admitted):
                raise InferenceError(f"it was not computed on {admitted}")
            row.correct = self.judge.correct(answer, row.sample, row.method)
            row.nats = tuple(float(each["nats"]) for each in answer.get("log_likelihoods", ()))
        except BenchpoolError:
            self._fail(row)
            return
        row.answered_at = message.position
        self._end(row, "done")

    def _fail(self, row: AskedQuestion) -> None:
        row.failures += 1
        self._end(row, "unscored" if row.failures >= MAX_FAILURES else "pending")

    def _end(self, row: AskedQuestion, status: str) -> None:
        row.status = status
        del self._waiting[row.reference]

    def _put_back(self, message: Message) -> None:
        row = self._waiting.get(message.tags.get("X-Reference"))
        if row is not None and message.sender == self._token:
            self._end(row, "pending")

    def _refunded(self, message: Message) -> None:
        tags = message.tags
        row = self._waiting.get(tags.get("X-Reference"))
        if row is None or message.sender != self._token or "X-Error" not in tags:
            return
        if tags.get("Sender") != self._router:
            return
        if int(tags.get("X-Needed", "0")) > row.price:
            self._end(row, "pending")
        else:
            self._fail(row)

    # -- scores ------------------------------------------------------------------------------

    def _score(self, message: Message, result: Result) -> None:
        named = message.tags.get("Protocol") or self.judge.default()
        try:
            protocol = str(evaluation_protocol.Protocol.parse(named))
        except DatasetError:
            protocol = named  # nothing was ever counted under it
        most = None if self.first else self.known.get(message.tags.get("Samples-SHA-256"))
        rows = self.rows(message.tags["Model"], protocol, most)
        may = message.sender in (self._benchmark, self.info.owner)
        if may and not self.first:
            mine = (rows for key, rows in self._rows.items() if key[0] == message.tags["Model"])
            for row in chain.from_iterable(mine):
                row.told = row.told or row.status in ("done", "unscored")
        done = {
            number: row
            for number, row in enumerate(rows, start=1)
            if row.status == "done" and (self.first or row.told)
        }
        unscored = sum(row.status == "unscored" and (self.first or row.told) for row in rows)
        right = sum(row.correct for row in done.values())
        is_known = (message.tags["Model"], protocol) in self._rows
        counted = Count(right, len(done), unscored, len(rows)) if is_known else None
        reply = next((each for each in result.messages if is_response(each)), None)
        asked = may and not self.first and "Answers" in message.tags
        answers = {n: (row.correct, row.nats) for n, row in done.items()} if asked else {}
        self.scores[message.sender, message.reference] = Score(
            message.position,
            message.tags["Model"],
            protocol,
            said_counts(reply),
            counted,
            answers,
            wrong_answers(reply, answers) if asked else "",
        )

    def _report(self, message: Message, text: str) -> None:
        self.problems.append(f"position {message.position} of the data set: {text}")


def request_text(outgoing: Outgoing) -> str | bytes:
    """Return what a message asks a model, as JSON; nothing if it asks none."""
    tags, action = outgoing.tags, outgoing.tags.get("Action")
    if action == "Transfer":
        return tags.get("X-Request")
    return outgoing.data if action == "Inference" else ""


def _request(outgoing: Outgoing) -> tuple[str, str, tuple[str, ...], str] | None:
    """Return the model, what it is asked and in what precision; None if it is no request."""
    text = request_text(outgoing)
    model = outgoing.tags.get("Model") or outgoing.tags.get("X-Model")
    try:
        request = msgspec.json.decode(text)
        precision = request.get("precision", evaluation_protocol.STORED)
        return model, *asked(request), str(precision)
    except (msgspec.MsgspecError, KeyError, TypeError):
        return None
