"""Wallets: Ed25519 keys and the addresses made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256

from benchpool.errors import ConfigError
from benchpool.message import encode_id, is_id


@dataclass(frozen=True, slots=True)
class Wallet:
    """A key that owns processes and sends messages.

    The address is the base64url SHA-256 of the public key, as on Arweave.
    """

    name: str
    address: str
    secret: bytes = field(repr=False)
    """32 bytes: the Ed25519 private key."""

    @classmethod
    def derive(cls, seed: bytes, name: str) -> Wallet:
        """Make the wallet of this name that belongs to a seed: the same seed, the same address."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to import
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

        secret = sha256(b"benchpool wallet\0" + seed + b"\0" + name.encode()).digest()
        public = (
            ed25519.Ed25519PrivateKey.from_private_bytes(secret)
            .public_key()
            .public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        )
        return cls(name, encode_id(sha256(public).digest()), secret)


def check_name(name: str) -> str:
    """Accept a name for a wallet or process. Raises: ConfigError."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", name) or is_id(name):
        raise ConfigError(
            f"not a usable name: {name[:80]!r}; use a letter, then letters, digits, '_', '.' or"
            " '-', at most 64 in all"
        )
    return name
