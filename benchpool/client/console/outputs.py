"""Outputs: what a process says of an evaluation, whichever module it is of.

Source: the results of aos 1 and 2, as AO's own console reads them: the text of an Eval is
`Output.data.output` or `Output.data`, the prompt is `Output.data.prompt` or `Output.prompt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from benchpool.ao.message import Result


@dataclass(frozen=True, slots=True)
class Output:
    """Texts for people. They may hold the colours that the process gave them.

    Attributes:
        text: what was evaluated or printed.
        prompt: what the process asks for the next line with; empty if it does not.
        error: why the evaluation failed; empty if it did not.
    """

    text: str
    prompt: str
    error: str


def read(result: Result) -> Output:
    """Read what a result says."""
    said = _given(result)
    data = said.get("data") if isinstance(said, dict) else said
    inner = data if isinstance(data, dict) else {}
    prompt = inner.get("prompt") or (said.get("prompt") if isinstance(said, dict) else None)
    text = inner.get("output", "" if "prompt" in inner else data)
    return Output(_text(text), prompt if isinstance(prompt, str) else "", result.error)


def _given(result: Result) -> Any:
    """Return the Output that a module gave; of others, the lines that were logged."""
    if not result.given:
        return result.output
    try:
        response = msgspec.json.decode(result.given)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return result.output
    return response.get("Output", "") if isinstance(response, dict) else ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None or value in ({}, []) else msgspec.json.encode(value).decode()
