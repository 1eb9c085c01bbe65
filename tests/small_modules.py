"""Small modules of WebAssembly in the shape of AO's, written here."""

import json
from functools import cache
from typing import Any

import pytest


@cache
def small_module(output: str = "hello", **response: Any) -> bytes:
    """Make a module that counts its messages at address 8 and answers each of them the same.

    Args:
        output: its Output.
        response: what else it answers: Messages, Spawns, Assignments as JSON texts.
    """
    wasmtime = pytest.importorskip("wasmtime")
    lists = {name: json.loads(response.get(name, "[]")) for name in ("Messages", "Spawns")}
    answer = {"ok": True, "response": {"Output": output, "Assignments": [], **lists}}
    text = json.dumps(answer).replace("\\", "\\\\").replace('"', '\\"')
    source = f"""
    (module (memory (export "memory") 2)
      (global $top (mut i32) (i32.const 65536))
      (func (export "malloc") (param $size i32) (result i32) (local $at i32)
        (local.set $at (global.get $top))
        (global.set $top (i32.add (global.get $top) (local.get $size)))
        (local.get $at))
      (func (export "handle") (param i32 i32) (result i32)
        (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
        (i32.const 1024))
      (data (i32.const 1024) "{text}\\00"))
    """
    return bytes(wasmtime.wat2wasm(source))


def spawning_module(*modules: str) -> bytes:
    """Make a module that spawns a process of each of these modules for each message."""
    spawns = [
        {
            "Data": "made",
            "Anchor": f"{number:032d}",
            "Tags": [{"name": "Module", "value": module}, {"name": "Type", "value": "Process"}],
        }
        for number, module in enumerate(modules, 1)
    ]
    return small_module("spawned", Spawns=json.dumps(spawns))


def sending_module(target: str) -> bytes:
    """Make a module that sends a message to a process for each message."""
    tags = [{"name": "Action", "value": "Ping"}]
    message = {"Target": target, "Data": "", "Anchor": "0" * 32, "Tags": tags}
    return small_module("sent", Messages=json.dumps([message]))
