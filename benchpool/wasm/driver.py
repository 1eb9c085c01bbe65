"""Driver: runs one module as AO's loader does, and copies its memory out and in.

Source: @permaweb/ao-loader 0.0.49. Deviates: a text above a quarter of C's stack is put on the
heap, where the loader would overflow a small stack.
"""

from __future__ import annotations

import ctypes
from typing import Final

from benchpool.wasm.faults import Trapped
from benchpool.wasm.files import Files
from benchpool.wasm.images import Header, Image, take_buffer
from benchpool.wasm.imports import Host, read_text
from benchpool.wasm.runtime import Code, Machine
from benchpool.wasm.shapes import PAGE, Signature

MOST_ANSWER_BYTES: Final = 256 << 20
_BOOT_FUEL: Final = 10_000_000_000
_SMALL_FUEL: Final = 100_000_000
"""For looking at a module that was ended."""
_PIECE: Final = 1 << 20


class Driver:
    """A machine, its host, and how to speak to it.

    Args:
        code: the module.
        sha256: of its bytes, in hexadecimal.
        files: what it reads.
        memory_bytes: that it may have.

    Raises: Trapped if the module cannot begin.
    """

    def __init__(self, code: Code, sha256: str, files: Files, memory_bytes: int) -> None:
        outline = code.outline
        self._sha256 = sha256
        self._pointer = outline.pointer
        self._known = {
            name
            for name, signature in _signatures(outline.pointer).items()
            if outline.function(name) == signature
        }
        self.host = Host(outline, files)
        self.machine = Machine(
            code, self.host.functions(outline), memory_bytes=memory_bytes, fuel=_BOOT_FUEL
        )
        self.host.machine = self.machine
        self.reference = 0
        self._top = 0
        try:
            self._boot()
        except BaseException:
            self.machine.close()
            raise

    def _boot(self) -> None:
        for name in ("emscripten_stack_init", "__wasm_call_ctors", "_initialize"):
            if name in self._known:
                self.machine.call(name)
        self._stack = self._find_stack()
        self._idle = self._at("emscripten_stack_get_current", 0)

    def _find_stack(self) -> tuple[int, int]:
        """Return the end (below) and the base of C's stack; equal if there is none to be seen."""
        end, base = (self._at(f"emscripten_stack_get_{each}", 0) for each in ("end", "base"))
        stacked = {"_emscripten_stack_alloc", "_emscripten_stack_restore"} <= self._known
        return (end, base) if stacked and 0 < end < base <= self.machine.pages * PAGE else (0, 0)

    def _at(self, name: str, otherwise: int, *given: int) -> int:
        """Ask for an address; for what the module does not export, return another."""
        if name not in self._known:
            return otherwise
        return self.host.at(self.machine.call(name, *given))

    def _signed(self, number: int) -> int:
        half = 1 << (63 if self._pointer == "i64" else 31)
        return number - 2 * half if number >= half else number

    # -- a message ---------------------------------------------------------------------------

    def handle(self, message: bytes, environment: bytes, fuel: int) -> bytes:
        """Give the module a message.

        Args:
            message: JSON, without NUL.
            environment: JSON, without NUL.
            fuel: that it may use.

        Returns: its answer: text, as it wrote it.

        Raises: Trapped if it was ended.
        """
        machine = self.machine
        machine.fuel = fuel
        self.host.files.touched = False
        lent: list[int] = []
        given = [self._signed(self._place(text, lent)) for text in (message, environment)]
        answer = self.host.at(machine.call("handle", *given))
        text = read_text(machine, answer, MOST_ANSWER_BYTES) if answer else b""
        for pointer in lent if "free" in self._known else ():
            machine.call("free", self._signed(pointer))
        if self._stack != (0, 0):
            machine.call("_emscripten_stack_restore", self._signed(self._idle))
        self.host.files.end_message()
        return text

    def _place(self, text: bytes, lent: list[int]) -> int:
        """Put a text where the module can read it."""
        end, base = self._stack
        size = len(text) + 1
        if size <= (base - end) // 4:
            pointer = self._at("_emscripten_stack_alloc", 0, size)
        else:
            pointer = self._at("malloc", 0, size)
            if not pointer:
                raise Trapped(f"the module has no memory for a text of {size:,} bytes")
            lent.append(pointer)
        self.machine.write(pointer, text + b"\0")
        return pointer

    # -- memory ------------------------------------------------------------------------------

    def image(self, buffer: bytearray | None = None) -> Image:
        """Copy the memory, between two messages, into this buffer if it is large enough.

        The buffer of the image is to be given back by `release`.
        """
        machine, header = self.machine, self.header()
        if buffer is None or len(buffer) < header.size:
            buffer = take_buffer(header.size)
        place = _address(buffer)
        for start, end in header.regions:
            ctypes.memmove(place, machine.address(start, end - start), end - start)
            place += end - start
        return Image(header, buffer)

    def header(self) -> Header:
        """Say what the memory is like, between two messages."""
        self.machine.fuel = _SMALL_FUEL
        return Header(
            module=self._sha256,
            pages=self.machine.pages,
            clock=self.host.clock,
            reference=self.reference,
            files=tuple(self.host.files.kept()),
            regions=self._regions(),
        )

    def _regions(self) -> tuple[tuple[int, int], ...]:
        size = self.machine.pages * PAGE
        top = min(self._at("sbrk", 0, 0), size) if "sbrk" in self._known else self._last_byte()
        self._top = max(self._top, top)
        end, base = self._stack
        if base and base <= self._top:
            return (0, end), (base, self._top)
        return ((0, self._top),)

    def _last_byte(self) -> int:
        """Return the place behind the last byte that is not zero."""
        end = self.machine.pages * PAGE
        while end > 0:
            start = max(end - _PIECE, 0)
            found = self.machine.read(start, end - start).rstrip(b"\0")
            if found:
                return start + len(found)
            end = start
        return 0

    def restore(self, image: Image) -> bool:
        """Take over a memory; False if this machine has grown beyond it and must be made anew."""
        machine, header = self.machine, image.header
        if machine.pages > header.pages:
            return False
        machine.fuel = _SMALL_FUEL
        if machine.pages < header.pages and not machine.grow(header.pages - machine.pages):
            raise Trapped(f"a memory of {header.pages:,} pages is more than the module may have")
        before = self._regions()
        place = _address(image.data)
        for start, end in header.regions:
            ctypes.memmove(machine.address(start, end - start), place, end - start)
            place += end - start
        last = before[-1][1]
        if last > header.top:
            ctypes.memset(machine.address(header.top, last - header.top), 0, last - header.top)
        self._top = header.top
        self.host.clock = header.clock
        self.host.files.restore(list(header.files))
        self.reference = header.reference
        if self._stack != (0, 0):
            machine.call("_emscripten_stack_restore", self._signed(self._idle))
        return True

    def close(self) -> None:
        """Let go of the machine and its files."""
        self.host.files.close_all()
        self.machine.close()


def _address(buffer: bytearray) -> int:
    """Return where a buffer lies, for as long as it is held and keeps its size."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if buffer else 0


def _signatures(pointer: str) -> dict[str, Signature]:
    """Return what the exports that are used must look like."""
    return {
        "handle": Signature((pointer, pointer), (pointer,)),
        "malloc": Signature((pointer,), (pointer,)),
        "free": Signature((pointer,), ()),
        "sbrk": Signature((pointer,), (pointer,)),
        "emscripten_stack_init": Signature((), ()),
        "__wasm_call_ctors": Signature((), ()),
        "_initialize": Signature((), ()),
        "emscripten_stack_get_base": Signature((), (pointer,)),
        "emscripten_stack_get_end": Signature((), (pointer,)),
        "emscripten_stack_get_current": Signature((), (pointer,)),
        "_emscripten_stack_alloc": Signature((pointer,), (pointer,)),
        "_emscripten_stack_restore": Signature((pointer,), ()),
    }
