"""Signers: the three kinds of keys that sign data items, and how their signatures are checked.

Sources: ANS-104 (signature types and lengths), RFC 8017 (RSA-PSS), RFC 8032 (Ed25519), EIP-191 and
EIP-55 (how Ethereum wallets sign a text, and how they write an address).
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from benchpool.ao.ids import encode_id
from benchpool.errors import ConfigError, DataItemError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

# The libraries of keys are imported where they are used: they take longer to load than most
# commands take to run, and an unsigned network never needs them.


class SignatureType(IntEnum):
    """How a data item is signed; the numbers are those of ANS-104."""

    ARWEAVE = 1
    ED25519 = 2
    ETHEREUM = 3


class Lengths(NamedTuple):
    """Bytes that a signature and a public key take in a data item."""

    signature: int
    owner: int


LENGTHS = {
    SignatureType.ARWEAVE: Lengths(512, 512),
    SignatureType.ED25519: Lengths(64, 32),
    SignatureType.ETHEREUM: Lengths(65, 65),
}

RSA_BITS = 4096
RSA_EXPONENT = 65537
_JWK_NUMBERS = ("n", "e", "d", "p", "q", "dp", "dq", "qi")
_SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Signer(Protocol):
    """A key that signs data items."""

    @property
    def signature_type(self) -> SignatureType:
        """Which kind of key this is."""
        ...

    @property
    def owner(self) -> bytes:
        """The public key as a data item bears it."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign the deep hash of an item."""
        ...


class Ed25519Signer:
    """An Ed25519 key. Its signatures are deterministic.

    Args:
        secret: 32 bytes, the private key.

    Raises: ConfigError if it has another length.
    """

    signature_type = SignatureType.ED25519

    def __init__(self, secret: bytes) -> None:
        from nacl.signing import SigningKey  # noqa: PLC0415

        if len(secret) != 32:
            raise ConfigError(f"an Ed25519 private key has 32 bytes, this has {len(secret)}")
        self._key = SigningKey(secret)
        self.owner = bytes(self._key.verify_key)

    def sign(self, message: bytes) -> bytes:
        """Sign: 64 bytes."""
        return self._key.sign(message).signature


class ArweaveSigner:
    """An Arweave wallet: RSA, 4096 bit. Signing twice gives two signatures, hence two ids.

    Args:
        jwk: the private key as a JSON Web Key (RFC 7518).

    Raises: ConfigError if it is no such key.
    """

    signature_type = SignatureType.ARWEAVE

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        self._key = _read_rsa(jwk)
        self.owner = self._key.public_key().public_numbers().n.to_bytes(512, "big")

    def sign(self, message: bytes) -> bytes:
        """Sign: 512 bytes, RSA-PSS with SHA-256 and the longest salt, as the node clients do."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

        mask = padding.MGF1(hashes.SHA256())
        pss = padding.PSS(mask, padding.PSS.MAX_LENGTH)
        return self._key.sign(message, pss, hashes.SHA256())


class EthereumSigner:
    """An Ethereum key: secp256k1. Its signatures are deterministic (RFC 6979).

    Args:
        secret: 32 bytes, the private key.

    Raises: ConfigError if it is none.
    """

    signature_type = SignatureType.ETHEREUM

    def __init__(self, secret: bytes) -> None:
        from coincurve import PrivateKey  # noqa: PLC0415

        try:
            if len(secret) != 32:
                raise ValueError  # noqa: TRY301 - coincurve would pad it
            self._key = PrivateKey(secret)
        except ValueError:
            raise ConfigError(
                "an Ethereum private key has 32 bytes, and is a number from 1 to the order of"
                " the curve"
            ) from None
        self.owner = self._key.public_key.format(compressed=False)

    def sign(self, message: bytes) -> bytes:
        """Sign: 65 bytes r, s, v, as personal_sign does (EIP-191), with v 27 or 28."""
        signature = self._key.sign_recoverable(_personal_hash(message), hasher=None)
        return signature[:64] + bytes([signature[64] + 27])


def generate_jwk() -> dict[str, str]:
    """Make a new Arweave wallet; takes about a second."""
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = rsa.generate_private_key(public_exponent=RSA_EXPONENT, key_size=RSA_BITS)
    secret = key.private_numbers()
    public = secret.public_numbers
    crt = (secret.dmp1, secret.dmq1, secret.iqmp)
    numbers = (public.n, public.e, secret.d, secret.p, secret.q, *crt)
    return {
        "kty": "RSA",
        **{name: to_base64url(_number(n)) for name, n in zip(_JWK_NUMBERS, numbers, strict=True)},
    }


def address_of(signature_type: int, owner: bytes) -> str:
    """Return the address of a public key: base64url SHA-256, or EIP-55 for an Ethereum key."""
    if signature_type != SignatureType.ETHEREUM:
        return encode_id(sha256(owner).digest())
    digits = _keccak256(owner[1:])[12:].hex()
    mask = _keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if bit >= "8" else digit for digit, bit in zip(digits, mask, strict=False)
    )


def check_signature(signature_type: int, owner: bytes, message: bytes, signature: bytes) -> None:
    """Accept a signature. Raises: DataItemError if it is not the owner's of this message."""
    check = _CHECKS[SignatureType(signature_type)]
    if not check(owner, message, signature):
        raise DataItemError("the signature of the data item is not its owner's: it was changed")


def _check_arweave(owner: bytes, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415

    # Clients differ in the length of the salt (478 bytes, 32 or none), so it is read from the
    # signature.
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
    try:
        key = rsa.RSAPublicNumbers(RSA_EXPONENT, int.from_bytes(owner, "big")).public_key()
        key.verify(signature, message, pss, hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_ed25519(owner: bytes, message: bytes, signature: bytes) -> bool:
    from nacl.exceptions import BadSignatureError  # noqa: PLC0415
    from nacl.signing import VerifyKey  # noqa: PLC0415

    # libsodium refuses the few keys of small order, for which OpenSSL takes one signature, hence
    # one id, for many messages.
    try:
        VerifyKey(owner).verify(message, signature)
    except BadSignatureError:
        return False
    return True


def _check_ethereum(owner: bytes, message: bytes, signature: bytes) -> bool:
    from coincurve import PublicKey  # noqa: PLC0415

    # The other root of s and another v would give the same content a second id. The reference
    # scheduler wants v to be 27 or 28, and libsecp256k1 the lower s.
    v, s = signature[64], int.from_bytes(signature[32:64], "big")
    if v not in {27, 28} or s > _SECP256K1_ORDER // 2:
        return False
    recoverable = signature[:64] + bytes([v - 27])
    try:
        key = PublicKey.from_signature_and_message(
            recoverable, _personal_hash(message), hasher=None
        )
    except ValueError:
        return False
    return key.format(compressed=False) == owner


_CHECKS = {
    SignatureType.ARWEAVE: _check_arweave,
    SignatureType.ED25519: _check_ed25519,
    SignatureType.ETHEREUM: _check_ethereum,
}


def _keccak256(data: bytes) -> bytes:
    from Crypto.Hash import keccak  # noqa: PLC0415

    return keccak.new(data=data, digest_bits=256).digest()


def _personal_hash(message: bytes) -> bytes:
    return _keccak256(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)


def to_base64url(raw: bytes) -> str:
    """Write bytes as base64url without padding."""
    return binascii.b2a_base64(raw, newline=False).decode().translate(_TO_URL).rstrip("=")


def from_base64url(text: str) -> bytes:
    """Read base64url without padding. Raises: ValueError."""
    padded = text.translate(_FROM_URL) + "=" * (-len(text) % 4)
    return binascii.a2b_base64(padded.encode("ascii"), strict_mode=True)


_TO_URL = str.maketrans("+/", "-_")
_FROM_URL = str.maketrans("-_+/", "+/..")


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _read_rsa(jwk: Mapping[str, Any]) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    if jwk.get("kty") != "RSA":
        raise ConfigError("not an Arweave wallet: its JWK has no kty RSA")
    lacking = [name for name in _JWK_NUMBERS if not isinstance(jwk.get(name), str)]
    if lacking:
        raise ConfigError(
            f"this JWK has no {', '.join(lacking)}: it is not the private key of a wallet"
        )
    try:
        n, e, d, p, q, dp, dq, qi = (
            int.from_bytes(from_base64url(jwk[name]), "big") for name in _JWK_NUMBERS
        )
    except ValueError:
        raise ConfigError("this JWK has a number that is no base64url") from None
    if n.bit_length() != RSA_BITS or e != RSA_EXPONENT:
        raise ConfigError(
            f"an Arweave wallet has an RSA key of {RSA_BITS} bit with exponent {RSA_EXPONENT};"
            f" this one has {n.bit_length()} bit and exponent {e if e < 1 << 64 else 'too large'}"
        )
    try:
        public = rsa.RSAPublicNumbers(e, n)
        return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()
    except ValueError:
        raise ConfigError("the numbers of this JWK do not belong together") from None
