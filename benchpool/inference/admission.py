"""Try a model file before anybody relies on it, in a process that may die of it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchpool.errors import ModelFileError
from benchpool.inference.engine import (
    ChoicesRequest,
    EngineStats,
    GenerateRequest,
    ModelCard,
    Precision,
    Runtime,
    Unanswered,
)
from benchpool.inference.files.gguf_header import read_loadable
from benchpool.inference.files.hashing import hash_file
from benchpool.inference.isolated import IsolatedEngine

TRIAL_TIMEOUT_S = 60.0
_TRIAL = ChoicesRequest("The sky is", (" blue", " green"))
_MEASURE = [
    ChoicesRequest(f"{number} plus {number + 1} is a sum, and a sum of", (" whole numbers", " two"))
    for number in range(24)
]


class Admission(msgspec.Struct, frozen=True):
    """A model file that loads and answers on this machine."""

    card: ModelCard
    runtime: Runtime


class PrecisionTrial(msgspec.Struct, frozen=True):
    """What the two ways of computing reach on this machine, one thread, tokens a second."""

    stored: float
    bf16: float

    @property
    def bf16_pays_off(self) -> bool:
        """Whether BF16 is clearly faster here; on a CPU without BF16 units it is slower."""
        return self.bf16 > 1.1 * self.stored


def admit(
    path: Path,
    *,
    timeout_s: float = TRIAL_TIMEOUT_S,
    memory_bytes: int | None = None,
    children: int = 1,
) -> Admission:
    """Walk the header, load the model with every tensor checked, and have it say something.

    The last two happen in a child process of their own, which ends with this call.

    Args:
        path: The file.
        timeout_s: For loading, and for the answer.
        memory_bytes: See `IsolatedEngine`.
        children: See `IsolatedEngine`.

    Raises:
        ModelFileError: Not a model, or one that computes no numbers.
        ModelDied: Loading or answering ended the child process, or took too long.
    """
    read_loadable(path)
    sha256 = hash_file(path)
    with IsolatedEngine(
        path,
        threads=1,
        load_timeout_s=timeout_s,
        answer_timeout_s=timeout_s,
        memory_bytes=memory_bytes,
        children=children,
    ) as engine:
        scored, _ = engine.answer([_TRIAL, GenerateRequest("Hello", max_tokens=2)])
        if isinstance(scored, Unanswered):
            raise ModelFileError(f"{path}: a trial question failed: {scored.reason}")
        return Admission(
            card=msgspec.structs.replace(engine.card, sha256=sha256),
            runtime=engine.runtime,
        )


def compare_precisions(path: Path, *, copies: Path | None = None) -> PrecisionTrial:
    """Measure on this machine whether a BF16 copy is faster, by turns; takes seconds.

    Raises:
        InferenceError: The model cannot be loaded or transcoded.
    """
    with (
        IsolatedEngine(path, threads=1, copies=copies, children=2) as stored,
        IsolatedEngine(path, threads=1, precision="bf16", copies=copies, children=2) as bf16,
    ):
        best: dict[Precision, float] = {"stored": 0.0, "bf16": 0.0}
        for _ in range(2):
            for engine in (stored, bf16):
                rate = _tokens_per_second(engine)
                precision = engine.runtime.precision
                best[precision] = max(best[precision], rate)
        return PrecisionTrial(**best)


def _tokens_per_second(engine: IsolatedEngine) -> float:
    before = EngineStats()
    before.add(engine.stats)
    engine.answer(_MEASURE)
    spent = engine.stats.since(before)
    return 1000 * spent.tokens / spent.milliseconds
