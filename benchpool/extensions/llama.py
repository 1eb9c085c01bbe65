"""Llama: inference for a process. Every answer is recorded, so a replay needs no model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any, Final, NamedTuple

import msgspec

from benchpool.errors import InferenceError, StoreError
from benchpool.extensions.base import Extension, Recorder
from benchpool.extensions.outside import reason
from benchpool.inference.engine import (
    Answer,
    Engine,
    LoadedModel,
    Outcome,
    Precision,
    Request,
    Runtime,
    Unanswered,
)
from benchpool.inference.engines import Engines, too_slow
from benchpool.inference.texts import bounded
from benchpool.store import DataStore

InferenceProgress = Callable[[str, int, int], None]
"""Called with (process id, answered, asked) while a batch runs, from the worker's thread."""


class EngineHost:
    """The engines of a network: one for each process that runs a model, opened when first asked."""

    def __init__(self, data: DataStore, backend: Engines) -> None:
        self._data = data
        self._backend = backend
        self._engines: dict[tuple[str, str, Precision], Engine] = {}
        self._lock = Lock()
        self._stopped = False
        self._listeners: list[InferenceProgress] = []

    def on_progress(self, listener: InferenceProgress) -> Callable[[], None]:
        """Tell a listener how batches go on, beside the others; return what ends that."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def report(self, process: str, answered: int, asked: int) -> None:
        """Tell every listener how far a process's batch is."""
        for listener in tuple(self._listeners):
            with suppress(Exception):  # its fault is none of the model's
                listener(process, answered, asked)

    def engine(
        self, process: str, data_id: str, precision: Precision = "stored", runtime: str = ""
    ) -> Engine:
        """Return the engine that runs this model for this process.

        Args:
            process: that asks.
            data_id: of the model.
            precision: in what it computes.
            runtime: the id of that on which it was computed before; empty if it was not.

        Raises: InferenceError.
        """
        weights = self.weights(data_id)
        key = (process, weights, precision)
        with self._lock:
            engine = self._engines.get(key)
        if engine is None:
            self._refuse_if_stopped()
            try:
                path = self._data.path(data_id)
            except StoreError as error:
                raise InferenceError(str(error)) from error
            # Without the lock: loading takes long, and no other process waits for it. One process
            # asks for one engine at a time.
            engine = self._backend.open(path, precision, runtime=runtime)
            with self._lock:
                self._engines[key] = engine
        if self._stopped:
            engine.close()
        self._refuse_if_stopped()
        return engine

    def weights(self, data_id: str) -> str:
        """Return the hash of a file's bytes, which may have come as a signed item.

        Raises: InferenceError.
        """
        try:
            return self._data.content_id(data_id)
        except StoreError as error:
            raise InferenceError(str(error)) from error

    def _refuse_if_stopped(self) -> None:
        if self._stopped:
            raise InferenceError("the network stops")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """End every engine, and let nobody open one while the block runs."""
        before, self._stopped = self._stopped, True
        try:
            self.close()
            yield
        finally:
            self._stopped = before

    def stop(self) -> None:
        """End every engine, and open none any more: whoever waits for one is let go."""
        self._stopped = True
        self.close()

    def pass_on(self, process: str, heir: str | None) -> None:
        """Give the engines of a process to another, or end them."""
        with self._lock:
            keys = [key for key in self._engines if key[0] == process]
            engines = {key: self._engines.pop(key) for key in keys}
            if heir is not None:
                self._engines |= {(heir, *key[1:]): engine for key, engine in engines.items()}
                return
        for engine in engines.values():
            engine.close()

    def close(self) -> None:
        """End every engine."""
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        for engine in engines:
            engine.close()


class Computed(NamedTuple):
    """An answer, and on what it was computed if that was not what was known."""

    answer: Answer
    runtime: Runtime | None


class Llama(Extension):
    """Runs GGUF models by their data id.

    Args:
        process: whose models they are.
        host: opens them.
        recorder: of what they answer.
        seconds: that a message may wait for answers which nobody prepared; 0 is without end.
    """

    def __init__(
        self, process: str, host: EngineHost, recorder: Recorder, seconds: float = 0
    ) -> None:
        self._process = process
        self._host = host
        self._recorder = recorder
        self._seconds = seconds
        self._waited_s = 0.0
        self._answered = 0
        self._ahead: dict[_Key, list[Outcome]] = {}
        """What came of the requests of a batch, once for each time that it will be taken."""
        self._runtimes: dict[tuple[str, Precision], Runtime] = {}
        """What each model was computed on last."""

    def begin(self) -> None:
        """See `Extension`."""
        self._waited_s, self._answered = 0.0, 0

    def load(self, data_id: str, precision: Precision = "stored") -> LoadedModel:
        """Open a model and return what its file says of itself, and what it runs on.

        Args:
            data_id: of the GGUF file.
            precision: "bf16" computes with a BF16 copy of the file, which is made once.

        Raises: InferenceError if the file is no usable model.
        """

        def live() -> object:
            engine = self._host.engine(self._process, data_id, precision)
            # A model's file writes much of this itself, at any length.
            loaded = _bounded(msgspec.to_builtins(engine.card))
            loaded["runtime"] = _bounded(msgspec.to_builtins(engine.runtime))
            weights = self._host.weights(data_id)
            if weights != data_id:
                loaded["weights"] = weights
            return loaded

        recorded = self._recorder.ask(live, failure=InferenceError)
        return msgspec.convert(recorded, LoadedModel)

    def prepare(
        self,
        data_id: str,
        requests: Sequence[Request],
        precision: Precision = "stored",
        *,
        runtime: str = "",
    ) -> None:
        """Answer many requests at once, for `answer` to take; a failure is found there too."""
        # Kept for the other precision: one batch of messages may ask in both.
        self._ahead = {key: each for key, each in self._ahead.items() if key[1] != precision}
        if not requests:
            return
        keys = [_key(data_id, request, precision) for request in requests]
        distinct = dict(zip(keys, requests, strict=True))
        try:
            engine = self._host.engine(self._process, data_id, precision, runtime)
            self._runtimes[data_id, precision] = engine.runtime
            outcomes = engine.answer(
                list(distinct.values()), partial(self._host.report, self._process)
            )
            found = dict(zip(distinct, outcomes, strict=True))
        except Exception as error:
            found = dict.fromkeys(distinct, InferenceError(reason(error)))
        for key in keys:
            self._ahead.setdefault(key, []).append(found[key])

    def answer(self, data_id: str, request: Request, precision: Precision = "stored") -> Answer:
        """Answer one request. Raises: InferenceError if the model failed or died."""
        return self.compute(data_id, request, precision).answer

    def compute(
        self, data_id: str, request: Request, precision: Precision = "stored", *, runtime: str = ""
    ) -> Computed:
        """Answer one request, and say if it was computed on another runtime than was known.

        Args:
            data_id: of the GGUF file.
            request: what to answer.
            precision: in what the weights enter the computation.
            runtime: the id of the runtime that is known; empty if none is.

        Raises: InferenceError if the model failed or died.
        """

        def live() -> object:
            outcome = self._take(_key(data_id, request, precision))
            if outcome is None:
                outcome = self._ask(data_id, request, precision, runtime)
            if isinstance(outcome, InferenceError):
                raise outcome
            if isinstance(outcome, Unanswered):
                outcome = Unanswered(bounded(outcome.reason))
            said = msgspec.to_builtins(outcome)
            now = self._runtimes.get((data_id, precision))
            if runtime and now is not None and now.id != runtime:
                said[_RUNTIME] = _bounded(msgspec.to_builtins(now))
            return said

        recorded = self._recorder.ask(live, failure=InferenceError)
        answer: Answer = msgspec.convert(recorded, ANSWER)
        other = recorded.get(_RUNTIME)
        return Computed(answer, None if other is None else msgspec.convert(other, Runtime))

    def _ask(
        self, data_id: str, request: Request, precision: Precision, runtime: str = ""
    ) -> Outcome:
        if self._seconds and self._waited_s >= self._seconds:
            return too_slow(self._waited_s, self._answered)
        started = time.monotonic()
        try:
            engine = self._host.engine(self._process, data_id, precision, runtime)
            self._runtimes[data_id, precision] = engine.runtime
            (outcome,) = engine.answer([request])
        finally:
            self._waited_s += time.monotonic() - started
        self._answered += 1
        return outcome

    def _take(self, key: _Key) -> Outcome | None:
        waiting = self._ahead.pop(key, [])
        outcome = waiting.pop() if waiting else None
        if waiting:
            self._ahead[key] = waiting
        return outcome


_RUNTIME: Final = "runtime"
"""Under which an answer's record names the runtime, if that is another than was known."""
_Key = tuple[str, Precision, bytes]
ANSWER: Any = Answer  # a union, which msgspec takes and the type of `convert` does not


def _bounded(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: bounded(value) if isinstance(value, str) else value for name, value in fields.items()
    }


def _key(data_id: str, request: Request, precision: Precision) -> _Key:
    return data_id, precision, msgspec.msgpack.encode(request)
