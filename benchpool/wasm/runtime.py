"""Runtime: the only file that knows wasmtime. Machines that run compiled code, within bounds.

Wrong use of wasmtime's interface ends the program, so there is one engine for all, types are
compared before anything is linked, and no address is read that was not checked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache, cached_property, partial
from importlib.metadata import version
from typing import Any, Final

import wasmtime

from benchpool.errors import HandlerError
from benchpool.wasm.faults import FuelSpent, Trapped
from benchpool.wasm.glue import Glue, write_glue
from benchpool.wasm.shapes import PAGE, Extern, Kind, Outline, Place, Signature

_RESERVED_BYTES: Final = 512 << 20
"""Addresses set aside for each memory, beyond which it is moved when it grows."""
_GUARD_BYTES: Final = 64 << 10
_STACK_BYTES: Final = 1 << 20
"""Native stack that a module may use, about what it has in node."""
_TABLE_ELEMENTS: Final = 1 << 20
_MACHINES: Final = 3
"""Instances of one machine: the module and its two pieces of glue."""
_SHOWN: Final = 300

HostFunction = Callable[..., Any]
IDENTITY: Final = f"wasmtime {version('wasmtime')} fuel nan memory64 exceptions 1"
"""What compiled code depends on, beside the module's bytes."""


@cache
def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.consume_fuel = True
    config.cranelift_nan_canonicalization = True
    config.parallel_compilation = False
    config.max_wasm_stack = _STACK_BYTES
    config.memory_reservation = _RESERVED_BYTES
    config.memory_guard_size = _GUARD_BYTES
    config.wasm_exceptions = True
    config.wasm_memory64 = True
    config.wasm_threads = False
    config.wasm_multi_memory = False
    config.wasm_relaxed_simd_deterministic = True
    return wasmtime.Engine(config)


class Code:
    """A compiled module. Raises: HandlerError in one line for bytes that are none."""

    def __init__(self, module: wasmtime.Module) -> None:
        self.module = module
        self.outline = Outline(
            tuple(((each.module, each.name or ""), _extern(each.type)) for each in module.imports),
            {each.name: _extern(each.type) for each in module.exports},
        )

    @classmethod
    def compile(cls, code: bytes) -> Code:
        """Compile, which takes seconds. Raises: HandlerError."""
        try:
            return cls(wasmtime.Module(_engine(), code))
        except wasmtime.WasmtimeError as error:
            raise HandlerError(_line(error)) from None

    @classmethod
    def deserialize(cls, compiled: bytes) -> Code | None:
        """Take over code that `serialize` wrote, which is trusted blindly; None if it is stale."""
        try:
            return cls(wasmtime.Module.deserialize(_engine(), compiled))
        except wasmtime.WasmtimeError:
            return None

    def serialize(self) -> bytes:
        """Write the compiled code."""
        return bytes(self.module.serialize())

    @cached_property
    def glue(self) -> tuple[Glue, wasmtime.Module, wasmtime.Module] | None:
        """The glue of this module, compiled."""
        glue = write_glue(self.outline)
        if glue is None:
            return None
        return glue, _assembled(glue.forwarders), _assembled(glue.bodies)


class Machine:
    """One instance of a module, with its memory. One thread at a time may use it.

    Args:
        code: the module.
        hosts: functions for its imports, called with their arguments as numbers; whatever they
            raise ends the module's call. Those that are missing end it when they are called.
        memory_bytes: that it may have.
        fuel: for its start function, if it has one.

    Raises: Trapped if it cannot be made.
    """

    def __init__(
        self, code: Code, hosts: Mapping[Place, HostFunction], *, memory_bytes: int, fuel: int
    ) -> None:
        self.code = code
        self._failure: BaseException | None = None
        self.store = wasmtime.Store(_engine())
        self.store.set_limits(
            memory_size=memory_bytes,
            table_elements=_TABLE_ELEMENTS,
            instances=_MACHINES,
            memories=1,
        )
        self.store.set_fuel(fuel)
        try:
            self._exports = self._make(code, hosts)
        except BaseException as error:
            self.close()
            if self._failure is not None or isinstance(
                error, wasmtime.WasmtimeError | wasmtime.Trap
            ):
                raise Trapped(self._why(error)) from None
            raise
        memory = self._exports["memory"]
        assert isinstance(memory, wasmtime.Memory), "the outline was checked"
        self._memory = memory

    def _make(self, code: Code, hosts: Mapping[Place, HostFunction]) -> Mapping[str, Any]:
        store = self.store
        served: dict[Place, wasmtime.Func] = {}
        forwarders = None
        if code.glue is not None:
            glue, first, _ = code.glue
            forwarders = wasmtime.Instance(store, first, []).exports(store)
            for number, place in enumerate(glue.places):
                served[place] = _func(forwarders[f"f{number}"])
        imports = []
        for (place, _), each in zip(code.outline.imports, code.module.imports, strict=True):
            if place not in served:
                kind = each.type
                assert isinstance(kind, wasmtime.FuncType), "the outline was checked"
                served[place] = wasmtime.Func(store, kind, self._guarded(place, hosts.get(place)))
            imports.append(served[place])
        exports = wasmtime.Instance(store, code.module, imports).exports(store)
        if code.glue is not None and forwarders is not None:
            glue, _, second = code.glue
            needed = {f"{each.module}.{each.name}": each.name or "" for each in second.imports}
            bodies = wasmtime.Instance(store, second, [exports[name] for name in needed.values()])
            table = forwarders["t"]
            assert isinstance(table, wasmtime.Table), "the glue was written here"
            for number in range(len(glue.places)):
                table.set(store, number, _func(bodies.exports(store)[f"f{number}"]))
        return {name: exports[name] for name in code.outline.exports}

    def _guarded(self, place: Place, host: HostFunction | None) -> HostFunction:
        """Keep what a host function raises here: wasmtime keeps it where threads meet."""
        if host is None:
            host = partial(_refuse, place)

        def call(*given: Any) -> Any:
            try:
                return host(*given)
            except BaseException as error:
                self._failure = error
                raise

        return call

    # -- calling -----------------------------------------------------------------------------

    @property
    def fuel(self) -> int:
        """What is left."""
        return self.store.get_fuel()

    @fuel.setter
    def fuel(self, fuel: int) -> None:
        self.store.set_fuel(fuel)

    def call(self, name: str, *given: Any) -> Any:
        """Call an exported function with numbers.

        Raises: FuelSpent; Trapped; what a host function raised.
        """
        self._failure = None
        try:
            return self._exports[name](self.store, *given)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            self._raise(error)
        except BaseException as error:
            # A host function's own, of this machine or, by a race, of another thread's.
            if self._failure is None or self._failure is error:
                if isinstance(error, Exception) and not isinstance(error, HandlerError):
                    raise Trapped(self._why(error)) from error
                raise
            self._raise(error)

    def _raise(self, error: BaseException) -> None:
        if self._failure is not None:
            raise self._failure
        spent = isinstance(error, wasmtime.Trap) and (
            error.trap_code == wasmtime.TrapCode.OUT_OF_FUEL
        )
        if spent:
            raise FuelSpent("the module used up its fuel") from None
        raise Trapped(self._why(error)) from None

    def _why(self, error: BaseException) -> str:
        return _line(self._failure or error)

    # -- memory ------------------------------------------------------------------------------

    @property
    def pages(self) -> int:
        """How large the memory is now."""
        return self._memory.size(self.store)

    def grow(self, pages: int) -> bool:
        """Make the memory so many pages larger; False if it may not be."""
        try:
            self._memory.grow(self.store, pages)
        except wasmtime.WasmtimeError:
            return False
        return True

    def address(self, start: int, size: int) -> int:
        """Return where bytes of the memory lie until it grows. Raises: Trapped if it has none."""
        if start < 0 or size < 0 or start + size > self.pages * PAGE:
            raise Trapped(f"{size:,} bytes at {start:,} lie outside of the module's memory")
        return ctypes.addressof(self._memory.data_ptr(self.store).contents) + start

    def read(self, start: int, size: int) -> bytes:
        """Copy bytes out of the memory. Raises: Trapped."""
        return ctypes.string_at(self.address(start, size), size) if size else b""

    def write(self, start: int, data: bytes) -> None:
        """Copy bytes into the memory. Raises: Trapped."""
        if data:
            ctypes.memmove(self.address(start, len(data)), data, len(data))

    def close(self) -> None:
        """Let go of it: host functions hold it, so that nothing else would."""
        self.store.close()


def _refuse(place: Place, *_given: Any) -> None:
    raise Trapped(f"the module calls {place[0]}.{place[1]}, which is not here")


def _assembled(text: str) -> wasmtime.Module:
    return wasmtime.Module(_engine(), bytes(wasmtime.wat2wasm(text)))


def _func(extern: Any) -> wasmtime.Func:
    assert isinstance(extern, wasmtime.Func), "the glue was written here"
    return extern


def _extern(kind: object) -> Extern:
    if isinstance(kind, wasmtime.FuncType):
        params = tuple(str(each) for each in kind.params)
        return Extern("function", Signature(params, tuple(str(each) for each in kind.results)))
    if isinstance(kind, wasmtime.MemoryType):
        limits = kind.limits
        return Extern(
            "memory", pages=(limits.min, limits.max), wide=kind.is_64, shared=kind.is_shared
        )
    names: dict[type, Kind] = {
        wasmtime.TableType: "table",
        wasmtime.GlobalType: "global",
        wasmtime.TagType: "tag",
    }
    return Extern(names.get(type(kind), "other"))


def _line(error: BaseException) -> str:
    """Write wasmtime's own account of a fault in one line, without addresses of code."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [
        line
        for line in lines
        if line and not line.startswith(("error while", "0:", "wasm back", "Caused by", "note:"))
    ]
    causes = [line.split(": ", 1)[-1] for line in told if line[:1].isdigit() or "wasm trap" in line]
    text = (causes or told or [type(error).__name__])[-1]
    return text.encode("ascii", "backslashreplace").decode()[:_SHOWN]
