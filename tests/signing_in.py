"""Signing in to a served home, for tests of its forms."""

from __future__ import annotations

import re

import httpx
from pages import Served


def token_of(served: Served) -> str:
    """What `benchpool up` would print."""
    context = served.running.server.context
    assert context is not None
    return context.token


def client(served: Served) -> httpx.Client:
    """Somebody with a browser, who looks at the server's own pages."""
    return httpx.Client(base_url=served.url, headers={"Origin": served.url})


def sign_in(served: Served, http: httpx.Client) -> str:
    """Sign in; return what proves that a form is the session's."""
    answer = http.post("/ui/act/sign-in", data={"token": token_of(served)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/act")
    found = re.search('name="proof" value="([^"]+)"', http.get("/ui/act").text)
    assert found is not None
    return found[1]
