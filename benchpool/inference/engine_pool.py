"""One pool of child processes for all models of a network.

Every core runs one child of one thread. Calls are cut into shares of at most 32 requests, which
go to whichever worker is free: a single model uses all cores, several models take turns, and an
answer is the same whoever computes it. The children of a model share its weights, which are mapped.

A worker that one share holds for long is not waited for: another one takes its place for the other
models, so that a slow model slows down nobody else but by the core that it computes on.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchpool.errors import InferenceError
from benchpool.inference.answer_cache import AnswerCache
from benchpool.inference.cores import ChildOptions, Cores
from benchpool.inference.engine import (
    Answer,
    EngineStats,
    LayoutName,
    Precision,
    Progress,
    Request,
    WorkerView,
)
from benchpool.inference.engines import Engines
from benchpool.inference.pooled_engine import PooledEngine
from benchpool.inference.recovery import SHARE_S, Call
from benchpool.inference.runs import Run
from benchpool.inference.shared_model import SharedModel
from benchpool.inference.sharing import Memory
from benchpool.inference.workplaces import Child, Workplaces

CONTEXT_TOKENS = 4096
_END_S = 5.0
_LOOK_S = 1.0
"""How often whoever waits for answers looks whether a slow model holds the workers."""
_HELD_S = 2 * SHARE_S
"""How long a share holds a worker before another one takes its place."""


class EnginePool(Engines):
    """Runs models by llama.cpp for many callers at a time.

    Args:
        workers: Children that compute at a time; None for one a core.
        models_memory_bytes: Bound on the memory of all loaded models; None for half of what the
            machine has.
        child_memory_bytes: What a child may allocate; see ``IsolatedEngine``.
        seconds: That a model may compute on the requests of one call; what it has not answered by
            then stays unanswered. 0 is without end.
        answers: Folder of answers and the facts of each run, which are kept as they arrive.
        copies: Folder of BF16 copies; None for one beside the model cache.
        layout: How requests meet; None for the best that a model and this build can do.
        context_tokens: Longest request, if a model was trained on that much.
        places: Where children run; None for this machine's cores.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        models_memory_bytes: int | None = None,
        child_memory_bytes: int | None = None,
        seconds: float = 0,
        answers: Path | None = None,
        copies: Path | None = None,
        layout: LayoutName | None = None,
        context_tokens: int = CONTEXT_TOKENS,
        places: Workplaces | None = None,
    ) -> None:
        options = ChildOptions(
            context_tokens=context_tokens,
            copies=copies,
            layout=layout,
            memory_bytes=child_memory_bytes,
        )
        memory = Memory(models_memory_bytes, self._end)
        self.places: Workplaces = places or Cores(workers, memory, options)
        self.cache: AnswerCache | None = None
        self._answers = answers
        self._stats = EngineStats()
        self._seconds = seconds
        self._context_tokens = context_tokens
        self._changed = threading.Condition()
        self._models: dict[tuple[Path, Precision], SharedModel] = {}
        self._calls: list[Call] = []
        self._children: set[Child] = set()
        self._threads: set[threading.Thread] = set()
        self._busy: dict[threading.Thread, float] = {}
        """Since when each worker is at its share."""
        self._count = 0
        self._closed = False

    def begin(self) -> None:
        """See ``Engines``."""
        self.places.begin(self._changed, self.waiting)

    def open(
        self,
        path: Path,
        precision: Precision = "stored",
        *,
        runtime: str = "",
        name: str | None = None,
    ) -> PooledEngine:
        """Open a model: its header is read and a child loads it, if none has yet.

        A cluster has it computed on the runtime named alone; this machine has but one.

        Raises:
            ModelFileError: Not a model that llama.cpp can load.
            ModelDied: The child ended, or did not load the model in time.
        """
        model = self._model(path, precision, name)
        try:
            with model.opening:
                model.wanted = model.wanted or runtime
                if model.runtime is None:
                    self._load(model)
            return PooledEngine(self, model)
        except BaseException:
            self.leave(model)
            raise

    def _load(self, model: SharedModel) -> None:
        call = Call(model, (), {})
        self.run(call)
        if model.runtime is None:
            raise call.failure

    def _model(self, path: Path, precision: Precision, name: str | None) -> SharedModel:
        with self._changed:
            model = self._models.get((path, precision))
            if model is not None:
                model.check_file()
                model.users += 1
                return model
            self.places.begin(self._changed, self.waiting)
            if self.cache is None and self._answers is not None:
                self.cache = AnswerCache(self._answers)
        made = SharedModel(
            path, precision, name, self._context_tokens, elsewhere=self.places.elsewhere
        )
        with self._changed:
            model = self._models.setdefault((path, precision), made)
            model.users += 1
            return model

    def admit(self, path: Path) -> None:
        """Try a file where it would run. See ``Engines``."""
        self.begin()
        self.places.admit(path)

    def stats(self) -> EngineStats:
        """Return what all engines have done so far."""
        return self._stats

    def waiting(self) -> int:
        """See ``Engines``."""
        with self._changed:
            return sum(call.waiting for call in self._calls)

    def workers(self) -> list[WorkerView]:
        """See ``Engines``."""
        with self._changed:
            return self.places.views()

    def find(self, model: SharedModel, requests: Sequence[Request]) -> dict[int, Answer]:
        """Look requests up in the cache; the answers found, by place.

        Raises:
            InferenceError: The pool was closed.
        """
        with self._changed:
            self._refuse_if_closed(model)
        if self.cache is None or model.runtime is None:
            return {}
        return self.cache.find(model.card.sha256 or "", model.runtime, requests)

    def note(self, run: Run) -> None:
        """Keep the facts of a run, as long as there is a cache for them."""
        if self.cache is not None:
            self.cache.note(run)

    def _refuse_if_closed(self, model: SharedModel) -> None:
        if self._closed:
            raise InferenceError(f"{model.card.name}: the engines are closed")

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

    def run(self, call: Call, progress: Progress | None = None) -> None:
        """Compute a call; the caller's thread waits, and tells of the progress.

        Raises:
            InferenceError: The pool was closed before.
        """
        told, asked = len(call.outcomes), len(call.requests)
        if progress is not None and told:
            progress(told, asked)
        self._begin(call)
        try:
            while (done := self._await(call)) is not None:
                while told < done:
                    told += 1
                    if progress is not None:
                        progress(told, asked)
        finally:
            self.stop(call)

    def _await(self, call: Call) -> int | None:
        """Wait until more of a call is answered; None at its end, or when its time is over."""
        while True:
            left_s = self._seconds - call.spent_s if self._seconds else _LOOK_S
            if left_s <= 0:
                with self._changed:
                    call.give_up()
                return None
            try:
                return call.events.get(timeout=min(left_s, _LOOK_S))
            except queue.Empty:
                with self._changed:
                    self._staff()

    def _begin(self, call: Call) -> None:
        with self._changed:
            self._refuse_if_closed(call.model)
            self._stats.add(call.spent)
            if not call.waits:
                call.events.put(None)
                return
            call.turn = min((other.turn for other in self._calls), default=0)
            self._calls.append(call)
            self._staff()
            self._changed.notify_all()

    def _staff(self) -> None:
        """Have as many workers as there may be, if there is anything for them to do."""
        if any(self._is_ready(call) for call in self._calls):
            for _ in range(self.places.count - self._free()):
                thread = threading.Thread(target=self._work, name="benchpool-model", daemon=True)
                self._threads.add(thread)
                thread.start()

    def _is_ready(self, call: Call) -> bool:
        # A slow call has no more than its share of workers, or it would take each new one too.
        return call.waits and call.running < self.places.count

    def _free(self) -> int:
        """Count the workers that no slow share holds."""
        now = time.monotonic()
        return len(self._threads) - sum(now - since > _HELD_S for since in self._busy.values())

    def stop(self, call: Call) -> None:
        """Begin no more of a call, end what computes it, and wake up who waits for it."""
        with self._changed:
            call.end()
            if call in self._calls:
                self._calls.remove(call)
            children = set(call.children)
            self._changed.notify_all()
        for child in children:
            child.close()

    def close(self) -> None:
        """End every child, also one that computes, and close the cache."""
        with self._changed:
            self._closed = True
            for call in self._calls:
                call.end()
            self._calls.clear()
            children, threads = set(self._children), set(self._threads)
            self._changed.notify_all()
        for child in children:
            child.close()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(_END_S)
        self.places.close()
        if self.cache is not None:
            self.cache.close()

    # -- the workers -------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                found = self._next() if self._free() <= self.places.count else None
                if found is None:
                    self._threads.discard(threading.current_thread())
                    return
                call, child = found
                pace_s = child.pace_s or call.model.pace_s
                share = call.take(self.places.count, pace_s, call.model.pace_s)
                call.begin()
                self._busy[threading.current_thread()] = time.monotonic()
                if not child.loaded:
                    call.model.children += 1
            self._compute(call, share, child)

    def _next(self) -> tuple[Call, Child] | None:
        """Wait for something to do; None if there is nothing left."""
        while self._calls:  # what is being computed may come back, if its child dies
            calls = [call for call in self._calls if self._is_ready(call)]
            pauses = {call: call.model.backoff.left_s() for call in calls}
            ready = [call for call in calls if not pauses[call]]
            found = self.places.choose(ready, list(self._models.values()))
            if found is not None:
                return found
            paused = [pause for pause in pauses.values() if pause]
            self._changed.wait(min(paused) if paused else None)
        return None

    def _compute(self, call: Call, share: list[int], child: Child) -> None:
        model, failure = call.model, None
        try:
            if not child.loaded:
                self._start(call, child)
            with self._changed:
                call.children.add(child)
                if call.ended:
                    child.close()
            began = time.monotonic()
            with closing(child.stream([call.requests[place] for place in share])) as stream:
                for frame in stream:
                    answers = {share[at]: answer for at, answer in frame.answers}
                    self._keep(call, answers)
                    with self._changed:
                        self._stats.add(frame.stats)
                        if call.ended:
                            break
                        call.answered(answers, frame.stats)
            if share:
                child.pace_s = (time.monotonic() - began) / len(share)
                model.learn_pace(child.pace_s)
        except BaseException as error:  # whatever it is, it is the caller's to know
            failure = error
        with self._changed:
            self._put_back(model, child)
            call.children.discard(child)
            call.leave(time.monotonic() - self._busy.pop(threading.current_thread()))
            if failure is not None and not call.ended:
                call.died(share, failure)
            if not call.waits and not call.running:
                call.events.put(None)
            self._changed.notify_all()

    def _start(self, call: Call, child: Child) -> None:
        model = call.model
        model.check_file()
        with self._changed:
            self._refuse_if_closed(model)
            self._children.add(child)
            call.children.add(child)
        child.load()
        model.runtime = child.runtime

    def _keep(self, call: Call, answers: dict[int, Answer]) -> None:
        model = call.model
        if self.cache is not None and model.runtime is not None:
            named = [(call.requests[place], answer) for place, answer in answers.items()]
            self.cache.keep(model.card.sha256 or "", model.runtime, named)

    def _put_back(self, model: SharedModel, child: Child) -> None:
        self._count += 1
        model.used = self._count
        self.places.release(child)
        if child.alive and model.users and not self._closed:
            model.idle.append(child)
            return
        model.children -= 1
        self._end(child)

    def _end(self, child: Child) -> None:
        child.close()
        self._children.discard(child)
