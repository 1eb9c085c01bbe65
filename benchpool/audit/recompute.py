"""Recompute: ask the models of a pool again, and compare with what the log says they answered.

Which answers are asked again follows from the hash chain at the settlement: whoever answered did
not know it, and whoever audits draws the same ones. On the runtime that an answer names, every bit
must come out again. On another one a log-likelihood may differ by a margin, and generated text
cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from typing import Any, Final

import msgspec

from benchpool.audit.dataset import AskedQuestion, request_text
from benchpool.audit.pool_facts import RecountedEntry, RecountedPool
from benchpool.audit.pools import BenchmarkRecount
from benchpool.audit.recomputation import EntryAgain, Lie, Recomputation
from benchpool.audit.recounts import Recounts
from benchpool.errors import BenchpoolError, InferenceError
from benchpool.evaluation.protocol import Protocol
from benchpool.inference.engine import (
    ChoicesRequest,
    CompleteRequest,
    Engine,
    GenerateRequest,
    Generation,
    Outcome,
    Request,
    Unanswered,
)
from benchpool.inference.engines import Engines
from benchpool.inference.remote_models import read_description
from benchpool.store import Store
from benchpool.store.base import LogEntry

MARGIN_NATS: Final = 2.0
"""Between the two layouts the log-likelihoods of two small quantized models differ by 0.2 and 0.4
on average over 60 questions of Social IQa, and by 0.95 and 1.55 at most."""

REMOTE: Final = "a model server gave it, which is not reproducible: nobody can recompute it"

Question = tuple[int, AskedQuestion]
"""A question with its number, from 1."""


@dataclass(frozen=True, slots=True)
class Again:
    """How models are asked again.

    Attributes:
        engines: Opens their files. Answers that were kept before must not stand in for theirs.
        draws: How many answers an entry.
        margin: In nats, on another runtime than the recorded one.
        on_progress: Called with the name of a model, how many it answered, and of how many.
    """

    engines: Engines
    draws: int
    margin: float = MARGIN_NATS
    on_progress: Callable[[str, int, int], None] = lambda _name, _done, _asked: None


def recompute(
    recounts: Recounts, pools: BenchmarkRecount, pool: RecountedPool, again: Again
) -> Recomputation:
    """Ask the models of a pool again. Raises: PoolError if its data set is not in this run."""
    return _Recompute(recounts, pools, pool, again).run()


class _Recompute:
    def __init__(
        self, recounts: Recounts, pools: BenchmarkRecount, pool: RecountedPool, again: Again
    ) -> None:
        self._store = recounts.store
        self._data = recounts.data
        self._benchmark = pools.info.id
        self._read = recounts.readings[pools.info.id].entries
        self._pool = pool
        self._dataset = recounts.dataset(pool.dataset)
        self._protocol = Protocol.parse(pool.protocol)
        self._again = again
        # A tick of the data set asks up to a thousand questions: its result is read once.
        self._requests = lru_cache(maxsize=8)(self._requests_of)

    def run(self) -> Recomputation:
        done = Recomputation(self._again.draws, self._again.margin, self._seed)
        done.entries = [self._ask(entry) for entry in self._pool.entries.values()]
        return done

    @cached_property
    def _seed(self) -> str:
        """The hash chain at the settlement, or at the log's end; a cron tick has none."""
        settled = self._pool.settled
        for position in range(self._read - 1 if settled < 0 else settled, -1, -1):
            chain = _entry(self._store, self._benchmark, position).message.hash_chain
            if chain:
                return chain
        return ""

    def _draw(self, answered: Sequence[Question], model: str) -> list[Question]:
        def lot(question: Question) -> bytes:
            text = f"{self._seed}:{self._pool.id}:{model}:{question[0]}"
            return sha256(text.encode()).digest()

        drawn = sorted(answered, key=lot)[: self._again.draws]
        return sorted(drawn, key=lambda question: question[1].answered_at)

    def _answered(self, entry: RecountedEntry) -> list[Question]:
        """Return the answers that the entry's last score counts; without one, all there are."""
        score = self._dataset.scores.get((self._benchmark, entry.answered))
        most = self._dataset.known.get(self._pool.samples_hash)
        rows = self._dataset.answered(entry.model, str(self._protocol), most)
        return [each for each in rows if score is None or each[1].answered_at < score.position]

    def _ask(self, entry: RecountedEntry) -> EntryAgain:
        answered = self._answered(entry)
        done = EntryAgain(entry.model, entry.name, entry.weights, len(answered))
        drawn = self._draw(answered, entry.model)
        done.drawn = len(drawn)
        asked: list[tuple[Question, Request]] = []
        for question in drawn:
            request = self._request(question[1])
            if request is None:
                _count(done, "what was asked leaves settings to the worker")
            else:
                asked.append((question, request))
        if asked:
            self._compute(done, asked)
        return done

    def _compute(self, done: EntryAgain, asked: Sequence[tuple[Question, Request]]) -> None:
        """Open a model, ask it, and note what became of each answer."""
        try:
            path = self._data.path(done.weights)
            if read_description(path) is not None:
                allowed = self._pool.binding.get("Remote")
                for _ in asked:
                    _count(done, REMOTE if allowed else f"{REMOTE}, and the pool lets none such in")
                return
            with closing(self._again.engines.open(path, self._protocol.precision)) as engine:
                progress = partial(self._again.on_progress, done.name)
                outcomes = engine.answer([request for _, request in asked], progress)
        except BenchpoolError as error:
            for _ in asked:
                _count(done, str(error))
            return
        for (question, _), outcome in zip(asked, outcomes, strict=True):
            self._compare(done, question, outcome, engine)

    def _compare(
        self, done: EntryAgain, question: Question, outcome: Outcome, engine: Engine
    ) -> None:
        if isinstance(outcome, InferenceError):
            _count(done, str(outcome))
            return
        number, row = question
        recorded = _entry(self._store, self._dataset.info.id, row.answered_at).message.json()
        now = msgspec.json.decode(msgspec.json.encode(outcome))  # as it would stand in the log
        same = recorded.get("runtime") == engine.runtime.id
        if same and all(recorded.get(name) == now[name] for name in now if name != "kind"):
            done.same += 1
        elif not same and isinstance(outcome, Generation):
            _count(done, "text of another runtime cannot be compared")
        elif not same and isinstance(outcome, Unanswered):
            _count(done, outcome.reason)
        elif not same and _is_near(recorded, now, self._again.margin):
            done.near += 1
        else:
            text = f"{row.sample.context} {row.sample.question}".strip()
            at = (self._dataset.info.id, row.answered_at, done.model, done.name)
            done.lies.append(Lie(*at, number, text, same, recorded, now))

    def _request(self, row: AskedQuestion) -> Request | None:
        """Read what was asked; None if it says too little to be asked again."""
        text = self._requests(row.asked_at)[row.reference]
        asked = msgspec.json.decode(text)
        if "choices" in asked:
            greedy, leads = bool(asked.get("greedy")), tuple(asked.get("leads", ()))
            return ChoicesRequest(asked["prompt"], tuple(asked["choices"]), greedy, leads)
        raw = bool(asked.get("raw"))
        if asked.get("max_tokens") is None or not (raw or asked.get("system") is not None):
            return None
        if "stop" in asked:
            chat = () if raw else (True, asked["system"])
            return CompleteRequest(
                asked["prompt"], tuple(asked["stop"]), asked["max_tokens"], *chat
            )
        return GenerateRequest(asked["prompt"], asked["system"], asked["max_tokens"])

    def _requests_of(self, position: int) -> dict[str, str | bytes]:
        """Return the requests that a message of the data set's log led to, by reference."""
        result = _entry(self._store, self._dataset.info.id, position).result
        messages = () if result is None else result.messages
        return {str(each.reference): request_text(each) for each in messages}


def _entry(store: Store, process: str, position: int) -> LogEntry:
    return next(store.entries(process, after=position - 1, limit=1))


def _is_near(recorded: dict[str, Any], now: dict[str, Any], margin: float) -> bool:
    try:
        before = [float(each["nats"]) for each in recorded["log_likelihoods"]]
    except (KeyError, TypeError, ValueError):
        return False
    after = [each["nats"] for each in now["log_likelihoods"]]
    # Written so that what is no number is not near.
    return len(before) == len(after) and all(
        abs(a - b) <= margin for a, b in zip(before, after, strict=True)
    )


def _count(done: EntryAgain, reason: str) -> None:
    done.unasked[reason] = done.unasked.get(reason, 0) + 1
