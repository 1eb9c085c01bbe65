"""Wallets: keys of three kinds and the addresses made of them, and their form as files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from benchpool.ao.ids import is_id
from benchpool.ao.signers import (
    ArweaveSigner,
    Ed25519Signer,
    EthereumSigner,
    Signer,
    address_of,
    from_base64url,
    generate_jwk,
    to_base64url,
)
from benchpool.errors import ConfigError

ED25519: Final = "ed25519"
ARWEAVE: Final = "arweave"
ETHEREUM: Final = "ethereum"
KINDS: Final = (ED25519, ARWEAVE, ETHEREUM)
_LARGEST_FILE: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Wallet:
    """A key that owns processes and sends messages.

    The address is the base64url SHA-256 of the public key, as on Arweave; that of an Ethereum key
    is written as Ethereum does (EIP-55).
    """

    name: str
    address: str
    secret: bytes = field(repr=False)
    """32 bytes, the private key; of an Arweave wallet, its JWK as JSON."""
    kind: str = ED25519
    """One of `KINDS`."""

    @classmethod
    def derive(cls, seed: bytes, name: str, kind: str = ED25519) -> Wallet:
        """Make the wallet of this name that belongs to a seed: the same seed, the same address.

        An Arweave key cannot be made from a seed, so it is a new one each time.
        """
        if kind == ARWEAVE:
            return cls.of(name, kind, json.dumps(generate_jwk()).encode())
        label = b"benchpool wallet\0" if kind == ED25519 else f"benchpool {kind} wallet\0".encode()
        return cls.of(name, kind, sha256(label + seed + b"\0" + name.encode()).digest())

    @classmethod
    def of(cls, name: str, kind: str, secret: bytes) -> Wallet:
        """Make the wallet of a key. Raises: ConfigError if it is none of this kind."""
        signer = _signer(kind, secret)
        return cls(name, address_of(signer.signature_type, signer.owner), secret, kind)

    @classmethod
    def of_jwk(cls, name: str, jwk: Mapping[str, Any]) -> Wallet:
        """Make the wallet of a JSON Web Key: RSA of 4096 bit, Ed25519 or secp256k1.

        Raises: ConfigError if it is no such private key.
        """
        match jwk.get("kty"), jwk.get("crv"):
            case "RSA", _:
                return cls.of(name, ARWEAVE, json.dumps(dict(jwk)).encode())
            case "OKP", "Ed25519":
                kind = ED25519
            case "EC", "secp256k1":
                kind = ETHEREUM
            case _:
                raise ConfigError(
                    "not a wallet: a JWK of type RSA (Arweave), OKP Ed25519 or EC secp256k1"
                    " (Ethereum) is"
                )
        try:
            wallet = cls.of(name, kind, from_base64url(jwk["d"]))
        except (KeyError, ValueError, AttributeError):
            raise ConfigError("this JWK has no d that is base64url: no private key") from None
        if any(jwk.get(part) != text for part, text in wallet.jwk().items()):
            raise ConfigError("the public key of this JWK is not that of its private key")
        return wallet

    def signer(self) -> Signer:
        """Return the key, to sign with. Raises: ConfigError if this home has it not."""
        if not self.secret:
            raise ConfigError(
                f"the key of wallet {self.name} is not in this home, which was imported without"
                " keys; nothing can be signed with it"
            )
        return _signer(self.kind, self.secret)

    def jwk(self) -> dict[str, str]:
        """Return the key as a JSON Web Key (RFC 7518, RFC 8037, RFC 8812). Raises: ConfigError."""
        signer = self.signer()
        if self.kind == ARWEAVE:
            jwk: dict[str, str] = json.loads(self.secret)
            return jwk
        secret = to_base64url(self.secret)
        if self.kind == ED25519:
            return {"kty": "OKP", "crv": "Ed25519", "x": to_base64url(signer.owner), "d": secret}
        x, y = to_base64url(signer.owner[1:33]), to_base64url(signer.owner[33:])
        return {"kty": "EC", "crv": "secp256k1", "x": x, "y": y, "d": secret}


def _signer(kind: str, secret: bytes) -> Signer:
    if kind == ED25519:
        return Ed25519Signer(secret)
    if kind == ETHEREUM:
        return EthereumSigner(secret)
    if kind == ARWEAVE:
        return ArweaveSigner(json.loads(secret))
    raise ConfigError(f"there is no wallet of type {kind[:40]!r}; there are: {', '.join(KINDS)}")


def read_wallet(path: Path, name: str) -> Wallet:
    """Read a key file as Arweave wallets write it: one JWK. Raises: ConfigError with the file."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    try:
        jwk = json.loads(raw) if len(raw) <= _LARGEST_FILE else None
    except (ValueError, RecursionError):
        jwk = None
    if not isinstance(jwk, dict):
        raise ConfigError(f"{path} is no key file: it holds no JSON object")
    try:
        return Wallet.of_jwk(name, jwk)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def check_name(name: str) -> str:
    """Accept a name for a wallet or process. Raises: ConfigError."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", name) or is_id(name):
        raise ConfigError(
            f"not a usable name: {name[:80]!r}; use a letter, then letters, digits, '_', '.' or"
            " '-', at most 64 in all"
        )
    return name
