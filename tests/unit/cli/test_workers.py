"""--workers, and `workers` in limits.toml: how a Ray cluster is named, and who is refused."""

import importlib.util

import pytest

from benchpool.cli.options import read_limits
from benchpool.errors import ConfigError, PrerequisiteError
from benchpool.inference.ray.address import check_address
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
