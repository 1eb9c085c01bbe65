"""Pages left open, for tests of a served home."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pages import Served

from benchpool.server.dashboard.dashboard import Dashboard


def dashboard_of(served: Served) -> Dashboard:
    context = served.running.server.context
    assert context is not None
    return context.dashboard


@contextmanager
def following(served: Served, path: str, seen: str = "") -> Iterator[list[str]]:
    """Read a stream of events in a thread; give the lines that came."""
    lines: list[str] = []
    stream = urllib.request.urlopen(f"{served.url}/ui/events?of={path}&seen={seen}", timeout=30)

    thread = threading.Thread(target=lambda: _each(stream, lines))
    thread.start()
    try:
        yield lines
    finally:
        stream.close()
        thread.join(20)


def _each(stream: Any, lines: list[str]) -> None:
    try:
        while line := stream.readline():
            lines.append(line.decode().strip())
    except (OSError, ValueError, AttributeError):
        pass
    lines.append("the end")


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
