"""--workers, and `workers` in limits.toml: how a Ray cluster is named, and who is refused."""

import importlib.util

import pytest

from benchpool.cli.options import read_limits
from benchpool.cli.workers import show_workers
from benchpool.errors import ConfigError, PrerequisiteError
from benchpool.inference.engine import EngineStats, WorkerView
from benchpool.inference.engines import Engines
from benchpool.inference.ray.address import check_address
from benchpool.inference.remote import RemoteEngines
from benchpool.network import Network
from benchpool.network.build import engines
from benchpool.units.limits import Limits, find_limits

NAMES = ["ray", "auto", "ray://head:10001", "10.0.0.1:6379", "head.example.org:6379"]
NO_NAMES = [
    "",
    "rey",
    "ray://",
    "ray://head",
    "head:port",
    ":6379",
    "head:",
    "head:0",
    "head:65536",
    "http://head:1",
    "head:6379/x",
    "-1",
    "1.5",
    "ray://hëad:1",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_cluster_can_be_named_in_limits_and_on_the_command_line(tmp_path, name):
    check_address(name)
    (tmp_path / "limits.toml").write_text(f'workers = "{name}"\n')
    assert find_limits(tmp_path).workers == name
    assert read_limits(tmp_path, None) is None
    (tmp_path / "limits.toml").write_text("tags = 7\n")
    limits = read_limits(tmp_path, name)
    assert (limits.workers, limits.tags) == (name, 7)
    assert limits.of_this_machine().workers == 0


def test_a_number_is_cores_of_this_machine(tmp_path):
    limits = read_limits(tmp_path, "3")
    assert limits.workers == 3
    assert limits.of_this_machine() is limits


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_names_no_cluster_is_refused(tmp_path, name):
    (tmp_path / "limits.toml").write_text(f'workers = "{name}"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="workers"):
        find_limits(tmp_path)
    (tmp_path / "limits.toml").unlink()
    with pytest.raises(ConfigError, match="workers"):
        read_limits(tmp_path, name)


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PrerequisiteError, match=r"install benchpool\[ray\]"):
        engines(Limits(workers="ray"))


class Busy(Engines):
    """Two workers, and requests that wait for them."""

    def open(self, path, precision="stored", *, runtime=""):
        raise NotImplementedError

    def admit(self, path):
        raise NotImplementedError

    def close(self):
        pass

    def waiting(self):
        return 1234

    def workers(self):
        stats = EngineStats(answered=3, tokens=30, milliseconds=2000)
        ready = WorkerView("a/0.1", "node a", "ready", ("tiny",), "0123456789abcdef", stats)
        return [ready, WorkerView("b/0.2", "node b", "starting", (), "", EngineStats())]


def test_the_table_shows_nodes_models_queue_and_rates_also_beside_model_servers(tmp_path, capsys):
    show_workers(RemoteEngines(Busy(), tmp_path))
    told = capsys.readouterr().out
    for each in ("a/0.1", "node a", "tiny", "0123456789abcdef", "15", "starting", "1,234 requests"):
        assert each in told


def test_a_network_takes_engines(tmp_path):
    with Network(engines=Busy()) as network:
        assert isinstance(network.host.backend, Busy)
