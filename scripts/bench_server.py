"""Signed messages a second that a server accepts over HTTP, each committed before it is answered.

python scripts/bench_server.py [--messages 4000] [--clients 64] [--kind ed25519|arweave]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time

import httpx

from benchpool.dataitem import sign
from benchpool.wallet import Wallet

PROTOCOL = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1")]


async def post_all(url: str, bodies: list[bytes], clients: int) -> None:
    """Send every body over so many connections, over plain sockets: the client costs little."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    waiting = iter(bodies)

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for body in waiting:
            head = f"POST /mu/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 202"):
                raise SystemExit(f"refused: {answer!r} {await reader.read(500)!r}")
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))


def sign_some(task: tuple[str, str, int, int]) -> list[bytes]:
    """Sign transfers number `first` and so many more."""
    jwk, token, first, how_many = task
    signer = Wallet.of_jwk("bench", json.loads(jwk)).signer()
    return [
        sign(
            signer,
            target=token,
            tags=[
                ("Action", "Transfer"),
                ("Recipient", "r" * 43),
                ("Quantity", "1"),
                ("Cast", "true"),
                ("Number", str(number)),
                *PROTOCOL,
                ("Type", "Message"),
            ],
            data=b" ",
        ).raw
        for number in range(first, first + how_many)
    ]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--kind", default="ed25519")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchpool", "up", "--port", "0", "--json"]
        server = subprocess.Popen([*command, "--home", folder], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline()]
            while lines[-1] != "}\n":
                lines.append(server.stdout.readline())
            url = json.loads("".join(lines))["gateway"]
            wallet = Wallet.derive(bytes(32), "bench", given.kind)
            scheduler = httpx.get(f"{url}/su").json()["address"]
            own = [("Type", "Process"), ("Module", "WrappedAR"), ("Scheduler", scheduler)]
            token = sign(wallet.signer(), tags=[*PROTOCOL, *own], data=b" ")
            httpx.post(f"{url}/mu", content=token.raw).raise_for_status()
            mint = [("Action", "Mint"), ("Quantity", "1000000"), *PROTOCOL, ("Type", "Message")]
            minted = sign(wallet.signer(), target=token.id, tags=mint, data=b" ")
            httpx.post(f"{url}/mu", content=minted.raw).raise_for_status()
            jwk = json.dumps(wallet.jwk())
            half = given.messages // 2
            tasks = [(jwk, token.id, 0, half), (jwk, token.id, half, half)]
            with multiprocessing.Pool(2) as pool:
                bodies = [body for some in pool.map(sign_some, tasks) for body in some]
            started = time.perf_counter()
            asyncio.run(post_all(url, bodies, given.clients))
            seconds = time.perf_counter() - started

            said = {"Owner": wallet.address, "Tags": [{"name": "Action", "value": "Balance"}]}
            asked = httpx.post(f"{url}/cu/dry-run?process-id={token.id}", json=said).json()
            left = asked["Messages"][0]["Data"]
            assert left == str(1000000 - len(bodies)), left
        finally:
            server.terminate()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()
    print(
        f"{given.kind}: {len(bodies) / seconds:,.0f} messages/s"
        f" ({len(bodies)} in {seconds:.2f} s, {given.clients} connections)"
    )


if __name__ == "__main__":
    main()
