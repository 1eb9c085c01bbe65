"""Model inference: what may be asked of a model, and the engines that answer.

Importing this package loads neither llama.cpp nor numpy: they belong to the child process
that runs a model (see ``isolated``) and to whoever imports ``llama_cpp`` by its full name.
"""

from __future__ import annotations

from benchpool.inference.engine import (
    Answer,
    ChoicesAnswer,
    ChoicesRequest,
    CompleteRequest,
    Engine,
    EngineStats,
    GenerateRequest,
    Generation,
    LoadedModel,
    LogLikelihood,
    ModelCard,
    Request,
    Runtime,
    Unanswered,
)

__all__ = [
    "Answer",
    "ChoicesAnswer",
    "ChoicesRequest",
    "CompleteRequest",
    "Engine",
    "EngineStats",
    "GenerateRequest",
    "Generation",
    "LoadedModel",
    "LogLikelihood",
    "ModelCard",
    "Request",
    "Runtime",
    "Unanswered",
]
