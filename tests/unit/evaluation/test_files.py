"""Files of questions are read whole, and only up to a size."""

from __future__ import annotations

from pathlib import Path

import pytest
from compiled_files import KINDS

from benchpool.client.deployment import find_compiled
from benchpool.client.evaluating.questions import load_questions
from benchpool.errors import DatasetError
from benchpool.evaluation import compiled, files
from benchpool.evaluation.compiled import read_compiled
from benchpool.evaluation.sample import load_samples
from benchpool.network import Network
from benchpool.tasks.checking import check_dataset, read_dataset

BIG = 1 << 30


def grown(path: Path, data: bytes) -> Path:
    """Write a file of a gigabyte that takes no room."""
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(BIG)
    return path


@pytest.mark.parametrize("read", [check_dataset, read_dataset, load_questions, load_samples])
@pytest.mark.parametrize("data", [KINDS[0], b"{}"])
def test_a_gigabyte_is_refused_before_it_is_read(tmp_path, read, data):
    with pytest.raises(DatasetError, match=r"big\.jsonl: is too large"):
        read(grown(tmp_path / "big.jsonl", data))


def test_no_pool_is_made_of_a_gigabyte(tmp_path):
    path = grown(tmp_path / "big.jsonl", KINDS[0])
    with Network(seed=1) as network:
        with pytest.raises(DatasetError, match="is too large"):
            find_compiled(network, path)
        assert not network.data.files()


def test_what_tells_no_size_is_read_up_to_the_bound(monkeypatch):
    monkeypatch.setattr(files, "MAX_PLAIN_BYTES", 1000)
    with pytest.raises(DatasetError, match="/dev/zero: is too large"):
        files.read_file(Path("/dev/zero"))


def test_more_questions_than_told_are_not_read(monkeypatch):
    header, _, rest = KINDS[0].partition(b"\n")
    with pytest.raises(DatasetError, match="holds more questions, and its header tells of 2"):
        read_compiled(header + b"\n" + rest * 1000 + b"no question", "x")
    told = header.replace(b'"count":2', b'"count":1000001')
    with pytest.raises(DatasetError, match="line 1: is no header"):
        read_compiled(told + b"\n" + rest, "x")
    monkeypatch.setattr(compiled, "MAX_BYTES", 10)
    with pytest.raises(DatasetError, match="at most 10 can be read"):
        read_compiled(KINDS[0], "x")
