"""Engines whose models a server runs, beside those of this machine.

What a server answers is its owner's word: nobody can compute it again, and the runtime says so. No
answer is kept, so that none stands in for what the server would say another time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from benchpool.errors import InferenceError
from benchpool.inference.engine import (
    Answer,
    ChoicesAnswer,
    ChoicesRequest,
    CompleteRequest,
    Engine,
    EngineStats,
    LogLikelihood,
    Outcome,
    Precision,
    Progress,
    Request,
    Unanswered,
    WorkerView,
    fits,
)
from benchpool.inference.engines import Engines, too_slow
from benchpool.inference.remote_answers import (
    MAX_CHOICES,
    Asked,
    ask_echo,
    ask_text,
    is_chat,
    part,
    read_echo,
    read_text,
    score,
    tokens_used,
)
from benchpool.inference.remote_http import Flight, ModelServer, RefusedError
from benchpool.inference.remote_models import Listed, RemoteModel, ServerList, read_description
from benchpool.inference.remote_probe import probe
from benchpool.inference.remote_spending import Spending

_LOOK_S = 0.1


class RemoteEngines(Engines):
    """Opens what is on the list of model servers, and everything else by other engines.

    Args:
        local: Opens files of models.
        folder: Of the list.
        seconds: That a server may take for a call, after which the rest stays unanswered; 0 is
            without end.
        pause_s: See `ModelServer`.
    """

    def __init__(
        self, local: Engines, folder: Path, *, seconds: float = 0, pause_s: float = 1.0
    ) -> None:
        self.local = local
        self._list = ServerList(folder)
        self._spending = Spending(folder)
        self._seconds = seconds
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._servers: dict[str, ModelServer] = {}
        self._open: set[RemoteEngine] = set()
        self._stats = EngineStats()
        self._closed = False

    def open(self, path: Path, precision: Precision = "stored", *, runtime: str = "") -> Engine:
        """Open a model; a server is not asked for that. See `Engines`.

        Raises:
            InferenceError: Not a model, or a server that is not on the list.
        """
        described = read_description(path)
        if described is None:
            return self.local.open(path, precision, runtime=runtime)
        server = self._server(path, described)
        if precision != "stored":
            raise InferenceError(
                f"{server.listed.name}: a model server computes in a precision of its own, not in"
                f" {precision}"
            )
        engine = RemoteEngine(server, self._seconds, self._count)
        with self._lock:
            if self._closed:
                raise InferenceError(f"{server.listed.name}: the engines are closed")
            self._open = {each for each in self._open if not each.closed} | {engine}
        return engine

    def admit(self, path: Path) -> None:
        """Try a model; a server is probed again. See `Engines`.

        Raises:
            InferenceError: It cannot be asked, or can no longer do what it could when it was added.
        """
        described = read_description(path)
        if described is None:
            self.local.admit(path)
            return
        server = self._server(path, described)
        found, before = probe(server, Flight(self._seconds)).terms, server.listed.terms
        for able in ("raw", "chat", "choices"):
            if getattr(before, able) and not getattr(found, able):
                raise InferenceError(
                    f"{server.listed.name}: its server could answer {able} when it was added and"
                    f" cannot now{': ' if found.why_no_choices else ''}{found.why_no_choices};"
                    " add it again with: benchpool model add"
                )

    def begin(self) -> None:
        """See `Engines`."""
        self.local.begin()

    def waiting(self) -> int:
        """See `Engines`."""
        return self.local.waiting()

    def workers(self) -> list[WorkerView]:
        """See `Engines`."""
        return self.local.workers()

    def stats(self) -> EngineStats:
        """Return what all engines have done so far."""
        stats = EngineStats()
        stats.add(self.local.stats())
        with self._lock:
            stats.add(self._stats)
        return stats

    def close(self) -> None:
        """Let go of everything, also of what servers are asked right now."""
        with self._lock:
            self._closed = True
            engines, self._open = self._open, set()
        for engine in engines:
            engine.close()
        self.local.close()

    def _server(self, path: Path, described: RemoteModel) -> ModelServer:
        listed = self._list.find(path, described)
        with self._lock:
            server = self._servers.get(described.sha256)
            if server is None or server.listed != listed:
                server = ModelServer(listed, self._spending, pause_s=self._pause_s)
                self._servers[described.sha256] = server
            return server

    def _count(self, stats: EngineStats) -> None:
        with self._lock:
            self._stats.add(stats)


def add_server(listed: Listed, servers: ServerList, *, pause_s: float = 1.0) -> Listed:
    """Probe a model server, and put it on the list.

    Raises:
        InferenceError: It cannot be asked, or answers nothing; nothing is kept.
    """
    server = ModelServer(listed, Spending(servers.folder), pause_s=pause_s)
    found = probe(server, Flight())
    servers.keep(found)
    return found


class _LateError(InferenceError):
    """The time for a call is over."""


class RemoteEngine(Engine):
    """A model of a server, for one caller at a time."""

    def __init__(
        self, server: ModelServer, seconds: float, count: Callable[[EngineStats], None]
    ) -> None:
        self.card = server.listed.card
        self.runtime = server.listed.runtime
        self.closed = False
        self._server = server
        self._terms = server.listed.terms
        self._model = server.listed.described.model
        self._seconds = seconds
        self._count = count
        self._flight: Flight | None = None

    def answer(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> list[Outcome]:
        """Ask the server, several requests at a time. See `Engine`.

        Raises:
            InferenceError: The engine is closed.
        """
        if self.closed:
            raise self._closed()
        started = time.monotonic()
        flight = self._flight = Flight(self._seconds)
        workers = ThreadPoolExecutor(self._terms.concurrency, "benchpool-server")
        try:
            asked = [workers.submit(self._outcome, each, flight) for each in requests]
            self._await(asked, flight, progress)
        except BaseException:
            flight.end(InferenceError(f"{self.card.name}: asking its server was interrupted"))
            raise
        finally:
            self._flight = None
            workers.shutdown(wait=False, cancel_futures=True)
        outcomes = [each.result() for each in asked]
        answered = sum(not isinstance(each, InferenceError | Unanswered) for each in outcomes)
        milliseconds = 1000 * (time.monotonic() - started)
        self._count(EngineStats(answered=answered, tokens=flight.tokens, milliseconds=milliseconds))
        return outcomes

    def close(self) -> None:
        """Let go of the server; a call in progress ends. See `Engine`."""
        self.closed = True
        flight = self._flight
        if flight is not None:
            flight.end(self._closed())

    def _closed(self) -> InferenceError:
        return InferenceError(f"{self.card.name}: the engine was closed")

    def _await(
        self, asked: Sequence[Future[Outcome]], flight: Flight, progress: Progress | None
    ) -> None:
        left, done = set(asked), 0
        while left:
            ready, left = wait(left, _LOOK_S, FIRST_COMPLETED)
            for _ in ready:
                done += 1
                if progress is not None:
                    progress(done, len(asked))
            if left and flight.is_late:
                flight.end(_LateError(too_slow(self._seconds, done).reason))

    def _outcome(self, request: Request, flight: Flight) -> Outcome:
        try:
            flight.check()
            answer = self._answer(request, flight)
        except (RefusedError, _LateError) as reason:
            return Unanswered(str(reason))
        except UnicodeEncodeError:
            return Unanswered("the text is no Unicode, and cannot be sent")
        except InferenceError as error:
            return error
        if not fits(request, answer):
            return InferenceError(f"{self.card.name}: its server's answer is none to the question")
        return answer

    def _answer(self, request: Request, flight: Flight) -> Answer:
        if isinstance(request, ChoicesRequest):
            return self._score(request, flight)
        if isinstance(request, CompleteRequest) and not all(request.stop):
            return Unanswered("a stop string is empty")
        if request.max_tokens < 1:
            return Unanswered(f"max_tokens is {request.max_tokens}")
        if not (self._terms.chat if is_chat(request) else self._terms.raw):
            what = "answers no turns" if is_chat(request) else "does not go on from a text"
            return Unanswered(f"{self.card.name} is asked at a model server that {what}")
        written = read_text(self._ask(ask_text(self._model, request), flight), request)
        self._server.check_key(written.text)
        return written

    def _score(self, request: ChoicesRequest, flight: Flight) -> Answer:
        if not self._terms.choices:
            return Unanswered(
                f"{self.card.name} is asked at a model server that does not prove how likely it"
                f" finds a text, so choices cannot be scored: {self._terms.why_no_choices}"
            )
        if not 1 <= len(request.choices) <= MAX_CHOICES:
            return Unanswered(f"{len(request.choices)} choices; 1 to {MAX_CHOICES} can be scored")
        if len(request.prompts) != len(request.choices):
            return Unanswered(f"{len(request.leads)} leads for {len(request.choices)} choices")
        found: list[LogLikelihood] = []
        prompt_tokens = 0
        for place, (prompt, choice) in enumerate(
            zip(request.prompts, request.choices, strict=True), start=1
        ):
            if not choice:
                return Unanswered(f"choice {place} is empty")
            asked = ask_echo(self._model, "".join(part(prompt, choice)))
            echo = read_echo(self._ask(asked, flight))
            scored = score(echo, prompt, choice, greedy=request.greedy)
            if isinstance(scored, Unanswered):
                return scored
            found.append(scored[0])
            prompt_tokens = prompt_tokens or scored[1]
        return ChoicesAnswer(tuple(found), prompt_tokens)

    def _ask(self, asked: Asked, flight: Flight) -> bytes:
        return self._server.ask(asked.path, asked.body, asked.tokens, tokens_used, flight)
