"""How far one message may go before the network stops it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that a network keeps."""

    push_depth: int = 10_000
    """Pushes in one chain, from a wallet's message or a cron tick on."""
    pushed_messages: int = 1_000_000
    """Messages that one wallet's message may cause in all."""


DEFAULT_LIMITS = Limits()
