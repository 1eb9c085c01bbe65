"""What a model is shown of a sample, under each protocol.

A score means nothing without the exact text that was asked: a change to anything here is a new
template id, and two template ids never share a leaderboard.
"""

from __future__ import annotations

import re
from string import ascii_uppercase
from typing import Final, NamedTuple

from benchpool.evaluation.compiled import ChoicesQuestion, led_choices
from benchpool.evaluation.sample import Sample

CLOZE_TEMPLATE: Final = "siqa-cloze/1"
LETTERS_TEMPLATE: Final = "siqa-letters/1"
COMPILED_LETTERS_TEMPLATE: Final = "compiled-letters/1"

LETTERS: Final = "ABC"
LETTERS_TOKENS: Final = 4
"""Tokens to generate: a letter, and room for what some models put around it."""

DEFAULT_SYSTEM_PROMPT: Final = (
    "You are given a situation, a question about it and three answers, A, B and C. "
    "Choose the answer that is most likely correct. "
    "Reply with its letter alone: A, B or C."
)

COMPILED_SYSTEM_PROMPT: Final = (
    "You are given a question and answers to it, each after a letter. "
    "Choose the answer that is most likely correct. "
    "Reply with its letter alone."
)

_CALL: Final = re.compile(r"(^|\n)(Answer|A):\s*$")
"""How a prompt ends that waits for the answer itself."""


class ClozePrompt(NamedTuple):
    """A prefix and the continuations whose log-likelihoods are compared."""

    prompt: str
    continuations: tuple[str, ...]
    """In the order of the choices. Each begins with the space that the prefix does not end in:
    tokenizers join a space to the word after it, so the prefix keeps its own tokens."""


class LettersPrompt(NamedTuple):
    """What a chat model is told and asked."""

    system: str
    user: str

    def as_text(self) -> str:
        """The same for a model without a chat template; the reply goes after ``Answer:``."""
        return f"{self.system}\n\n{self.user}\nAnswer:"


def cloze(sample: Sample) -> ClozePrompt:
    """Ask by likelihood: the model never sees the choices side by side.

    Source: lm-evaluation-harness, ``lm_eval/tasks/siqa/siqa.yaml`` (``social_iqa`` 0.0): prompt
    ``doc_to_text``, continuations ``target_delimiter`` (a space) and ``doc_to_choice``.
    """
    asked = f"Q: {sample.context} {sample.question}\n" if sample.question else ""
    return ClozePrompt(
        prompt=f"{asked}A:",
        continuations=tuple(f" {choice}" for choice in sample.choices),
    )


def letters(sample: Sample, *, system: str = DEFAULT_SYSTEM_PROMPT) -> LettersPrompt:
    """Ask for a letter, as the proof of concept did; ``retrieve_letter`` reads the reply.

    Raises:
        ValueError: A sample that does not have three choices.
    """
    lines = []
    if sample.question:
        lines = [f"Context: {sample.context}", f"Question: {sample.question}"]
    lines += [f"{letter}. {choice}" for letter, choice in zip(LETTERS, sample.choices, strict=True)]
    return LettersPrompt(system=system, user="\n".join(lines))


def compiled_letters(
    question: ChoicesQuestion, *, system: str = COMPILED_SYSTEM_PROMPT
) -> LettersPrompt:
    """Ask a compiled question for a letter: its prompt without a last `Answer:`, then the choices.

    Choices that are letters themselves stand in the prompt already and are not listed again.

    Raises:
        ValueError: More choices than there are letters.
    """
    shown = led_choices(question) if question.leads else question.texts
    texts = [text.strip() for text in shown]
    if len(texts) > len(ascii_uppercase):
        raise ValueError(f"{len(texts)} choices; there are {len(ascii_uppercase)} letters")
    lines = [_CALL.sub("", question.prompt.rstrip()).strip()]
    if texts != list(ascii_uppercase[: len(texts)]):
        lines += map("{}. {}".format, ascii_uppercase, texts)
    return LettersPrompt(system=system, user="\n".join(filter(None, lines)))
