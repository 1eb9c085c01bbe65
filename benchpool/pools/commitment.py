"""Committing to weights before anybody has seen them."""

from __future__ import annotations

from hashlib import sha256


def commitment(salt: str, participant: str, weights: str) -> str:
    """Return the SHA-256 that commits to weights, 64 hexadecimal digits.

    Of salt, participant and weights id, with colons between; the last two hold none.
    """
    return sha256(f"{salt}:{participant}:{weights}".encode()).hexdigest()
