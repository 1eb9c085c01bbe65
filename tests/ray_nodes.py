"""A Ray cluster of several nodes on this machine, for tests: ``python ray_nodes.py NODES FOLDER``.

A program of its own, since Ray does much to the one that imports it. It says where its head
listens, then reads lines that say what it shall do: ``kill N`` or ``add``, until they end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all on the loopback address
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "PYTHONWARNINGS": "ignore",
}


END_S = 180


class Nodes:
    """The cluster, as a test sees it: each node has one CPU and a cache of its own."""

    def __init__(self, count: int, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(count), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
        self.address = self._say()

    def kill(self, node: int) -> None:
        """End a node at once, as if its power had gone."""
        self._tell(f"kill {node}")

    def add(self) -> None:
        """Add a node."""
        self._tell("add")

    def _tell(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        assert self._say() == "done"

    def _say(self) -> str:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("* "):
                return line[2:].strip()
        raise RuntimeError("the cluster is gone")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


def say(what: str) -> None:
    sys.stdout.write(f"* {what}\n")
    sys.stdout.flush()


def main(count: int, folder: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    nodes = []

    def add() -> None:
        cache = folder / f"node-{len(nodes)}"
        nodes.append(cluster.add_node(num_cpus=1, env_vars={"BENCHPOOL_NODE_CACHE": str(cache)}))

    for _ in range(count):
        add()
    say(cluster.address)
    for line in sys.stdin:
        what, _, which = line.strip().partition(" ")
        if what == "kill":
            cluster.remove_node(nodes[int(which)], allow_graceful=False)
        else:
            add()
        say("done")
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
