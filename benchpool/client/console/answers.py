"""What comes of a line, and what comes by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchpool.ao.message import Message, Result
from benchpool.client.console.outputs import Output
from benchpool.network.sent import Trace


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Code that was evaluated.

    Attributes:
        id: Of the message that held it; empty if it was a dry run.
        output: What the evaluation said, or why it failed.
    """

    id: str
    result: Result
    output: Output

    @property
    def failure(self) -> str:
        """Why it failed; empty if it did not."""
        return self.output.error


@dataclass(frozen=True, slots=True)
class Came:
    """A message that was sent, with all that came of it."""

    trace: Trace
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Would:
    """What a message would give."""

    result: Result
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message by somebody else, or a tick, that the process has evaluated."""

    message: Message
    result: Result
    output: Output
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """Messages, oldest first."""

    messages: tuple[Message, ...]
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A value, as JSON holds it."""

    value: Any
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the console itself says: to be read once, and no data."""

    text: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a line did nothing, in one sentence."""

    failure: str


@dataclass(frozen=True, slots=True)
class Edit:
    """The user wants an editor; what is written there is said then."""

    failure: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """The conversation ends."""

    failure: str = ""


Answer = Evaluated | Came | Would | Listed | Shown | Told | Failed | Edit | Left
