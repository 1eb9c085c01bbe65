"""What a data set makes of the answers: a row each, and scores and reports of a model's rows."""

from __future__ import annotations

from typing import Any

import msgspec

from benchpool.errors import BenchpoolError, HandlerError
from benchpool.evaluation.protocol import STORED, Protocol
from benchpool.process import Message, handler
from processes.counts import write_counts
from processes.dataset.base import DatasetBase, model_tags
from processes.dataset.evaluations import Task
from processes.dataset.reports import report


class Answering(DatasetBase):
    """Judges answers, and tells how far a model is."""

    @handler("Inference-Response")
    def inference_response(self, message: Message) -> None:
        """Judge an answer. One that nobody waits for, such as a second one, changes nothing."""
        task = self._answered(message)
        if task is None:
            return
        if message.tags.get("Weights") not in ("", task.weights) and task.weights:
            self._records().fail(task, f"answered by other weights: {message.tags['Weights']}")
            return
        try:
            answer = message.json()
            if not isinstance(answer, dict):
                raise HandlerError("the answer is not a JSON object")
            protocol = Protocol.parse(task.protocol)
            if answer.get("precision", STORED) != protocol.precision:
                raise HandlerError(f"it was not computed in {protocol.precision}")
            seen = self.retrieve(answer, task.sample, protocol.method)
        except BenchpoolError as error:
            self._records().fail(task, f"the answer cannot be read: {error}"[:500])
            return
        values: dict[str, Any] = {
            "prediction": seen.choice,
            "correct": self.is_correct(task.sample, seen.choice),
            "prediction_per_character": seen.per_character,
            "correct_per_character": None,
            "margin_nats": seen.margin_nats,
            "answer": answer,
        }
        if seen.per_character is not None:
            values["correct_per_character"] = self.is_correct(task.sample, seen.per_character)
        self._records().finish(task, values, message.timestamp)

    @handler("Inference-Error")
    def inference_error(self, message: Message) -> None:
        """Count a failure of the model."""
        task = self._answered(message)
        if task is not None:
            self._records().fail(task, message.tags.get("Error", "no reason given")[:500])

    @handler("Score", requires=("Model",))
    def score(self, message: Message) -> None:
        """Report how far a model is."""
        model = self._known(message, "Score-Error")
        if model is not None:
            counts = self._records().counts(model)
            numbers = write_counts(counts, self.calculate_score(counts))
            self.reply(message, "Score-Response", [*model_tags(message, model.protocol), *numbers])

    @handler("Get-Report", requires=("Model",))
    def get_report(self, message: Message) -> None:
        """Report what a model's answers show beside their score."""
        model = self._known(message, "Get-Report-Error")
        if model is not None:
            rows = self._records()
            counts = rows.counts(model)
            numbers = write_counts(counts, self.calculate_score(counts))
            shown = report(rows.outcomes(model), self.card.choices)
            tags = [*model_tags(message, model.protocol), ("Weights", model.data_tx), *numbers]
            self.reply(message, "Get-Report-Response", tags, shown)

    @handler("Get-Answers", requires=("Model",))
    def get_answers(self, message: Message) -> None:
        """Tell what became of each question asked of a model."""
        model = self._known(message, "Get-Answers-Error")
        if model is not None:
            facts = [each._asdict() for each in self._records().answers(model)]
            self.reply(message, "Get-Answers-Response", model_tags(message, model.protocol), facts)

    @handler("Get-Questions", requires=("Questions",))
    def get_questions(self, message: Message) -> None:
        """Tell the texts of questions, which are named by their numbers."""
        wanted = set(message.tags["Questions"].split(","))
        texts = [
            {"id": number, **msgspec.structs.asdict(sample)}
            for number, sample in self._records().samples()
            if str(number) in wanted
        ]
        self.reply(message, "Get-Questions-Response", data=texts)

    def _answered(self, message: Message) -> Task | None:
        if not self.state.router or message.sender != self.state.router:
            self.log(f"Ignored: {message.action} from {message.sender}, which was not asked")
            return None
        task = self._records().find_started(message.tags.get("X-Reference"))
        if task is None:
            self.log(f"Ignored: {message.action} that no evaluation waits for")
        elif message.tags.get("Model") not in ("", task.model):
            self.log(f"Ignored: {message.action} of another model, {message.tags['Model']}")
            return None
        return task
