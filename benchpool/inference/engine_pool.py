"""One pool of child processes for all models of a network.

Every core runs one child of one thread. Calls are cut into shares of at most 32 requests, which
go to whichever worker is free: a single model uses all cores, several models take turns, and an
answer is the same whoever computes it. The children of a model share its weights, which are mapped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchpool.errors import InferenceError, ModelFileError
from benchpool.inference.answer_cache import AnswerCache
from benchpool.inference.engine import (
    Answer,
    EngineStats,
    LayoutName,
    ModelCard,
    Precision,
    Progress,
    Request,
    Runtime,
    Unanswered,
)
from benchpool.inference.files.gguf_header import read_header
from benchpool.inference.files.transcoding import hash_file
from benchpool.inference.isolated import IsolatedEngine, fingerprint
from benchpool.inference.machine import usable_cores
from benchpool.inference.runs import Run
from benchpool.inference.sharing import Answers, Call, Computed, Memory, SharedModel, choose

_CONTEXT_TOKENS = 4096
_HOPELESS = 3
"""Deaths in a row, without an answer between them, that end a call."""
_END_S = 5.0


class EnginePool:
    """Runs models for many callers at a time.

    Args:
        workers: Children that compute at a time; None for one a core.
        models_memory_bytes: Bound on the memory of all loaded models; None for half of what the
            machine has.
        child_memory_bytes: What a child may allocate; see ``IsolatedEngine``.
        cache: Where answers and the facts of each run are kept; the caller closes it.
        copies: Folder of BF16 copies; None for one beside the model cache.
        layout: How requests meet; None for the best that a model and this build can do.
        context_tokens: Longest request, if a model was trained on that much.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        models_memory_bytes: int | None = None,
        child_memory_bytes: int | None = None,
        cache: AnswerCache | None = None,
        copies: Path | None = None,
        layout: LayoutName | None = None,
        context_tokens: int = _CONTEXT_TOKENS,
    ) -> None:
        self.workers = workers or usable_cores()
        self.memory = Memory(models_memory_bytes, self._end)
        self.cache = cache
        self._options: dict[str, Any] = {
            "threads": 1,
            "context_tokens": context_tokens,
            "copies": copies,
            "layout": layout,
            "memory_bytes": child_memory_bytes,
        }
        self._context_tokens = context_tokens
        self._changed = threading.Condition()
        self._models: dict[tuple[Path, Precision], SharedModel] = {}
        self._calls: list[Call] = []
        self._children: set[IsolatedEngine] = set()
        self._threads: set[threading.Thread] = set()
        self._count = 0
        self._closed = False

    def open(
        self, path: Path, precision: Precision = "stored", *, name: str | None = None
    ) -> PooledEngine:
        """Open a model: its header is read and a child loads it, if none has yet.

        Raises:
            ModelFileError: Not a model that llama.cpp can load.
            ModelDied: The child ended, or did not load the model in time.
        """
        model = self._model(path, precision, name)
        try:
            with model.opening:
                if model.runtime is None:
                    self.run(Call(model, (), []), lambda _: None)
            return PooledEngine(self, model)
        except BaseException:
            self.leave(model)
            raise

    def _model(self, path: Path, precision: Precision, name: str | None) -> SharedModel:
        with self._changed:
            model = self._models.get((path, precision))
            if model is not None:
                model.users += 1
                return model
        header = read_header(path)
        card = header.card(name or path.name.removesuffix(".gguf"), sha256=hash_file(path))
        made = SharedModel(path, precision, header, card, self._context_tokens)
        with self._changed:
            model = self._models.setdefault((path, precision), made)
            model.users += 1
            return model

    def leave(self, model: SharedModel) -> None:
        """One user of a model less; after the last one its children end."""
        with self._changed:
            model.users -= 1
            if model.users:
                return
            del self._models[model.path, model.precision]
            for child in model.idle:
                self._end(child)
            model.children -= len(model.idle)
            model.idle.clear()

    def run(self, call: Call, take: Callable[[Computed], None]) -> InferenceError | None:
        """Compute a call; ``take`` gets answers as they come, in the caller's thread.

        Returns: what ended a share without all its answers, if something did.

        Raises:
            InferenceError: The model cannot be loaded, or the pool was closed.
        """
        failure: InferenceError | None = None
        self._begin(call)
        try:
            while (event := call.events.get()) is not None:
                if not isinstance(event, BaseException):
                    take(event)
                elif isinstance(event, ModelFileError) or not isinstance(event, InferenceError):
                    raise event
                else:
                    failure = failure or event
        finally:
            self.stop(call)
        if failure is not None and not call.requests:
            raise failure
        return failure

    def _begin(self, call: Call) -> None:
        with self._changed:
            if self._closed:
                raise InferenceError(f"{call.model.card.name}: the engines are closed")
            call.turn = min((other.turn for other in self._calls), default=0)
            self._calls.append(call)
            while len(self._threads) < self.workers:
                thread = threading.Thread(target=self._work, name="benchpool-model", daemon=True)
                self._threads.add(thread)
                thread.start()
            self._changed.notify_all()

    def stop(self, call: Call) -> None:
        """Begin no more of a call, and wake up who waits for it."""
        with self._changed:
            call.stop()
            call.ended = True
            if call in self._calls:
                self._calls.remove(call)
            call.events.put(None)
            self._changed.notify_all()

    def close(self) -> None:
        """End every child, also one that computes."""
        with self._changed:
            self._closed = True
            for call in self._calls:
                call.events.put(InferenceError("the engines were closed"))
                call.ended = True
                call.stop()
                call.events.put(None)
            self._calls.clear()
            children, threads = set(self._children), set(self._threads)
            self._changed.notify_all()
        for child in children:
            child.close()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(_END_S)

    # -- the workers -------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                found = self._next()
                if found is None:
                    self._threads.discard(threading.current_thread())
                    return
                call, child = found
                share = call.take(self.workers)
                call.turn += 1
                call.running += 1
                if child is None:
                    call.model.children += 1
            self._compute(call, share, child)

    def _next(self) -> tuple[Call, IsolatedEngine | None] | None:
        """Wait for something to do; None if there is nothing left."""
        while calls := [call for call in self._calls if call.waits]:
            pauses = {call: call.model.backoff.left_s() for call in calls}
            ready = [call for call in calls if not pauses[call]]
            found = choose(ready, list(self._models.values()), self.memory)
            if found is not None:
                return found
            paused = [pause for pause in pauses.values() if pause]
            self._changed.wait(min(paused) if paused else None)
        return None

    def _compute(self, call: Call, share: list[int], child: IsolatedEngine | None) -> None:
        model, failure = call.model, None
        before = EngineStats()
        try:
            if child is None:
                child = self._start(model)
            before.add(child.stats)
            with closing(child.stream([call.requests[place] for place in share])) as stream:
                for numbered in stream:
                    answers = [(share[at], answer) for at, answer in numbered]
                    model.backoff.answered()
                    self._keep(call, answers)
                    spent = child.stats.since(before)
                    before.add(spent)
                    call.events.put(Computed(answers, spent))
                    if call.ended:
                        break
        except BaseException as error:  # whatever it is, it is the caller's to know
            failure = error
        with self._changed:
            self._put_back(model, child)
            self._finish(call, failure)
            self._changed.notify_all()

    def _start(self, model: SharedModel) -> IsolatedEngine:
        child = IsolatedEngine(
            model.path,
            name=model.card.name,
            precision=model.precision,
            sha256=model.card.sha256,
            load=False,
            **self._options,
        )
        with self._changed:
            if self._closed:
                raise InferenceError("the engines were closed")
            self._children.add(child)
        try:
            child.load()
        except BaseException:
            self._end(child)
            raise
        model.runtime = child.runtime
        return child

    def _keep(self, call: Call, answers: Answers) -> None:
        model = call.model
        if self.cache is not None and model.runtime is not None:
            named = [(call.requests[place], answer) for place, answer in answers]
            self.cache.keep(model.card.sha256 or "", model.runtime, named)

    def _put_back(self, model: SharedModel, child: IsolatedEngine | None) -> None:
        self._count += 1
        model.used = self._count
        if child is not None and child.pid is not None and model.users and not self._closed:
            model.idle.append(child)
            return
        model.children -= 1
        if child is not None:
            self._end(child)

    def _finish(self, call: Call, failure: BaseException | None) -> None:
        call.running -= 1
        if failure is not None and not call.ended:
            model = call.model
            model.backoff.died()
            if isinstance(failure, ModelFileError) or model.backoff.deaths >= _HOPELESS:
                call.stop()
            call.events.put(failure)
        if not call.waits and not call.running:
            call.events.put(None)

    def _end(self, child: IsolatedEngine) -> None:
        child.close()
        self._children.discard(child)


class PooledEngine:
    """One model of a pool, for one caller at a time. See ``Engine``."""

    def __init__(self, pool: EnginePool, model: SharedModel) -> None:
        assert model.runtime is not None
        self.stats = EngineStats()
        self._runtime = model.runtime
        self._pool = pool
        self._model = model
        self._file = fingerprint(model.path)
        self._call: Call | None = None
        self._closed = False

    @property
    def card(self) -> ModelCard:
        """The model that this engine runs."""
        return self._model.card

    @property
    def runtime(self) -> Runtime:
        """What besides model and request decides the bits of its answers."""
        return self._runtime

    def answer(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Answer]:
        """Answer every request, in order. See ``Engine.answer``.

        Raises:
            InferenceError: Some requests got no answer; ``answered`` holds those that did.
        """
        if self._closed:
            raise InferenceError(f"{self.card.name}: the engine is closed")
        if fingerprint(self._model.path) != self._file:
            raise ModelFileError(f"{self._model.path} was changed while it was in use")
        started = _now_ms()
        answers = self._find(requests)
        missing = [place for place in range(len(requests)) if place not in answers]
        total = EngineStats()

        def count(spent: EngineStats) -> None:
            total.add(spent)
            self.stats.add(spent)

        def take(computed: Computed) -> None:
            count(computed.spent)
            for place, answer in computed.answers:
                answers[place] = answer
                if progress is not None:
                    progress(len(answers), len(requests))

        count(EngineStats(cached=len(answers)))
        failure: InferenceError | None = None
        call = Call(self._model, requests, missing)
        try:
            if progress is not None and answers:
                progress(len(answers), len(requests))
            if missing:
                self._call = call
                failure = self._pool.run(call, take)
        except InferenceError as error:
            failure = error
        finally:
            self._call = None
            self._note(started, len(requests), answers, total)
        if len(answers) == len(requests):
            return [answers[place] for place in range(len(requests))]
        failure = failure or InferenceError(f"{self.card.name}: the engine was closed")
        failure.answered = answers
        raise failure

    def _find(self, requests: Sequence[Request]) -> dict[int, Answer]:
        if self._pool.cache is None:
            return {}
        return self._pool.cache.find(self.card.sha256 or "", self.runtime, requests)

    def _note(
        self, started: int, asked: int, answers: dict[int, Answer], spent: EngineStats
    ) -> None:
        cache, card = self._pool.cache, self.card
        if cache is None or not asked:
            return
        run = Run(
            model=card.sha256 or "",
            name=card.name,
            runtime=self.runtime,
            quantization=card.quantization,
            chat_template_sha256=card.chat_template_sha256,
            requests=asked,
            answered=len(answers) - spent.cached,
            cached=spent.cached,
            unanswered=sum(isinstance(answer, Unanswered) for answer in answers.values()),
            tokens=spent.tokens,
            rows=spent.rows,
            milliseconds=spent.milliseconds,
            started=started,
            ended=_now_ms(),
        )
        cache.note(run)

    def close(self) -> None:
        """Let go of the model; a call in progress ends. See ``Engine.close``."""
        if self._closed:
            return
        self._closed = True
        call = self._call
        if call is not None:
            self._pool.stop(call)
        self._pool.leave(self._model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
