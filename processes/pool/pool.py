"""A pool and its entries: what Benchmark keeps, shows and decides of them, without a message.

A pool is open from its funding to the first Allocate-Rewards after its end, then settling until
every payout or refund is confirmed by the token, then paid or refunded.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple

from pydantic import Field

from benchpool.ao.clock import DAY_MS, parse_duration
from benchpool.ao.tags import Tags
from benchpool.errors import HandlerError, PoolError
from benchpool.evaluation.protocol import Protocol
from benchpool.pools.allocation import Payout, allocate, find_rule
from benchpool.pools.ranking import Ranked, Standing, rank
from benchpool.process import State
from benchpool.winston import Winston
from processes.counts import Counts, decimal

MOST_FINAL_ASKS: Final = 7
"""Daily ticks at which a settling pool asks for the final scores that are missing."""

PoolStatus = Literal["open", "settling", "paid", "refunded"]

DEFAULT_PROTOCOL: Final = "cloze"
DEFAULT_DURATION: Final = "30d"
LONGEST_MS: Final = 3650 * DAY_MS
LONGEST_TITLE: Final = 200
_CHANCE: Final = re.compile(r"0|[1-9][0-9]{0,8}/[1-9][0-9]{0,8}")


class Registration(State):
    """A data set process that can be benchmarked on."""

    name: str
    samples: int
    chance: str
    """The score of a blind guess, such as 1/3."""
    protocols: list[str]
    router: str


class Entry(State):
    """A model in a pool."""

    model: str
    """The model process."""
    participant: str
    """Who joined with it and is paid for it."""
    name: str
    weights: str
    """The data id of the model's file."""
    joined_at: int
    order: int
    """Its place in the order of joining."""
    correct: int = 0
    evaluated: int = 0
    unscored: int = 0
    total: int = 0
    correct_per_character: int = 0
    standard_error: str = ""
    asked: str = ""
    """Reference of the Score that the data set has not answered yet."""
    final: bool = False
    """Whether its numbers are those that the pool is settled by."""
    rank: int = 0
    """Its final rank; 0 until then."""
    reward: Winston = 0
    paid: bool = False

    def take(self, counts: Counts, standard_error: str) -> None:
        """Take over what the data set reports."""
        self.correct = counts.correct
        self.evaluated = counts.evaluated
        self.unscored = counts.unscored
        self.total = counts.total
        self.correct_per_character = counts.correct_per_character
        self.standard_error = standard_error

    def standing(self) -> Standing:
        """Return what its rank depends on."""
        return Standing(
            self.model, self.correct, self.evaluated, self.total, self.joined_at, self.order
        )


class Pool(State):
    """Funds, and the models that compete for them."""

    id: str
    """The id of the Credit-Notice that made it."""
    title: str
    funder: str
    funds: Winston
    contributions: dict[str, Winston]
    """Who gave how much: each gets that back if nobody can be paid."""
    dataset: str
    allocation: str
    protocol: str
    chance: str
    start_time: int
    end_time: int
    status: PoolStatus = "open"
    models: dict[str, Entry] = Field(default_factory=dict)
    weights: dict[str, str] = Field(default_factory=dict)
    """Weights to the model that has them."""
    awaited: int = 0
    """Final scores that are missing."""
    final_asks: int = 0
    """Ticks at which it asked for final scores."""
    reason: str = ""
    """Why it was settled without the final scores; empty if they all came."""
    unpaid: int = 0
    """Transfers that the token has not confirmed."""

    def takes_part(self, now_ms: int) -> bool:
        """Tell whether models and funds may still come."""
        return self.status == "open" and now_ms < self.end_time

    def give_up_waiting(self) -> None:
        """Settle by the numbers that are known: the data set has stopped answering."""
        silent = [entry for entry in self.models.values() if not entry.final]
        counted = any(entry.evaluated for entry in self.models.values())
        self.reason = (
            f"the data set did not answer {MOST_FINAL_ASKS} requests for the final score of"
            f" {len(silent)} of {len(self.models)} entries;"
            f" {'settled by the last known scores' if counted else 'no score is known: refunded'}"
        )
        for entry in silent:
            entry.final, entry.asked = True, ""
        self.awaited = 0

    def ranked(self) -> list[Ranked]:
        """Rank the entries by their present numbers."""
        return rank([entry.standing() for entry in self.models.values()])

    def payouts(self, ranked: list[Ranked]) -> list[Payout]:
        """Divide the funds; nobody gets anything if nobody can be paid."""
        return allocate(self.allocation, self.funds, ranked, chance=Fraction(self.chance))

    def leaderboard(self) -> list[dict[str, Any]]:
        """Return the ranked table; the rewards of an open pool are those of the present ranks."""
        ranked = self.ranked()
        projected: dict[str, int] = {}
        if self.awaited or self.status == "open":
            projected = {payout.entry: payout.winston for payout in self.payouts(ranked)}
        rows = []
        for place in ranked:
            entry = self.models[place.entry]
            rows.append(
                {
                    "rank": place.rank,
                    "model": entry.model,
                    "name": entry.name,
                    "participant": entry.participant,
                    "score": decimal(entry.correct, entry.total),
                    "protocol": self.protocol,
                    "accuracy": decimal(entry.correct, entry.evaluated),
                    "standard_error": entry.standard_error or None,
                    "correct": entry.correct,
                    "evaluated": entry.evaluated,
                    "unscored": entry.unscored,
                    "total": entry.total,
                    "progress": decimal(entry.evaluated, entry.total),
                    "reward": str(projected.get(entry.model, entry.reward)),
                    "paid": entry.paid,
                }
            )
        return rows

    def summary(self, now_ms: int) -> dict[str, Any]:
        """Describe the pool without its entries."""
        ended = self.status == "open" and now_ms >= self.end_time
        return {
            "id": self.id,
            "title": self.title,
            "funder": self.funder,
            "funds": str(self.funds),
            "dataset": self.dataset,
            "allocation": self.allocation,
            "protocol": self.protocol,
            "start_time": self.start_time,
            "end_time": self.end_time,
            "status": "closed" if ended else self.status,
            "entries": len(self.models),
        }

    def view(self, now_ms: int) -> dict[str, Any]:
        """Describe the pool with its entries, in the order of joining."""
        rows = {row["model"]: row for row in self.leaderboard()}
        models = [
            {**rows[key], "weights": entry.weights, "joined_at": entry.joined_at}
            for key, entry in self.models.items()
        ]
        contributions = {giver: str(amount) for giver, amount in self.contributions.items()}
        reason = {"reason": self.reason} if self.reason else {}
        return {**self.summary(now_ms), **reason, "contributions": contributions, "models": models}


class Terms(NamedTuple):
    """What a funder asks for, checked."""

    dataset: str
    title: str
    allocation: str
    protocol: str
    start_time: int
    end_time: int


def read_terms(tags: Tags, datasets: dict[str, Registration], now_ms: int) -> Terms:
    """Read the X- tags of a Credit-Notice that funds a pool.

    Raises: PoolError, ConfigError naming the tag that is missing or wrong.
    """
    dataset = tags.get("X-Dataset")
    if not dataset:
        raise PoolError("X-Dataset is required: name the data set process; or X-Pool to add to one")
    registration = datasets.get(dataset)
    if registration is None:
        raise PoolError(f"X-Dataset: no data set process {dataset[:60]!r} is registered here")
    allocation = tags.get("X-Allocation")
    if not allocation:
        raise PoolError("X-Allocation is required: name an allocation rule")
    protocol = str(Protocol.parse(tags.get("X-Protocol") or DEFAULT_PROTOCOL))
    if protocol not in registration.protocols:
        raise PoolError(
            f"X-Protocol: {registration.name} has no protocol {protocol[:40]!r}; there are"
            f" {', '.join(registration.protocols)}"
        )
    title = tags.get("X-Title")
    if len(title) > LONGEST_TITLE:
        raise PoolError(f"X-Title has {len(title)} characters, at most {LONGEST_TITLE} are kept")
    duration_ms = parse_duration(tags.get("X-Duration") or DEFAULT_DURATION, bare_ms=True)
    if duration_ms > LONGEST_MS:
        raise PoolError("X-Duration: a pool lasts at most ten years (3650d)")
    start_time = _start_time(tags.get("X-Start"), now_ms)
    return Terms(
        dataset=dataset,
        title=title,
        allocation=find_rule(allocation).name,
        protocol=protocol,
        start_time=start_time,
        end_time=start_time + duration_ms,
    )


def read_registration(tags: Tags) -> Registration:
    """Read what a data set process says of itself. Raises: HandlerError."""
    chance = tags.get("Chance")
    if not _CHANCE.fullmatch(chance) or Fraction(chance) >= 1:
        raise HandlerError(f"Chance must be a fraction below 1, such as 1/3, not {chance[:40]!r}")
    samples = tags.get("Samples")
    if not re.fullmatch(r"[0-9]{1,12}", samples):
        raise HandlerError(f"Samples must be a whole number, not {samples[:40]!r}")
    protocols = tags.get("Protocols") or f"{DEFAULT_PROTOCOL},letters"
    return Registration(
        name=tags.get("Name"),
        samples=int(samples),
        chance=chance,
        protocols=[name.strip() for name in protocols.split(",")],
        router=tags.get("LlamaRouter"),
    )


def _start_time(text: str, now_ms: int) -> int:
    if not text:
        return now_ms
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise PoolError(f"X-Start must be a time in milliseconds, not {text[:40]!r}")
    start_time = int(text)
    if start_time < now_ms:
        raise PoolError(f"X-Start {start_time} is past: it is {now_ms} now")
    if start_time > now_ms + LONGEST_MS:
        raise PoolError("X-Start lies more than ten years ahead")
    return start_time
