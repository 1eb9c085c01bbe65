"""Llama: inference for a process. Every answer is recorded, so a replay needs no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from benchpool.errors import InferenceError, StoreError
from benchpool.extensions.base import Extension, Recorder
from benchpool.inference.engine import (
    Answer,
    Engine,
    EngineStats,
    LoadedModel,
    Precision,
    Request,
)
from benchpool.store import DataStore

MAX_RESTARTS = 16
"""How often one batch may bring its model down before all that is left of it fails."""

EngineFactory = Callable[[Path, Precision], Engine]
"""Opens a GGUF file in a precision. Raises: InferenceError if it is not usable."""

InferenceProgress = Callable[[str, int, int], None]
"""Called with (process id, answered, asked) while a batch runs, from the worker's thread."""


class EngineHost:
    """The engines of a network: one for each process that runs a model, opened when first asked."""

    def __init__(self, data: DataStore, factory: EngineFactory) -> None:
        self._data = data
        self._factory = factory
        self._engines: dict[tuple[str, str, Precision], Engine] = {}
        self._lock = Lock()
        self._stopped = False
        self.on_progress: InferenceProgress | None = None

    def engine(self, process: str, data_id: str, precision: Precision = "stored") -> Engine:
        """Return the engine that runs this model for this process. Raises: InferenceError."""
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
            engine = self._factory(path, precision)
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

    def stats(self) -> EngineStats:
        """Return what the engines have done so far, those that keep count."""
        total = EngineStats()
        for engine in list(self._engines.values()):
            stats = getattr(engine, "stats", None)
            if isinstance(stats, EngineStats):
                total.add(stats)
        return total

    def stop(self) -> None:
        """End every engine, and open none any more: whoever waits for one is let go."""
        self._stopped = True
        self.close()

    def close(self) -> None:
        """End every engine."""
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        for engine in engines:
            engine.close()


class Llama(Extension):
    """Runs GGUF models by their data id."""

    def __init__(self, process: str, host: EngineHost, recorder: Recorder) -> None:
        self._process = process
        self._host = host
        self._recorder = recorder
        self._ahead: dict[tuple[str, Precision, bytes], Answer | InferenceError] = {}
        self._restarts_left = 0

    def load(self, data_id: str, precision: Precision = "stored") -> LoadedModel:
        """Open a model and return what its file says of itself, and what it runs on.

        Args:
            data_id: of the GGUF file.
            precision: "bf16" computes with a BF16 copy of the file, which is made once.

        Raises: InferenceError if the file is no usable model.
        """

        def live() -> object:
            engine = self._host.engine(self._process, data_id, precision)
            loaded = msgspec.to_builtins(engine.card)
            loaded["runtime"] = msgspec.to_builtins(engine.runtime)
            weights = self._host.weights(data_id)
            if weights != data_id:
                loaded["weights"] = weights
            return loaded

        recorded = self._recorder.ask(live, failure=InferenceError)
        return msgspec.convert(recorded, LoadedModel)

    def prepare(
        self, data_id: str, requests: Sequence[Request], precision: Precision = "stored"
    ) -> None:
        """Answer many requests at once, for `answer` to find; a failure is found there too."""
        # Kept for the other precision: one batch of messages may ask in both.
        self._ahead = {key: each for key, each in self._ahead.items() if key[1] != precision}
        self._restarts_left = MAX_RESTARTS
        distinct = {_key(request): request for request in requests}
        self._ask_ahead(data_id, list(distinct.values()), precision)

    def _ask_ahead(self, data_id: str, requests: list[Request], precision: Precision) -> None:
        """Answer a batch; halve what failed of it, so that one bad request fails alone."""
        if not requests:
            return
        try:
            engine = self._host.engine(self._process, data_id, precision)
            answers: Sequence[Answer | InferenceError] = engine.answer(requests, self._report)
        except InferenceError as error:
            left = self._keep_answered(data_id, requests, precision, error)
            if len(requests) > 1 and self._restarts_left > 0:
                self._restarts_left -= 1
                middle = len(left) // 2
                self._ask_ahead(data_id, left[:middle], precision)
                self._ask_ahead(data_id, left[middle:], precision)
                return
            requests, answers = left, [error] * len(left)
        for request, answer in zip(requests, answers, strict=True):
            self._ahead[data_id, precision, _key(request)] = answer

    def _keep_answered(
        self, data_id: str, requests: list[Request], precision: Precision, error: InferenceError
    ) -> list[Request]:
        """Keep what a failed batch answered; return the requests that are left."""
        for place, answer in error.answered.items():
            self._ahead[data_id, precision, _key(requests[place])] = answer
        return [each for place, each in enumerate(requests) if place not in error.answered]

    def answer(self, data_id: str, request: Request, precision: Precision = "stored") -> Answer:
        """Answer one request. Raises: InferenceError if the model failed or died."""

        def live() -> object:
            answer = self._ahead.get((data_id, precision, _key(request)))
            if answer is None:
                engine = self._host.engine(self._process, data_id, precision)
                answer = engine.answer([request])[0]
            if isinstance(answer, InferenceError):
                raise answer
            return msgspec.to_builtins(answer)

        recorded = self._recorder.ask(live, failure=InferenceError)
        answer: Answer = msgspec.convert(recorded, ANSWER)
        return answer

    def _report(self, done: int, total: int) -> None:
        if self._host.on_progress is not None:
            self._host.on_progress(self._process, done, total)


ANSWER: Any = Answer  # a union, which msgspec takes and the type of `convert` does not


def _key(request: Request) -> bytes:
    return msgspec.msgpack.encode(request)
