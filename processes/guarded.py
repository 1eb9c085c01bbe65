"""Guarded: what the processes do that money rests on, so that nobody speaks for or through them.

Processes of the first edition do not, for their logs must fold as they did.
"""

from __future__ import annotations

import msgspec

from benchpool.ao.message import Data
from benchpool.ao.tags import Tags, TagsInput, normalise_name
from benchpool.process import Message, Process
from benchpool.process.outbox import Json


class Guarded(Process):
    """Believes that a message is another process's only if it was pushed out of that process.

    A process has the authorities that its spawner named. One who names himself could write
    messages in the name of any router or Benchmark.
    """

    def refusal(self, message: Message) -> str | None:
        """Say why a message is not handled, or None; see `Process.refusal`."""
        refused = super().refusal(message)
        claimed = message.sender != message.owner and not message.from_module
        if refused is None and claimed and self.edition > 1:
            return f"Message is not trusted! No process sent it. From: {message.sender}"
        return refused


class Discreet(Guarded):
    """Answers whoever asks, and nobody else.

    What it says is believed of it: with `Reply-To` and `X-Reference` anybody could have it give
    a router or Benchmark the answer to another question than theirs.
    """

    def reply(
        self, message: Message, action: str = "", tags: TagsInput = (), data: Data | Json = ""
    ) -> int:
        """Answer a message to its sender, whatever its `Reply-To`; see `Outbox.reply`."""
        if self.edition > 1 and "Reply-To" in message.tags:
            kept = [pair for pair in message.tags if normalise_name(pair[0]) != "Reply-To"]
            message = msgspec.structs.replace(message, tags=Tags(kept))
        return super().reply(message, action, tags, data)
