"""A tiny GGUF model."""

import pytest
import tiny_gguf


@pytest.fixture
def tiny(tmp_path):
    return tiny_gguf.write_gguf(tmp_path / "tiny.gguf")
