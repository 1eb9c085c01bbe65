"""Measure signed messages a second over HTTP: verified, scheduled, evaluated, result readable.

Usage: python benchmarks/bench_wire.py [--messages 1000] [--peer-messages 60] [--no-peers]

The messages are Transfers of a token, signed before the clock starts. Each is sent to the messenger
unit (POST /), and its result is asked of the compute unit (GET /result) until it is there. Beside
it npm's wao, the emulator in JavaScript, does the same: in memory, and over its local server. wao
is installed by npm into the user's cache. Prints a Markdown table. The rows of /health show that
the client is not what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count as count_up
from pathlib import Path
from typing import Any, NamedTuple

from measure import free_port, print_head
from platformdirs import user_cache_path
from wire.load import Connection, Figures, Refused, drive

from benchpool.ao.dataitem import DataItem, sign
from benchpool.ao.ids import module_id
from benchpool.ao.signers import ArweaveSigner, Ed25519Signer, Signer, address_of, generate_jwk

WAO = "wao@0.35.7"
CLIENTS = (1, 32)
AO_TAGS = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message")]
RECIPIENT = "r" * 42 + "w"
_NUMBER = count_up()


class Place(NamedTuple):
    """Where messages go and where results come from."""

    host: str
    mu: tuple[int, str]
    """Port and path."""
    cu: tuple[int, str]
    process: str
    fresh: bool = False
    """Take a new connection for each request: Node closes those that wait for five seconds."""


def send_all(place: Place, items: Sequence[DataItem], clients: int) -> Figures:
    """Send signed items and wait for the result of each."""
    raw = [(item.id, item.raw) for item in items]

    async def client(_number: int) -> Callable[[int], Awaitable[None]]:
        mu = await Connection(place.host, place.mu[0], fresh=place.fresh).open()
        cu = mu
        if place.mu[0] != place.cu[0]:
            cu = await Connection(place.host, place.cu[0], fresh=place.fresh).open()

        async def send(piece: int) -> None:
            message, body = raw[piece]
            status, text = await mu.ask("POST", place.mu[1] or "/", body)
            if status // 100 != 2:
                raise Refused(f"status {status}: {text[:300]!r}")
            path = f"{place.cu[1]}/result/{message}?process-id={place.process}"
            status, text = await cu.ask("GET", path)
            while status == 202:
                status, text = await cu.ask("GET", path)
            if status != 200 or len(json.loads(text)["Messages"]) != 2:
                raise Refused(f"no result with two notices, but {status}: {text[:300]!r}")

        return send

    return asyncio.run(drive(clients, len(raw), client))


def ask_health(place: Place, clients: int, count: int) -> Figures:
    """Do the same with requests that cost the server next to nothing, two for each message."""

    async def client(_number: int) -> Callable[[int], Awaitable[None]]:
        connection = await Connection(place.host, place.mu[0]).open()

        async def ask(_piece: int) -> None:
            for _ in range(2):
                await connection.ask("GET", "/health")

        return ask

    return asyncio.run(drive(clients, count, client))


# -- what is sent ----------------------------------------------------------------------------


def transfers(signer: Signer, process: str, count: int) -> list[DataItem]:
    """Sign this many Transfers of one winston, each different: Ed25519 signs the same alike."""
    tags = [*AO_TAGS, ("Action", "Transfer"), ("Recipient", RECIPIENT), ("Quantity", "1")]
    return [
        sign(signer, target=process, tags=[*tags, ("X-Number", str(next(_NUMBER)))], data=b" ")
        for _ in range(count)
    ]


@dataclass(frozen=True)
class Keys:
    """A signer of each kind."""

    arweave: Signer
    ed25519: Signer

    @classmethod
    def make(cls) -> Keys:
        """Make fresh ones."""
        return cls(ArweaveSigner(generate_jwk()), Ed25519Signer(os.urandom(32)))

    def named(self) -> list[tuple[str, Signer]]:
        """Return (name, signer)."""
        return [("Ed25519", self.ed25519), ("Arweave RSA", self.arweave)]


def address(signer: Signer) -> str:
    """Return who the signer is."""
    return address_of(int(signer.signature_type), signer.owner)


# -- wao ---------------------------------------------------------------------------------------


def install_wao(folder: Path) -> None:
    """Install the emulator where it is not yet. Raises: SystemExit if npm cannot."""
    if not (folder / "node_modules" / "wao").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", WAO]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"npm could not install {WAO}:\n{done.stderr[-500:]}")
    shutil.copy(Path(__file__).parent / "wire" / "wao_peer.mjs", folder)


@contextmanager
def wao(folder: Path, mode: str, port: int, owner: str) -> Iterator[tuple[Any, str]]:
    """Start wao with a token; give its Node process and the token's id."""
    command = ["node", "--experimental-wasm-memory64", "wao_peer.mjs", mode, str(port), owner]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (folder / "peer.log").open("w") as log:
        peer = subprocess.Popen(command, cwd=folder, stderr=log, **pipes)
    try:
        yield peer, heard(peer)["process"]
    finally:
        peer.kill()
        peer.wait()


def heard(peer: Any) -> Any:
    """Read the next line that wao_peer.mjs means for us."""
    for line in peer.stdout:
        if line.startswith("@@@"):
            return json.loads(line[3:])
    raise SystemExit("wao ended; see peer.log in its folder")


def wao_in_memory(folder: Path, signer: Signer, count: int, scratch: Path) -> Iterator[str]:
    """Measure the emulator in its own program, without HTTP."""
    with wao(folder, "memory", 0, address(signer)) as (peer, process):
        for clients in CLIENTS:
            items = [base64.b64encode(i.raw).decode() for i in transfers(signer, process, count)]
            file = scratch / f"items-{clients}.json"
            file.write_text(json.dumps(items))
            peer.stdin.write(json.dumps({"file": str(file), "clients": clients}) + "\n")
            peer.stdin.flush()
            answer = heard(peer)
            figures = Figures.of(answer["seconds"], answer["took"])
            yield figures.row(f"{WAO}, in memory", "Arweave RSA (not verified)", clients, count)


def wao_server(folder: Path, signer: Signer, count: int, notes: list[str]) -> Iterator[str]:
    """Measure wao's local server, and see whether it survives the scheduler's own look-up."""
    port = free_port() - 8  # four more are free behind it, most likely
    with wao(folder, "server", port, address(signer)) as (peer, process):
        place = Place("localhost", (port + 2, ""), (port + 4, ""), process, fresh=True)
        for clients in CLIENTS:
            figures = send_all(place, transfers(signer, process, count), clients)
            yield figures.row(f"{WAO}, server", "Arweave RSA (not verified)", clients, count)
        notes.append(f"{WAO}: {survival(place, port + 3, '', peer)}")


def survival(place: Place, port: int, path: str, server: Any) -> str:
    """Say what GET {SU}/{process} does to a server."""

    async def look() -> str:
        try:
            connection = await Connection(place.host, port).open()
            asking = connection.ask("GET", f"{path}/{place.process}?process-id={place.process}")
            status, body = await asyncio.wait_for(asking, 20)
        except (OSError, EOFError, TimeoutError) as error:
            return f"no answer ({type(error).__name__})"
        else:
            return f"{status}, {len(body):,} bytes"

    said = asyncio.run(look())
    time.sleep(0.5)
    ended = server.poll()
    after = "the server runs on" if ended is None else f"the server ended with status {ended}"
    return f"`GET {{SU}}/{{process}}`: {said}; {after}"


# -- benchpool ---------------------------------------------------------------------------------


@contextmanager
def benchpool(home: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """Start `benchpool up` on an empty home; give its process and what it says when it is ready."""
    command = [sys.executable, "-m", "benchpool", "up", "--home", str(home), "--port", "0"]
    server = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True)
    printed = ""
    try:
        for line in server.stdout or ():
            printed += line
            with suppress(json.JSONDecodeError):
                yield server, json.loads(printed)
                return
        raise SystemExit("benchpool up did not start; is the extra `server` installed?")
    finally:
        server.terminate()
        server.wait(timeout=60)


def token_of(url: str, scheduler: str, signer: Signer) -> Place:
    """Spawn a token and mint; return where its messages go."""
    port = int(url.rsplit(":", 1)[1])
    module = [("Module", module_id("WrappedAR")), ("Scheduler", scheduler)]
    spawned = sign(signer, tags=[*AO_TAGS[:2], ("Type", "Process"), *module], data=b" ")
    mint = [*AO_TAGS, ("Action", "Mint"), ("Quantity", "1000000000")]
    place = Place("127.0.0.1", (port, "/mu"), (port, "/cu"), spawned.id)

    async def post() -> None:
        connection = await Connection(place.host, port).open()
        for item in (spawned, sign(signer, target=spawned.id, tags=mint, data=b" ")):
            status, text = await connection.ask("POST", "/mu", item.raw)
            if status != 202:
                raise Refused(f"status {status}: {text[:300]!r}")

    asyncio.run(post())
    return place


def benchpool_rows(home: Path, keys: Keys, count: int, notes: list[str]) -> Iterator[str]:
    """Measure benchpool, and the client by requests that cost the server next to nothing."""
    with benchpool(home) as (server, addresses):
        for name, signer in keys.named():
            place = token_of(addresses["gateway"], addresses["scheduler"], signer)
            for clients in CLIENTS:
                figures = send_all(place, transfers(signer, place.process, count), clients)
                yield figures.row("benchpool up", name, clients, count)
        for clients in CLIENTS:
            figures = ask_health(place, clients, count)
            yield figures.row("two GET /health instead of a message", "-", clients, count)
        notes.append(f"benchpool: {survival(place, place.mu[0], '/su', server)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--messages", type=int, default=1000, help="to benchpool, each run")
    parser.add_argument("--peer-messages", type=int, default=60, help="to wao, each run")
    parser.add_argument("--no-peers", action="store_true", help="benchpool only")
    parser.add_argument("--no-benchpool", action="store_true", help="wao only")
    parser.add_argument("--wao", type=Path, default=user_cache_path("benchpool") / "bench-wao")
    options = parser.parse_args()
    keys, notes = Keys.make(), []
    columns = ("server", "signed by", "clients", "messages")
    print_head(*columns, "messages/s", "p50 ms", "p99 ms")
    with tempfile.TemporaryDirectory(prefix="benchpool-wire-") as folder:
        scratch = Path(folder)
        if not options.no_benchpool:
            for line in benchpool_rows(scratch / "home", keys, options.messages, notes):
                print(line, flush=True)
        if not options.no_peers:
            install_wao(options.wao)
            for line in wao_in_memory(options.wao, keys.arweave, options.peer_messages, scratch):
                print(line, flush=True)
            for line in wao_server(options.wao, keys.arweave, options.peer_messages, notes):
                print(line, flush=True)
    print("\n" + "\n".join(f"* {note}" for note in notes))


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        raise SystemExit(f"error: {error}") from None
