"""PhysicsDataset: which of two ways to do a thing works. A data set of your own in one file."""

from __future__ import annotations

import csv
import io
from typing import Any, ClassVar

from benchpool.errors import DatasetError
from benchpool.evaluation.sample import Sample
from processes.counts import Counts, Figures, accuracy_figures
from processes.dataset import DatasetCard, DatasetProcess, Prediction, most_likely

COLUMNS = ["goal", "first", "second", "right"]


class PhysicsDataset(DatasetProcess):
    """Reads CSV with the columns goal, first, second, right (1 or 2)."""

    # 1. Info: its name, how many choices a question has, how it can be asked.
    card: ClassVar[DatasetCard] = DatasetCard("Everyday physics", 2, ("cloze",))

    # 2. The loader: bytes to samples, all of them or none.
    def load_samples(self, data: bytes, name: str) -> list[Sample]:
        """Read the file."""
        reader = csv.DictReader(io.StringIO(data.decode("utf-8", "replace")))
        if reader.fieldnames != COLUMNS:
            raise DatasetError(f"needs the columns {', '.join(COLUMNS)}", path=name, line=1)
        samples = []
        for row in reader:
            if row["right"] not in ("1", "2") or not (row["first"] and row["second"]):
                raise DatasetError("right must be 1 or 2", path=name, line=reader.line_num)
            choices = (row["first"], row["second"])
            samples.append(Sample("", row["goal"], choices, int(row["right"])))
        if not samples:
            raise DatasetError("holds no questions", path=name)
        return samples

    # 3. The prompt template. The space between prompt and choice belongs to the choice.
    def build_request(self, sample: Sample, protocol: str) -> dict[str, Any]:  # noqa: ARG002
        """Ask which way is the likelier end of the sentence."""
        choices = [f" {choice}" for choice in sample.choices]
        return {"prompt": f"Question: {sample.question}\nAnswer:", "choices": choices}

    # 4. The result retriever: what the model's answer means.
    def retrieve(
        self,
        answer: dict[str, Any],
        sample: Sample,
        protocol: str,  # noqa: ARG002
    ) -> Prediction:
        """Take the likelier way."""
        return most_likely(answer, sample)

    # 5. The evaluator: whether that is right.
    def is_correct(self, sample: Sample, choice: int) -> bool:
        """Compare with the file."""
        return choice == sample.gold

    # 6. The score calculator: the decimals of a Score-Response.
    def calculate_score(self, counts: Counts) -> Figures:
        """Report the accuracy."""
        return accuracy_figures(counts)
