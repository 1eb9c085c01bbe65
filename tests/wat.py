"""Small modules in AO's format, written as text for the tests."""

from __future__ import annotations

from wasmtime import wat2wasm

EMPTY = '{"ok":true,"response":{"Messages":[],"Spawns":[],"Assignments":[],"Output":"said"}}'


def module(
    body: str = "(i64.const 1024)",
    *,
    answer: str | bytes = EMPTY,
    more: str = "",
    imports: str = "",
    memory: str = "i64 2 16",
) -> bytes:
    """Assemble a module whose `handle` is `body` (which gives the place of the answer, 1024).

    A counter stands at 64, the next free byte at 72.
    """
    data = answer.encode() if isinstance(answer, str) else answer
    text = "".join(f"\\{byte:02x}" for byte in data)
    return bytes(
        wat2wasm(f"""(module
          {imports}
          (memory (export "memory") {memory})
          (data (i64.const 1024) "{text}\\00")
          (data (i64.const 72) "\\00\\00\\01\\00")
          (func $count (result i64)
            (i64.store (i64.const 64) (i64.add (i64.load (i64.const 64)) (i64.const 1)))
            (i64.load (i64.const 64)))
          (func (export "malloc") (param i64) (result i64) (local i64)
            (local.set 1 (i64.load (i64.const 72)))
            (i64.store (i64.const 72) (i64.add (local.get 1) (local.get 0)))
            (local.get 1))
          (func (export "free") (param i64)
            (i64.store (i64.const 72) (i64.const 65536)))
          {more}
          (func (export "handle") (param $message i64) (param $environment i64) (result i64)
            {body}))""")
    )
