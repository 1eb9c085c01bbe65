"""What a Benchmark tells of a pool."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from benchpool.pools.sentences import CONDITIONS
from benchpool.pools.terms import PayoutTerms


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """A pool as its Benchmark tells of it."""

    facts: dict[str, Any]

    def text(self, name: str) -> str:
        """Return a fact as text, empty if it is not known."""
        value = self.facts.get(name)
        return "" if value is None else str(value)

    @property
    def id(self) -> str:
        """Its id."""
        return self.text("id")

    @property
    def title(self) -> str:
        """Its title; it need not have one."""
        return self.text("title")

    @property
    def dataset(self) -> str:
        """The id of its dataset process."""
        return self.text("dataset")

    @property
    def entries(self) -> int:
        """How many models are in it."""
        entries = self.facts.get("entries", self.facts.get("models", ()))
        return entries if isinstance(entries, int) else len(entries)

    @property
    def binding(self) -> dict[str, str]:
        """What it is bound to; empty for a pool of the first edition, or if it was not asked."""
        return self.facts.get("binding") or {}

    @property
    def is_sealed(self) -> bool:
        """Whether its questions are a secret still."""
        return "sealed" in self.binding and "samples_sha_256" not in self.binding

    @property
    def bond(self) -> int:
        """What joining costs, in winston."""
        return int(self.binding.get("bond") or 0)

    @property
    def payout(self) -> dict[str, str]:
        """The tags by which it is paid out; the first edition knows X-Allocation alone."""
        given = {tag: self.binding.get(tag[2:].lower().replace("-", "_")) for tag in CONDITIONS}
        tags = {name: value for name, value in given.items() if value}
        return {"X-Allocation": self.text("allocation"), **tags}

    def terms(self, chance: Fraction) -> PayoutTerms:
        """Return by which rules it is settled. Raises: PoolError if they are not known here."""
        if not self.binding:
            return PayoutTerms.first(self.text("allocation"), chance)
        return PayoutTerms.read(self.payout, chance)
