"""Networks in memory or in a home, and a module that does what a hostile message tells it to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from heists import Heist

from benchpool.ao.message import Message
from benchpool.network import Network
from benchpool.process.process import Process, State, handler
from benchpool.process.registry import Registry


class Notes(State):
    count: int = 0
    words: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it


class Rogue(Process):
    """Every way in which a handler can go too far, by Action."""

    state: Notes

    @handler("Note")
    def note(self, message: Message) -> None:
        self.state.count += 1
        self.state.words[message.id] = message.tags.get("Word")
        self.reply(message, "Noted", {"Count": self.state.count})

    @handler("Loop")
    def loop(self, message: Message) -> None:
        while True:
            self.state.count += 1
            self.state.words["loop"] = str(self.state.count)

    @handler("Stubborn")
    def stubborn(self, message: Message) -> None:
        self.state.count += 1
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                while time.monotonic() < end:
                    pass
            except BaseException:
                pass

    @handler("Flood")
    def flood(self, message: Message) -> None:
        while True:
            self.send(message.sender, "Drop")

    @handler("Write")
    def write(self, message: Message) -> None:
        self.state.count += 1
        self.send(
            message.tags.get("To") or message.sender,
            message.tags.get("As") or "Written",
            [("T", message.tags.get("Value", "v"))] * int(message.tags.get("Tags", "1")),
            "x" * int(message.tags.get("Bytes", "0")),
        )

    @handler("Say-Half")
    def say_half(self, message: Message) -> None:
        where = message.tags["Where"]
        self.state.count += 1
        if where == "error":
            raise ValueError("\ud800")
        if where == "output":
            self.log("\ud800")
        elif where == "name":
            self.send(message.sender, "Half", {"\ud800": "v"})
        else:
            self.spawn("Rogue", {"Half": "\ud800"})

    @handler("Ping")
    def ping(self, message: Message) -> None:
        self.send(message.tags.get("To") or message.sender, "Ping", {}, message.data)

    @handler("Breed")
    def breed(self, message: Message) -> None:
        for _ in range(int(message.tags.get("Count", "2"))):
            self.spawn("Breeder")


class Breeder(Rogue):
    """Spawns two of its kind as soon as it lives."""

    def on_spawn(self, message: Message) -> None:
        self.spawn("Breeder")
        self.spawn("Breeder")


@pytest.fixture
def make() -> Iterator[Callable[..., Network]]:
    """Open networks that know the rogue modules; each is closed at the end."""
    opened: list[Network] = []

    def open_network(home: Any = None, **options: Any) -> Network:
        registry = Registry()
        registry.add(Rogue)
        registry.add(Breeder)
        opened.append(Network(home, seed=1, registry=registry, **options))
        return opened[-1]

    yield open_network
    for network in opened:
        network.close(abort=True)


@pytest.fixture
def heist(tmp_path: Path) -> Iterator[Heist]:
    """A network with a rich pool to be made in it, and thieves."""
    made = Heist(tmp_path)
    yield made
    made.network.close()
