"""Small modules of WebAssembly in the shape of AO's, written here."""

import json
from functools import cache

import pytest


@cache
def small_module(output: str = "hello", *, first: str = "{}") -> bytes:
    """Make a module that counts its messages at address 8 and answers each of them the same.

    Args:
        output: its Output.
        first: what else its first answer holds: an object as JSON.
    """
    wasmtime = pytest.importorskip("wasmtime")
    response = {"Output": output, "Messages": [], "Spawns": [], "Assignments": []}
    begun, rest = (
        json.dumps({"ok": True, "response": each}).replace("\\", "\\\\").replace('"', '\\"')
        for each in (response | json.loads(first), response)
    )
    source = f"""
    (module (memory (export "memory") 4)
      (func (export "malloc") (param i32) (result i32) (i32.const 65536))
      (func (export "handle") (param i32 i32) (result i32)
        (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
        (select (i32.const 1024) (i32.const 32768)
          (i32.eq (i32.load (i32.const 8)) (i32.const 1))))
      (data (i32.const 1024) "{begun}\\00")
      (data (i32.const 32768) "{rest}\\00"))
    """
    return bytes(wasmtime.wat2wasm(source))


def spawning_module(*modules: str) -> bytes:
    """Make a module that spawns a process of each of these modules when it begins."""
    spawns = [
        {
            "Data": "made",
            "Anchor": f"{number:032d}",
            "Tags": [{"name": "Module", "value": module}, {"name": "Type", "value": "Process"}],
        }
        for number, module in enumerate(modules, 1)
    ]
    return small_module("spawned", first=json.dumps({"Spawns": spawns}))


def sending_module(target: str) -> bytes:
    """Make a module that sends a message to a process when it begins."""
    tags = [{"name": "Action", "value": "Ping"}]
    message = {"Target": target, "Data": "", "Anchor": "0" * 32, "Tags": tags}
    return small_module("sent", first=json.dumps({"Messages": [message]}))
