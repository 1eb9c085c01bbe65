"""Recall: the memory of a process as it was before a message, to go back to.

A small memory is copied before each message. To copy a large one would cost more than most
messages, so the messages since a copy are kept instead, and handled again after an error; while
errors go on, it is copied each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from benchpool.wasm.images import Image, release

if TYPE_CHECKING:
    from benchpool.wasm.driver import Driver

LARGE_BYTES: Final = 8 << 20
MOST_MESSAGES: Final = 64
"""They stand between two copies of a large memory."""
_MOST_BYTES: Final = 4 << 20
_MOST_FUEL: Final = 4_000_000_000
_CAREFUL: Final = 64
"""For so many messages after an error, a large memory is copied each time."""
_AMPLE: Final = 1 << 62


class Done(NamedTuple):
    """A message that stands."""

    request: bytes
    reference: int
    """The last that was given out with it."""
    fuel: int
    """What it used."""


class Recall:
    """A copy of a memory, and the messages since.

    Args:
        environment: what the module is told with each message.
        image: the memory to begin with; None: that of the machine.
    """

    def __init__(self, environment: bytes, image: Image | None = None) -> None:
        self._environment = environment
        self.image = image
        self.since: list[Done] = []
        self._spare: bytearray | None = None
        """The last large buffer: to make one takes longer than to copy into it."""
        self._careful = 0

    def forget(self) -> None:
        """Keep nothing: the machine alone has the memory."""
        if self.image is not None:
            if self.image.header.size > LARGE_BYTES:
                self._spare = self.image.data
            else:
                release(self.image)
            self.image = None
        self.since.clear()

    def before(self, driver: Driver) -> None:
        """Copy the memory before a message, if need be."""
        if self.image is None:
            self.image = driver.image(self._spare)
            self._spare = None

    def note(self, done: Done, *, alone: bool) -> None:
        """Take note of a message that stands.

        Args:
            done: the message.
            alone: whether it looked at nothing but the memory, so that it can be handled again.
        """
        if self.image is None:
            return
        if not alone or self._careful or self.image.header.size <= LARGE_BYTES:
            self._careful = max(self._careful - 1, 0)
            self.forget()
            return
        self.since.append(done)
        if (
            len(self.since) >= MOST_MESSAGES
            or sum(len(each.request) for each in self.since) > _MOST_BYTES
            or sum(each.fuel for each in self.since) > _MOST_FUEL
        ):
            self.forget()

    def go_back(self, driver: Driver) -> bool:
        """Bring a machine to where the last message that stands left it.

        Returns: False if this machine cannot go back, and must be made anew.
        """
        if self.image is None:
            return True
        if not driver.restore(self.image):
            return False
        if self.since:
            for done in self.since:
                driver.handle(done.request, self._environment, _AMPLE)
                driver.reference = done.reference
            self._careful = _CAREFUL
            self.forget()
            self.before(driver)
        return True
