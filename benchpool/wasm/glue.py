"""Glue: longjmp and the copying of memory, written as WebAssembly for each module.

An error in Lua is a longjmp: the module calls `invoke_*`, which calls back into it, and somewhere
inside `_emscripten_throw_longjmp` ends that call. In Python each would cost a thousand times what
it costs here, and a level of the native stack.

The module needs these functions before it exists, and they need its own. So there are two modules:
forwarders, which exist first and call what stands in a table, and the bodies, which are made last
and put there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from benchpool.wasm.shapes import Outline, Place, Signature

_THROW: Final = "_emscripten_throw_longjmp"
_COPIES: Final = frozenset(
    {"_emscripten_memcpy_js", "emscripten_memcpy_js", "emscripten_memcpy_big", "memcpy"}
)
_INVOKE: Final = re.compile(r"invoke_([vijfd]+)")
_NEEDED: Final = ("setThrew", "_emscripten_stack_restore", "emscripten_stack_get_current")


@dataclass(frozen=True, slots=True)
class Glue:
    """What is written for one module.

    Attributes:
        forwarders: Text of the module that exports each of the functions, and the table `t`.
        bodies: Text of the module that exports what the forwarders call; it imports from `m`.
        places: The imports that are served so, in the order of the table.
        needs: The module's exports that the bodies import.
    """

    forwarders: str
    bodies: str
    places: tuple[Place, ...]
    needs: tuple[str, ...]


def write_glue(outline: Outline) -> Glue | None:
    """Write the glue of a module; None if it needs none."""
    bodies: dict[Place, tuple[Signature, str]] = {}
    needs: dict[str, str] = {}
    names = {place[1] for place, _ in outline.imports}
    for place, extern in outline.imports:
        signature, name = extern.signature, place[1]
        if signature is None or place[0] != "env":
            continue
        body = None
        if name == _THROW and not signature.params:
            body = "throw $longjmp"
        elif name in _COPIES and _is_copy(signature, outline.pointer):
            body = _copy(signature)
        elif _INVOKE.fullmatch(name) and _THROW in names:
            body = _invoke(outline, signature, name, needs)
        if body is not None:
            bodies[place] = (signature, body)
    if not bodies:
        return None
    return Glue(
        _forwarders(bodies),
        _bodies(outline, bodies, needs),
        tuple(bodies),
        ("memory", *needs),
    )


def _is_copy(signature: Signature, pointer: str) -> bool:
    return signature.params == (pointer,) * 3 and signature.results in ((), (pointer,))


def _copy(signature: Signature) -> str:
    copied = "(memory.copy (local.get 0) (local.get 1) (local.get 2))"
    return f"{copied} (local.get 0)" if signature.results else copied


def _invoke(outline: Outline, signature: Signature, name: str, needs: dict[str, str]) -> str | None:
    """Write one `invoke_*`, as AO's loader has it; None if the module lacks what it takes."""
    called = f"dynCall_{name.removeprefix('invoke_')}"
    restore, threw, current, call = (
        outline.function(each)
        for each in (
            "_emscripten_stack_restore",
            "setThrew",
            "emscripten_stack_get_current",
            called,
        )
    )
    pointer = outline.pointer
    if (
        restore != Signature((pointer,), ())
        or current != Signature((), (pointer,))
        or threw is None
        or threw.results
        or len(threw.params) != 2
        or call is None
        or call.results != signature.results
        or len(call.params) != len(signature.params)
    ):
        return None
    given = []
    for number, (has, wants) in enumerate(zip(signature.params, call.params, strict=True)):
        widened = _as(f"(local.get {number})", has, wants)
        if widened is None:
            return None
        given.append(widened)
    for each in (*_NEEDED, called):
        found = outline.function(each)
        assert found is not None, "it was looked at above"
        needs[each] = f'(import "m" "{each}" (func ${each} {_type(found)}))'
    nothing = " ".join(f"({kind}.const 0)" for kind in signature.results)
    first, second = (
        f"({kind}.const {value})" for kind, value in zip(threw.params, (1, 0), strict=True)
    )
    return f"""
    (local $sp {pointer})
    (local.set $sp (call $emscripten_stack_get_current))
    (block $caught
      (try_table (catch $longjmp $caught)
        (return (call ${called} {" ".join(given)}))))
    (call $_emscripten_stack_restore (local.get $sp))
    (call $setThrew {first} {second})
    {nothing}"""


def _as(value: str, has: str, wants: str) -> str | None:
    if has == wants:
        return value
    if (has, wants) == ("i64", "i32"):
        return f"(i32.wrap_i64 {value})"
    if (has, wants) == ("i32", "i64"):
        return f"(i64.extend_i32_u {value})"
    return None


def _type(signature: Signature) -> str:
    parts = []
    if signature.params:
        parts.append(f"(param {' '.join(signature.params)})")
    if signature.results:
        parts.append(f"(result {' '.join(signature.results)})")
    return " ".join(parts)


def _forwarders(bodies: dict[Place, tuple[Signature, str]]) -> str:
    lines = ["(module", f'  (table (export "t") {len(bodies)} funcref)']
    for number, (signature, _) in enumerate(bodies.values()):
        given = " ".join(f"(local.get {each})" for each in range(len(signature.params)))
        lines.append(f"  (type $t{number} (func {_type(signature)}))")
        lines.append(f'  (func (export "f{number}") (type $t{number}) {given}')
        lines.append(f"    (call_indirect (type $t{number}) (i32.const {number})))")
    return "\n".join([*lines, ")"])


def _bodies(
    outline: Outline, bodies: dict[Place, tuple[Signature, str]], needs: dict[str, str]
) -> str:
    wide = "i64 " if outline.wide else ""
    lines = ["(module", f'  (import "m" "memory" (memory {wide}0))', *needs.values()]
    lines.append("  (tag $longjmp)")
    for number, (signature, body) in enumerate(bodies.values()):
        lines.append(f'  (func (export "f{number}") {_type(signature)} {body})')
    return "\n".join([*lines, ")"])
