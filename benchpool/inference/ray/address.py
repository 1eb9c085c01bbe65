"""How the cluster of a network is named."""

from __future__ import annotations

from typing import Final

from benchpool.errors import ConfigError

LOCAL: Final = "ray"
"""A cluster of this machine alone, which is started and ended with the engines."""
_FOUND: Final = "auto"
"""The cluster that this machine is a node of."""


def check_address(where: str) -> None:
    """Check that this names a cluster. Raises: ConfigError."""
    host, _, port = where.removeprefix("ray://").rpartition(":")
    if where in (LOCAL, _FOUND):
        return
    if not (host and host.isascii() and "/" not in host and port.isdecimal()):
        raise ConfigError(
            f"workers: {where[:60]!a} is neither a number, nor 'ray', nor the address of a Ray"
            " cluster such as ray://HOST:10001 or HOST:6379"
        )
    if not 0 < int(port) < 1 << 16:
        raise ConfigError(f"workers: {where[:60]!a} has no port from 1 to 65535")
