"""A data set's evaluations, counted again from its log.

Every answer is judged again against the questions as they were loaded. Of one question and one
entry one answer counts: the first that came to the request that was open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from benchpool.ao.clock import HOUR_MS, parse_duration
from benchpool.ao.ids import encode_id
from benchpool.ao.message import Message, Outgoing, ProcessInfo, Result
from benchpool.ao.tags import Tags
from benchpool.audit.ledger import trusted
from benchpool.errors import BenchpoolError, DatasetError, InferenceError
from benchpool.evaluation import prompts
from benchpool.evaluation import protocol as evaluation_protocol
from benchpool.evaluation.sample import Sample, parse_samples
from benchpool.evaluation.scorers import retrieve_letter, score_cloze
from benchpool.process.registry import Registry
from benchpool.store import DataStore

SIQA: Final = "SiqaDataset"
MAX_FAILURES: Final = 3
DEFAULT_LEASE_MS: Final = 2 * HOUR_MS


class Count(NamedTuple):
    """How far an entry has come."""

    correct: int
    evaluated: int
    unscored: int
    total: int


class Sheet(NamedTuple):
    """Which questions an entry got right, of those that it has met."""

    right: frozenset[int]
    met: frozenset[int]


class Judge(Protocol):
    """How questions of a data set are read, asked and judged."""

    def load(self, data: bytes, name: str) -> list[Sample]:
        """Read questions."""

    def default(self) -> str:
        """Return the protocol that is used if none is named."""

    def ask(self, sample: Sample, protocol: str) -> tuple[str, tuple[str, ...]]:
        """Return the prompt and the choices of a question, by which a request is known."""

    def correct(self, answer: dict[str, Any], sample: Sample, protocol: str) -> bool:
        """Judge an answer. Raises: BenchpoolError if it cannot be read."""


class SiqaJudge:
    """Social IQa by `benchpool.evaluation` alone: not a line of the process is used."""

    def load(self, data: bytes, name: str) -> list[Sample]:
        """See `Judge`."""
        return parse_samples(data, name=name)

    def default(self) -> str:
        """See `Judge`."""
        return "cloze"

    def ask(self, sample: Sample, protocol: str) -> tuple[str, tuple[str, ...]]:
        """See `Judge`."""
        if protocol == "cloze":
            cloze = prompts.cloze(sample)
            return cloze.prompt, tuple(cloze.continuations)
        return prompts.letters(sample, system=prompts.DEFAULT_SYSTEM_PROMPT).user, ()

    def correct(self, answer: dict[str, Any], sample: Sample, protocol: str) -> bool:
        """See `Judge`."""
        try:
            if protocol == "cloze":
                nats = [float(each["nats"]) for each in answer["log_likelihoods"]]
                return score_cloze(nats, sample.choices).prediction == sample.gold
            text = answer["text"]
            if not isinstance(text, str):
                raise InferenceError("the text is none")
            return retrieve_letter(text) == sample.gold
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InferenceError(f"the answer cannot be read: {error}") from None


class ModuleJudge:
    """A data set of another module: by the parts that this module defines."""

    def __init__(self, parts: Any) -> None:
        self._parts = parts

    def load(self, data: bytes, name: str) -> list[Sample]:
        """See `Judge`."""
        samples: list[Sample] = self._parts.load_samples(data, name)
        return samples

    def default(self) -> str:
        """See `Judge`."""
        return str(self._parts.card.protocols[0])

    def ask(self, sample: Sample, protocol: str) -> tuple[str, tuple[str, ...]]:
        """See `Judge`."""
        return _asked(self._parts.build_request(sample, protocol))

    def correct(self, answer: dict[str, Any], sample: Sample, protocol: str) -> bool:
        """See `Judge`."""
        seen = self._parts.retrieve(answer, sample, protocol)
        return bool(self._parts.is_correct(sample, seen.choice))


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
    answered_at: int = -1
    """Position of the answer that counts."""


class Score(NamedTuple):
    """A Score that was asked for, what the data set said and what a recount gives."""

    position: int
    model: str
    protocol: str
    said: Count | None
    counted: Count | None


@dataclass(slots=True)
class DatasetRecount:
    """Goes through the log of a data set."""

    info: ProcessInfo
    data: DataStore
    judge: Judge
    samples: list[Sample] = field(default_factory=list)
    scores: dict[tuple[str, str], Score] = field(default_factory=dict)
    """By who asked and the reference of the question."""
    repeated: int = 0
    """Answers that came when none was awaited; they count nothing."""
    problems: list[str] = field(default_factory=list)
    _rows: dict[tuple[str, str], list[AskedQuestion]] = field(default_factory=dict)
    _asked: dict[tuple[str, str, tuple[str, ...], str], list[AskedQuestion]] = field(
        default_factory=dict
    )
    _waiting: dict[str, AskedQuestion] = field(default_factory=dict)
    _loaded: set[str] = field(default_factory=set)
    _router: str = ""
    _token: str = ""
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
            "benchmark": lambda: self._take_up(message.tags),
            "evaluate": lambda: self._evaluate(message, result),
            "inference-response": lambda: self._answer(message),
            "inference-error": lambda: self._answer(message),
            "transfer-error": lambda: self._put_back(message),
            "credit-notice": lambda: self._refunded(message),
            "score": lambda: self._score(message, result),
        }.get(message.action.lower())
        if handle is not None:
            handle()

    def count(self, model: str, protocol: str) -> Count | None:
        """Count a model's rows; None if it is not evaluated here."""
        rows = self._rows.get((model, protocol))
        if rows is None:
            return None
        done = [row for row in rows if row.status == "done"]
        unscored = sum(row.status == "unscored" for row in rows)
        return Count(sum(row.correct for row in done), len(done), unscored, len(rows))

    def sheet(self, model: str, protocol: str, before: int, *, whole: bool) -> Sheet:
        """Return which questions an entry had met before a position, and got right.

        Args:
            model: the entry.
            protocol: by which it was asked.
            before: the position.
            whole: whether all questions count as met, with an answer or without.
        """
        rows = list(enumerate(self._rows.get((model, protocol), [])))
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
        if tags.get("Lease"):
            self._lease_ms = parse_duration(tags["Lease"], bare_ms=True)
        if tags.get("DataTxID") and tags["DataTxID"] not in self._loaded:
            self._load(tags["DataTxID"], self.data.get(tags["DataTxID"]))

    def _load_data(self, message: Message) -> None:
        data_id = message.tags.get("DataTxID")
        if data_id:
            self._load(data_id, self.data.get(data_id))
            return
        data = message.data.encode() if isinstance(message.data, str) else message.data
        self._load(encode_id(sha256(data).digest()), data)

    def _load(self, data_id: str, data: bytes) -> None:
        samples = self.judge.load(data, data_id)
        self.samples += samples
        self._loaded.add(data_id)
        for (model, protocol), rows in self._rows.items():
            self._add(model, rows[0].weights if rows else "", protocol, samples)

    def _take_up(self, tags: Tags) -> None:
        named = tags.get("Protocol") or self.judge.default()
        key = (tags["Model"], str(evaluation_protocol.Protocol.parse(named)))
        rows = self._rows.get(key)
        if rows is None:
            self._rows[key] = []
            self._add(key[0], tags.get("Weights"), key[1], self.samples)
            return
        for row in rows:
            if row.status == "unscored":
                row.status, row.failures = "pending", 0

    def _add(self, model: str, weights: str, protocol: str, samples: list[Sample]) -> None:
        method, precision = evaluation_protocol.Protocol.parse(protocol)
        for sample in samples:
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
            row.correct = self.judge.correct(answer, row.sample, row.method)
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
        counted = self.count(message.tags["Model"], protocol)
        said = None
        for outgoing in result.messages:
            if outgoing.tags.get("Action") == "Score-Response":
                said = _said(outgoing)
        score = Score(message.position, message.tags["Model"], protocol, said, counted)
        self.scores[message.sender, message.reference] = score

    def _report(self, message: Message, text: str) -> None:
        self.problems.append(f"position {message.position} of the data set: {text}")


def judge_of(info: ProcessInfo, registry: Registry) -> Judge:
    """Return how a data set process judges. Raises: UnknownModule."""
    if registry.name(info.module) == SIQA:
        return SiqaJudge()
    return ModuleJudge(registry.find(info.module)(info))


def _said(outgoing: Outgoing) -> Count | None:
    names = ("Correct", "Evaluated", "Unscored", "Total")
    try:
        return Count(*(int(outgoing.tags[name]) for name in names))
    except (KeyError, ValueError):
        return None


def _request(outgoing: Outgoing) -> tuple[str, str, tuple[str, ...], str] | None:
    """Return the model, what it is asked and in what precision; None if it is no request."""
    tags, action = outgoing.tags, outgoing.tags.get("Action")
    if action == "Inference":
        model, text = tags.get("Model"), outgoing.data
    elif action == "Transfer" and "X-Request" in tags:
        model, text = tags.get("X-Model"), tags["X-Request"]
    else:
        return None
    try:
        request = msgspec.json.decode(text)
        precision = request.get("precision", evaluation_protocol.STORED)
        return model, *_asked(request), str(precision)
    except (msgspec.MsgspecError, KeyError, TypeError):
        return None


def _asked(request: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    return str(request["prompt"]), tuple(request.get("choices", ()))
