"""What comes of asking models again: per entry how many answers came out as recorded, and lies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, NamedTuple

from benchpool.evaluation.planning import draws_to_find

RARE: Final = Fraction(1, 20)
"""The share of lies for which it is told how likely one of them is found."""


class Lie(NamedTuple):
    """An answer in the log that its model does not give."""

    process: str
    """The data set in whose log it stands."""
    position: int
    model: str
    name: str
    number: int
    """Of the question, from 1."""
    question: str
    same_runtime: bool
    recorded: Any
    now: Any

    def __str__(self) -> str:
        where = "the same runtime" if self.same_runtime else "another runtime"
        return (
            f"position {self.position} of {self.process}, {self.name}, question {self.number}"
            f" ({self.question[:80]}): recorded is {_short(self.recorded)}, the model gives"
            f" {_short(self.now)} on {where}"
        )


@dataclass(slots=True)
class EntryAgain:
    """What came of one entry.

    Attributes:
        model: The id of the model process.
        name: Of the model.
        weights: The data id of its file.
        answers: How many of its answers count for the pool.
        drawn: How many of them were drawn.
        same: How many came out bit for bit, on the runtime that the log names.
        near: How many came out within the margin, on another one.
        lies: Those that did not, in the order of the log.
        unasked: Why some could not be asked or compared, each with how many.
    """

    model: str
    name: str
    weights: str
    answers: int
    drawn: int = 0
    same: int = 0
    near: int = 0
    lies: list[Lie] = field(default_factory=list)
    unasked: dict[str, int] = field(default_factory=dict)

    @property
    def compared(self) -> int:
        """How many answers were asked again and compared."""
        return self.same + self.near + len(self.lies)

    @property
    def found(self) -> float:
        """How likely a lie would be among those compared if one answer in 20 were one."""
        everything = bool(self.answers) and self.compared == self.answers
        return 1.0 if everything else 1 - float(1 - RARE) ** self.compared


@dataclass(slots=True)
class Recomputation:
    """What came of all entries.

    Attributes:
        draws: How many answers were asked for, an entry.
        margin: How far a log-likelihood may be from the recorded one on another runtime, in nats.
        seed: The hash chain by which the answers were drawn.
        entries: In the order of joining.
    """

    draws: int
    margin: float
    seed: str
    entries: list[EntryAgain] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """How many answers were compared."""
        return sum(entry.compared for entry in self.entries)

    @property
    def unasked(self) -> dict[str, int]:
        """Why answers that were drawn could not be compared, each with how many."""
        reasons: Counter[str] = Counter()
        for entry in self.entries:
            reasons.update(entry.unasked)
        return dict(reasons)

    @property
    def lies(self) -> list[Lie]:
        """All that were found, in the order of the log."""
        lies = [lie for entry in self.entries for lie in entry.lies]
        return sorted(lies, key=lambda lie: lie.position)

    @property
    def passed(self) -> bool | None:
        """Whether no lie was found; None if what was drawn could not all be compared."""
        if self.lies:
            return False
        return True if self.compared and not self.unasked else None

    @property
    def detail(self) -> str:
        """Name the first lie, or say what was compared."""
        lies = self.lies
        if lies:
            return f"{lies[0]}" + (f"; and {len(lies) - 1} more" if len(lies) > 1 else "")
        same = sum(entry.same for entry in self.entries)
        near = sum(entry.near for entry in self.entries)
        parts = [f"{same} bit for bit"] if same else []
        if near:
            parts.append(f"{near} on another runtime, within {self.margin:g} nats")
        if self.unasked:
            parts.append(f"{sum(self.unasked.values())} not compared")
        return ", ".join(parts) or "there are no answers"

    def view(self) -> dict[str, Any]:
        """Show it as JSON."""
        return {
            "draws": self.draws,
            "draws_for_99_percent": draws_to_find(RARE),
            "margin_nats": self.margin,
            "seed": self.seed,
            "entries": [_view(entry) for entry in self.entries],
            "lies": [lie._asdict() for lie in self.lies],
        }


def _view(entry: EntryAgain) -> dict[str, Any]:
    return {
        "model": entry.model,
        "name": entry.name,
        "weights": entry.weights,
        "answers": entry.answers,
        "drawn": entry.drawn,
        "same": entry.same,
        "near": entry.near,
        "lies": len(entry.lies),
        "unasked": entry.unasked,
        "one_lie_in_20_found": round(entry.found, 4),
    }


def _short(answer: Any) -> str:
    """Write an answer in a few words: its log-likelihoods, or its text."""
    try:
        return ", ".join(f"{each['nats']}" for each in answer["log_likelihoods"]) + " nats"
    except (KeyError, TypeError):
        return repr(answer)[:80]
