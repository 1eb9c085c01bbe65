"""Talk: what the conversations with all kinds of processes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from benchpool.ao.tags import TagsInput
from benchpool.ao.wallet import Wallet
from benchpool.client.console.answers import Answer, Arrived, Failed, Left, Told
from benchpool.client.console.outputs import read
from benchpool.client.writer import Writer
from benchpool.errors import BenchpoolError, ConfigError, StoreError, Unavailable
from benchpool.network import Network, Sent

_MOST_NEWS = 1_000
"""Messages that are looked at in one go."""


class Command(NamedTuple):
    """What a line may begin with.

    Attributes:
        name: with which it begins.
        takes: what follows, for people.
        does: what it does, in one line.
        method: of the conversation; it is given what follows.
    """

    name: str
    takes: str
    does: str
    method: str


class Offer(NamedTuple):
    """One way to go on with a line.

    Attributes:
        text: what is put in.
        replaces: how many characters before the cursor it is put in place of.
        meaning: what it is, in a word.
    """

    text: str
    replaces: int
    meaning: str = ""


class Talk(ABC):
    """A conversation of one wallet with one process.

    Args:
        network: to look at.
        writer: who sends.
        process: by name or id.
        wallet: whose messages they are.
    """

    commands: ClassVar[tuple[Command, ...]]
    helps: ClassVar[str]
    """The command that says what can be said."""
    no_lua: str = ""
    """Why no Lua is spoken with a process that is known for it."""

    def __init__(self, network: Network, writer: Writer, process: str, wallet: Wallet) -> None:
        self.network = network
        self.writer = writer
        self.info = network.info(process)
        self.name = network.name_of(self.info.id)
        self.wallet = wallet
        self.live = True
        """Whether `news` tells anything."""
        self._own: set[str] = set()
        self._position = network.logs.last_position(self.info.id)

    @property
    def served(self) -> bool:
        """Whether a server has the home, so that others may write to it meanwhile."""
        return self.writer is not self.network

    @property
    def module(self) -> str:
        """What the process is of, by its name."""
        return self.network.registry.name(self.info.module)

    @property
    @abstractmethod
    def prompt(self) -> str:
        """What the next line is asked for with; it may hold colours."""

    @abstractmethod
    def needs_more(self, text: str) -> bool:
        """Tell whether a text is only the beginning of something."""

    @abstractmethod
    def complete(self, text: str) -> list[Offer]:
        """Return the ways to go on with a text, of which the cursor is at the end."""

    @abstractmethod
    def _answers(self, text: str) -> Iterator[Answer]:
        """Do what a text means. Raises: BenchpoolError."""

    def say(self, text: str) -> list[Answer]:
        """Do what a text means, and return when nothing is pending.

        Raises: StoreError, Unavailable: nothing more can be said here.
        """
        answers: list[Answer] = []
        try:
            for answer in self._answers(text):
                answers.append(answer)  # noqa: PERF402 - what came before an error is told, too
        except (StoreError, Unavailable):
            raise
        except BenchpoolError as error:
            answers.append(Failed(str(error)))
        return answers

    def news(self) -> list[Arrived]:
        """Return what the process evaluated since the last look, but what was said here.

        Raises: StoreError.
        """
        if self.served:
            self.network.store.refresh()
        found = []
        seen = 0
        for message, result in self.network.log(
            self.info.id, after=self._position, limit=_MOST_NEWS
        ):
            if result is None:  # it is not evaluated yet
                break
            self._position = message.position
            seen += 1
            if message.id in self._own:
                self._own.discard(message.id)
                continue
            output = read(result)
            self._heard(output.prompt)
            found.append(Arrived(message, result, output, output.error))
        if self.served and seen:
            self.network.refresh()
        return found if self.live else []

    @abstractmethod
    def _heard(self, prompt: str) -> None:
        """Note that the process has evaluated something, and with what it asks for a line."""

    def _send(self, action: str, tags: TagsInput = (), data: str = "") -> Sent:
        sent = self.writer.post(self.info.id, action, tags, data=data, sender=self.wallet)
        self._own.add(sent.id)
        self.writer.run()
        return sent

    def _command(self, text: str) -> tuple[Command, str] | None:
        """Return the command that a text begins with, and what follows; None if it is none."""
        word, _, rest = text.strip().partition(" ")
        for command in self.commands:
            if command.name == word:
                return command, rest.strip()
        return None

    def _run(self, command: Command, rest: str) -> Iterator[Answer]:
        if rest and not command.takes:
            raise ConfigError(f"{command.name} takes nothing after it")
        yield from getattr(self, command.method)(rest)

    def help(self, _rest: str) -> Iterator[Answer]:
        """Say what can be said."""
        rows = [(f"{each.name} {each.takes}".strip(), each.does) for each in self.commands]
        size = max(len(row[0]) for row in rows)
        yield Told("\n".join(f"{left.ljust(size)}  {right}" for left, right in rows))

    def advance(self, rest: str) -> Iterator[Answer]:
        """Move virtual time on."""
        if self.served:
            raise ConfigError("a server runs on this home, on the wall clock: time goes by itself")
        if not rest:
            raise ConfigError("say how far, such as 90s, 24h or 30d")
        ticks = self.network.advance(rest)
        yield Told(f"{ticks:,} cron tick{'' if ticks == 1 else 's'} ran")

    def pause(self, _rest: str) -> Iterator[Answer]:
        """Show nothing that comes in."""
        self.live = False
        yield Told("what comes in is not shown now")

    def go_live(self, _rest: str) -> Iterator[Answer]:
        """Show what comes in."""
        self.live = True
        yield Told("what comes in is shown")

    def leave(self, _rest: str) -> Iterator[Answer]:
        """End."""
        yield Left()

    def _offer_commands(self, text: str) -> list[Offer]:
        return [
            Offer(each.name + (" " if each.takes else ""), len(text), each.does)
            for each in self.commands
            if each.name.startswith(text)
        ]
