"""Small modules that the commands are tried on."""

from __future__ import annotations

from typing import Any

from benchpool import Message, Process, State, handler
from benchpool.errors import HandlerError
from processes.dataset.parts import DatasetCard
from processes.siqa import SiqaDataset


class Counts(State):
    greetings: int = 0


class Greeter(Process):
    """Greets whoever asks."""

    state: Counts

    def on_spawn(self, message: Message) -> None:
        if message.tags.get("Refuse"):
            raise HandlerError("Refuse was given")

    @handler("Greet", requires=("Who",))
    def greet(self, message: Message) -> None:
        self.state.greetings += 1
        self.reply(message, "Greeting", {"Who": message.tags["Who"]}, data=message.data or "hello")

    @handler("Tick")
    def tick(self, message: Message) -> None:
        self.log("ticked")

    @handler("Chain")
    def chain(self, message: Message) -> None:
        left = int(message.tags["Left"])
        if left:
            self.send(self.id, "Chain", {"Left": left - 1})

    @handler("Fan")
    def fan(self, message: Message) -> None:
        for number in range(30):
            self.send(message.sender, "Leaf", {"Number": number})

    @handler("Interrupt")
    def interrupt(self, message: Message) -> None:
        raise KeyboardInterrupt

    @handler("Forward-Wrong")
    def forward_wrong(self, message: Message) -> None:
        self.send(self.id, "Greet")

    @handler("Complain")
    def complain(self, message: Message) -> None:
        self.reply(message, "Complain-Error", {"Error": "it is late"})

    def describe(self) -> dict[str, Any]:
        return {"Mood": "good"}


class Letters(SiqaDataset):
    """Knows one protocol, which is not the Benchmark's own default."""

    card = DatasetCard("Letters", 3, ("letters",))
