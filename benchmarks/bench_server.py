"""Signed messages a second that a server accepts over HTTP, each committed before it is answered.

The result of each is asked for, too. The processor time beside the rate is the server's own, which
says more than the rate on a machine that others use.

python benchmarks/bench_server.py [--messages 4000] [--clients 32] [--kind ed25519|arweave]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from benchpool.ao.dataitem import sign
from benchpool.ao.wallet import Wallet

PROTOCOL = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1")]


async def post_all(url: str, token: str, items: list[tuple[str, bytes]], clients: int) -> None:
    """Send every item over so many connections, over plain sockets: the client costs little."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    waiting = iter(items)

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for item, body in waiting:
            head = f"POST /mu HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await answered(reader, b"202")
            path = f"/cu/result/{item}?process-id={token}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            await answered(reader, b"200")
        writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))


async def answered(reader: asyncio.StreamReader, status: bytes) -> None:
    """Read an answer. Raises: SystemExit for another status."""
    answer = await reader.readuntil(b"\r\n\r\n")
    length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    if not answer.startswith(b"HTTP/1.1 " + status):
        raise SystemExit(f"refused: {answer!r} {body[:500]!r}")


def sign_some(task: tuple[str, str, int, int]) -> list[tuple[str, bytes]]:
    """Sign transfers number `first` and so many more."""
    jwk, token, first, how_many = task
    signer = Wallet.of_jwk("bench", json.loads(jwk)).signer()
    items = (
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
        )
        for number in range(first, first + how_many)
    )
    return [(item.id, item.raw) for item in items]


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process took so far; 0 where /proc is not to be had."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--clients", type=int, default=32)
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
                items = [item for some in pool.map(sign_some, tasks) for item in some]
            cpu, started = cpu_seconds(server.pid), time.perf_counter()
            asyncio.run(post_all(url, token.id, items, given.clients))
            seconds = time.perf_counter() - started
            cpu = (cpu_seconds(server.pid) - cpu) * 1000 / len(items)

            said = {"Owner": wallet.address, "Tags": [{"name": "Action", "value": "Balance"}]}
            asked = httpx.post(f"{url}/cu/dry-run?process-id={token.id}", json=said).json()
            left = asked["Messages"][0]["Data"]
            assert left == str(1000000 - len(items)), left
        finally:
            server.terminate()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()
    print(
        f"{given.kind}: {len(items) / seconds:,.0f} messages/s"
        f" ({len(items)} in {seconds:.2f} s, {given.clients} connections;"
        f" {cpu:.2f} ms of the server's processor time each)"
    )


if __name__ == "__main__":
    main()
