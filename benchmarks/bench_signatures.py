"""Measure what signing and verifying a data item costs, by signature type.

python benchmarks/bench_signatures.py                 # medians of 300 items with 200 bytes of data
python benchmarks/bench_signatures.py --bytes 100000 --count 50
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from hashlib import sha256
from time import perf_counter_ns
from typing import TypeVar

from measure import median

from benchpool.ao.dataitem import decode, sign, verify
from benchpool.ao.ids import encode_id
from benchpool.ao.signers import ArweaveSigner, Ed25519Signer, EthereumSigner, Signer, generate_jwk

T = TypeVar("T")
TAGS = [
    ("Action", "Transfer"),
    ("Recipient", "R" * 43),
    ("Quantity", "1000000000000"),
    ("Data-Protocol", "ao"),
    ("Variant", "ao.TN.1"),
    ("Type", "Message"),
]


def main() -> None:
    """Print one line a signature type, and the baseline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--bytes", type=int, default=200, help="data of each item")
    given = parser.parse_args()
    signers: dict[str, Signer] = {
        "Ed25519": Ed25519Signer(bytes(range(32))),
        "Ethereum": EthereumSigner(bytes(range(1, 33))),
        "Arweave": ArweaveSigner(generate_jwk()),
    }
    print(f"medians of {given.count} items, {given.bytes:,} bytes of data, µs")
    print(f"{'type':10} {'item bytes':>10} {'sign':>9} {'decode':>8} {'verify':>9} {'SHA-256':>8}")
    for name, signer in signers.items():
        measure(name, signer, given.count, bytes(given.bytes))


def measure(name: str, signer: Signer, count: int, data: bytes) -> None:
    """Sign, decode and verify items that differ, each in its own time."""
    items, signing = [], []
    for number in range(count):
        anchor = f"{number:032d}".encode()
        item, took = timed(
            lambda anchor=anchor: sign(
                signer, target=encode_id(bytes(32)), anchor=anchor, tags=TAGS, data=data
            )
        )
        items.append(item.raw)
        signing.append(took)
    decoding = [timed(lambda raw=raw: decode(raw))[1] for raw in items]
    decoded = [decode(raw) for raw in items]
    verifying = [timed(lambda item=item: verify(item))[1] for item in decoded]
    hashing = [timed(lambda raw=raw: sha256(raw).digest())[1] for raw in items]
    columns = (signing, decoding, verifying, hashing)
    print(
        f"{name:10} {len(items[0]):10,} {median(columns[0]):9.1f} {median(columns[1]):8.1f}"
        f" {median(columns[2]):9.1f} {median(columns[3]):8.2f}"
    )


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what some work gives, and the microseconds that it took."""
    before = perf_counter_ns()
    result = work()
    return result, (perf_counter_ns() - before) / 1000


if __name__ == "__main__":
    main()
