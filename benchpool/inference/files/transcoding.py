"""Keep one BF16 copy of each model file, made by llama.cpp's own quantizer."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchpool.inference.files.gguf_header import GgufHeader, read_header

Quantize = Callable[[Path, Path], None]
"""Write the file at the first path to the second, in BF16."""


def bf16_copy(
    header: GgufHeader,
    quantize: Quantize,
    *,
    build: str,
    folder: Path | None = None,
    sha256: str | None = None,
) -> Path:
    """Return the BF16 copy of a model file, made now if there is none.

    The copy's name holds the hash of its source and the build that made it; it appears by one
    rename, so what has that name is whole.

    Raises:
        ModelFileError: llama.cpp cannot transcode this file.
    """
    if all(tensor.type.name in ("BF16", "F32") for tensor in header.tensors) and any(
        tensor.type.name == "BF16" for tensor in header.tensors
    ):
        return header.path
    if sha256 is None:
        sha256 = hash_file(header.path)
    folder = default_folder() if folder is None else folder
    target = folder / f"{sha256}.{re.sub('[^A-Za-z0-9.]+', '-', build)}.bf16.gguf"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    # The quantizer leaves a partial file behind when it fails.
    descriptor, name = tempfile.mkstemp(prefix=".incoming-", suffix=".gguf", dir=folder)
    os.close(descriptor)
    partial = Path(name)
    try:
        quantize(header.path, partial)
        read_header(partial)
        partial.chmod(0o444)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def default_folder() -> Path:
    """The folder of BF16 copies: beside the model cache."""
    from benchpool.inference.files.catalogue import default_cache  # noqa: PLC0415 - slow to import

    return default_cache().parent / "bf16"


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
