"""The link to a cluster's driver, which is started again whenever it ends."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, Final, cast

import msgspec

from benchpool import errors
from benchpool.errors import InferenceError, PrerequisiteError, WorkerLost
from benchpool.inference.isolated import child_environment
from benchpool.inference.ray.frames import (
    Call,
    Down,
    Failed,
    FromDriver,
    Given,
    Lost,
    ModelFile,
    Place,
    Returned,
    Settings,
    Slot,
    Slots,
    Want,
    read_from_driver,
    unpack_given,
    write,
)
from benchpool.inference.texts import bounded

ANSWER_S: Final = 45.0
"""A worker that gives no sign of life for so long is lost; Ray finds most out earlier."""
_SILENCE_S: Final = 60.0
"""A driver that tells nothing of its workers for so long hangs."""
_FIRST_PAUSE_S: Final = 1.0
_MOST_PAUSE_S: Final = 30.0
_END_S: Final = 10.0

log = logging.getLogger("benchpool.inference")


class Link:
    """Asks the workers of a cluster, from any thread.

    Args:
        settings: Where the cluster is.
        on_slots: Called with the workers that there are, whenever that is known anew.
    """

    def __init__(self, settings: Settings, on_slots: Callable[[Sequence[Slot]], None]) -> None:
        self._settings = settings
        self._on_slots = on_slots
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[int, queue.SimpleQueue[Returned | Lost]] = {}
        self._count = 0
        self._heard = 0.0
        self._closed = threading.Event()
        self._stderr: deque[str] = deque(maxlen=20)
        self._thread = threading.Thread(target=self._run, name="benchpool-ray", daemon=True)

    def begin(self) -> None:
        """Start the driver, unless it was started before. Raises: PrerequisiteError without Ray."""
        with self._lock:
            if self._thread.ident is None:
                require_ray()
                self._thread.start()

    def call(self, worker: str, method: str, body: bytes, seconds: float = ANSWER_S) -> Given:
        """Ask a worker, and wait for what it gives back.

        Raises:
            WorkerLost: It gives nothing back.
            InferenceError: What the worker says that went wrong.
        """
        return self._ask(lambda number: Call(number, worker, method, body), worker, seconds)

    def place(self, worker: str, file: ModelFile, seconds: float) -> None:
        """Send a file to the node of a worker. Raises: WorkerLost, InferenceError."""
        self._ask(lambda number: Place(number, worker, file), worker, seconds)

    def tell(self, worker: str, method: str, body: bytes) -> None:
        """Ask a worker for what nobody waits for."""
        self._write(Call(0, worker, method, body))

    def want(self, cpus: int) -> None:
        """Hint to the cluster's autoscaler."""
        self._write(Want(cpus))

    def _ask(self, make: Callable[[int], Call | Place], worker: str, seconds: float) -> Given:
        inbox: queue.SimpleQueue[Returned | Lost] = queue.SimpleQueue()
        with self._lock:
            self._count += 1
            number = self._count
            self._waiting[number] = inbox
        try:
            if not self._write(make(number)):
                raise WorkerLost(f"worker {worker}: the cluster is not connected")
            answer = inbox.get(timeout=seconds)
        except queue.Empty:
            raise WorkerLost(f"worker {worker}: no sign of life for {seconds:g} s") from None
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        if isinstance(answer, Lost):
            raise WorkerLost(f"worker {worker}: {bounded(answer.reason)}")
        try:
            given = unpack_given(answer.body)
        except msgspec.DecodeError as error:
            raise WorkerLost(f"worker {worker} talks nonsense: {error}") from None
        if isinstance(given, Failed):
            raise _error(given)
        return given

    def _write(self, message: Call | Place | Want) -> bool:
        with self._lock:
            process = self._process
            if process is None or process.stdin is None:
                return False
            try:
                write(cast(Any, process.stdin), message)
            except (OSError, ValueError):
                return False
            return True

    def close(self) -> None:
        """End the driver, and with it a cluster of this machine alone."""
        self._closed.set()
        with self._lock:
            process = self._process
            if process is not None and process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()  # that is how it knows
        if process is not None:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread.ident is not None:
            self._thread.join(_END_S)

    # -- the driver's life -------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closed.is_set():
            started = time.monotonic()
            reason = self._live()
            self._forget(reason)
            if self._closed.is_set():
                return
            if time.monotonic() - started > 2 * _MOST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            where = self._settings.address or "of this machine"
            log.warning("the Ray cluster %s: %s; trying again in %.0f s", where, reason, pause_s)
            self._closed.wait(pause_s)
            pause_s = min(_MOST_PAUSE_S, 2 * pause_s)

    def _live(self) -> str:
        """Run a driver to its end; return why it ended."""
        self._heard = time.monotonic()
        written = msgspec.json.encode(self._settings).decode()
        command = [sys.executable, "-P", "-m", "benchpool.inference.ray.driver", written]
        process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,  # Ctrl-C is for the network, which ends the cluster by itself
        )
        assert process.stdout is not None
        assert process.stderr is not None
        with self._lock:
            self._process = process
        if self._closed.is_set():
            process.kill()
        threading.Thread(target=self._guard, args=(process,), daemon=True).start()
        reader = threading.Thread(target=self._read_stderr, args=(process.stderr,), daemon=True)
        reader.start()
        reason = ""
        while (message := read_from_driver(cast(Any, process.stdout))) is not None:
            self._heard = time.monotonic()
            if isinstance(message, Down):
                reason = message.reason
            else:
                self._take(message)
        process.kill()
        code = process.wait()
        reader.join(_END_S)  # the last words may be the reason
        with self._lock:
            self._process = None
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    cast(IO[bytes], pipe).close()
        said = self._stderr[-1] if self._stderr else ""
        return bounded(reason or said or f"its driver ended (exit code {code})")

    def _take(self, message: FromDriver) -> None:
        if isinstance(message, Slots):
            self._on_slots(message.slots)
        elif isinstance(message, Returned | Lost):
            with self._lock:
                inbox = self._waiting.get(message.id)
            if inbox is not None:
                inbox.put(message)

    def _forget(self, reason: str) -> None:
        """Let go of what a driver that ended will not answer any more."""
        with self._lock:
            waiting = list(self._waiting.items())
        for number, inbox in waiting:
            inbox.put(Lost(number, reason))
        self._on_slots(())

    def _guard(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None and not self._closed.wait(_SILENCE_S / 10):
            if time.monotonic() - self._heard > _SILENCE_S:
                self._stderr.append("its driver hung")
                process.kill()

    def _read_stderr(self, pipe: IO[bytes]) -> None:
        with suppress(OSError, ValueError), pipe:
            while line := pipe.readline(400):
                text = line.decode("utf-8", errors="replace").strip()
                if text:
                    self._stderr.append(text)


def require_ray() -> None:
    """Check that Ray is installed. Raises: PrerequisiteError."""
    import importlib.util  # noqa: PLC0415

    if importlib.util.find_spec("ray") is None:
        raise PrerequisiteError(
            "workers on a Ray cluster need a package that is not installed (ray);"
            " install benchpool[ray]"
        )


def _error(failed: Failed) -> InferenceError:
    kind = getattr(errors, failed.error, InferenceError)
    if not (isinstance(kind, type) and issubclass(kind, InferenceError)):
        kind = InferenceError
    return kind(bounded(failed.reason))
