"""What the scripts here measure and print with: medians, percentiles, a port, Markdown tables."""

from __future__ import annotations

import platform
import socket
from collections.abc import Sequence
from statistics import median


def percentile(values: Sequence[float], share: int) -> float:
    """Return the value that so many in a hundred do not exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * share // 100)]


def spread(values: Sequence[float]) -> tuple[str, str, str]:
    """Write the median, the lowest and the highest of some figures."""
    return f"{median(values):,.0f}", f"{min(values):,.0f}", f"{max(values):,.0f}"


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def machine() -> str:
    """Say what Python on what processor measures."""
    return f"Python {platform.python_version()}, {platform.machine()}"


def row(*cells: object) -> str:
    """Write a row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def print_head(*columns: str) -> None:
    """Print the head of a Markdown table."""
    print(row(*columns), row(*["---"] * len(columns)).replace(" ", ""), sep="\n", flush=True)


def print_row(*cells: object) -> None:
    """Print a row of a Markdown table, as soon as it is known."""
    print(row(*cells), flush=True)
