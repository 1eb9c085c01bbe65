"""Codecs: in which form an answer is wanted, and answers in that form.

HyperBEAM's own form has every scalar of a map as a header of the response. Keys and values come
from strangers here, so only such are headers as say nothing to a browser or a proxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from fastapi import Request, Response

from benchpool.ao.dataitem import DataItem
from benchpool.ao.tags import Tags
from benchpool.server.answers import RefusedRequest
from benchpool.server.gateway import STRANGERS
from benchpool.server.hyperbeam.values import is_scalar, text_of

JSON: Final = frozenset({"application/json", "json@1.0"})
OWN: Final = frozenset({"httpsig@1.0", "application/http", "message/http"})
AOS2: Final = "application/aos-2"
MOST_HEADERS: Final = 64
LONGEST_HEADER: Final = 4_096
HEADERS_BYTES: Final = 16 << 10
_NAME: Final = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,63}")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_MEANT: Final = re.compile(
    r"(?:accept|ao|codec|access-control|activate|alt|attribution|authorization|cache|clear|connection|"
    r"content|cookie|critical|cross-origin|date|deprecation|device-memory|dictionary|document|"
    r"downlink|dpr|ect|early|expect|forwarded|http2|idempotency|if|integrity|keep|last|nel|no-vary|"
    r"observe|origin|permissions|ping|pragma|proxy|public-key|referer|referrer|report|reporting|"
    r"rtt|save|sec|service|set|shared|signature|source|speculation|strict|supports|sunset|"
    r"timing|transfer|upgrade|use|viewport|want|width|www|x)(?:-.*)?"
    r"|age|allow|etag|expires|from|host|link|location|max-forwards|priority|range|refresh|"
    r"retry-after|server|server-timing|sourcemap|te|tk|trailer|user-agent|vary|via|warning"
)
"""Names that mean something to browsers, proxies or AO's clients already."""


def parameter(name: str, request: Request, item: DataItem | None) -> str:
    """Return a parameter of a request: of its item's tags, its query or its headers."""
    signed = Tags(item.tags).get(name) if item is not None else ""
    return signed or request.query_params.get(name) or request.headers.get(name, "")


def wants_json(request: Request, item: DataItem | None = None) -> bool:
    """Tell whether JSON is wanted. Raises: RefusedRequest for a codec that is not here."""
    required = parameter("require-codec", request, item)
    if required in JSON or required in OWN:
        return required in JSON
    if required:
        raise RefusedRequest(
            f"the codec {required[:80]!r} is not here; application/json and httpsig@1.0 are", 406
        )
    accepted = parameter("accept", request, item)
    return any(part.partition(";")[0].strip() in JSON for part in accepted.split(","))


def write(value: Any, *, json: bool, extra: Mapping[str, str] | None = None) -> Response:
    """Write an answer.

    Args:
        value: as JSON holds it.
        json: as JSON, where a scalar or a list is wrapped; else a scalar as text, and of a map the
            scalars as headers too.
        extra: headers that are this server's own.
    """
    headers = {**STRANGERS, **(extra or {})}
    if json:
        whole = value if isinstance(value, dict) else {"ao-result": "body", "body": value}
        headers["codec-device"] = "json@1.0"
        return Response(msgspec.json.encode(whole), 200, headers, "application/json")
    headers["codec-device"] = "httpsig@1.0"
    if is_scalar(value):
        headers["ao-result"] = "body"
        return Response(text_of(value), 200, headers, "text/plain; charset=utf-8")
    if isinstance(value, dict):
        taken = {name.lower() for name in headers}
        headers |= {name: text for name, text in _scalars(value) if name not in taken}
    return Response(msgspec.json.encode(value), 200, headers, "application/json")


def _scalars(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Go through the scalars of a map that can be headers."""
    count, size = 0, 0
    for name, value in found.items():
        if not is_scalar(value) or not may_be_header(name, text := text_of(value)):
            continue
        count += 1
        size += len(name) + len(text)
        if count > MOST_HEADERS or size > HEADERS_BYTES:
            return
        yield name, text


def may_be_header(name: str, value: str) -> bool:
    """Tell whether a key and its value can be a header that nobody takes for anything else."""
    return (
        _NAME.fullmatch(name) is not None
        and _MEANT.fullmatch(name) is None
        and len(value) <= LONGEST_HEADER
        and _VALUE.fullmatch(value) is not None
    )
