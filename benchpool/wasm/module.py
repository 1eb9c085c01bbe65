"""WasmModule: a module of AO that is WebAssembly, as a network spawns it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from benchpool.ao.message import ProcessInfo
from benchpool.ao.tags import NO_TAGS, Tags
from benchpool.errors import HandlerError, MessageError, PrerequisiteError
from benchpool.wasm.asking import environment
from benchpool.wasm.process import WasmProcess
from benchpool.wasm.shapes import PAGE, Outline, Signature

if TYPE_CHECKING:
    from benchpool.wasm.driver import Driver
    from benchpool.wasm.files import Files

WASM64: Final = "wasm64-unknown-emscripten-draft_2024_02_15"
WASM32: Final = "wasm32-unknown-emscripten-draft_2024_02_15"
MOST_CODE_BYTES: Final = 128 << 20
_MAGIC: Final = b"\0asm"
_WIDTH: Final = "wasm64"


@dataclass(frozen=True, slots=True)
class Described:
    """What a module's bytes say of it."""

    format: str
    memory_min_bytes: int
    memory_max_bytes: int | None
    """None: as much as its addresses reach."""
    exports: tuple[str, ...]
    imports: tuple[str, ...]
    sha256: str


class WasmModule:
    """Makes processes of a module of WebAssembly.

    Args:
        code: the module's bytes.
        id: 43 characters: its id on AO, or one made here.
        format: as its tags say; empty: as its bytes are.
        compute_limit: fuel that a message may use, at most; None: as the network allows.
        memory_limit_bytes: that a process may have, at most; None: as the network allows.
        tags: of the module's data item.
        owner: who published it.
        name: by which people know it; by default the id.

    `authority` and `scheduler` are the addresses of the network's units: every process trusts its
    messenger. They are a constant of the network, which whoever builds it sets.
    """

    roles: tuple[str, ...] = ()

    def __init__(
        self,
        code: bytes,
        *,
        id: str,  # noqa: A002 - the word of AO
        format: str = "",  # noqa: A002
        compute_limit: int | None = None,
        memory_limit_bytes: int | None = None,
        tags: Tags = NO_TAGS,
        owner: str = "",
        name: str = "",
    ) -> None:
        self.id = id
        self.code = code
        self.sha256 = sha256(code).hexdigest()
        self.format = format
        self.compute_limit = compute_limit
        self.memory_limit_bytes = memory_limit_bytes
        self.tags = tags
        self.owner = owner
        self.__name__ = name or id
        self.authority = ""
        self.scheduler = ""
        self._checked = False

    def __call__(self, info: ProcessInfo) -> WasmProcess:
        """Make a process. Raises: MessageError if these bytes are no module; PrerequisiteError."""
        if not self._checked:
            self._check()
        return WasmProcess(self, info)

    def _check(self) -> None:
        """Look once whether the bytes are what they are said to be."""
        found = check(self.code).format
        if self.format and self.format[: len(_WIDTH)] != found[: len(_WIDTH)]:
            raise MessageError(f"this module is said to be {self.format}, and is {found}")
        self.format = self.format or found
        self._checked = True

    def environment(self, info: ProcessInfo) -> bytes:
        """Write what a process of this module is told of itself."""
        return environment(
            info,
            module_owner=self.owner,
            module_tags=self.tags,
            authority=self.authority,
            scheduler=self.scheduler,
        )

    def driver(self, files: Files, memory_bytes: int) -> Driver:
        """Make a machine that runs it.

        Raises: PrerequisiteError without wasmtime; HandlerError if it cannot begin.
        """
        _need_wasmtime()
        from benchpool.wasm.compiled import compiled  # noqa: PLC0415
        from benchpool.wasm.driver import Driver  # noqa: PLC0415

        limit = min(memory_bytes, self.memory_limit_bytes or memory_bytes)
        return Driver(compiled(self.code, self.sha256), self.sha256, files, limit)


def check(code: bytes) -> Described:
    """Compile a module and look whether it is one of AO's.

    Raises: MessageError in one sentence if it is not; PrerequisiteError without wasmtime.
    """
    _need_wasmtime()
    from benchpool.wasm.compiled import compiled  # noqa: PLC0415

    if not code.startswith(_MAGIC):
        raise MessageError(f"these {len(code):,} bytes are no WebAssembly: they begin otherwise")
    if len(code) > MOST_CODE_BYTES:
        raise MessageError(
            f"this module has {len(code):,} bytes; at most {MOST_CODE_BYTES:,} are compiled"
        )
    digest = sha256(code).hexdigest()
    try:
        outline = compiled(code, digest).outline
    except HandlerError as error:
        raise MessageError(f"this module cannot be compiled: {error}") from None
    fault = fault_of(outline)
    if fault is not None:
        raise MessageError(f"this WebAssembly is no module of AO: {fault}")
    least, most = outline.exports["memory"].pages
    return Described(
        WASM64 if outline.wide else WASM32,
        least * PAGE,
        None if most is None else most * PAGE,
        tuple(outline.exports),
        tuple(f"{module}.{name}" for (module, name), _ in outline.imports),
        digest,
    )


def fault_of(outline: Outline) -> str | None:
    """Say what keeps a module from being run; None if nothing does."""
    memory = outline.exports.get("memory")
    if memory is None or memory.kind != "memory":
        return "it exports no memory"
    if memory.shared:
        return "its memory is shared by threads"
    pointer = outline.pointer
    for name, wanted in (
        ("handle", Signature((pointer, pointer), (pointer,))),
        ("malloc", Signature((pointer,), (pointer,))),
    ):
        found = outline.function(name)
        if found is None:
            return f"it exports no function {name}"
        if found != wanted:
            return f"its function {name} is {found}, not {wanted}"
    for (module, name), extern in outline.imports:
        if extern.kind != "function":
            return f"it imports {module}.{name}, a {extern.kind}, and only functions are given"
    return None


def _need_wasmtime() -> None:
    if find_spec("wasmtime") is None:
        raise PrerequisiteError(
            "a WASM module needs wasmtime, which is not installed: pip install 'benchpool[wasm]'"
        )
