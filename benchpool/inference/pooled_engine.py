"""One model of a pool of engines, as its caller sees it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchpool.errors import InferenceError
from benchpool.inference.engine import Engine, Outcome, Progress, Request, Unanswered
from benchpool.inference.recovery import Call
from benchpool.inference.runs import Run
from benchpool.inference.shared_model import SharedModel

if TYPE_CHECKING:
    from benchpool.inference.engine_pool import EnginePool


class PooledEngine(Engine):
    """One model of a pool, for one caller at a time."""

    def __init__(self, pool: EnginePool, model: SharedModel) -> None:
        assert model.runtime is not None
        self.card = model.card
        self.runtime = model.runtime
        self._pool = pool
        self._model = model
        self._call: Call | None = None
        self._closed = False

    def answer(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> list[Outcome]:
        """Answer every request, in order. See ``Engine.answer``.

        Raises:
            InferenceError: The engine is closed, or the file was changed.
        """
        if self._closed:
            raise InferenceError(f"{self.card.name}: the engine is closed")
        if not requests:
            return []
        self._model.check_file()
        started = _now_ms()
        call = self._call = Call(self._model, requests, self._pool.find(self._model, requests))
        try:
            self._pool.run(call, progress)
        finally:
            self._call = None
            self._note(started, call)
        return call.result()

    def _note(self, started: int, call: Call) -> None:
        card, spent, outcomes = self.card, call.spent, list(call.outcomes.values())
        run = Run(
            model=card.sha256 or "",
            name=card.name,
            runtime=self.runtime,
            quantization=card.quantization,
            chat_template_sha256=card.chat_template_sha256,
            requests=len(call.requests),
            answered=spent.answered,
            cached=spent.cached,
            unanswered=sum(isinstance(outcome, Unanswered) for outcome in outcomes),
            tokens=spent.tokens,
            rows=spent.rows,
            milliseconds=spent.milliseconds,
            started=started,
            ended=_now_ms(),
        )
        self._pool.note(run)

    def close(self) -> None:
        """Let go of the model; a call in progress ends. See ``Engine.close``."""
        if self._closed:
            return
        self._closed = True
        call = self._call
        if call is not None:
            self._pool.stop(call)
        self._pool.leave(self._model)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
