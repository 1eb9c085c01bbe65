"""Pools in a served home, for tests of its pages."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import Running

from benchpool.client.deployment import deploy
from benchpool.client.evaluating.run import Record
from benchpool.client.pools import PoolClient
from benchpool.evaluation.sample import Sample, to_json
from benchpool.network import Network
from benchpool.simulation.scripted_engine import ScriptedEngines, write_script

EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
"""What a stranger would have in a page."""
QUESTIONS = [
    Sample(
        f"Kim met friend {n}." if n else f"Kim wrote {EVIL}.",
        "How would Kim feel?",
        (f"glad {n}", "sad", "calm"),
        n % 3 + 1,
    )
    for n in range(60)
]
WAR = 10**12


def answers(right: int) -> list[int]:
    """Choices of a model that gets the first questions right."""
    return [each.gold if n < right else each.gold % 3 + 1 for n, each in enumerate(QUESTIONS)]


def record(model: str, number: int, *, gold: int, prediction: int | None) -> Record:
    """An answer that an evaluation kept; None is none."""
    done = prediction is not None
    return Record(
        model=model,
        weights="ab" * 32,
        runtime="r",
        data="questions.jsonl",
        data_sha256="cd" * 32,
        protocol="cloze",
        question=number,
        id=f"q{number}",
        prompt=f"Q: number {number}? {EVIL}",
        choices=(" one", " two"),
        gold=(gold,),
        targets=(),
        log_likelihoods=(-1.0, -3.0) if done else (),
        text=None,
        prediction=prediction,
        prediction_per_character=None,
        correct=prediction == gold,
        correct_per_character=None,
        margin_nats=2.0 if done else None,
        scores={},
        unscored="" if done else "too long",
    )


@dataclass(frozen=True)
class Home:
    """A home, and what is in it."""

    folder: Path
    open: str
    """A pool that runs for years, with two entries that are ranked."""
    paid: str
    """A pool that is paid."""
    good: str
    """The better entry of both, whose name is `EVIL`."""
    bad: str


def make_home(folder: Path) -> Home:
    """Run pools for some days of virtual time."""
    with Network(folder / "home", seed=1, engine_factory=ScriptedEngines()) as network:
        for who in ("ann", "bob"):
            network.new_wallet(who)
        ids = deploy(network, samples=to_json(QUESTIONS).encode())
        ann = network.wallet("ann")
        granted = {"Quantity": str(100 * WAR), "Recipient": ann.address}
        network.send("WrappedAR", "Mint", granted)
        client = PoolClient(network)
        terms = {"X-Dataset": ids.SiqaDataset, "X-Allocation": "ArithmeticDecrease"}

        def fund(title: str, duration: str) -> str:
            given = {**terms, "X-Duration": duration, "X-Title": title}
            made = client.create(token=ids.WrappedAR, quantity=25 * WAR, terms=given, funder=ann)
            return made.tags["Pool"]

        running, short = fund("Long pool", "3650d"), fund(EVIL, "2d")
        models = []
        for name, right in ((EVIL, 50), ("plain", 30)):
            file = folder / f"{right}.gguf"
            file.write_bytes(write_script(f"m{right}", QUESTIONS, answers(right)))
            tags = {"Router": ids.LlamaRouter, "Model-Data": network.add_model(file)}
            model = network.spawn("LlamaWorker", {**tags, "Model-Name": name}, sender="bob")
            models.append(model)
            for pool in (running, short):
                client.join(pool, model, owner=network.wallet("bob"))
        network.advance("4d")
        assert client.get(short).text("status") == "paid"
        return Home(network.home.folder, running, short, *models)  # type: ignore[union-attr]


@dataclass(frozen=True)
class Served:
    """The home, served."""

    running: Running
    home: Home

    @property
    def url(self) -> str:
        return self.running.url

    def settle(self) -> None:
        """Wait until the ticks that were missed meanwhile have been made up for."""
        context = self.running.server.context
        assert context is not None
        before = -1
        while before != context.bus.commits:
            before = context.bus.commits
            time.sleep(0.3)

    def top_up(self, pool: str, quantity: int) -> None:
        """Have a pool's funder give more."""
        network, server = self.running.network, self.running.server
        assert server.context is not None
        assert server._loop is not None
        given = {"Recipient": network.resolve("Benchmark"), "Quantity": str(quantity)}

        def work() -> None:
            network.post("WrappedAR", "Transfer", {**given, "X-Pool": pool}, sender="ann")

        done = asyncio.run_coroutine_threadsafe(server.context.bus.write(work), server._loop)
        done.result(20)

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask for a path; return status, headers and body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, headers=named)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, _lower(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                found = _lower(error.headers)
                return error.code, found, error.read()

    def json(self, path: str) -> Any:
        """Ask for a view."""
        status, headers, body = self.get(path)
        assert (status, headers["content-type"]) == (200, "application/json"), body
        return json.loads(body)

    def html(self, path: str) -> str:
        """Ask for a page."""
        status, headers, body = self.get(path, Accept="text/html")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8"), body
        return body.decode()

    def pages(self) -> list[str]:
        """Return a URL of every kind of page."""
        home, entry = self.home, f"/ui/pools/{self.home.open}/entries/{self.home.good}"
        return [
            "/ui/pools",
            f"/ui/pools/{home.open}",
            f"/ui/pools/{home.paid}",
            f"/ui/pools/{home.paid}/audit",
            entry,
            f"{entry}?show=wrong&beside={home.bad}",
            f"{entry}?q=nothing+is+like+this",
            f"/ui/pools/{home.paid}/entries/{home.good}",
            f"/ui/pools/{home.open}/compare?a={home.good}&b={home.bad}",
            f"/ui/pools/{home.paid}/life",
            "/ui/messages",
            "/ui/messages?action=Nothing",
            f"/ui/messages/{home.good}",
            "/ui/processes",
            "/ui/processes/Benchmark",
            f"/ui/processes/{home.good}",
            "/ui/models",
        ]


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
