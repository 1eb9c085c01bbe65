"""Read what a GGUF file says about itself, without llama.cpp.

llama.cpp aborts the process on some bad files and names no reason for most others. This walk
reads files from strangers: it is bounded in time and memory, never maps the file (a mapped
file that shrinks kills the reader), and answers with a header or a ``ModelFileError``.

Source: ggml's docs/gguf.md (versions 2 and 3, little-endian) and the checks in gguf.cpp.
"""

from __future__ import annotations

import hashlib
import stat
import struct
from collections import Counter
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

from benchpool.errors import ModelFileError
from benchpool.inference import machine
from benchpool.inference.engine import ModelCard
from benchpool.inference.files.ggml_types import FILE_TYPES, TENSOR_TYPES, TensorType
from benchpool.inference.texts import bounded

MAX_HEADER_BYTES = 256 << 20
MAX_STRING_BYTES = 16 << 20
MAX_KEY_BYTES = 1 << 16
MAX_TENSOR_NAME_BYTES = 64
MAX_METADATA = 1 << 16
MAX_TENSORS = 1 << 17
MAX_ARRAY = 1 << 24
MAX_LAYERS = 512  # llama.cpp aborts the process beyond this
MAX_WEIGHTS = 1 << 48

MAGIC = b"GGUF"
_MOST_TEXT = 200
_READ_BYTES = 1 << 20
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_STRING = 8
_ARRAY = 9
_SCALARS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: _U32,
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: _U64,
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}

Value = str | int | float | bool


class Tensor(NamedTuple):
    """One entry of the tensor table. ``offset`` counts bytes from the start of the data."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int

    @property
    def weights(self) -> int:
        """Number of weights."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    @property
    def size_bytes(self) -> int:
        """Bytes of data, without padding."""
        return self.weights // self.type.block * self.type.size_bytes


class GgufHeader(NamedTuple):
    """A GGUF file's metadata and tensor table.

    ``metadata`` holds scalars and strings; ``array_lengths`` only the lengths of the arrays.
    """

    path: Path
    version: int
    size_bytes: int
    metadata: dict[str, Value]
    array_lengths: dict[str, int]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        """The model family as llama.cpp names it."""
        return str(self.metadata["general.architecture"])

    def card(self, name: str, *, sha256: str | None = None) -> ModelCard:
        """Describe the model under the name that its user gave it."""
        return ModelCard(
            name=bounded(name, _MOST_TEXT),
            architecture=bounded(self.architecture, _MOST_TEXT),
            parameters=sum(tensor.weights for tensor in self.tensors),
            quantization=self._quantization(),
            context_tokens=self._integer("context_length"),
            layers=self._integer("block_count"),
            vocabulary=self.array_lengths.get("tokenizer.ggml.tokens", 0),
            tokenizer=bounded(str(self.metadata.get("tokenizer.ggml.model", "")), _MOST_TEXT),
            size_bytes=self.size_bytes,
            sha256=sha256,
            chat_template_sha256=self._chat_template_sha256(),
        )

    def _integer(self, key: str) -> int:
        value = self.metadata.get(f"{self.architecture}.{key}", 0)
        return value if isinstance(value, int) else 0

    def _chat_template_sha256(self) -> str | None:
        template = self.metadata.get("tokenizer.chat_template")
        if not isinstance(template, str) or not template:
            return None
        return hashlib.sha256(template.encode(errors="surrogatepass")).hexdigest()

    def _quantization(self) -> str:
        file_type = self.metadata.get("general.file_type")
        if isinstance(file_type, int) and file_type in FILE_TYPES:
            return FILE_TYPES[file_type]
        # Vectors stay in F32 in every file: only matrices tell how it was quantized.
        matrices = [tensor for tensor in self.tensors if len(tensor.shape) > 1]
        return Counter(tensor.type.name for tensor in matrices or self.tensors).most_common(1)[0][0]


def read_header(path: Path) -> GgufHeader:
    """Walk the header of a GGUF file and check that all tensor data is there.

    Raises:
        ModelFileError: No such file, not a GGUF file, truncated, or not a model that
            llama.cpp could load; names the file and the reason.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ModelFileError(f"{path} is a directory, not a GGUF file")
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError(f"{path} is not a regular file")
        with path.open("rb") as file:
            return _Walk(path, file, status.st_size).header()
    except FileNotFoundError:
        raise ModelFileError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from error


def read_loadable(path: Path, *, elsewhere: bool = False) -> GgufHeader:
    """Walk the header of a file that is going to be loaded, hashed or copied.

    Args:
        path: The file.
        elsewhere: Whether another machine loads it, with whatever memory that has.

    Raises:
        ModelFileError: As `read_header`; or the file is larger than this machine's memory.
    """
    header = read_header(path)
    memory = machine.memory_bytes()
    if not elsewhere and header.size_bytes > memory:
        raise ModelFileError(
            f"{path} has {header.size_bytes:,} bytes, and this machine has {memory:,} of memory: "
            "it cannot be loaded here"
        )
    return header


class _Walk:
    """A cursor over the header: ``position`` is a file offset, ``data`` what was read so far."""

    def __init__(self, path: Path, file: BinaryIO, size_bytes: int) -> None:
        self.path = path
        self.file = file
        self.size_bytes = size_bytes
        self.data = bytearray()
        self.position = 0

    def header(self) -> GgufHeader:
        version, tensor_count, metadata_count = self._preamble()
        metadata: dict[str, Value] = {}
        array_lengths: dict[str, int] = {}
        for _ in range(metadata_count):
            key = self._string(MAX_KEY_BYTES, "a metadata key")
            if key in metadata or key in array_lengths:
                self._refuse(f"metadata key {key!r} occurs twice")
            kind = self._number(_U32)
            if kind == _ARRAY:
                array_lengths[key] = self._skip_array(key)
            else:
                metadata[key] = self._value(kind, key)
        self._check_metadata(metadata)
        tensors = tuple(self._tensor() for _ in range(tensor_count))
        self._check_tensors(tensors, metadata)
        return GgufHeader(self.path, version, self.size_bytes, metadata, array_lengths, tensors)

    def _preamble(self) -> tuple[int, int, int]:
        if self.size_bytes == 0:
            self._refuse("the file is empty")
        self._fill(4)
        magic = bytes(self.data[:4])
        if magic != MAGIC:
            kind = "a zip archive" if magic[:2] == b"PK" else "not a GGUF file"
            self._refuse(f"it is {kind} (starts with {magic!r}, not b'GGUF')")
        self.position = 4
        version = self._number(_U32)
        if version not in (2, 3):
            self._refuse(f"GGUF version {version} is not supported, only 2 and 3 are")
        tensor_count = self._number(_U64)
        metadata_count = self._number(_U64)
        if not 1 <= tensor_count <= MAX_TENSORS:
            self._refuse(f"implausible number of tensors: {tensor_count}")
        if not 1 <= metadata_count <= MAX_METADATA:
            self._refuse(f"implausible number of metadata entries: {metadata_count}")
        return version, tensor_count, metadata_count

    def _value(self, kind: int, key: str) -> Value:
        if kind == _STRING:
            return self._string(MAX_STRING_BYTES, key)
        scalar = _SCALARS.get(kind)
        if scalar is None:
            self._refuse(f"metadata {key!r} has unknown type {kind}")
        self._fill(self.position + scalar.size)
        value: int | float | bool = scalar.unpack_from(self.data, self.position)[0]
        self.position += scalar.size
        return value

    def _skip_array(self, key: str) -> int:
        kind = self._number(_U32)
        length = self._number(_U64)
        if length > MAX_ARRAY:
            self._refuse(f"implausible length of {key!r}: {length}")
        if kind == _STRING:
            self._skip_strings(length, key)
        elif kind in _SCALARS:
            self.position += length * _SCALARS[kind].size
            self._fill(self.position)
        else:
            self._refuse(f"array {key!r} has elements of unknown type {kind}")
        return length

    def _skip_strings(self, count: int, key: str) -> None:
        # A vocabulary has up to 262,144 entries: this loop is most of the walk's time.
        data, position, unpack = self.data, self.position, _U64.unpack_from
        available = len(data) - 8
        for _ in range(count):
            if position > available:
                self._fill(position + 8)
                available = len(data) - 8
            length = unpack(data, position)[0]
            if length > MAX_STRING_BYTES:
                self._refuse(f"implausible length of a string in {key!r}: {length} bytes")
            position += 8 + length
        self._fill(position)
        self.position = position

    def _tensor(self) -> Tensor:
        name = self._string(MAX_TENSOR_NAME_BYTES, "a tensor name")
        dimensions = self._number(_U32)
        if not 1 <= dimensions <= 4:
            self._refuse(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._number(_U64) for _ in range(dimensions))
        kind = self._number(_U32)
        if kind not in TENSOR_TYPES:
            self._refuse(f"tensor {name!r} has unknown type {kind}")
        tensor = Tensor(name, shape, TENSOR_TYPES[kind], self._number(_U64))
        if not 1 <= tensor.weights <= MAX_WEIGHTS or shape[0] % tensor.type.block:
            self._refuse(f"tensor {name!r} has impossible shape {shape} for {tensor.type.name}")
        return tensor

    def _check_metadata(self, metadata: dict[str, Value]) -> None:
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            self._refuse("general.architecture is missing")
        layers = metadata.get(f"{architecture}.block_count")
        if layers is None:
            self._refuse(f"{architecture}.block_count is missing: not a language model")
        if not isinstance(layers, int) or not 1 <= layers <= MAX_LAYERS:
            self._refuse(f"{architecture}.block_count is {layers}, not 1 to {MAX_LAYERS}")
        parts = metadata.get("split.count", 0)
        if isinstance(parts, int) and parts > 1:
            self._refuse(f"it is one of {parts} parts; merge them with llama-gguf-split first")

    def _check_tensors(self, tensors: tuple[Tensor, ...], metadata: dict[str, Value]) -> None:
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
            self._refuse(f"general.alignment is {alignment}, not a power of two from 8 on")
        start = -(-self.position // alignment) * alignment
        expected = 0
        for tensor in tensors:
            if tensor.offset != expected:
                self._refuse(f"tensor {tensor.name!r} starts at {tensor.offset}, not {expected}")
            if start + tensor.offset + tensor.size_bytes > self.size_bytes:
                self._refuse(f"it is truncated inside tensor {tensor.name!r}")
            expected += -(-tensor.size_bytes // alignment) * alignment
        if self.size_bytes > start + expected:
            self._refuse(f"{self.size_bytes - start - expected:,} bytes follow its last tensor")
        if len({tensor.name for tensor in tensors}) != len(tensors):
            self._refuse("two tensors have the same name")

    def _number(self, number: struct.Struct) -> int:
        self._fill(self.position + number.size)
        value: int = number.unpack_from(self.data, self.position)[0]
        self.position += number.size
        return value

    def _string(self, limit: int, what: str) -> str:
        length = self._number(_U64)
        if length > limit:
            self._refuse(f"implausible length of {what}: {length} bytes")
        end = self.position + length
        self._fill(end)
        text = self.data[self.position : end].decode("utf-8", errors="replace")
        self.position = end
        return text

    def _fill(self, end: int) -> None:
        """Read on until ``data`` reaches the file offset ``end``."""
        if end <= len(self.data):
            return
        if end > self.size_bytes:
            self._refuse("it is truncated inside the header")
        if end > MAX_HEADER_BYTES:
            self._refuse(f"its header is longer than {MAX_HEADER_BYTES >> 20} MiB")
        self.data += self.file.read(max(end - len(self.data), _READ_BYTES))
        if len(self.data) < end:
            self._refuse("it shrank while it was read")

    def _refuse(self, reason: str) -> NoReturn:
        raise ModelFileError(f"{self.path} is not a usable model: {bounded(reason)}")
