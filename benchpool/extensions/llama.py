"""Llama: inference for a process. Every answer is recorded, so a replay needs no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from benchpool.errors import InferenceError, StoreError
from benchpool.extensions.base import Extension, Recorder
from benchpool.inference.engine import Answer, Engine, EngineStats, ModelCard, Request
from benchpool.store import DataStore

MAX_RESTARTS = 16
"""How often one batch may bring its model down before all that is left of it fails."""

EngineFactory = Callable[[Path], Engine]
"""Opens a GGUF file. Raises: InferenceError if it is not usable."""

InferenceProgress = Callable[[str, int, int], None]
"""Called with (process id, answered, asked) while a batch runs, from the worker's thread."""


class EngineHost:
    """The engines of a network: one for each process that runs a model, opened when first asked."""

    def __init__(self, data: DataStore, factory: EngineFactory) -> None:
        self._data = data
        self._factory = factory
        self._engines: dict[tuple[str, str], Engine] = {}
        self._lock = Lock()
        self._stopped = False
        self.on_progress: InferenceProgress | None = None

    def engine(self, process: str, data_id: str) -> Engine:
        """Return the engine that runs this model for this process. Raises: InferenceError."""
        with self._lock:
            if self._stopped:
                raise InferenceError("the network is stopping")
            engine = self._engines.get((process, data_id))
            if engine is None:
                try:
                    path = self._data.path(data_id)
                except StoreError as error:
                    raise InferenceError(str(error)) from error
                engine = self._factory(path)
                self._engines[process, data_id] = engine
            return engine

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
            for engine in self._engines.values():
                engine.close()
            self._engines.clear()


class Llama(Extension):
    """Runs GGUF models by their data id."""

    def __init__(self, process: str, host: EngineHost, recorder: Recorder) -> None:
        self._process = process
        self._host = host
        self._recorder = recorder
        self._ahead: dict[tuple[str, bytes], Answer | InferenceError] = {}
        self._restarts_left = 0

    def load(self, data_id: str) -> ModelCard:
        """Open a model and return what its file says of itself.

        Raises: InferenceError if the file is no usable model.
        """
        card: Any = self._recorder.ask(
            lambda: msgspec.to_builtins(self._host.engine(self._process, data_id).card),
            failure=InferenceError,
        )
        return msgspec.convert(card, ModelCard)

    def prepare(self, data_id: str, requests: Sequence[Request]) -> None:
        """Answer many requests at once, for `answer` to find; a failure is found there too."""
        self._ahead.clear()
        self._restarts_left = MAX_RESTARTS
        distinct = {_key(request): request for request in requests}
        self._ask_ahead(data_id, list(distinct.values()))

    def _ask_ahead(self, data_id: str, requests: list[Request]) -> None:
        """Answer a batch; if it fails, its halves, so that one bad request fails alone."""
        if not requests:
            return
        try:
            engine = self._host.engine(self._process, data_id)
            answers: Sequence[Answer | InferenceError] = engine.answer(requests, self._report)
        except InferenceError as error:
            if len(requests) > 1 and self._restarts_left > 0:
                self._restarts_left -= 1
                middle = len(requests) // 2
                self._ask_ahead(data_id, requests[:middle])
                self._ask_ahead(data_id, requests[middle:])
                return
            answers = [error] * len(requests)
        for request, answer in zip(requests, answers, strict=True):
            self._ahead[data_id, _key(request)] = answer

    def answer(self, data_id: str, request: Request) -> Answer:
        """Answer one request. Raises: InferenceError if the model failed or died."""

        def live() -> object:
            answer = self._ahead.get((data_id, _key(request)))
            if answer is None:
                answer = self._host.engine(self._process, data_id).answer([request])[0]
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
