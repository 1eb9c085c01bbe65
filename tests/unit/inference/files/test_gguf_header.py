import struct
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchpool.errors import ModelFileError
from benchpool.inference.files import gguf_header
from benchpool.inference.files.gguf_header import read_header, read_loadable

U32, STRING = 4, 8


def test_header_tells_what_the_model_is(tiny):
    header = read_header(tiny)
    card = header.card("tiny", sha256="ab")
    assert (card.name, card.architecture, card.quantization) == ("tiny", "llama", "F32")
    assert (card.layers, card.context_tokens, card.vocabulary) == (1, 1024, 259)
    assert card.parameters == 2 * 32 * 259 + 3 * 32 + 4 * 32 * 32 + 3 * 32 * 64
    assert card.size_bytes == tiny.stat().st_size
    assert card.chat_template_sha256 is None
    assert header.array_lengths["tokenizer.ggml.tokens"] == 259


def test_version_two_is_read_too(write_gguf, tmp_path):
    assert read_header(write_gguf(tmp_path / "v2.gguf", version=2)).version == 2


def test_quantization_without_a_file_type_is_that_of_the_matrices(write_gguf, tmp_path):
    path = write_gguf(tmp_path / "m.gguf", metadata={"general.file_type": None})
    assert read_header(path).card("m").quantization == "F32"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (bytes(range(256)), "not a GGUF file"),
        (b"GGU", "truncated"),
        (b"GGUF", "truncated inside the header"),
        (b"GGUF" + struct.pack("<IQQ", 1, 1, 1), "version 1 is not supported"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1), "is not supported"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1), "implausible number of tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 60), "implausible number of metadata"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1 << 62), "implausible length of a metadata key"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1), "implausible number of tensors: 0"),
    ],
)
def test_refuses_what_is_no_header(tmp_path, content, reason):
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=reason) as refusal:
        read_header(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("cut", [1, 2, 1000, 40_000])
def test_refuses_truncated_weights(tiny, tmp_path, cut):
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:-cut])
    with pytest.raises(ModelFileError, match="truncated"):
        read_header(path)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"llama.block_count": (U32, 0)}, "block_count is 0"),
        ({"llama.block_count": (U32, 1000)}, "block_count is 1000"),
        ({"llama.block_count": None}, "block_count is missing"),
        ({"llama.block_count": (STRING, "1")}, "block_count is 1, not"),
        ({"general.architecture": None}, "architecture is missing"),
        ({"general.architecture": (U32, 7)}, "architecture is missing"),
        ({"general.alignment": (U32, 24)}, "not a power of two"),
        ({"split.count": (U32, 3)}, "one of 3 parts"),
        ({"odd": (9, (9, []))}, "unknown type 9"),
    ],
)
def test_refuses_impossible_metadata(write_gguf, tmp_path, metadata, reason):
    path = write_gguf(tmp_path / "bad.gguf", metadata=metadata)
    with pytest.raises(ModelFileError, match=reason):
        read_header(path)


def test_refuses_a_key_that_occurs_twice(tiny, tmp_path):
    content = tiny.read_bytes().replace(b"llama.context_length", b"llama.context_lengtx")
    content = content.replace(b"general.file_type", b"general.file_typo")
    path = tmp_path / "twice.gguf"
    path.write_bytes(content.replace(b"general.file_typo", b"general.name_____"))
    read_header(path)
    path.write_bytes(
        content.replace(
            struct.pack("<Q", 17) + b"general.file_typo",
            struct.pack("<Q", 17) + b"llama.block_count",
        )
    )
    with pytest.raises(ModelFileError, match="occurs twice"):
        read_header(path)


def test_refuses_what_is_no_file(tmp_path):
    with pytest.raises(ModelFileError, match="is a directory"):
        read_header(tmp_path)
    with pytest.raises(ModelFileError, match="does not exist"):
        read_header(tmp_path / "nothing.gguf")
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_header(Path("/dev/zero"))
    archive = tmp_path / "model.gguf"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model.gguf", "x")
    with pytest.raises(ModelFileError, match="zip archive"):
        read_header(archive)


def _read_or_refuse(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        header = read_header(path)
    except ModelFileError:
        return
    header.card("fuzz")
    assert 1 <= len(header.tensors) <= 1 << 17


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 9000), st.binary(min_size=1, max_size=8)), max_size=4)
)
def test_changed_bytes_are_read_or_refused(tiny, tmp_path_factory, changes):
    content = bytearray(tiny.read_bytes())
    for place, new in changes:
        content[place : place + len(new)] = new
    _read_or_refuse(tmp_path_factory.getbasetemp() / "fuzz.gguf", bytes(content))


@settings(max_examples=200, deadline=None)
@given(tail=st.binary(max_size=400))
def test_random_bytes_are_refused(tmp_path_factory, tail):
    head = b"GGUF" + struct.pack("<I", 3)
    _read_or_refuse(tmp_path_factory.getbasetemp() / "random.gguf", head + tail)


def grow(path, size):
    """Make a file larger without writing to the disk."""
    with path.open("r+b") as file:
        file.truncate(size)
    return path


def test_what_follows_the_last_tensor_is_refused(tiny, tmp_path):
    path = tmp_path / "tail.gguf"
    size = tiny.stat().st_size
    path.write_bytes(tiny.read_bytes())
    assert read_header(path).size_bytes == size
    with pytest.raises(ModelFileError, match="1 bytes follow its last tensor"):
        read_header(grow(path, size + 1))


@pytest.mark.parametrize("take", ["read_header", "read_loadable"])
def test_a_sparse_file_of_a_tebibyte_is_refused_at_once(tiny, tmp_path, take):
    path = tmp_path / "sparse.gguf"
    path.write_bytes(tiny.read_bytes())
    with pytest.raises(ModelFileError, match="bytes follow its last tensor"):
        getattr(gguf_header, take)(grow(path, 1 << 40))


def test_a_file_larger_than_the_memory_is_not_loaded(tiny, tmp_path, monkeypatch):
    size = tiny.stat().st_size
    monkeypatch.setattr(gguf_header.machine, "memory_bytes", lambda: size)
    assert read_loadable(tiny).size_bytes == size
    monkeypatch.setattr(gguf_header.machine, "memory_bytes", lambda: size - 1)
    assert read_header(tiny).size_bytes == size
    wanted = f"has {size:,} bytes, and this machine has {size - 1:,} of memory"
    with pytest.raises(ModelFileError, match=wanted):
        read_loadable(tiny)


@pytest.mark.parametrize(
    "metadata",
    [
        {"general.architecture": (8, "x" * (1 << 20))},
        {"x" * 60_000: (8, "y")},
        {"general.alignment": (8, "x" * (1 << 20))},
        {"tokenizer.ggml.model": (8, "x" * (1 << 20))},
    ],
)
def test_what_a_file_says_is_told_at_no_length(write_gguf, tmp_path, metadata):
    path = write_gguf(tmp_path / "long.gguf", metadata=metadata)
    said = []
    try:
        said += msgspec.to_builtins(read_header(path).card("n" * 10_000)).values()
    except ModelFileError as error:
        said.append(error)
    assert all(len(str(each)) < 3000 for each in said)
