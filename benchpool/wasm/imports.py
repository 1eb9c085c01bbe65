"""Imports: what a module calls beyond itself, as AO's loader answers it.

The only clock is a counter. There is no file but those of `Files`, no environment, no terminal, no
chance. A module that calls what is not here is ended when it calls it.

Source: @permaweb/ao-loader 0.0.49.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final

from benchpool.wasm.dates import Moment, moment_of, seconds_of, write_date
from benchpool.wasm.faults import Trapped
from benchpool.wasm.files import FIRST, Files
from benchpool.wasm.runtime import HostFunction, Machine
from benchpool.wasm.shapes import PAGE, Outline, Place

CLOCK_START: Final = 10_000
"""Milliseconds. Each look at the clock moves it on by one."""
_EBADF: Final = 8
_EINVAL: Final = 28
_ENOENT: Final = 44
_ENOSYS: Final = 52
_ENOTTY: Final = 59
_MOST_GROWTH: Final = 100_663_296
_MOST_TEXT: Final = 64 << 10
_MOST_ERRORS: Final = 4096
_MOST_VECTORS: Final = 1024
_TIME_FIELDS: Final = 8
_NO_SUCH_FILE: Final = frozenset(
    {
        *("openat", "stat64", "lstat64", "newfstatat", "unlinkat", "rmdir", "renameat"),
        *("readlinkat", "faccessat", "chmod", "mkdirat", "utimensat", "getdents64", "statfs64"),
    }
)


class Host:
    """Answers the imports of one machine, which is set once it is there."""

    def __init__(self, outline: Outline, files: Files) -> None:
        self.files = files
        self.clock = CLOCK_START
        self.errors = ""
        """What C wrote to its streams lately, for whoever looks for a fault."""
        self.machine: Machine | None = None
        self._wide = outline.wide
        self._word = 8 if outline.wide else 4

    def functions(self, outline: Outline) -> dict[Place, HostFunction]:
        """Return a function for each import that there is one for."""
        found: dict[Place, HostFunction] = {}
        for place, _ in outline.imports:
            function = self._function(place[1])
            if function is not None:
                found[place] = function
        return found

    def _function(self, name: str) -> HostFunction | None:
        if name.startswith("__syscall_"):
            return self._syscall(name.removeprefix("__syscall_"))
        return getattr(self, f"_on_{name.strip('_')}", None)

    def _syscall(self, name: str) -> HostFunction:
        known: dict[str, HostFunction] = {
            "fcntl64": lambda file, *_rest: 0 if self._is_open(file) else -_EBADF,
            "ioctl": lambda file, *_rest: -_ENOTTY if self._is_open(file) else -_EBADF,
            "dup3": lambda *_given: -_EBADF,
        }
        code = _ENOENT if name in _NO_SUCH_FILE else _ENOSYS
        return known.get(name, lambda *_given: -code)

    def _is_open(self, file: int) -> bool:
        return 0 <= file < FIRST or file in self.files.places

    # -- memory ------------------------------------------------------------------------------

    @property
    def _memory(self) -> Machine:
        if self.machine is None:
            raise Trapped("the module calls what is outside before it is made")
        return self.machine

    def at(self, pointer: int) -> int:
        """Return a pointer as the module means it: without a sign."""
        return pointer & (0xFFFF_FFFF_FFFF_FFFF if self._wide else 0xFFFF_FFFF)

    def _read(self, pointer: int, size: int = 4, *, signed: bool = True) -> int:
        return int.from_bytes(self._memory.read(self.at(pointer), size), "little", signed=signed)

    def _write(self, pointer: int, value: int, size: int = 4) -> None:
        mask = (1 << 8 * size) - 1
        self._memory.write(self.at(pointer), (value & mask).to_bytes(size, "little"))

    def _text(self, pointer: int, most: int = _MOST_TEXT) -> str:
        return read_text(self._memory, self.at(pointer), most).decode(errors="replace")

    # -- time --------------------------------------------------------------------------------

    def _tick(self) -> int:
        self.clock += 1
        return self.clock - 1

    def _on_emscripten_date_now(self) -> float:
        return float(self._tick())

    _on_emscripten_get_now = _on_emscripten_date_now

    def _on_emscripten_get_now_is_monotonic(self) -> int:
        return 1

    def _on_clock_time_get(self, _clock: int, _precision: int, pointer: int) -> int:
        self._write(pointer, self._tick() * 1_000_000, 8)
        return 0

    def _on_gmtime_js(self, *given: int) -> None:
        seconds, pointer = self._wide_number(given)
        self._put_moment(pointer, moment_of(seconds))

    def _on_localtime_js(self, *given: int) -> None:
        seconds, pointer = self._wide_number(given)
        self._put_moment(pointer, moment_of(seconds))
        self._write(pointer + 32, 0)
        self._write(pointer + (40 if self._wide else 36), 0, self._word)

    @staticmethod
    def _wide_number(given: tuple[int, ...]) -> tuple[int, int]:
        """Take a number of 64 bits, in two parts where pointers have 32, and a pointer."""
        if len(given) == 2:
            return given[0], given[1]
        low, high, pointer = given
        return (low & 0xFFFF_FFFF) + (high << 32), pointer

    def _put_moment(self, pointer: int, moment: Moment) -> None:
        for number, value in enumerate(moment):
            self._write(pointer + 4 * number, value)

    def _moment_at(self, pointer: int) -> Moment:
        return Moment(*(self._read(pointer + 4 * number) for number in range(_TIME_FIELDS)))

    def _on_mktime_js(self, pointer: int) -> int:
        seconds = seconds_of(self._moment_at(pointer))
        if self._read(pointer + 32) < 0:
            self._write(pointer + 32, 0)
        self._put_moment(pointer, moment_of(1 << 62 if seconds is None else seconds))
        return -1 if seconds is None else seconds

    _on_timegm_js = _on_mktime_js

    def _on_tzset_js(self, offset: int, daylight: int, standard: int, summer: int) -> None:
        self._write(offset, 0, self._word)
        self._write(daylight, 0)
        for name in (standard, summer):
            self._memory.write(self.at(name), b"UTC\0")

    def _on_strftime(self, pointer: int, most: int, pattern: int, moment: int) -> int:
        zone_at, offset_at = (48, 40) if self._wide else (40, 36)
        zone = self._read(moment + zone_at, self._word, signed=False)
        try:
            text = write_date(
                self._text(pattern),
                self._moment_at(moment),
                self._text(zone) if zone else "",
                self._read(moment + offset_at, self._word),
            )
        except IndexError:
            raise Trapped("the module writes a date with a weekday or month that is none") from None
        data = text.encode() + b"\0"
        if len(data) > self.at(most):
            return 0
        self._memory.write(self.at(pointer), data)
        return len(data) - 1

    def _on_strftime_l(self, *given: int) -> int:
        return self._on_strftime(*given[:4])

    # -- surroundings ------------------------------------------------------------------------

    def _on_environ_sizes_get(self, count: int, size: int) -> int:
        self._write(count, 0, self._word)
        self._write(size, 0, self._word)
        return 0

    def _on_environ_get(self, _places: int, _texts: int) -> int:
        return 0

    _on_args_sizes_get = _on_environ_sizes_get
    _on_args_get = _on_environ_get

    def _on_emscripten_system(self, command: int) -> int:
        return -_ENOSYS if command else 0

    def _on_random_get(self, pointer: int, size: int) -> int:
        start, size = self.at(pointer), self.at(size)
        self._memory.address(start, size)
        seed, number = self._tick().to_bytes(8, "little"), 0
        while size > 0:
            piece = sha256(seed + number.to_bytes(8, "little")).digest()[:size]
            self._memory.write(start, piece)
            start, size, number = start + len(piece), size - len(piece), number + 1
        return 0

    _on_getentropy = _on_random_get

    def _on_emscripten_get_heap_max(self) -> int:
        return 17_179_869_184 if self._wide else 4_294_901_760

    def _on_emscripten_resize_heap(self, requested: int) -> int:
        """Grow the memory by a fifth, as the loader does; 0 if it may not grow."""
        machine, wanted = self._memory, self.at(requested)
        old = machine.pages * PAGE
        if wanted <= old:
            raise Trapped("the module asks for less memory than it has")
        most = self._on_emscripten_get_heap_max()
        if wanted > most:
            return 0
        for part in (1, 2, 4):
            grown = min(old * (1 + 0.2 / part), float(wanted + _MOST_GROWTH))
            size = max(float(wanted), grown)
            size = min(float(most), size + math.fmod(PAGE - math.fmod(size, PAGE), PAGE))
            if machine.grow(int((size - old + PAGE - 1) / PAGE)):
                return 1
        return 0

    def _on_emscripten_notify_memory_growth(self, _number: int) -> None:
        """Nothing here keeps the address of the memory."""

    # -- ends --------------------------------------------------------------------------------

    def _on_abort_js(self, *_given: Any) -> None:
        raise Trapped(self._with_errors("the module aborted"))

    _on_abort = _on_abort_js

    def _on_exit(self, status: int) -> None:
        raise Trapped(self._with_errors(f"the module exited with status {status}"))

    _on_proc_exit = _on_exit

    def _on_assert_fail(self, condition: int, _file: int, _line: int, _function: int) -> None:
        raise Trapped(f"the module's assertion failed: {self._text(condition)[:200]}")

    def _on_cxa_throw(self, *_given: int) -> None:
        raise Trapped("the module threw an exception of C++")

    def _with_errors(self, what: str) -> str:
        said = self.errors.strip()
        return f"{what}: {said[-200:]}" if said else what

    # -- streams and files -------------------------------------------------------------------

    def _on_emscripten_err(self, text: int) -> None:
        self._note(self._text(text))

    _on_emscripten_out = _on_emscripten_err

    def _note(self, text: str) -> None:
        self.errors = (self.errors + text)[-_MOST_ERRORS:]

    def _vectors(self, vectors: int, count: int) -> Iterable[tuple[int, int]]:
        if not 0 <= count <= _MOST_VECTORS:
            raise Trapped(f"the module reads or writes {count:,} pieces at once")
        for number in range(count):
            place = vectors + 2 * self._word * number
            yield (
                self._read(place, self._word, signed=False),
                self._read(place + self._word, self._word, signed=False),
            )

    def _on_fd_write(self, file: int, vectors: int, count: int, written: int) -> int:
        if file not in (1, 2):
            return _EBADF
        total = 0
        for start, size in self._vectors(vectors, count):
            self._memory.address(start, size)
            kept = self._memory.read(start, min(size, _MOST_ERRORS))
            self._note(kept.decode(errors="replace"))
            total += size
        self._write(written, total, self._word)
        return 0

    def _on_fd_read(self, file: int, vectors: int, count: int, got: int) -> int:
        if not self._is_open(file):
            return _EBADF
        total = 0
        for start, size in self._vectors(vectors, count):
            self._memory.address(start, size)
            data = self.files.read(file, size) or b""
            self._memory.write(start, data)
            total += len(data)
            if len(data) < size:
                break
        self._write(got, total, self._word)
        return 0

    def _on_fd_seek(self, file: int, *given: int) -> int:
        offset, rest = given[0], given[1:]
        if len(given) == 4:
            offset, rest = (given[0] & 0xFFFF_FFFF) + (given[1] << 32), given[2:]
        whence, pointer = rest
        if file not in self.files.places:
            return 70 if 0 <= file < FIRST else _EBADF
        position = self.files.seek(file, offset, whence)
        if position is None:
            return _EINVAL
        self._write(pointer, position, 8)
        return 0

    def _on_fd_close(self, file: int) -> int:
        if 0 <= file < FIRST:
            return 0
        return 0 if self.files.close(file) else _EBADF

    def _on_fd_fdstat_get(self, file: int, pointer: int) -> int:
        if not self._is_open(file):
            return _EBADF
        self._memory.write(self.at(pointer), bytes([2 if file < FIRST else 4]) + bytes(23))
        return 0

    def _on_fd_sync(self, file: int) -> int:
        return 0 if self._is_open(file) else _EBADF

    def _on_munmap_js(self, *_given: int) -> int:
        return 0

    def _on_asyncjs__weavedrive_open(self, path: int, _mode: int) -> int:
        return self.files.open(self._text(path))

    def _on_asyncjs__weavedrive_read(self, file: int, pointer: int, size: int) -> int:
        start, size = self.at(pointer), self.at(size)
        self._memory.address(start, size)
        data = self.files.read(file, size)
        if data is None:
            raise Trapped(f"the module reads from file {file}, which is not open")
        self._memory.write(start, data)
        return len(data)

    def _on_asyncjs__weavedrive_close(self, file: int) -> int:
        return int(self.files.close(file))


def read_text(machine: Machine, start: int, most: int) -> bytes:
    """Read the bytes before the next NUL.

    Raises: Trapped if there are more than `most`, or none before the memory's end.
    """
    end, piece, found = machine.pages * PAGE, 4096, bytearray()
    while True:
        size = min(piece, end - start, most + 1 - len(found))
        if size <= 0:
            raise Trapped(f"the module's text at {start - len(found):,} does not end in time")
        data = machine.read(start, size)
        nul = data.find(0)
        if nul >= 0:
            return bytes(found) + data[:nul]
        found += data
        start, piece = start + size, min(piece * 4, 16 << 20)
