"""How a model server is asked: one request at a time and thread, none of which can hang or leak.

A request that failed for now is sent again after a pause, which grows and is drawn by lot, or which
the server names (Retry-After); a pause that it names holds for all requests to it. Redirects are
not followed: nobody but the user of this machine says who is asked. A key is sent to its server and
stands nowhere else: what a server says is searched for it before anybody sees it.
"""

from __future__ import annotations

import http
import http.client
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import msgspec

from benchpool.errors import InferenceError
from benchpool.inference.remote_models import Listed
from benchpool.inference.remote_spending import Spending
from benchpool.inference.texts import bounded

ATTEMPTS: Final = 5
LONGEST_PAUSE_S: Final = 60.0
"""A server that asks for a longer one is not waited for."""
_CONNECT_S: Final = 10.0
_LOOK_S: Final = 0.1
_MOST_BYTES: Final = 16 << 20
_MOST_REASON: Final = 300
_FOR_NOW: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_THIS_REQUEST: Final = frozenset({400, 413, 422})
_HOPELESS: Final = 3
"""Requests given up in a row, after which a call asks no more."""

Used = Callable[[bytes], int | None]


class RefusedError(Exception):
    """The server answers that this request is not one for it."""


class HopelessError(InferenceError):
    """Nothing that this call still wants can be asked."""


class _Again(Exception):
    """It may be tried again, after a pause."""


class Flight:
    """The requests of one call that are under way, and what ends them."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._until = time.monotonic() + seconds if seconds else None
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()
        self._given_up = 0
        self._why: InferenceError | None = None
        self.ended = threading.Event()
        self.tokens = 0

    @property
    def is_late(self) -> bool:
        """Whether the time for the call is over."""
        return self._until is not None and time.monotonic() > self._until

    @contextmanager
    def sending(self, connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
        """Send a request, and cut it when it takes too long.

        A server that sends a byte now and then passes all time-outs.
        """
        late = threading.Timer(seconds, _cut, (connection,))
        late.daemon = True
        with self._lock:
            self._open.add(connection)
        try:
            self.check()
            late.start()
            yield
        finally:
            late.cancel()
            with self._lock:
                self._open.discard(connection)

    def end(self, why: InferenceError) -> None:
        """Ask nothing more, and cut what is under way."""
        with self._lock:
            self._why = self._why or why
            self.ended.set()
            under_way = list(self._open)
        for connection in under_way:
            _cut(connection)

    def check(self) -> None:
        """Raise what the call was ended by."""
        if self._why is not None:
            raise self._why

    def note(self, failure: InferenceError | None, tokens: int = 0) -> None:
        """Count requests that were given up in a row: a server that is gone is not asked on."""
        with self._lock:
            self.tokens += tokens
            self._given_up = 0 if failure is None else self._given_up + 1
            hopeless = failure is not None and self._given_up >= _HOPELESS
        if failure is not None and (hopeless or isinstance(failure, HopelessError)):
            self.end(failure)


class ModelServer:
    """One model of one server, for all who ask it.

    Args:
        listed: The model, and how it may be asked.
        spending: Bounds what that takes.
        pause_s: Before the second attempt; later ones wait up to twice as long each.
    """

    def __init__(self, listed: Listed, spending: Spending, *, pause_s: float = 1.0) -> None:
        self.listed = listed
        self._key = listed.key()
        self._spending = spending
        self._pause_s = pause_s
        self._slots = threading.BoundedSemaphore(listed.terms.concurrency)
        self._not_before = 0.0
        self._lot = random.Random()  # noqa: S311 - spreads requests, hides nothing

    def ask(
        self,
        path: str,
        body: dict[str, Any],
        tokens: int,
        used: Used,
        flight: Flight,
    ) -> bytes:
        """Send a request until it is answered; return the answer.

        Args:
            path: Below the server's address, such as completions.
            body: Becomes JSON.
            tokens: That it takes at most.
            used: Reads from an answer how many it took.
            flight: Of the call that it belongs to.

        Raises:
            RefusedError: The server does not take it.
            InferenceError: It could not be answered now.
        """
        try:
            return self._ask(path, msgspec.json.encode(body), tokens, used, flight)
        except RefusedError:
            flight.note(None)
            raise
        except InferenceError as failure:
            flight.note(failure)
            raise

    def _ask(self, path: str, body: bytes, tokens: int, used: Used, flight: Flight) -> bytes:
        for attempt in range(ATTEMPTS):
            try:
                with _Slot(self._slots, flight):
                    return self._attempt(path, body, tokens, used, flight)
            except _Again as again:
                why = str(again)
                if attempt + 1 < ATTEMPTS:
                    self._wait(self._pause(attempt), flight)
        raise InferenceError(f"{self._who}: {why}, {ATTEMPTS} times")

    def _attempt(self, path: str, body: bytes, tokens: int, used: Used, flight: Flight) -> bytes:
        """Send once, and account for it. Raises: _Again if it may be sent another time."""
        model, terms = self.listed.described.sha256, self.listed.terms
        while (pause_s := self._not_before - time.monotonic()) > 0:
            self._wait(pause_s, flight)
        flight.check()
        try:
            self._spending.reserve(model, tokens, terms.max_tokens_total)
        except InferenceError as error:
            raise HopelessError(f"{self.listed.name}: {error}") from None
        spent = tokens  # unless it is known to be less
        try:
            raw = self._send(path, body, flight)
            spent = _within(used(raw), tokens)
            flight.note(None, spent)
        except ConnectionRefusedError:
            spent = 0
            raise _Again("the connection is refused") from None
        except ssl.SSLCertVerificationError as error:
            spent = 0
            raise HopelessError(f"{self._who}: {error.verify_message}") from None
        except (_Again, RefusedError, HopelessError):
            spent = 0
            raise
        except TimeoutError:
            flight.check()
            raise _Again(f"no answer in {terms.timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            flight.check()
            # What an error of http.client quotes is the server's, and may be anything.
            raise _Again(getattr(error, "strerror", None) or type(error).__name__) from None
        finally:
            self._spending.settle(model, tokens, spent)
        return raw

    def _send(self, path: str, body: bytes, flight: Flight) -> bytes:
        """Send once; return what the server answers. Raises: what became of it."""
        seconds = self.listed.terms.timeout_s
        connection = self._connect(seconds)
        with closing(connection), flight.sending(connection, seconds):
            connection.connect()
            flight.check()  # what ended meanwhile found no socket to cut
            if connection.sock is not None:
                connection.sock.settimeout(seconds)
            base = urlsplit(self.listed.described.url).path.rstrip("/")
            headers = {"Content-Type": "application/json", "Connection": "close"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            connection.request("POST", f"{base}/{path}", body, headers)
            response = connection.getresponse()
            raw = response.read(_MOST_BYTES + 1)
        if response.status != http.HTTPStatus.OK:
            self._refuse(response, raw)
        if len(raw) > _MOST_BYTES:
            raise InferenceError(f"{self._who}: an answer has more than {_MOST_BYTES:,} bytes")
        self.check_key(raw.decode(errors="replace"))
        return raw

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.listed.described.url)
        host, port, limit = parts.hostname or "", parts.port, min(_CONNECT_S, seconds)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=limit, context=context)
        return http.client.HTTPConnection(host, port, timeout=limit)

    def _refuse(self, response: http.client.HTTPResponse, raw: bytes) -> NoReturn:
        status, said = response.status, bounded(self._clean(_reason(raw)), _MOST_REASON)
        told = f"HTTP {status}" + (f": {said}" if said else "")
        if status in _THIS_REQUEST:
            raise RefusedError(f"the model server refuses it with {told}")
        if status in (401, 403):  # what is said of a key may repeat parts of it
            variable = self.listed.terms.key_variable
            hint = f"look at {variable}" if variable else "name its key's variable by --key-from"
            raise HopelessError(f"{self._who}: HTTP {status}, the key is not taken; {hint}")
        if status not in _FOR_NOW:
            raise HopelessError(f"{self._who}: {told}")
        pause_s = _retry_after(response.getheader("Retry-After"))
        if pause_s > LONGEST_PAUSE_S:
            raise HopelessError(f"{self._who}: {told}; it asks to wait for {pause_s:,.0f} s")
        self._not_before = max(self._not_before, time.monotonic() + pause_s)
        raise _Again(told)

    def check_key(self, text: str) -> None:
        """Check that an answer does not repeat the key, which nobody may read. Raises."""
        if self._key and self._key in text:
            raise HopelessError(f"{self._who}: its answer repeats the key, and was thrown away")

    @property
    def _who(self) -> str:
        return f"{self.listed.name} ({self.listed.described.url})"

    def _clean(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    def _pause(self, attempt: int) -> float:
        return self._lot.uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, self._pause_s * 2.0**attempt)

    def _wait(self, seconds: float, flight: Flight) -> None:
        flight.ended.wait(seconds)
        flight.check()


class _Slot:
    """A place among the requests that a server gets at a time."""

    def __init__(self, slots: threading.BoundedSemaphore, flight: Flight) -> None:
        self._slots = slots
        self._flight = flight

    def __enter__(self) -> None:
        while not self._slots.acquire(timeout=_LOOK_S):
            self._flight.check()

    def __exit__(self, *_: object) -> None:
        self._slots.release()


def _within(used: int | None, most: int) -> int:
    """What a server says it took counts, unless it cannot be."""
    return used if used is not None and 0 < used <= most else most


def _cut(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _retry_after(header: str | None) -> float:
    """Read how long a server wants to be left alone, in seconds; 0 if it does not say."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _reason(raw: bytes) -> str:
    """Find the reason in what a server says, if there is one."""
    try:
        said: Any = msgspec.json.decode(raw)
        found = said.get("error", said.get("detail", said.get("message", "")))
        text = found.get("message", "") if isinstance(found, dict) else found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError):
        return ""
    return " ".join(text.split()) if isinstance(text, str) else ""
