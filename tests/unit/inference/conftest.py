"""A tiny GGUF model, written here, and the real one when it was pulled."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny_gguf

from benchpool.errors import PrerequisiteError
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.llama.llama_cpp import LlamaCppEngine

WriteGguf = Callable[..., Path]


@pytest.fixture(scope="session")
def write_gguf() -> WriteGguf:
    return tiny_gguf.write_gguf


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def smol() -> Path:
    try:
        return Catalogue().find("smollm2-135m")
    except PrerequisiteError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def smol_engine(smol: Path) -> Iterator[LlamaCppEngine]:
    """The real model, opened once: that takes longer than most questions."""
    with LlamaCppEngine(smol, threads=1) as engine:
        yield engine
