"""The project's own product of BF16 matrices, beside NumPy's in F64."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchpool.inference.files.sealed import SUFFIX
from benchpool.inference.llama import kernel as kernels

BF16, F32 = 30, 0
Plain = ctypes.CFUNCTYPE(
    ctypes.c_bool,
    ctypes.c_void_p,
    *[ctypes.c_int64] * 3,
    *[ctypes.c_void_p, ctypes.c_int64] * 3,
    *[ctypes.c_int] * 3,
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The product, compiled anew, in a process whose llama.cpp stays as it is."""
    path = kernels.compiled(tmp_path_factory.mktemp("kernels")) if kernels.can_run() else None
    if path is None:
        pytest.skip("needs Linux, a CPU with AVX512-BF16 and a C compiler")
    return ctypes.CDLL(str(path))


def bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def matrix(seed: int, rows: int, k: int) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    stored = bf16(np.random.default_rng(seed).standard_normal((rows, k), dtype=np.float32))
    return stored, (stored.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def product(
    library: ctypes.CDLL,
    weights: NDArray[np.uint16],
    tokens: NDArray[np.uint16],
    *,
    thread: int = 0,
    threads: int = 1,
    out: NDArray[np.float32] | None = None,
    weights_type: int = BF16,
) -> NDArray[np.float32]:
    (m, k), n = weights.shape, len(tokens)
    out = np.full((n, m), np.nan, dtype=np.float32) if out is None else out
    params = (ctypes.c_int * 2)(thread, threads)
    sizes = [ctypes.c_int64(size) for size in (m, n, k)]
    places = [
        part
        for data, stride in ((weights, k), (tokens, k), (out, m))
        for part in (ctypes.c_void_p(data.ctypes.data), ctypes.c_int64(stride))
    ]
    function = library.llamafile_sgemm
    function.restype = ctypes.c_bool
    assert function(params, *sizes, *places, weights_type, BF16, F32)
    return out


@settings(max_examples=40, deadline=None)
@given(
    blocks=st.integers(1, 4), depth=st.integers(1, 20), n=st.integers(1, 40), seed=st.integers(0)
)
def test_it_is_the_product(
    library: ctypes.CDLL, blocks: int, depth: int, n: int, seed: int
) -> None:
    weights, exact_weights = matrix(seed, 32 * blocks, 32 * depth)
    tokens, exact_tokens = matrix(seed + 1, n, 32 * depth)
    found = product(library, weights, tokens)
    exact = exact_tokens @ exact_weights.T
    scale = np.abs(exact_tokens) @ np.abs(exact_weights).T
    assert np.all(np.abs(found - exact) <= 1e-5 * scale)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 30), seed=st.integers(0), threads=st.integers(2, 5))
def test_bits_depend_neither_on_other_tokens_nor_on_threads(
    library: ctypes.CDLL, n: int, seed: int, threads: int
) -> None:
    weights, _ = matrix(seed, 96, 64)
    tokens, _ = matrix(seed + 1, n, 64)
    together = product(library, weights, tokens)
    alone = np.concatenate([product(library, weights, tokens[i : i + 1]) for i in range(n)])
    assert together.tobytes() == alone.tobytes()
    shared = np.full_like(together, np.nan)
    for thread in range(threads):
        product(library, weights, tokens, thread=thread, threads=threads, out=shared)
    assert together.tobytes() == shared.tobytes()


@pytest.mark.parametrize(("rows", "k", "kind"), [(48, 64, BF16), (32, 48, BF16), (32, 64, 1)])
def test_what_is_not_for_it_goes_to_llama_cpp(
    library: ctypes.CDLL, rows: int, k: int, kind: int
) -> None:
    asked: list[tuple[int, ...]] = []

    @Plain
    def plain(*arguments: int) -> bool:
        asked.append(arguments[1:4])
        return True

    library.benchpool_connect(plain)
    weights, tokens = matrix(1, rows, k)[0], matrix(2, 3, k)[0]
    product(library, weights, tokens, weights_type=kind)
    assert asked == [(rows, 3, k)]


@pytest.mark.parametrize("shape", [(48, 64), (32, 48)])
def test_what_is_not_for_it_before_it_is_connected_is_left_to_llama_cpp(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    path = kernels.compiled(tmp_path) if kernels.can_run() else None
    if path is None:
        pytest.skip("needs Linux, a CPU with AVX512-BF16 and a C compiler")
    program = f"""
import ctypes
library = ctypes.CDLL({str(path)!r})
library.llamafile_sgemm.restype = ctypes.c_bool
sizes = [ctypes.c_int64(size) for size in ({shape[0]}, 1, {shape[1]})]
room = ctypes.create_string_buffer(1 << 20)
place = (ctypes.c_void_p(ctypes.addressof(room)), ctypes.c_int64(64)) * 3
print(library.llamafile_sgemm((ctypes.c_int * 2)(0, 1), *sizes, *place, 30, 30, 0))
"""
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "False\n")


def _bit(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-100] ^= 1
    path.chmod(0o600)
    path.write_bytes(raw)


def _truncate(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:2000])


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that is quick; every call of it adds a line to this file."""
    calls = tmp_path / "calls"
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "cc"
    script.write_text(
        "#!/bin/sh\necho call >> " + str(calls) + "\n"
        'while [ "$1" != -o ]; do shift; done\nhead -c 5000 /dev/zero > "$2"\n'
    )
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    calls.write_text("")
    return calls


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_bit, id="one bit"),
        pytest.param(_truncate, id="truncated"),
        pytest.param(lambda path: path.chmod(0o777), id="open to all"),
        pytest.param(lambda path: path.with_name(path.name + SUFFIX).unlink(), id="without a seal"),
        pytest.param(lambda path: os.chown(path, 65534, 65534), id="another's", marks=AS_ROOT),
    ],
)
def test_a_library_that_is_not_as_it_was_made_is_compiled_anew(
    tmp_path: Path, compiler: Path, change: Callable[[Path], None]
) -> None:
    folder = tmp_path / "kernels"
    library = kernels.compiled(folder)
    assert library is not None
    made = library.read_bytes()
    assert kernels.compiled(folder) == library
    assert compiler.read_text().count("call") == 1
    change(library)
    assert kernels.compiled(folder) == library
    assert library.read_bytes() == made
    assert library.stat().st_uid == os.geteuid()
    assert compiler.read_text().count("call") == 2


def _link(folder: Path) -> None:
    (folder.parent / "real").mkdir()
    folder.symlink_to(folder.parent / "real")


def _anothers(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 65534, 65534)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(_link, id="a link"),
        pytest.param(lambda folder: folder.write_text(""), id="a file"),
        pytest.param(_anothers, id="another's", marks=AS_ROOT),
    ],
)
def test_a_folder_that_is_not_this_users_is_not_used(
    tmp_path: Path,
    compiler: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Callable[[Path], None],
) -> None:
    folder, loaded = tmp_path / "kernels", []
    place(folder)
    monkeypatch.setattr(kernels, "can_run", lambda: True)
    monkeypatch.setattr(kernels, "_mapped_library", lambda: None)
    monkeypatch.setattr(kernels, "_load", loaded.append)
    assert kernels.compiled(folder) is None
    kernels.load_kernel(folder)
    (path,) = loaded
    assert tmp_path not in path.parents
    assert not path.exists(), "nothing of it is left"
    assert not folder.is_dir() or not list(folder.iterdir())


def test_a_compiler_that_fails_is_called_once(
    tmp_path: Path, compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "cc"
    script.write_text(f"#!/bin/sh\necho call >> {compiler}\nexit 1\n")
    monkeypatch.setattr(kernels, "can_run", lambda: True)
    monkeypatch.setattr(kernels, "_mapped_library", lambda: None)
    assert kernels.load_kernel(tmp_path / "kernels") is None
    assert compiler.read_text().count("call") == 1
    assert list((tmp_path / "kernels").iterdir()) == []


def test_without_a_compiler_llama_cpp_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert kernels.compiled(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("plain", ["", "1"])
def test_the_runtime_names_the_product_that_computed(
    library: ctypes.CDLL, tiny: Path, plain: str
) -> None:
    program = """
import sys
from pathlib import Path
from benchpool.inference.engine import ChoicesRequest
from benchpool.inference.llama.kernel import products
from benchpool.inference.llama.llama_cpp import LlamaCppEngine
from benchpool.inference.llama.native import KERNEL
path = Path(sys.argv[1])
for precision in ("stored", "bf16"):
    with LlamaCppEngine(path, precision=precision, copies=path.parent) as engine:
        engine.answer([ChoicesRequest("one two", (" three", " four"))])
        count = products(KERNEL) if KERNEL else 0
        print(precision, "product" in engine.runtime.build, count > 0)
"""
    found = subprocess.run(
        [sys.executable, "-c", program, str(tiny)],
        env={**os.environ, kernels.PLAIN: plain},
        capture_output=True,
        text=True,
        check=True,
    )
    used = not plain
    assert found.stdout.splitlines() == ["stored False False", f"bf16 {used} {used}"]
