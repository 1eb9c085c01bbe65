"""Gate: who may act from a page: somebody at this machine who has shown the server's token.

A page elsewhere can have its visitor's browser send requests here. Such a request has another
Origin, its cookie stays away (SameSite=Strict), and it does not know the text that each form of a
session bears. A name that its owner points here is no name of this machine.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from secrets import token_urlsafe
from time import monotonic
from typing import Final, NamedTuple

from fastapi import Request

from benchpool.server.access import is_loopback
from benchpool.server.answers import RefusedRequest

MOST_SESSIONS: Final = 32
"""The oldest are forgotten."""
LONGEST_S: Final = 12 * 3600.0
"""After which somebody signs in again."""
PATH: Final = "/ui/act"


class Session(NamedTuple):
    """Somebody who has signed in."""

    proof: str
    """Stands in each of the session's forms."""
    until_s: float
    """Of `time.monotonic`."""


class Gate:
    """Lets requests pass that may act.

    Args:
        token: what is shown to sign in.
        port: of the server: cookies are those of a host, whatever the port.
        closed: let nobody pass.
    """

    def __init__(self, token: str, port: str, *, closed: bool) -> None:
        self._token = token.encode()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self.cookie = f"benchpool-{port or 80}"
        self.closed = closed

    def check_place(self, request: Request) -> None:
        """Accept a request of this machine. Raises: RefusedRequest."""
        if self.closed:
            raise RefusedRequest("this server is read-only: nobody acts from its pages", 403)
        client = request.client.host if request.client is not None else ""
        if not (is_loopback(client) and is_loopback(request.headers.get("host", ""))):
            raise RefusedRequest("only from this machine itself can one act from a page", 403)

    def check_form(self, request: Request, given: dict[str, str]) -> None:
        """Accept what was sent by a form of the session. Raises: RefusedRequest."""
        self.check_own_page(request)
        session = self.find(request)
        if session is None:
            raise RefusedRequest("sign in first: the session is over", 403)
        if not hmac.compare_digest(given.get("proof", "").encode(), session.proof.encode()):
            raise RefusedRequest("this form is of no page of this session; open it anew", 403)

    def check_own_page(self, request: Request) -> None:
        """Accept a request of a page of this very server. Raises: RefusedRequest."""
        self.check_place(request)
        origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
        if origin.lower() != f"{request.url.scheme}://{host}".lower():
            raise RefusedRequest("only a page of this server itself can act", 403)
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise RefusedRequest("only a page of this server itself can act", 403)

    def find(self, request: Request) -> Session | None:
        """Return the session of a request; None if it has none."""
        key = request.cookies.get(self.cookie, "")
        session = self._sessions.get(key)
        if session is not None and session.until_s < monotonic():
            del self._sessions[key]
            return None
        return session

    def sign_in(self, token: str) -> str:
        """Begin a session; return what the cookie holds. Raises: RefusedRequest."""
        if not hmac.compare_digest(token.strip().encode(errors="replace"), self._token):
            raise RefusedRequest("this is not the token that benchpool up has printed", 403)
        key = token_urlsafe()
        self._sessions[key] = Session(token_urlsafe(), monotonic() + LONGEST_S)
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return key

    def sign_out(self, request: Request) -> None:
        """End the session of a request."""
        self._sessions.pop(request.cookies.get(self.cookie, ""), None)
