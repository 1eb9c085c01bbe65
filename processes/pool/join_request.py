"""Join-Pool between the question to the router and its answer."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self

from benchpool.ao.clock import DAY_MS
from benchpool.ao.tags import Pair
from benchpool.errors import HandlerError
from benchpool.process import Message, State
from processes.tag_values import check_address

LONGEST_ID: Final = 128
PATIENCE_MS: Final = DAY_MS
"""How long a router may take to describe a model."""


class Wish(NamedTuple):
    """What the Data of Join-Pool says."""

    pool: str
    model: str


class Join(State):
    """A Join-Pool that waits for the router's word on the model."""

    pool: str
    model: str
    participant: str
    router: str
    reply_to: str
    reference: str
    """What the participant's message bore; the answer bears it too."""
    asked_at: int

    @classmethod
    def of(cls, message: Message, pool: str, model: str, router: str) -> Self:
        """Note who wants to join what, and who was asked."""
        return cls(
            pool=pool,
            model=model,
            participant=message.sender,
            router=router,
            reply_to=message.tags.get("Reply-To") or message.sender,
            reference=message.tags.get("X-Reference") or message.reference,
            asked_at=message.timestamp,
        )

    def is_silent(self, now_ms: int) -> bool:
        """Tell whether the router has taken too long."""
        return self.asked_at + PATIENCE_MS <= now_ms

    def answer_tags(self, name: str, value: str) -> list[Pair]:
        """Return the tags of the answer to the participant."""
        pairs = [("Pool", self.pool), ("Model", self.model), (name, value)]
        if self.reference:
            pairs.append(("X-Reference", self.reference))
        return pairs


def read_join(message: Message) -> Wish:
    """Read the Data of a Join-Pool. Raises: HandlerError if it is malformed."""
    data: Any = message.json()
    if not isinstance(data, dict):
        raise HandlerError('Data must be {"dataset": pool id, "model": model process id}')
    return Wish(_id(data, "dataset"), check_address(_id(data, "model"), "model"))


def _id(data: dict[str, Any], name: str) -> str:
    text = data.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_ID:
        raise HandlerError(f"{name!r} in Data must be an id")
    return text
