"""A home that came from elsewhere connects this machine to nobody's cluster."""

import pytest

from benchpool.audit.backup import backup_home, restore_home
from benchpool.audit.export import export_home, import_file
from benchpool.network import Network
from benchpool.units.limits import find_limits, forget_cluster

NAMED = [
    'tags = 77\nworkers = "ray://198.51.100.7:10001"\n',
    "workers = '198.51.100.7:6379'\ntags = 77\n",
    'tags = 77\n"workers" = """ray://198.51.100.7:10001"""\n',
    'tags = 77 # workers\n\nworkers\t=\t"ray"\n',
]


@pytest.fixture(params=NAMED)
def home(request, tmp_path):
    folder = tmp_path / "home"
    with Network(folder, seed=1) as network:
        network.new_wallet("ana")
    (folder / "limits.toml").write_text(request.param)
    assert isinstance(find_limits(folder).workers, str)
    return folder


def check(folder):
    limits = find_limits(folder)
    assert (limits.workers, limits.tags) == (0, 77)
    assert "198.51.100.7" not in (folder / "limits.toml").read_text()


def test_a_restored_home_names_no_cluster(home, tmp_path):
    backup_home(home, tmp_path / "backup.tar")
    restore_home(tmp_path / "backup.tar", tmp_path / "again")
    check(tmp_path / "again")


def test_an_imported_home_names_no_cluster(home, tmp_path):
    export_home(home, tmp_path / "run.jsonl.zst")
    import_file(tmp_path / "run.jsonl.zst", tmp_path / "again")
    check(tmp_path / "again")


@pytest.mark.parametrize("text", ["workers = 3\n# mine\n", "= no TOML", "workers = [\n", ""])
def test_other_limits_stay_as_they_are(tmp_path, text):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    forget_cluster(path)
    assert path.read_text() == text
    forget_cluster(tmp_path / "none.toml")
