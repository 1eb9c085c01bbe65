"""Keep one BF16 copy of each model file, made by llama.cpp's own quantizer."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchpool.errors import ModelFileError
from benchpool.fetching.hashing import hash_file
from benchpool.inference.files.folders import default_cache
from benchpool.inference.files.gguf_header import GgufHeader, read_header
from benchpool.inference.files.sealed import Identity, is_sealed, own_folder, publish

Quantize = Callable[[Path, Path], None]
"""Write the file at the first path to the second, in BF16."""

BF16_BYTES: Final = 2
"""Of a weight in BF16."""


def bf16_copy(
    header: GgufHeader,
    quantize: Quantize,
    *,
    build: str,
    folder: Path | None = None,
    sha256: str | None = None,
    checked: Identity | None = None,
) -> Path:
    """Return the BF16 copy of a model file, made now if there is none.

    The copy's name holds the hash of its source and the build that made it. One that is not as it
    was made, or that somebody else could have changed, is made anew: see `sealed`.

    Args:
        header: Of the model file.
        quantize: Makes the copy.
        build: What makes it.
        folder: Of the copies; None for the one beside the model cache.
        sha256: The model file's hash if it is known.
        checked: A copy whose bytes were checked already.

    Raises:
        ModelFileError: llama.cpp cannot transcode this file, or there is no room for the copy.
    """
    if all(tensor.type.name in ("BF16", "F32") for tensor in header.tensors) and any(
        tensor.type.name == "BF16" for tensor in header.tensors
    ):
        return header.path
    if sha256 is None:
        sha256 = hash_file(header.path)
    folder = default_folder() if folder is None else folder
    target = folder / f"{sha256}.{re.sub('[^A-Za-z0-9.]+', '-', build)}.bf16.gguf"
    try:
        if not own_folder(folder):
            raise ModelFileError(
                f"{folder} is not a folder of this user's, and a BF16 copy there could be anybody's"
            )
        made_of = f"{sha256} by {build}"
        if not is_sealed(target, made_of, checked):
            _check_room(header, folder)
            _make(header, quantize, target, made_of)
    except OSError as error:
        raise ModelFileError(f"{folder}: no BF16 copy can be kept there: {error}") from error
    return target


def _make(header: GgufHeader, quantize: Quantize, target: Path, made_of: str) -> None:
    # The quantizer leaves a partial file behind when it fails.
    descriptor, name = tempfile.mkstemp(prefix=".incoming-", suffix=".gguf", dir=target.parent)
    os.close(descriptor)
    partial = Path(name)
    try:
        quantize(header.path, partial)
        read_header(partial)
        publish(partial, target, made_of)
    finally:
        partial.unlink(missing_ok=True)


def _check_room(header: GgufHeader, folder: Path) -> None:
    needed = BF16_BYTES * sum(tensor.weights for tensor in header.tensors)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelFileError(
            f"{header.path}: a BF16 copy has {needed:,} bytes, and {free:,} are free in {folder}"
        )


def default_folder() -> Path:
    """The folder of BF16 copies: beside the model cache."""
    return default_cache().parent / "bf16"
