"""A server, and a wallet that talks to it over HTTP, for the tests of a served network."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import httpx

from benchpool.ao.clock import WallClock
from benchpool.ao.dataitem import DataItem, sign
from benchpool.ao.signers import Ed25519Signer
from benchpool.network import Network
from benchpool.server.bounds import DEFAULT_BOUNDS, Bounds
from benchpool.server.run import Server
from benchpool.server.sockets import Options

ROOT = Path(__file__).parents[1]
PROTOCOL = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1")]


class Client:
    """A wallet that talks to the units over HTTP."""

    opened: ClassVar[list[httpx.Client]] = []
    numbers = count()
    """An Ed25519 key signs the same thing the same way: the same message, which is refused."""

    def __init__(self, url: str, seed: int = 1) -> None:
        self.http = httpx.Client(base_url=url, timeout=30)
        self.opened.append(self.http)
        self.signer = Ed25519Signer(bytes([seed]) * 32)
        self.address = sign(self.signer).address

    def spawn(self, module: str, **tags: str) -> str:
        scheduler = self.http.get("/su").json()["address"]
        own = [("Type", "Process"), ("Module", module), ("Scheduler", scheduler)]
        return self.post(sign(self.signer, tags=[*PROTOCOL, *own, *_named(tags)], data=b" "))

    def item(self, target: str, action: str, data: bytes = b" ", **tags: str) -> DataItem:
        own = [*PROTOCOL, ("Type", "Message"), ("Number", str(next(self.numbers)))]
        pairs = [("Action", action), *own, *_named(tags)]
        return sign(self.signer, target=target, tags=pairs, data=data)

    def send(self, target: str, action: str, data: bytes = b" ", **tags: str) -> str:
        return self.post(self.item(target, action, data, **tags))

    def post(self, item: DataItem) -> str:
        answer = self.http.post("/mu", content=item.raw)
        assert (answer.status_code, answer.json()["id"]) == (202, item.id), answer.text
        return item.id

    def result(self, message: str, process: str) -> dict[str, Any]:
        answer = self.http.get(f"/cu/result/{message}", params={"process-id": process})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, process: str, action: str, **tags: str) -> dict[str, Any]:
        pairs = [("Action", action), *_named(tags)]
        said = {"Owner": self.address, "Tags": [{"name": n, "value": v} for n, v in pairs]}
        answer = self.http.post("/cu/dry-run", params={"process-id": process}, json=said)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def balance(self, token: str, of: str = "") -> str:
        return self.ask(token, "Balance", Recipient=of or self.address)["Messages"][0]["Data"]

    def results(self, process: str, **params: Any) -> list[dict[str, Any]]:
        return self.http.get(f"/cu/results/{process}", params=params).json()["edges"]


def _named(tags: dict[str, str]) -> list[tuple[str, str]]:
    return [(name.replace("_", "-"), value) for name, value in tags.items()]


def actions(result: dict[str, Any]) -> list[str]:
    return [
        tag["value"]
        for message in result["Messages"]
        for tag in message["Tags"]
        if tag["name"] == "Action"
    ]


class Running:
    """A server in a thread of this program."""

    def __init__(
        self,
        home: Path,
        options: Options = Options(port=0),  # noqa: B008
        bounds: Bounds = DEFAULT_BOUNDS,
        **settings: Any,
    ) -> None:
        fresh = {} if home.exists() else {"signed": True}
        clock = settings.pop("clock", None) or WallClock()
        self.network = Network(home, clock=clock, **fresh, **settings)
        self.server = Server(self.network, options, bounds=bounds)
        self.error: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(20)
        assert self.error is None, self.error

    def _run(self) -> None:
        try:
            asyncio.run(self.server.serve(self._take))
        except BaseException as error:
            self.error = error
        self._ready.set()

    def _take(self, addresses: Any) -> None:
        self.addresses = addresses
        self.url = addresses.gateway
        self._ready.set()

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()


@contextmanager
def up(
    home: Path, *options: str, files: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run `benchpool up` as a program of its own; give it with its addresses.

    Args:
        files: how many files it may open.
    """

    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    environment = {**os.environ, "BENCHPOOL_HOME": str(home), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "benchpool", "up", "--port", "0", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=limit,  # noqa: PLW1509 - no thread is at anything yet
    ) as program:
        try:
            assert program.stdout is not None
            lines = [program.stdout.readline()]
            while lines[-1] not in ("}\n", ""):
                lines.append(program.stdout.readline())
            yield program, json.loads("".join(lines))
        finally:
            program.kill()
