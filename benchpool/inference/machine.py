"""What this machine has, and what of it the models may have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_UNKNOWN_BYTES: Final = 16 << 30
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUPS: Final = Path("/proc/self/cgroup")
_CHILD_BYTES: Final = 3 << 30


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or what its control group allows of it.

    A guess on systems that do not tell.
    """
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        physical = _UNKNOWN_BYTES
    return min([physical, *_cgroup_limits()])


def child_memory_bytes(file_bytes: int, children: int = 1) -> int:
    """What a child process that runs a model may allocate beside the mapped file.

    As much as any sound model needs; and never so much that all children together could take
    more than three quarters of the memory.

    Args:
        file_bytes: Size of the model file.
        children: That run at the same time.
    """
    return min(_CHILD_BYTES + 2 * file_bytes, memory_bytes() * 3 // (4 * children))


def _cgroup_limits() -> list[int]:
    """The limits of this process's control group and of those that it lies in."""
    try:
        lines = _OWN_CGROUPS.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
    limits = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if "memory" in controllers.split(","):
            folder, name = _CGROUPS / "memory", "memory.limit_in_bytes"
        elif place and not controllers:  # the second edition
            folder, name = _CGROUPS, "memory.max"
        else:
            continue
        # In a container the path may be the host's, and what is mounted is the group itself.
        parts = [part for part in place.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            try:
                limit = int(folder.joinpath(*parts[:depth], name).read_text(encoding="ascii"))
            except (OSError, ValueError):  # not there, or "max"
                continue
            if limit > 0:
                limits.append(limit)
    return limits
