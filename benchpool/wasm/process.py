"""WasmProcess: one process of a module of WebAssembly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchpool.ao.message import Message, ProcessInfo
from benchpool.ao.tags import Tags
from benchpool.errors import FuelExhausted, ModuleError
from benchpool.extensions.llama import Llama
from benchpool.extensions.sandbox import Sandbox
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.process.outbox import PutOut
from benchpool.wasm.answers import read_answer
from benchpool.wasm.asking import message_request
from benchpool.wasm.device import PREFIX, open_device
from benchpool.wasm.drive import open_data
from benchpool.wasm.faults import FuelSpent
from benchpool.wasm.files import Files, Readable
from benchpool.wasm.images import Header, Image, read_image, release
from benchpool.wasm.recall import Done, Recall
from benchpool.wasm.shapes import PAGE

if TYPE_CHECKING:
    from benchpool.wasm.driver import Driver
    from benchpool.wasm.module import WasmModule


class WasmProcess:
    """A process whose state is the memory of its module. See `ModuleProcess`.

    Trust, On-Boot, inbox and Eval are the module's own affair. The machine is made when the first
    message comes, or the first after `load`.
    """

    sandbox: Sandbox
    weavedrive: WeaveDrive
    llama: Llama

    def __init__(self, module: WasmModule, info: ProcessInfo) -> None:
        self.id = info.id
        self.info = info
        self._module = module
        self._environment = module.environment(info)
        self._fresh = Image(Header(module.sha256), bytearray())
        self.heavy = _wants_models(info.tags) or _wants_models(module.tags)
        """Whether it asks models: then nobody else waits for it."""
        self.extensions: tuple[str, ...] = ("Sandbox", "WeaveDrive")
        if self.heavy:
            self.extensions += ("Llama",)
        self._driver: Driver | None = None
        self._recall: Recall | None = None
        """Its memory while there is no driver, or as it was before the message under way."""
        self._begun = False
        """Whether any message stands."""
        self._done: Done | None = None
        """The message under way, once it is handled."""
        self._used = 0

    @property
    def inbox(self) -> Sequence[Message]:
        """A module keeps its own."""
        return ()

    @property
    def state(self) -> dict[str, Any]:
        """What can be seen from outside."""
        header = self._kept.header if self._driver is None else self._driver.header()
        return {
            "module": self._module.id,
            "module_sha256": self._module.sha256,
            "format": self._module.format,
            "memory_bytes": header.pages * PAGE,
            "used_bytes": header.size,
            "fuel_of_last_message": self._used,
        }

    def inspect(self) -> dict[str, Any]:
        """Show nothing: handlers are in the module's memory."""
        return {"handlers": [], "description": {}}

    def look_ahead(self, batch: Sequence[Message]) -> None:
        """There is nothing to ask ahead."""

    # -- a message ---------------------------------------------------------------------------

    def handle(self, message: Message, most: int) -> PutOut:
        """Give the module a message.

        Raises: FuelExhausted; ModuleError with the module's own error; HandlerError for what is no
            answer, or if the module was ended.
        """
        module = self._module
        allowed = self.sandbox.allowance(module.compute_limit)
        request = message_request(message, module.id, module.scheduler)
        try:
            with self.sandbox.bounding():
                driver, recall = self._live()
                recall.before(driver)
                text = driver.handle(request, self._environment, allowed)
        except BaseException as error:
            self._drop()  # it was ended in the middle
            if isinstance(error, FuelSpent):
                raise FuelExhausted(message.action, allowed) from None
            raise
        self._used = allowed - driver.machine.fuel
        taken = read_answer(text, driver.reference, most)
        self.sandbox.give(taken.given)
        if taken.error:
            raise ModuleError(taken.error)
        driver.reference = taken.reference
        self._done = Done(request, taken.reference, self._used)
        return taken.out

    def commit(self) -> None:
        """Let what the last message did stand."""
        self._begun = True
        done, self._done = self._done, None
        if done is not None and self._recall is not None and self._driver is not None:
            self._recall.note(done, alone=not self._driver.host.files.touched)

    def undo(self) -> None:
        """Restore the memory as it was before the last message."""
        self._done = None
        recall = self._recall
        if recall is None:
            return
        if not self._begun:
            self._drop()
            recall.forget()
        elif self._driver is not None and not recall.go_back(self._driver):
            self._drop()  # it is made anew when the next message comes

    def _live(self) -> tuple[Driver, Recall]:
        """Return the driver, made and given its memory if need be."""
        if self._recall is None:
            self._recall = Recall(self._environment)
        if self._driver is None:
            driver = self._module.driver(Files(self._offer), self.sandbox.memory_bytes)
            try:
                self._recall.go_back(driver)
            except BaseException:
                driver.close()
                raise
            self._driver = driver
            self.sandbox.hold(driver)
        return self._driver, self._recall

    def _offer(self, path: str) -> Readable | None:
        """Open a file by its path."""
        if self.heavy and path.startswith(PREFIX):
            return open_device(path, self.llama)
        return open_data(path, self.weavedrive)

    def _drop(self) -> None:
        if self._driver is not None:
            self._driver = None
            self.sandbox.hold(None)

    # -- keeping -----------------------------------------------------------------------------

    @property
    def _kept(self) -> Image:
        """Its memory while there is no driver, or the last copy of it."""
        image = self._recall.image if self._recall is not None else None
        return image or self._fresh

    def dump(self) -> bytes:
        """Write the memory, uncompressed, with a head."""
        if not self._begun:
            return self._fresh.dump()
        if self._driver is None and (self._recall is None or not self._recall.since):
            return self._kept.dump()
        driver, _ = self._live()
        image = driver.image()
        try:
            return image.dump()
        finally:
            release(image)

    def load(self, memory: bytes) -> None:
        """Take over a memory. Raises: StoreError if it is another module's; ValueError."""
        image = read_image(memory, self._module.sha256)
        self._drop()
        self._begun = bool(image.header.pages)
        self._done = None
        if self._recall is not None:
            self._recall.forget()
        self._recall = Recall(self._environment, image) if self._begun else None


def _wants_models(tags: Tags) -> bool:
    return "Llama" in tags.all("Extension")
