"""An AO-compatible message-passing process simulator that runs funded LLM benchmark pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchpool.version import VERSION

if TYPE_CHECKING:
    from benchpool.network import Network, Sent
    from benchpool.process import Message, Process, State, handler

__version__ = VERSION
__all__ = ["Message", "Network", "Process", "Sent", "State", "handler"]

_HOMES = {
    "Message": "benchpool.ao.message",
    "Network": "benchpool.network",
    "Process": "benchpool.process.process",
    "Sent": "benchpool.network",
    "State": "benchpool.process.state",
    "handler": "benchpool.process.process",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for, so that the command line answers --help at once.
    if name in _HOMES:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'benchpool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
