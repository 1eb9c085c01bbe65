"""Engines whose models run on the nodes of a Ray cluster."""

from __future__ import annotations

from pathlib import Path

from benchpool.inference.cores import ChildOptions
from benchpool.inference.engine import LayoutName
from benchpool.inference.engine_pool import CONTEXT_TOKENS, EnginePool
from benchpool.inference.machine import usable_cores
from benchpool.inference.ray.address import LOCAL, check_address
from benchpool.inference.ray.frames import Settings
from benchpool.inference.ray.link import require_ray
from benchpool.inference.ray.places import RayPlaces


def ray_engines(
    where: str,
    *,
    node_memory_bytes: int | None = None,
    child_memory_bytes: int | None = None,
    seconds: float = 0,
    answers: Path | None = None,
    layout: LayoutName | None = None,
    context_tokens: int = CONTEXT_TOKENS,
) -> EnginePool:
    """Return engines on a cluster, which is looked for when they are first used.

    Args:
        where: "ray" for a cluster of this machine alone, "ray://HOST:PORT", or an address.
        node_memory_bytes: Bound on all loaded models of a node; None for half of what it has.
        child_memory_bytes: What a child may allocate; see `IsolatedEngine`.
        seconds: That a model may compute on one call; see `EnginePool`.
        answers: Folder of answers, which is on this machine.
        layout: How requests meet.
        context_tokens: Longest request.

    Raises:
        PrerequisiteError: Ray is not installed.
        ConfigError: That is no address of a cluster.
    """
    check_address(where)
    require_ray()
    settings = Settings("" if where == LOCAL else where, usable_cores())
    options = ChildOptions(
        context_tokens=context_tokens, copies=None, layout=layout, memory_bytes=child_memory_bytes
    )
    places = RayPlaces(settings, options, node_memory_bytes=node_memory_bytes)
    return EnginePool(
        places=places, seconds=seconds, answers=answers, context_tokens=context_tokens
    )
