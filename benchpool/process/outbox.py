"""Outbox: what a process puts out while it handles a message."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from benchpool.ao.message import AssignRequest, Data, Message, Outgoing, SpawnRequest
from benchpool.ao.tags import Pair, Tags, TagsInput, as_pairs, normalise_name
from benchpool.errors import HandlerError, LimitExceeded

Json = dict[str, Any] | list[Any]
"""A value that is written as JSON when it is sent."""
PutOut = tuple[tuple[Outgoing, ...], tuple[SpawnRequest, ...], tuple[AssignRequest, ...], str]
"""What an evaluation puts out: messages, spawns, assignments and output."""

_NOT_FORWARDED = frozenset(
    {
        *("Data-Protocol", "Variant", "Type", "From-Process", "From-Module", "From", "Owner"),
        *("Anchor", "Target", "Data", "Tags", "Tagarray", "Hash-Chain", "Timestamp", "Nonce"),
        *("Epoch", "Signature", "Forwarded-By", "Pushed-For", "Read-Only", "Cron", "Block-Height"),
        *("Reference", "Id", "Reply-To"),
    }
)
"""Tags that tell of a message's own way and stay behind when it is forwarded."""


class Outbox:
    """Collects messages, spawns, assignments and lines, until the compute unit takes them.

    Messages and spawns are numbered: a reference tells a reply what it replies to.
    """

    outbox_limit: int = sys.maxsize
    """How much may be in it; more ends the handler before it fills the memory."""

    def __init__(self) -> None:
        self._reference = 0
        self._messages: list[Outgoing] = []
        self._spawns: list[SpawnRequest] = []
        self._assigns: list[AssignRequest] = []
        self._lines: list[str] = []

    @property
    def reference(self) -> int:
        """The reference of the last message or spawn put out."""
        return self._reference

    @property
    def next_reference(self) -> int:
        """The reference that the next message or spawn will bear."""
        return self._reference + 1

    def send(self, target: str, action: str, tags: TagsInput = (), data: Data | Json = "") -> int:
        """Put a message into the outbox.

        Args:
            target: the id of a process or wallet.
            action: becomes the first tag; none if it is empty.
            tags: further tags, in order; values are written as text.
            data: text, bytes, or a JSON value, which also sets `Content-Type`.

        Returns: its reference, which a reply bears as `X-Reference`.

        Raises: HandlerError if there is no target, or text with a lone surrogate.
        """
        if not (target and isinstance(target, str)):
            raise HandlerError(f"a message {action} without a target cannot be sent")
        pairs = as_pairs(tags)
        if action:
            pairs = (("Action", action), *pairs)
        if type(data) is not str and not isinstance(data, str | bytes):
            data = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
            pairs = (*pairs, ("Content-Type", "application/json"))
        reference = self._reference + 1
        message = Outgoing(target, Tags(pairs), data, reference)
        if not (data.isascii() and message.tags.ascii):
            _check_unicode(message)
        messages = self._messages
        if len(messages) >= self.outbox_limit:
            self._refuse_more()
        self._reference = reference
        messages.append(message)
        return reference

    def reply(
        self, message: Message, action: str = "", tags: TagsInput = (), data: Data | Json = ""
    ) -> int:
        """Answer a message: to its `Reply-To` or From, with `X-Reference` and `X-Origin`.

        Source: aos, msg.reply.
        """
        pairs: list[Pair] = list(as_pairs(tags))
        given = message.tags
        reference = given.get("X-Reference") or _reference(message)
        if reference:
            pairs.append(("X-Reference", reference))
        if "X-Origin" in given:
            pairs.append(("X-Origin", given["X-Origin"]))
        return self.send(given.get("Reply-To") or message.sender, action, pairs, data)

    def forward(
        self, message: Message, target: str, tags: TagsInput = (), data: Data | Json | None = None
    ) -> int:
        """Pass a message on, its tags overridden by `tags`; replies go to where it came from.

        Source: aos, msg.forward.
        """
        given = message.tags
        override: dict[str, str] = {
            "Reply-To": given.get("Reply-To") or message.sender,
            "X-Origin": given.get("X-Origin") or message.sender,
        }
        reference = given.get("X-Reference") or _reference(message)
        if reference:
            override["X-Reference"] = reference
        override.update(as_pairs(tags))
        action = override.pop("Action", message.action)
        replaced = {"Action", *(normalise_name(name) for name, _ in Tags(override))}
        replaced |= _NOT_FORWARDED
        kept = [pair for pair in given if normalise_name(pair[0]) not in replaced]
        return self.send(
            target, action, [*kept, *override.items()], message.data if data is None else data
        )

    def spawn(self, module: str, tags: TagsInput = (), data: Data = "") -> int:
        """Ask for a new process, owned by this one.

        Returns: the reference; the messenger answers with `Action=Spawned`, `Process` (the new id)
        and this reference.
        """
        if len(self._spawns) >= self.outbox_limit:
            self._refuse_more()
        self._reference += 1
        self._spawns.append(SpawnRequest(module, Tags(tags), data, self._reference))
        return self._reference

    def assign(self, message_id: str, processes: Iterable[str]) -> None:
        """Assign a message that exists already to further processes."""
        if len(self._assigns) >= self.outbox_limit:
            self._refuse_more()
        self._assigns.append(AssignRequest(message_id, tuple(processes)))

    def log(self, text: str) -> None:
        """Add a line to the result's output."""
        if len(self._lines) >= self.outbox_limit:
            self._refuse_more()
        self._lines.append(text)

    def _refuse_more(self) -> None:
        raise LimitExceeded(
            f"this evaluation puts out more than {self.outbox_limit:,} messages, spawns,"
            " assignments or lines (outbox_messages)"
        )

    def take_outbox(self) -> PutOut:
        """Return and empty what the handlers have put out."""
        if not (self._spawns or self._assigns or self._lines):
            if not self._messages:
                return _NOTHING
            out: PutOut = (tuple(self._messages), (), (), "")
        else:
            out = (
                tuple(self._messages),
                tuple(self._spawns),
                tuple(self._assigns),
                "\n".join(self._lines),
            )
            self._spawns.clear()
            self._assigns.clear()
            self._lines.clear()
        self._messages.clear()
        return out


_NOTHING: PutOut = ((), (), (), "")


def _check_unicode(message: Outgoing) -> None:
    try:
        for part in (message.data, *(value for _, value in message.tags.pairs)):
            if isinstance(part, str):
                part.encode()
    except UnicodeEncodeError as error:
        raise HandlerError(f"this text cannot be sent, it is no Unicode: {error}") from None


def _reference(message: Message) -> str:
    # On AO a wallet's Reference tag counts as a process's own does.
    return message.reference or message.tags.get("Reference")
