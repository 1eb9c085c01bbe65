"""SiqaDataset: Social IQa, three answers to a question about people in everyday situations."""

from __future__ import annotations

from typing import Any, ClassVar

from benchpool.evaluation import prompts
from benchpool.evaluation.sample import Sample, parse_samples
from benchpool.evaluation.scorers import retrieve_letter
from processes.dataset import DatasetProcess
from processes.dataset.parts import DatasetCard, Prediction, generated_text, most_likely


class SiqaDataset(DatasetProcess):
    """Asked by `cloze`, as the reference harness does, or for `letters`."""

    card: ClassVar[DatasetCard] = DatasetCard("Social IQa", 3, ("cloze", "letters"))

    def load_samples(self, data: bytes, name: str) -> list[Sample]:
        """Read a JSON list, JSON Lines or the official archive."""
        return parse_samples(data, name=name)

    def build_request(self, sample: Sample, protocol: str) -> dict[str, Any]:
        """Ask for the likelihoods of the answers, or show all three and ask for a letter."""
        if protocol == "cloze":
            cloze = prompts.cloze(sample)
            return {"prompt": cloze.prompt, "choices": list(cloze.continuations)}
        system = self.system_prompt or prompts.DEFAULT_SYSTEM_PROMPT
        letters = prompts.letters(sample, system=system)
        tokens = prompts.LETTERS_TOKENS
        return {"prompt": letters.user, "system": letters.system, "max_tokens": tokens}

    def retrieve(self, answer: dict[str, Any], sample: Sample, protocol: str) -> Prediction:
        """Take the most likely answer, or the one whose letter came back."""
        if protocol == "cloze":
            return most_likely(answer, sample)
        return Prediction(retrieve_letter(generated_text(answer)))
