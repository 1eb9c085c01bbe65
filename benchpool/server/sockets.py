"""Sockets: where a server listens."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from benchpool.errors import ConfigError

_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Options:
    """Where a server listens. Port 0 takes any that is free."""

    host: str = "127.0.0.1"
    port: int = 4000
    mu_port: int | None = None
    su_port: int | None = None
    cu_port: int | None = None
    allow_hosts: tuple[str, ...] = ()
    """Names to answer to, beside those of this machine; see `Access`."""
    allow_origins: tuple[str, ...] = ()
    """Pages that may write, beside those of this machine."""
    read_only: bool = False
    """Let nobody act from the dashboard."""

    def units(self) -> dict[str, int]:
        """Return the units that get ports of their own."""
        ports = {"mu": self.mu_port, "su": self.su_port, "cu": self.cu_port}
        return {unit: port for unit, port in ports.items() if port is not None}


DEFAULT_OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the units are."""

    gateway: str
    mu: str
    su: str
    cu: str
    scheduler: str
    """The address of the key that signs assignments."""
    messenger: str
    """The address of the key that signs pushed messages: the Authority of processes here."""
    dashboard: str
    """Where the pages for people are."""
    token: str
    """What lets somebody act from them; empty if nobody may."""


Sockets = dict[str, socket.socket]
"""What is listened on, by the unit that is served there; "all" is the port of all of them."""


def listen(options: Options) -> Sockets:
    """Take the addresses. Raises: ConfigError if one cannot be had."""
    sockets: Sockets = {}
    for unit, port in {"all": options.port, **options.units()}.items():
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        # Named as TCP, or asyncio leaves Nagle's algorithm on: 40 ms for each answer in two parts.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sockets[unit] = listening
        try:
            listening.bind((options.host, port))
            listening.listen(_BACKLOG)  # who comes before the server is ready waits
        except (OSError, OverflowError) as error:
            close_all(sockets)
            where = f"{options.host}:{port}"
            raise ConfigError(
                f"{where} cannot be listened on: {error}; name another with --port"
            ) from None
    return sockets


def close_all(sockets: Sockets) -> None:
    """Give the addresses up."""
    for each in sockets.values():
        each.close()


def url_of(listening: socket.socket) -> str:
    """Return the address at which a socket is reached."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
