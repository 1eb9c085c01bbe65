"""HTTP on one connection: uvicorn's, on httptools, with bounds on what one client can make it hold.

httptools itself has none: it takes a header without end, and any number of requests at once.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from benchpool.server.connections import Connections, written

_PIECE_BYTES: Final = 4 << 10
"""What is parsed at a time: so small that few requests are in it."""
_MOST_UNREAD: Final = 1 << 20
_IGNORED_BYTES: Final = 16 << 20
"""How much of a body is read, and forgotten, after its request was refused."""


class _TooMuch(Exception):
    """The head of a request is too large."""


class Protocol(HttpToolsProtocol):
    """One connection; see `Bounds` for what it may do."""

    def __init__(self, connections_of_server: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._all = connections_of_server
        self._bounds = connections_of_server.bounds
        self._unread = b""
        """Came with requests for which others must be answered first."""
        self._in_head = self._in_body = False
        self._head = 0
        self._silent = 0
        """Bytes since the parser last told of anything: it keeps a header until it is whole."""
        self._ignored = 0
        self._waits_since: float | None = monotonic()
        """Since when a request is awaited; None while one is under way."""
        self._head_since: float | None = self._waits_since
        self._body_since = self._pace_since = 0.0
        self._pace = 0
        self._stall: tuple[float, int] | None = None
        self._closing_since: float | None = None
        self._parsing = False

    # -- coming and going --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if not self._all.add(self):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; ask again later")

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._all.discard(self)
        self._unread = b""
        super().connection_lost(exc)

    def abort(self) -> None:
        """End it at once."""
        if self.transport is not None:
            self.transport.abort()

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Answer what cannot be served, if nothing else is being answered, and close."""
        answered = self.cycle is None or self.cycle.response_complete
        if (answered or not self.cycle.response_started) and not self.pipeline:
            self.transport.write(written(status, status.phrase, why))
            self.transport.close()
        else:
            self.abort()

    def send_400_response(self, msg: str) -> None:
        """See `HttpToolsProtocol`."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    # -- what comes --------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._unset_keepalive_if_required()
        self._pace += len(data)
        self._unread += data
        self._read()

    def _read(self) -> None:
        if self._parsing:  # the parser has called what calls this
            return
        self._parsing = True
        try:
            unread, at = memoryview(self._unread), 0
            while at < len(unread) and len(self.pipeline) < self._bounds.pipelined:
                piece = unread[at : at + _PIECE_BYTES]
                at += len(piece)
                if not self._parse(piece):
                    self._unread = b""
                    return
            self._unread = bytes(unread[at:])
        finally:
            self._parsing = False
        if self._unread:
            self.flow.pause_reading()
            if len(self._unread) > _MOST_UNREAD:
                self.abort()
        self._note_waiting()

    def _parse(self, piece: memoryview) -> bool:
        """Parse some bytes; return whether more may follow."""
        if self.parser is None or self.transport.is_closing():
            return False
        self._silent += len(piece)
        try:
            self.parser.feed_data(piece)
            self._count(0, silent=True)
        except (_TooMuch, httptools.HttpParserError) as error:
            if isinstance(error, _TooMuch) or isinstance(error.__context__, _TooMuch):
                most = self._bounds.head_bytes
                self._refuse(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"the head of the request is larger than {most:,} bytes",
                )
            else:
                self.send_400_response("this is no HTTP request")
            return False
        except httptools.HttpParserUpgrade:
            self.send_400_response("there is no other protocol here to upgrade to")
            return False
        return not self.transport.is_closing()

    def _note_waiting(self) -> None:
        busy = self.cycle is not None and not self.cycle.response_complete
        if self._in_head or not (busy or self._in_body):
            # Anything that is no request, such as empty lines, is on its way to be one.
            if self._head_since is None:
                self._head_since = monotonic()
        else:
            self._head_since = None
        self._waits_since = None if busy or self._in_body else self._head_since

    # -- the parser tells --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """See `HttpToolsProtocol`."""
        self._in_head, self._head, self._silent, self._ignored = True, 0, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """See `HttpToolsProtocol`."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `HttpToolsProtocol`; what follows a body in parts comes here too."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int, *, silent: bool = False) -> None:
        self._head += size
        if not silent:
            self._silent = 0
        if max(self._head, self._silent) > self._bounds.head_bytes:
            raise _TooMuch

    def on_headers_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        self._silent = 0
        self._in_head, self._in_body = False, True
        self._head_since = self._waits_since = None
        self._body_since = self._pace_since = monotonic()
        self._pace = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See `HttpToolsProtocol`."""
        self._silent = 0
        if self.cycle.response_complete:
            self._ignored += len(body)
            if self._ignored > _IGNORED_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        self._silent = 0
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        super().on_response_complete()
        if self.parser is None or self.transport.is_closing():
            return
        if self._unread:
            self._unset_keepalive_if_required()
            self._read()
        elif self._in_head or not (self._in_body or self.pipeline):
            self._head_since = None
            self._note_waiting()
            if not self._in_head:
                self._head_since = None  # uvicorn has its own time for what is idle

    @property
    def awaited_since(self) -> float | None:
        """Since when it is the client that keeps a connection up; None if the server is at work."""
        if self._in_body:
            return None if self.flow.read_paused else self._body_since
        if self._stall is not None:
            return self._stall[0]
        return self._waits_since

    # -- what goes ---------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken."""
        return self.transport.get_write_buffer_size()

    @property
    def stalled_since(self) -> float:
        """Since when it takes nothing, or too little."""
        return monotonic() if self._stall is None else self._stall[0]

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._stall = (monotonic(), self.unsent)
        super().pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._stall = None
        super().resume_writing()

    # -- time --------------------------------------------------------------------------------

    def overdue(self, now_s: float) -> str:
        """End it if it has taken too long; return what for, empty if it goes on."""
        bounds = self._bounds
        if self.transport.is_closing():
            if self._closing_since is None:
                self._closing_since = now_s
            if now_s - self._closing_since > bounds.closing_s:
                self.abort()
                return "closing"
            return ""
        if self._head_since is not None and now_s - self._head_since > bounds.head_s:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not come")
            return "head"
        if self._in_body and self._too_slow(now_s):
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the body comes too slowly")
            return "body"
        if self._stalls(now_s):
            self.abort()
            return "answer"
        return ""

    def _too_slow(self, now_s: float) -> bool:
        if self.flow.read_paused:  # by the server, which is busy
            self._pace_since, self._pace = now_s, 0
        elif now_s - self._pace_since > self._bounds.pace_s:
            slow = self._pace < self._bounds.pace_bytes
            self._pace_since, self._pace = now_s, 0
            return slow
        return False

    def _stalls(self, now_s: float) -> bool:
        if self._stall is None:
            return False
        since, size = self._stall
        if self.unsent <= size - self._bounds.pace_bytes:
            self._stall = (now_s, self.unsent)
            return False
        return now_s - since > self._bounds.pace_s
