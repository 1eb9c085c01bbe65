"""What the machine has, with files in place of those of the kernel."""

import pytest

from benchpool.inference import machine

GIB = 1 << 30


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "own")

    def write(own, **limits):
        (tmp_path / "own").write_text(own)
        for name, limit in limits.items():
            path = tmp_path / "cgroup" / name.replace("__", "/")
            path.mkdir(parents=True, exist_ok=True)
            for file in ("memory.max", "memory.limit_in_bytes"):
                (path / file).write_text(f"{limit}\n")

    return write


@pytest.mark.parametrize(
    ("own", "limits", "found"),
    [
        ("0::/a/b\n", {"a__b": 1000}, 1000),
        ("0::/a/b\n", {"a__b": "max", "a": 500}, 500),
        ("0::/a/b\n", {"a__b": 300, "a": 500}, 300),
        ("0::/elsewhere\n", {".": 700}, 700),
        ("0::/../../etc\n", {".": 700}, 700),
        ("3:cpuset:/\n4:cpu,memory:/x\n0::/\n", {"memory__x": 200}, 200),
        ("4:cpu:/x\n", {"memory__x": 200}, None),
        ("0::/a\n", {"a": "max"}, None),
        ("0::/a\n", {"a": "nonsense"}, None),
        ("0::/a\n", {"a": 0}, None),
        ("nonsense\n", {".": 5}, None),
        ("", {}, None),
    ],
)
def test_the_narrowest_limit_of_the_control_group_counts(place, own, limits, found):
    place(own, **limits)
    physical = machine.os.sysconf("SC_PHYS_PAGES") * machine.os.sysconf("SC_PAGE_SIZE")
    assert machine.memory_bytes() == (physical if found is None else found)


def test_a_system_without_control_groups_has_its_memory(place, tmp_path):
    assert machine.memory_bytes() > 0


@pytest.mark.parametrize(
    ("memory", "file", "children", "limit"),
    [
        (64 * GIB, 0, 1, 3 * GIB),
        (64 * GIB, 4 * GIB, 2, 11 * GIB),
        (4 * GIB, 0, 1, 3 * GIB),
        (2 * GIB, 0, 2, 3 * GIB // 4),
        (2 * GIB, 1 * GIB, 1, 3 * GIB // 2),
    ],
)
def test_all_children_together_leave_memory_to_others(monkeypatch, memory, file, children, limit):
    monkeypatch.setattr(machine, "memory_bytes", lambda: memory)
    assert machine.child_memory_bytes(file, children) == limit
    assert children * limit <= memory * 3 // 4
