"""ForkedProcess: what another process had become, going on under an id of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from benchpool.ao.message import Message
from benchpool.process.module import ModuleProcess
from benchpool.process.outbox import PutOut

_NOTHING: PutOut = ((), (), (), "")


class ForkedProcess:
    """A process that remembers what its origin did, as what it did itself.

    Its memory may hold the origin's id anywhere, as its own. So inside it has that id, and at its
    border the two ids change places, in the addresses of messages and nowhere else: what is sent to
    it was sent to itself, and its origin bears the new id there. Its own first message was handled
    by its origin already, and leaves no mark.

    Args:
        inner: the process as its origin was.
        id: the fork's.
    """

    def __init__(self, inner: ModuleProcess, id: str) -> None:  # noqa: A002 - the word of AO
        self.inner = inner
        self.id = id
        self._swapped = {id: inner.id, inner.id: id}
        self._idle = False
        """Whether the message under way is its own first, which asks for nothing."""

    def __getattr__(self, name: str) -> Any:
        """Look everything else up in the process that it goes on from."""
        return getattr(self.__dict__["inner"], name)

    @property
    def extensions(self) -> tuple[str, ...]:
        """See `ModuleProcess`."""
        return self.inner.extensions

    @property
    def heavy(self) -> bool:
        """See `ModuleProcess`."""
        return self.inner.heavy

    @property
    def inbox(self) -> Sequence[Message]:
        """See `ModuleProcess`; messages are shown as it sees them."""
        return self.inner.inbox

    @property
    def state(self) -> Any:
        """See `ModuleProcess`."""
        return self.inner.state

    def look_ahead(self, batch: Sequence[Message]) -> None:
        """See `ModuleProcess`."""
        seen = [self._inward(message) for message in batch if message.id != self.id]
        self.inner.look_ahead(seen)

    def handle(self, message: Message, most: int) -> PutOut:
        """See `ModuleProcess`."""
        self._idle = message.id == self.id
        if self._idle:
            return _NOTHING
        messages, spawns, assigns, output = self.inner.handle(self._inward(message), most)
        sandbox = getattr(self.inner, "sandbox", None)
        if sandbox is not None:
            sandbox.give(self._outward(sandbox.given))
        swap = self._swap
        return (
            tuple(replace(each, target=swap(each.target)) for each in messages),
            spawns,
            tuple(replace(each, processes=tuple(map(swap, each.processes))) for each in assigns),
            output,
        )

    def _outward(self, response: bytes) -> bytes:
        """Put the ids of the outside into a WASM module's response."""
        if not any(each.encode() in response for each in self._swapped):
            return response
        said = msgspec.json.decode(response)
        for message in _dicts(said.get("Messages")):
            if isinstance(message.get("Target"), str):
                message["Target"] = self._swap(message["Target"])
        for assignment in _dicts(said.get("Assignments")):
            if isinstance(assignment.get("Processes"), list):
                assignment["Processes"] = [
                    self._swap(each) if isinstance(each, str) else each
                    for each in assignment["Processes"]
                ]
        return msgspec.json.encode(said)

    def _inward(self, message: Message) -> Message:
        swap = self._swap
        return replace(
            message,
            process=swap(message.process),
            target=swap(message.target),
            sender=swap(message.sender),
        )

    def _swap(self, identity: str) -> str:
        return self._swapped.get(identity, identity)

    def commit(self) -> None:
        """See `ModuleProcess`."""
        if not self._idle:
            self.inner.commit()

    def undo(self) -> None:
        """See `ModuleProcess`."""
        if not self._idle:
            self.inner.undo()

    def dump(self) -> bytes:
        """See `ModuleProcess`."""
        return self.inner.dump()

    def load(self, memory: bytes) -> None:
        """See `ModuleProcess`."""
        self.inner.load(memory)

    def inspect(self) -> dict[str, Any]:
        """See `ModuleProcess`."""
        return self.inner.inspect()


def _dicts(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
