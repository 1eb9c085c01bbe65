"""A network with every module of the package `processes`, and an engine that follows a script."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import pytest
import typer.testing
from hypothesis import settings

from benchpool.errors import InferenceError
from benchpool.inference.engine import (
    ChoicesAnswer,
    ChoicesRequest,
    Generation,
    LogLikelihood,
    ModelCard,
    Outcome,
    Precision,
    Progress,
    Request,
    Runtime,
    Unanswered,
)
from benchpool.network import Network
from benchpool.process.process import Process
from benchpool.process.registry import Registry

# No time limits, which a busy machine would break, and the same examples on every machine.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

# Homes in memory: a commit waits for no disk. What a test kills, it kills by a signal, and that a
# file system in memory survives as a disk does.
_MEMORY, _ROOM = Path("/dev/shm"), 2 << 30
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# llama.cpp's threads wait for one another without using up a core that other tests need.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# What tests are made of, and the programs that they start, is compiled once and not each time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# All commands are made from their functions once, and not for each line that a test runs.
typer.testing._get_command = functools.cache(typer.testing._get_command)

MODULES = {
    "WrappedAR": "processes.wrapped_ar",
    "Benchmark": "processes.benchmark",
    "SiqaDataset": "processes.siqa",
    "CompiledDataset": "processes.compiled",
    "LlamaRouter": "processes.llama_router",
    "LlamaWorker": "processes.llama_worker",
    "LlamaHerder": "processes.llama_herder",
}


class SourceRegistry(Registry):
    """Finds the modules of this repository when asked for, without an installed package."""

    def find(self, name: str) -> type[Process]:
        if name in MODULES and name not in self._added:
            self.add(getattr(import_module(MODULES[name]), name))
        return super().find(name)


class ScriptedEngine:
    """A stand-in for a model: no inference, but numbers made from a hash of file and request.

    The words of a prompt may ask for more: "too long" is never answered, "not a number" gets a
    likelihood that is none, "crash" ends the model.
    """

    def __init__(self, path: Path, precision: Precision = "stored") -> None:
        self._seed = path.read_bytes()
        self.batches: list[list[Request]] = []
        self.closed = False
        self.runtime = Runtime("scripted", "any", precision, "canonical-1")

    @property
    def card(self) -> ModelCard:
        name = self._seed.decode()
        if "broken" in name:
            raise InferenceError("not a model")
        return ModelCard(
            name=name,
            architecture="scripted",
            parameters=1000,
            quantization="F32",
            context_tokens=64,
            layers=1,
            vocabulary=2,
            tokenizer="none",
            size_bytes=len(self._seed),
        )

    def answer(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> list[Outcome]:
        self.batches.append(list(requests))
        answers = [self._answer(request) for request in requests]
        if progress is not None:
            progress(len(answers), len(requests))
        return answers

    def _answer(self, request: Request) -> Outcome:
        prompt = request.prompt if isinstance(request, ChoicesRequest) else request.user
        if "crash" in prompt:
            return InferenceError("the model's process ended")
        if "too long" in prompt:
            return Unanswered("the prompt is longer than the context")
        words = len(prompt.split())
        if isinstance(request, ChoicesRequest):
            bad = "not a number" in prompt
            return ChoicesAnswer(
                tuple(
                    LogLikelihood(
                        float("nan") if bad else -self._number(prompt, choice) / 7,
                        len(choice.split()),
                    )
                    for choice in request.choices
                ),
                words,
            )
        letter = "ABC"[self._number(request.system, prompt) % 3]
        text = " ".join([letter] * request.max_tokens)
        return Generation(text, words, request.max_tokens, "length")

    def _number(self, *texts: str) -> int:
        digest = hashlib.sha256(b"\0".join([self._seed, *(text.encode() for text in texts)]))
        return int.from_bytes(digest.digest()[:2], "big")

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


@pytest.fixture
def engines() -> list[ScriptedEngine]:
    """The engines that the network opened, in order."""
    return []


@pytest.fixture
def network(engines: list[ScriptedEngine]) -> Iterator[Network]:
    """A network in memory whose models are stand-ins."""

    def open_engine(path: Path, precision: Precision) -> ScriptedEngine:
        engines.append(ScriptedEngine(path, precision))
        return engines[-1]

    with Network(seed=1, registry=SourceRegistry(), engine_factory=open_engine) as network:
        yield network


@pytest.fixture
def open_network(engines: list[ScriptedEngine]) -> Callable[[Path], Network]:
    """Open the network of a home folder, with the same stand-ins; a second time, go on there."""

    def open_engine(path: Path, precision: Precision) -> ScriptedEngine:
        engines.append(ScriptedEngine(path, precision))
        return engines[-1]

    return lambda home: Network(home, seed=1, registry=SourceRegistry(), engine_factory=open_engine)


@pytest.fixture
def scripted_engine() -> type[ScriptedEngine]:
    """The stand-in itself: an engine factory for a network that a test opens."""
    return ScriptedEngine
