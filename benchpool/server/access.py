"""Access: which names a server answers to, and which pages in a browser may write to it.

A page anywhere can have its visitor's browser send requests to a port of this machine, and a name
that its owner points here (DNS rebinding) makes the page and the server one origin for a browser.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from benchpool.errors import ConfigError

Headers = Iterable[tuple[bytes, bytes]]
ANY: Final = "*"
_SHOWN: Final = 80
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """What is checked of every request before anything else.

    Args:
        host: the address that is listened on.
        hosts: further names to answer to; `*` is any.
        origins: pages that may write, beside those of this machine: `https://example.com`; `*` is
            any.

    Raises: ConfigError for an origin that is none.
    """

    def __init__(self, host: str, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._hosts = {_bare(each) for each in hosts} | {_bare(host)}
        if not is_loopback(host):
            self._hosts.add(_bare(socket.gethostname()))
        self._origins = {_origin(each) for each in origins}

    def refused_host(self, headers: Headers) -> str | None:
        """Say why a request for another name is refused; None if it is for this server.

        An address cannot be pointed elsewhere, so any is good. What sends no Host is no browser.
        """
        given = [value.decode("latin-1") for name, value in headers if name == b"host"]
        if len(given) > 1:
            return "a request has one Host"
        if not given or ANY in self._hosts:
            return None
        name = _bare(given[0])
        if name in self._hosts or is_local_name(name) or _address(name) is not None:
            return None
        shown = name[:_SHOWN]
        return (
            f"this server does not answer to the name {shown!a};"
            f" let it with: benchpool up --allow-host {shown if shown.isascii() else 'NAME'}"
        )

    def allowed_origin(self, headers: Headers) -> bool:
        """Tell whether a request comes from no page, or from one that may write."""
        found = {name: value.decode("latin-1") for name, value in headers if name in _LOOKED_AT}
        origin = found.get(b"origin", "").lower()
        if not origin or ANY in self._origins or origin in self._origins:
            return True
        parts = _split(origin)
        if parts is None:
            return False
        scheme, place, name = parts
        own = place == found.get(b"host", "").lower()
        return scheme in ("http", "https") and (own or is_loopback(name))


_LOOKED_AT: Final = frozenset({b"origin", b"host"})


def origin_of(headers: Headers) -> str:
    """Return the page that a request comes from; empty if it comes from none."""
    return next((value.decode("latin-1") for name, value in headers if name == b"origin"), "")


def writes(method: str, unit: str, path: str) -> bool:
    """Tell whether a request may change something.

    Dry runs and GraphQL are asked for with POST and keep nothing.
    """
    if method in _SAFE or unit == "cu":
        return False
    return not (unit == "gateway" and path.rstrip("/").endswith("/graphql"))


def is_local_name(name: str) -> bool:
    """Tell whether a name always means this machine."""
    return name == "localhost" or name.endswith(".localhost")


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address is reached from this machine alone."""
    address = _address(_bare(host))
    return is_local_name(_bare(host)) if address is None else address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _bare(host: str) -> str:
    """Return a host without its port, brackets and last dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") == 1:
        host = host.partition(":")[0]
    return host.rstrip(".")


def _split(origin: str) -> tuple[str, str, str] | None:
    """Return scheme, host with port, and host of an origin; None if it is none."""
    try:
        parts = urlsplit(origin)
        name = parts.hostname
    except ValueError:
        return None
    if not name or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.scheme, parts.netloc, name


def _origin(text: str) -> str:
    origin = text.strip().lower().rstrip("/")
    if origin not in (ANY, "null") and _split(origin) is None:
        raise ConfigError(f"no origin: {text!r}; write for instance https://example.com")
    return origin
