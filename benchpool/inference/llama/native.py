"""llama.cpp's library, with the project's own matrix product in it where the CPU can run it.

The only file that imports ``llama_cpp``: the product must be loaded first.
"""

from __future__ import annotations

from benchpool.inference.llama.kernel import connect, load_kernel

_kernel = load_kernel()

import llama_cpp  # noqa: E402 - see above
from llama_cpp import llama_cpp as native  # noqa: E402

KERNEL = _kernel if _kernel is not None and connect(_kernel) else None
"""The product in use; None for llama.cpp's own."""

__all__ = ["KERNEL", "llama_cpp", "native"]
