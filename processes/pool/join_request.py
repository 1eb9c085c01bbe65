"""How a model asks to join, between the question to the router and its answer."""

from __future__ import annotations

import operator
from typing import Any, Final, NamedTuple, Self

from pydantic import Field

from benchpool.ao.clock import DAY_MS
from benchpool.ao.tags import Pair, Tags
from benchpool.errors import HandlerError
from benchpool.process import Message, State
from benchpool.winston import Winston
from processes.tag_values import check_address

LONGEST_ID: Final = 128
PATIENCE_MS: Final = DAY_MS
"""How long a router may take to describe a model."""


class Wish(NamedTuple):
    """What somebody wants to join what with."""

    pool: str
    model: str
    salt: str = ""
    """Reveals a commitment; empty if there was none."""


class Join(State):
    """A wish that waits for the router's word on the model."""

    pool: str
    model: str
    participant: str
    router: str
    reply_to: str
    reference: str
    """What the participant's message bore; the answer bears it too."""
    asked_at: int
    salt: str = Field(default="", exclude_if=operator.not_)
    bond: Winston = Field(default=0, exclude_if=operator.not_)
    """What came with the wish, and goes back if it cannot be granted."""

    @classmethod
    def of(cls, message: Message, wish: Wish, router: str) -> Self:
        """Note who wants to join what, and who was asked."""
        return cls(
            pool=wish.pool,
            model=wish.model,
            participant=message.sender,
            router=router,
            reply_to=message.tags.get("Reply-To") or message.sender,
            reference=message.tags.get("X-Reference") or message.reference,
            asked_at=message.timestamp,
            salt=wish.salt,
        )

    @classmethod
    def paid(cls, notice: Message, wish: Wish, router: str, bond: int) -> Self:
        """The same of a wish that came with money; whoever sent the money joins."""
        sender = notice.tags["Sender"]
        return cls(
            pool=wish.pool,
            model=wish.model,
            participant=sender,
            router=router,
            reply_to=sender,
            reference=notice.tags.get("X-Reference"),
            asked_at=notice.timestamp,
            salt=wish.salt,
            bond=bond,
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
    salt = _id(data, "salt") if data.get("salt") else ""
    return Wish(_id(data, "dataset"), check_address(_id(data, "model"), "model"), salt)


def read_paid_join(tags: Tags) -> Wish:
    """Read the X- tags of a notice. Raises: HandlerError if one is missing or malformed."""
    pool, model = (check_address(tags.get(name), name) for name in ("X-Join-Pool", "X-Model"))
    salt = tags.get("X-Salt")
    if len(salt) > LONGEST_ID:
        raise HandlerError(f"X-Salt has {len(salt)} characters, at most {LONGEST_ID} are read")
    return Wish(pool, model, salt)


def _id(data: dict[str, Any], name: str) -> str:
    text = data.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_ID:
        raise HandlerError(f"{name!r} in Data must be an id")
    return text
