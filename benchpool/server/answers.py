"""How a server answers: JSON, and errors as AO's units write them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Response

from benchpool.errors import (
    BenchpoolError,
    ProcessBusy,
    Unavailable,
)

log = logging.getLogger("benchpool.server")

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "detail": {"type": "string"}},
    "required": ["error"],
}


class RefusedRequest(BenchpoolError):
    """A request that is answered with a text, and a status if it is not the unit's usual one."""

    def __init__(self, text: str, status: int | None = None, *, detail: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.detail = detail
        """More than AO's own words say."""


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Write a JSON answer."""
    return Response(
        msgspec.json.encode(value),
        status,
        headers=None if headers is None else dict(headers),
        media_type="application/json",
    )


def refusal(error: Exception, status: int = 500, *, own: bool = False) -> Response:
    """Write what became of a request that failed: `{"error": text}`.

    Args:
        error: why.
        status: of what the unit refuses: 500 from a messenger or compute unit, 400 from a
            scheduler.
        own: whether the one who asked may know where files of this machine are.
    """
    said = str(error) if own else without_folders(str(error))
    if isinstance(error, ProcessBusy):
        return answer({"message": said}, 202)
    if isinstance(error, RefusedRequest):
        status = error.status or status
        if error.detail:
            return answer({"error": said, "detail": without_folders(error.detail)}, status)
    elif isinstance(error, Unavailable):
        status = 503
    elif not isinstance(error, BenchpoolError):
        log.error("a request failed", exc_info=error)
        return answer({"error": f"{type(error).__name__}: {said}"}, 500)
    return answer({"error": said}, status)


def without_folders(text: str) -> str:
    """Leave the folders out of the names of files: strangers learn nothing of this machine."""
    return _FOLDERS.sub("", text)


_FOLDERS = re.compile(r"(?<![\w:/.}-])/(?:[^\s/'\":;,]+/)+")


def documented(
    *statuses: int, ok: Mapping[int, str] | None = None, media: str = "application/json"
) -> dict[int | str, dict[str, Any]]:
    """Describe a route's answers for the OpenAPI document.

    Args:
        statuses: of errors, each with `{"error": text}`.
        ok: status -> meaning of the other answers.
        media: the content type of those.
    """
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": meaning, "content": {media: {}}}
        for status, meaning in (ok or {200: "As on AO."}).items()
    }
    for status in dict.fromkeys((400, *statuses, 503)):
        responses[status] = {
            "description": _MEANINGS.get(status, "Refused."),
            "content": {"application/json": {"schema": ERROR_SCHEMA}},
        }
    return responses


_MEANINGS = {
    400: "The request cannot be read, or the scheduler refuses it.",
    404: "There is no such process, message or data.",
    413: "The body is too large.",
    500: "AO's units refuse with this status; the text says why.",
    503: "The server is stopping, has too much to do, or its disk failed.",
    507: "The disk is nearly full, or all uploads together have their quota.",
}
