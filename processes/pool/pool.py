"""A pool and its entries: what Benchmark keeps, shows and decides of them, without a message.

A pool is open from its funding until it is settled or, if entries are not evaluated yet when it
takes no more of them, settling; then until every payout or refund is confirmed by the token; then
paid or refunded.
"""

from __future__ import annotations

import operator
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar, Final, Literal, NamedTuple

from pydantic import Field

from benchpool.ao.clock import DAY_MS
from benchpool.pools.copies import Contender
from benchpool.pools.decision import Decision, forfeits
from benchpool.pools.ranking import Ranked, Standing, rank
from benchpool.pools.settlement import Settlement, settle
from benchpool.pools.terms import PayoutTerms
from benchpool.process import State
from benchpool.winston import Winston
from processes.counts import Counts, decimal, read_answers

REMOTE_ALLOWED: Final = "allow"
"""What `X-Remote` says where models may enter that a server runs."""
MOST_FINAL_ASKS: Final = 7
"""Daily ticks at which a pool of the first edition asks for the final scores that are missing."""
LARGEST_SIZE: Final = 10_000
"""Of a pool, and of all pools that one tick looks at: a message can put out so much and no more."""
PATIENCE_MS: Final = 7 * DAY_MS
"""How long after its end a pool waits for entries that are not evaluated."""

PoolStatus = Literal["open", "settling", "paid", "refunded"]


class Since(NamedTuple):
    """When something began: milliseconds, and the message of the Benchmark's log.

    Much happens in one millisecond; the log knows what was first.
    """

    time: int
    nonce: int


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
    committed_at: int = Field(default=0, exclude_if=operator.not_)
    """When the participant committed to the weights; 0: when it joined."""
    held: int = Field(default=0, exclude_if=operator.not_)
    """The message with which it committed to them or joined; 0 in the first edition."""
    bond: Winston = Field(default=0, exclude_if=operator.not_)
    """What was given for joining."""
    runtime: str = Field(default="", exclude_if=operator.not_)
    """What it is computed on; empty where a server does it, or where that is not said."""
    correct: int = 0
    evaluated: int = 0
    unscored: int = 0
    total: int = 0
    correct_per_character: int = 0
    standard_error: str = ""
    answers: str = Field(default="", exclude_if=operator.not_)
    """What it answered, as the data set wrote it, until the pool is settled."""
    asked: str = ""
    """Reference of the Score that the data set has not answered yet."""
    final: bool = False
    """Whether its numbers are those that the pool is settled by."""
    rank: int = 0
    """Its final rank; 0 until then."""
    place: int = Field(default=0, exclude_if=operator.not_)
    """The first of the places that it is paid for; 0 if it has none."""
    last_place: int = Field(default=0, exclude_if=operator.not_)
    fate: str = Field(default="", exclude_if=operator.not_)
    """What became of it, once the pool is settled; see `Decision`."""
    why: list[str] = Field(default_factory=list, exclude_if=operator.not_)
    """Why, a sentence a step."""
    reward: Winston = 0
    paid: bool = False

    @property
    def is_evaluated(self) -> bool:
        """Whether every question is answered or given up."""
        return 0 < self.total <= self.evaluated + self.unscored

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

    def contender(self) -> Contender:
        """Return what its payout depends on."""
        return Contender(
            self.standing(), read_answers(self.answers), self.held or None, self.weights
        )

    def decide(self, decision: Decision, *, first: bool) -> None:
        """Take over what became of it; the first edition keeps the reward alone."""
        self.reward = decision.winston
        self.answers = ""
        if not first:
            self.fate, self.why = decision.fate, list(decision.why)
            self.place, self.last_place = decision.rank, decision.last_place

    @property
    def forfeits(self) -> bool:
        """Whether its bond is lost."""
        return forfeits(self.fate, self.unscored)


class Pool(State):
    """Funds, and the models that compete for them."""

    views: ClassVar[tuple[str, ...]] = ("leaderboard",)

    id: str
    """The id of the Credit-Notice that made it."""
    title: str
    funder: str
    funds: Winston
    contributions: dict[str, Winston]
    """Who gave how much: each gets that back if nobody can be paid."""
    dataset: str
    dataset_module: str = Field(default="", exclude_if=operator.not_)
    """The code of the data set. Empty in the first edition, as are the following."""
    dataset_owner: str = Field(default="", exclude_if=operator.not_)
    router: str = Field(default="", exclude_if=operator.not_)
    """Whom the data set asks, and who knows the models that can join."""
    samples: int = Field(default=0, exclude_if=operator.not_)
    """How many questions it has; those that came later are of later pools."""
    samples_hash: str = Field(default="", exclude_if=operator.not_)
    """Their SHA-256."""
    sealed: str = Field(default="", exclude_if=operator.not_)
    """SHA-256 of salt and questions, if these are revealed only when nobody can join any more."""
    payout: dict[str, str] = Field(default_factory=dict, exclude_if=operator.not_)
    """The tags that say how it is paid out."""
    bond: Winston = Field(default=0, exclude_if=operator.not_)
    """What joining takes."""
    join_until: int = Field(default=0, exclude_if=operator.not_)
    controls: list[str] = Field(default_factory=list, exclude_if=operator.not_)
    """How each question is asked beside the way that counts."""
    remote: bool = Field(default=False, exclude_if=operator.not_)
    """Whether models may enter that a server runs, whose answers nobody can recompute."""
    runtime: str = Field(default="", exclude_if=operator.not_)
    """What models must be computed on; empty for what the first that joins is computed on."""
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
    """Why it was settled without the final scores, or refunded; empty if they all came."""
    unpaid: int = 0
    """Transfers that the token has not confirmed."""

    @property
    def first(self) -> bool:
        """Whether it goes by the rules of the first edition."""
        return not self.payout

    @property
    def admitted_runtime(self) -> str:
        """What models must be computed on; empty if that is open yet."""
        said = (entry.runtime for entry in self.models.values() if entry.runtime)
        return self.runtime or next(said, "")

    @property
    def size(self) -> int:
        """How many messages it may take to ask for its scores or to pay what it owes."""
        return len(self.models) + len(self.contributions)

    @property
    def is_full(self) -> bool:
        """Whether it takes no more entries, nor money of others than those who gave some."""
        return not self.first and self.size >= LARGEST_SIZE

    def takes_part(self, now_ms: int) -> bool:
        """Tell whether models and funds may still come."""
        return self.status == "open" and now_ms < self.end_time

    def admits(self, now_ms: int) -> bool:
        """Tell whether models may still come."""
        return self.takes_part(now_ms) and now_ms < (self.join_until or self.end_time)

    @property
    def is_sealed(self) -> bool:
        """Whether its questions are a secret still."""
        return bool(self.sealed and not self.samples_hash)

    def is_due(self, now_ms: int) -> bool:
        """Tell whether it is to be settled; a sealed one is given back at its end."""
        until = self.end_time if self.is_sealed else self.join_until or self.end_time
        return until <= now_ms

    def gives_up(self, now_ms: int) -> bool:
        """Tell whether it waits no longer for the final scores that are missing."""
        if self.first:
            return self.final_asks >= MOST_FINAL_ASKS
        return now_ms >= self.end_time + PATIENCE_MS

    def give_up_waiting(self) -> None:
        """Settle by the numbers that are known."""
        late = [entry for entry in self.models.values() if not entry.final]
        counted = any(entry.evaluated for entry in self.models.values())
        what = (
            f"the data set did not answer {MOST_FINAL_ASKS} requests for the final score"
            if self.first
            else f"{PATIENCE_MS // DAY_MS} days after the end not everything was evaluated"
        )
        self.reason = (
            f"{what} of {len(late)} of {len(self.models)} entries;"
            f" {'settled by the last known scores' if counted else 'no score is known: refunded'}"
        )
        for entry in late:
            entry.final, entry.asked = True, ""
        self.awaited = 0

    def payout_terms(self) -> PayoutTerms:
        """Return by which rules it is settled."""
        chance = Fraction(self.chance)
        if self.first:
            return PayoutTerms.first(self.allocation, chance)
        return PayoutTerms.read(self.payout, chance)

    def ranked(self) -> list[Ranked]:
        """Rank the entries by their present numbers."""
        return rank([entry.standing() for entry in self.models.values()])

    def settlement(self) -> Settlement:
        """Divide the funds. Raises: PoolError if the answers do not allow it."""
        contenders = [entry.contender() for entry in self.models.values()]
        return settle(contenders, self.contributions, self.payout_terms())

    def _projected(self) -> dict[str, int]:
        """Divide the funds by the present numbers: what only the answers tell is left out."""
        terms = replace(self.payout_terms(), ties="exact", distinct=False)
        contenders = [Contender(entry.standing()) for entry in self.models.values()]
        payouts = settle(contenders, self.contributions, terms).payouts
        return {payout.entry: payout.winston for payout in payouts}

    def leaderboard(self) -> list[dict[str, Any]]:
        """Return the ranked table; the rewards of an open pool are those of the present ranks."""
        projected = self._projected() if self.awaited or self.status == "open" else {}
        rows = []
        for place in self.ranked():
            entry = self.models[place.entry]
            row = {
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
            if not self.first:
                places = [entry.place, entry.last_place] if entry.place else None
                row |= {"fate": entry.fate or None, "places": places, "why": list(entry.why)}
            rows.append(row)
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

    def binding(self) -> dict[str, str]:
        """Return what it is bound to, and how it is joined and paid, as tags."""
        if self.first:
            return {}
        tags = {
            "Dataset-Module": self.dataset_module,
            "Dataset-Owner": self.dataset_owner,
            "Router": self.router,
            "Protocol": self.protocol,
            "Samples": str(self.samples or ""),
            "Samples-SHA-256": self.samples_hash,
            "Sealed": self.sealed,
            "Join-Until": str(self.join_until),
            "Bond": str(self.bond or ""),
            "Controls": ",".join(self.controls),
            "Remote": REMOTE_ALLOWED if self.remote else "",
            "Runtime": self.runtime,
            **{name[2:]: value for name, value in self.payout.items() if name != "X-Allocation"},
        }
        return {name: value for name, value in tags.items() if value}

    def view(self, now_ms: int) -> dict[str, Any]:
        """Describe the pool with its entries, in the order of joining."""
        rows = {row["model"]: row for row in self.leaderboard()}
        models = [
            {
                **rows[key],
                "weights": entry.weights,
                "joined_at": entry.joined_at,
                **({"committed_at": entry.committed_at} if entry.committed_at else {}),
                **({"bond": str(entry.bond)} if entry.bond else {}),
                **({"runtime": entry.runtime} if entry.runtime else {}),
            }
            for key, entry in self.models.items()
        ]
        contributions = {giver: str(amount) for giver, amount in self.contributions.items()}
        more: dict[str, Any] = {"reason": self.reason} if self.reason else {}
        if not self.first:
            more["binding"] = {
                name.lower().replace("-", "_"): value for name, value in self.binding().items()
            }
        return {**self.summary(now_ms), **more, "contributions": contributions, "models": models}
