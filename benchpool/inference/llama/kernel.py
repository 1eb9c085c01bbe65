"""The project's own matrix product, compiled for this machine when it is first needed.

llama.cpp was compiled here as well, so there is a compiler; where there is none, or the CPU has
no BF16 units, llama.cpp's own product is used. Runtimes name the product, since bits differ.

What is loaded runs with all rights of this user, so it is a library that this user compiled and
that nobody else could have changed since; anything else under its name is compiled anew.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchpool.inference.files.folders import default_cache
from benchpool.inference.files.sealed import is_sealed, own_folder, publish

NAME = "bf16-product 1"
PLAIN = "BENCHPOOL_PLAIN_PRODUCTS"
"""Environment variable: not empty, it leaves llama.cpp as it is."""
_SOURCE = Path(__file__).with_name("bf16_product.c")
_FLAGS = ("-O3", "-std=gnu11", "-mavx512f", "-mavx512bf16", "-shared", "-fPIC")
_COMPILE_S = 60


def load_kernel(folder: Path | None = None) -> ctypes.CDLL | None:
    """Load the product ahead of llama.cpp's library; None where it cannot be used.

    The first of two symbols with one name is the one that is called, so this comes before
    `llama_cpp` is imported, and `connect` after. In a process that has llama.cpp already it is
    too late.

    Args:
        folder: Where the compiled library is kept; None for the cache folder.
    """
    if os.environ.get(PLAIN) or not can_run() or _mapped_library():
        return None
    folder = folder or _default_folder()
    library = compiled(folder)
    if library is not None:
        return _load(library)
    if _can_keep(folder):
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="benchpool-kernel-") as private:
            library = compiled(Path(private))
            return None if library is None else _load(library)
    except OSError:
        return None


def _can_keep(folder: Path) -> bool:
    try:
        return own_folder(folder) and os.access(folder, os.W_OK)
    except OSError:
        return False


def _load(library: Path) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return None


def connect(kernel: ctypes.CDLL) -> bool:
    """Tell the product where llama.cpp's own is, for all that it does not compute itself.

    False where llama.cpp, which must be loaded by now, has no such product to replace.
    """
    path = _mapped_library()
    library = ctypes.CDLL(path) if path else None
    if library is None or not hasattr(library, "llamafile_sgemm"):
        return False
    kernel.benchpool_connect(ctypes.cast(library.llamafile_sgemm, ctypes.c_void_p))
    return True


def products(kernel: ctypes.CDLL) -> int:
    """How many products this process has computed with the kernel."""
    function = kernel.benchpool_products
    function.restype = ctypes.c_int64
    return int(function())


def can_run() -> bool:
    """Whether this machine has the instructions."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    try:
        return " avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def _mapped_library() -> str | None:
    # By the path that is mapped: a wheel may hold the library twice, under two names.
    with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as lines:
        return next(
            (line[line.index("/") :].strip() for line in lines if "libggml-cpu" in line), None
        )


def _default_folder() -> Path:
    return default_cache().parent / "kernels"


def compiled(folder: Path) -> Path | None:
    """Return the compiled library, made now if it is not there as it was made.

    None without a C compiler, and in a folder that this user alone cannot write to.
    """
    try:
        key = hashlib.sha256(_SOURCE.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()
        library = folder / f"bf16_product-{key[:16]}.so"
        if not own_folder(folder):
            return None
        if is_sealed(library, key):
            return library
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler is None:
            return None
        # Several children may compile at a time: what has the name is whole.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".compiling-") as scratch:
            made = Path(scratch) / library.name
            command = [compiler, *_FLAGS, "-o", str(made), str(_SOURCE)]
            subprocess.run(  # noqa: S603 - of our own source
                command, check=True, capture_output=True, timeout=_COMPILE_S
            )
            publish(made, library, key)
    except (OSError, subprocess.SubprocessError):
        return None
    return library
