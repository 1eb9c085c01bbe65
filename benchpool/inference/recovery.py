"""A call to a model, and what becomes of it when children of the model die: the one policy.

What a child had not answered when it died is asked again in halves, after everything else of its
call: other requests lose nothing, and a request that kills fails alone. A call of which several
children die without an answer between them, or too many in all, ends: what is left of it fails.
From the second death of a model in a row on, there is a pause before it is started again; see
`backoff`.

A worker elsewhere that is lost is no fault of the model: all of its share is asked again, by
another worker. A request that has lost several counts as one that kills.

What a model has not answered when the time for its call is over stays unanswered. Only the time
counts in which it had a child at work: it is no fault of a model that others are computed.
"""

from __future__ import annotations

import queue
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence

from benchpool.errors import InferenceError, ModelFileError, WorkerLost, WorkerUnfit
from benchpool.inference.engine import (
    Answer,
    ChoicesRequest,
    CompleteRequest,
    EngineStats,
    Outcome,
    Request,
)
from benchpool.inference.engines import too_slow
from benchpool.inference.shared_model import SharedModel
from benchpool.inference.workplaces import Child

MOST_SHARE = 32
"""Most requests of a share: enough to pack, few enough that all workers end together."""
_LEAST_SHARE = 8
SHARE_S = 10.0
"""Time that a share should take at most; one that takes longer counts as more than one turn."""
_HOPELESS = 5
"""Deaths in a row, without an answer between them, that end a call."""
_MOST_DEATHS = 16
"""Deaths in all that end a call."""
_MOST_LOST = 3
"""Workers that a request may lose before that counts as a death of its model."""


class Call:
    """Requests of one caller to one model, and what came of each; without requests it loads."""

    def __init__(
        self, model: SharedModel, requests: Sequence[Request], found: Mapping[int, Answer]
    ) -> None:
        self.model = model
        self.requests = requests
        self.outcomes: dict[int, Outcome] = dict(found)
        self.failure: BaseException = self._closed()
        """What the requests without an outcome get."""
        self.spent = EngineStats(cached=len(found))
        missing = [place for place in range(len(requests)) if place not in found]
        # Neighbours in this order share most of their prompts.
        self._left = sorted(missing, key=lambda place: _order(requests[place]), reverse=True)
        self._again: deque[list[int]] = deque([] if requests else [[]])
        self._deaths = self._in_a_row = 0
        self._lost: Counter[int] = Counter()
        self._stopped = self._late = False
        self.turn = 0.0
        self.running = 0
        self.children: set[Child] = set()
        """At work on it."""
        self._spent_s = 0.0
        self._since = 0.0
        self.ended = False
        self.events: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        """How many outcomes there are, whenever there are more; None at the end."""

    @property
    def waits(self) -> bool:
        """Whether there is something to do that nobody has begun."""
        return bool(self._left or self._again)

    def take(self, workers: int, pace_s: float = 0.0, usual_s: float = 0.0) -> list[int]:
        """Take the next share; shares become smaller, so that all workers end together.

        Args:
            workers: That there are.
            pace_s: Time that this worker takes for an answer, as far as that is known.
            usual_s: Time that the model's workers take for one on average.
        """
        if not self._left:
            return self._again.popleft()
        size = min(MOST_SHARE, max(_LEAST_SHARE, -(-len(self._left) // (2 * max(1, workers)))))
        if pace_s > usual_s > 0:  # a slow worker takes less, or all others would wait for it
            size = max(1, int(size * usual_s / pace_s))
        if pace_s:
            size = min(size, max(1, int(SHARE_S / pace_s)))
        share = self._left[-size:]
        del self._left[-size:]
        share.reverse()
        return share

    def begin(self) -> None:
        """A worker begins a share."""
        if not self.running:
            self._since = time.monotonic()
        self.running += 1
        self.turn += 1

    def leave(self, seconds: float) -> None:
        """A worker has done with a share."""
        self.running -= 1
        self.turn += max(0.0, seconds / SHARE_S - 1)
        if not self.running:
            self._spent_s += time.monotonic() - self._since

    @property
    def spent_s(self) -> float:
        """Time in which somebody was at work on it."""
        return self._spent_s + (time.monotonic() - self._since if self.running else 0.0)

    def give_up(self) -> None:
        """Leave unanswered what the model had no time for."""
        self._late = True
        late = too_slow(self.spent_s, len(self.outcomes))
        for place in range(len(self.requests)):
            self.outcomes.setdefault(place, late)
        self.failure = InferenceError(f"{self.model.card.name}: {late.reason}")

    def answered(self, answers: Mapping[int, Answer], spent: EngineStats) -> None:
        """Take the answers that a child gave."""
        self.model.backoff.answered()
        self._in_a_row = 0
        self.outcomes.update(answers)
        self.spent.add(spent)
        self.events.put(len(self.outcomes))

    def died(self, share: Sequence[int], failure: BaseException) -> None:
        """Decide what becomes of a share whose child is gone."""
        if isinstance(failure, WorkerLost) and self._is_innocent(share, failure):
            if not self._stopped:
                left = [place for place in share if place not in self.outcomes]
                if left or not share:  # a share of nothing loads the model
                    self._again.append(left)
            return
        self.model.backoff.died()
        if self._stopped:
            return
        self.failure = failure
        self._deaths += 1
        self._in_a_row += 1
        left = [place for place in share if place not in self.outcomes]
        if (
            isinstance(failure, ModelFileError)
            or not isinstance(failure, InferenceError)
            or self._in_a_row >= _HOPELESS
            or self._deaths >= _MOST_DEATHS
        ):
            self.stop()
        elif len(share) > 1:  # what is left may be one request, and innocent: it was not alone
            middle = len(left) // 2
            self._again += filter(None, (left[:middle], left[middle:]))
        elif left:
            self.outcomes[left[0]] = failure
            self.events.put(len(self.outcomes))

    def _is_innocent(self, share: Sequence[int], failure: WorkerLost) -> bool:
        """Whether no request of a share that lost its worker has lost so many others before."""
        left = [place for place in share if place not in self.outcomes]
        if isinstance(failure, WorkerUnfit):
            return True
        self._lost.update(left)
        return all(self._lost[place] <= _MOST_LOST for place in left)

    @property
    def waiting(self) -> int:
        """How many requests nobody has begun."""
        return len(self._left) + sum(map(len, self._again))

    def stop(self) -> None:
        """Begin no more shares."""
        self._stopped = True
        self._left.clear()
        self._again.clear()

    def end(self) -> None:
        """Begin no more shares, and wake up who waits."""
        if (self.waits or self.running) and not self._late:
            self.failure = self._closed()
        self.ended = True
        self.stop()
        self.events.put(None)

    def result(self) -> list[Outcome]:
        """Return what came of each request; raise what is no fault of a model."""
        if not isinstance(self.failure, InferenceError):
            raise self.failure
        return [self.outcomes.get(place, self.failure) for place in range(len(self.requests))]

    def _closed(self) -> InferenceError:
        return InferenceError(f"{self.model.card.name}: the engine was closed")


def _order(request: Request) -> tuple[str, ...]:
    if isinstance(request, ChoicesRequest):
        return ("", request.prompt)
    if isinstance(request, CompleteRequest):
        return ("text", request.system, request.prompt)
    return ("text", request.system, request.user)
