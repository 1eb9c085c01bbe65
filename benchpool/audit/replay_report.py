"""What a replay tells: where it parts from the record, and how far every process came."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from benchpool.ao.message import ProcessInfo, Result
from benchpool.audit.state_hashes import StateHash
from benchpool.errors import ReplayDivergence
from benchpool.units.folding import Instance

_SHOWN: Final = 160


class Difference(NamedTuple):
    """Where a replay and the record part."""

    process: str
    """Empty if it is no log that is at fault."""
    name: str
    """The name of the process or wallet, or an empty text."""
    position: int
    nonce: int
    """-1 where the message cannot be read."""
    message: str
    """The message's id, as far as it can be read."""
    what: str

    def __str__(self) -> str:
        if not self.process:
            return self.what
        named = f"{self.name} ({self.process})" if self.name else self.process
        nonce = f"nonce {self.nonce}, " if self.nonce >= 0 else ""
        return f"{named}, {nonce}position {self.position}: {self.what}"


@dataclass(slots=True)
class Folded:
    """One process of a replay."""

    info: ProcessInfo
    name: str
    instance: Instance
    kept: StateHash | None
    messages: int = 0
    nonce: int = -1
    compared: bool = False
    """Whether its state was found to be the one that is kept."""
    memory: StateHash | None = None
    """Its state at the end of the log."""


@dataclass(slots=True)
class Replay:
    """What came of a replay."""

    verified: bool
    """Whether everything was compared, or only folded."""
    processes: list[Folded] = field(default_factory=list)
    messages: int = 0
    """Evaluated again."""
    mail: int = 0
    pending: int = 0
    signatures: int = 0
    """Of messages, verified."""
    assignments: int = 0
    """Of the scheduler, verified."""
    seconds: float = 0.0
    difference: Difference | None = None

    @property
    def digest(self) -> str:
        """One hash of the states of all processes."""
        parts = [f"{each.info.id} {each.memory.digest}" for each in self.processes if each.memory]
        return sha256("\n".join(sorted(parts)).encode()).hexdigest()

    def check(self) -> None:
        """Do nothing if the replay agrees. Raises: ReplayDivergence naming the difference."""
        if self.difference is not None:
            raise ReplayDivergence(f"the replay differs from the record: {self.difference}")


def compare(recorded: Result, found: Result) -> str:
    """Say in which part a recorded result differs from the one that a replay gives."""
    for part in ("error", "messages", "spawns", "assignments", "output", "recorded", "given"):
        was, now = getattr(recorded, part), getattr(found, part)
        if was == now:
            continue
        if isinstance(was, str | bytes):
            return f"{part} is recorded as {_shown(was)}, the replay gives {_shown(now)}"
        if len(was) != len(now):
            return f"{len(was)} {part} are recorded, the replay gives {len(now)}"
        number = next(i for i, pair in enumerate(zip(was, now, strict=True)) if pair[0] != pair[1])
        one, other = was[number], now[number]
        for name in getattr(one, "__struct_fields__", ()):
            before, after = getattr(one, name), getattr(other, name)
            if before != after:
                return (
                    f"{part} {number + 1} has {name} {_shown(before)} in the record, the replay"
                    f" gives {_shown(after)}"
                )
        return f"{part} {number + 1} differs"
    return "the result differs"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
