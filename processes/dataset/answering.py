"""What a data set makes of the answers: a row each, and scores and reports of a model's rows."""

from __future__ import annotations

from typing import Any, Final

from benchpool.ao.tags import Pair
from benchpool.errors import BenchpoolError, HandlerError
from benchpool.evaluation.controls import controlled
from benchpool.evaluation.protocol import STORED, Protocol
from benchpool.process import Message, handler
from processes.counts import Counts, decimal, write_answers, write_counts
from processes.dataset.base import DatasetBase, model_tags
from processes.dataset.evaluations import ModelRow, Task
from processes.dataset.parts import log_likelihoods
from processes.dataset.reports import report
from processes.tag_values import LARGEST

MOST_SAMPLES: Final = 1_000
"""Samples that one Get-Samples tells of at most."""


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
            self._check_runtime(task.model, answer)
            sample = controlled(task.sample, protocol.control)
            seen = self.retrieve(answer, sample, protocol.method)
        except BenchpoolError as error:
            self._records().fail(task, f"the answer cannot be read: {error}"[:500])
            return
        values: dict[str, Any] = {
            "prediction": seen.choice,
            "correct": self.is_correct(sample, seen.choice),
            "prediction_per_character": seen.per_character,
            "correct_per_character": None,
            "margin_nats": seen.margin_nats,
            "answer": answer,
        }
        if seen.per_character is not None:
            values["correct_per_character"] = self.is_correct(sample, seen.per_character)
        self._records().finish(task, values, message.timestamp)

    def _check_runtime(self, model: str, answer: dict[str, Any]) -> None:
        """Check that a model is computed where its pools want it to be. Raises: HandlerError."""
        admitted = self.state.runtimes.get(model, "")
        elsewhere = answer.get("machine", "")  # it is said where that is not what it joined with
        if admitted and elsewhere not in ("", admitted):
            raise HandlerError(
                f"it was computed on runtime {str(elsewhere)[:40]}, and its pool admits"
                f" {admitted} alone"
            )

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
        if model is None:
            return
        tags, counts = self._score(message, model)
        data: list[Any] | str = ""
        if "Answers" in message.tags and self._is_told_all(message):
            data = self._answers(model, counts.total)
        self.reply(message, "Score-Response", tags, data)

    @handler("Get-Report", requires=("Model",))
    def get_report(self, message: Message) -> None:
        """Report what a model's answers show beside their score."""
        model = self._known(message, "Get-Report-Error")
        if model is not None:
            tags, _ = self._score(message, model)
            tags.insert(2, ("Weights", model.data_tx))
            rows = self._records().outcomes(model, told=not self._is_told_all(message))
            found = report(rows, self.card.choices)
            if self._left_out():
                found["left_out"] = [
                    {"reason": reason, "questions": count}
                    for reason, count in self._left_out().items()
                ]
            self.reply(message, "Get-Report-Response", tags, found)

    def _score(self, message: Message, model: ModelRow) -> tuple[list[Pair], Counts]:
        """Return the tags that tell how far a model is, and its counts."""
        rows = self._records()
        tags = model_tags(message, model.protocol)
        if self.edition == 1:
            counts = rows.counts(model)
            # Its scores are of what was answered.
            figures = self.calculate_score(counts._replace(total=counts.evaluated))
            figures = figures._replace(progress=decimal(counts.evaluated, counts.total))
            return [*tags, *write_counts(counts, figures)], counts
        asked = message.tags.get("Samples-SHA-256")
        known = asked if asked in self.state.samples else self._samples_hash()
        if self._is_told_all(message):
            rows.tell(model)
        counts = rows.counts(model, self.state.samples.get(known), told=True)
        numbers = write_counts(counts, self.calculate_score(counts))
        return [*tags, ("Samples-SHA-256", known), *numbers], counts

    def _answers(self, model: ModelRow, most: int) -> list[Any]:
        rows = self._records().final_answers(model, most)
        return write_answers((number, right, log_likelihoods(said)) for number, right, said in rows)

    @handler("Get-Answers", requires=("Model",))
    def get_answers(self, message: Message) -> None:
        """Tell what became of each question asked of a model, as far as the last board counts."""
        model = self._known(message, "Get-Answers-Error")
        if model is not None:
            rows = self._records().answers(model, told=not self._is_told_all(message))
            facts = [each._asdict() for each in rows]
            self.reply(message, "Get-Answers-Response", model_tags(message, model.protocol), facts)

    @handler("Get-Questions", requires=("Questions",))
    def get_questions(self, message: Message) -> None:
        """Tell the texts of questions, which are named by their numbers.

        Which choice is right it does not tell while pools ask them.
        """
        wanted = _numbers(message.tags["Questions"])
        within = (min(wanted, default=1) - 1, max(wanted, default=0))
        texts = [
            {"id": number, **self.shown_question(sample, hide=self._is_asked())}
            for number, sample in self._records().samples(after=within[0], most=within[1])
            if number in wanted
        ]
        self.reply(message, "Get-Questions-Response", data=texts)

    @handler("Get-Samples", requires=("Model", "Questions"))
    def get_samples(self, message: Message) -> None:
        """Tell what a model was asked at questions named by their numbers, and what it answered.

        Answers it tells as far as the last board counts, and of the first `MOST_SAMPLES` questions.
        """
        model = self._known(message, "Get-Samples-Error")
        if model is None:
            return
        protocol = Protocol.parse(model.protocol)
        numbers = sorted(_numbers(message.tags["Questions"]))[:MOST_SAMPLES]
        hide = self._is_asked()
        told = not self._is_told_all(message)
        found = [
            {
                **facts._asdict(),
                "request": self.shown_request(sample, self._asked_of(sample, protocol), hide=hide),
            }
            for facts, sample in self._records().asked_samples(model, numbers, told=told)
        ]
        self.reply(message, "Get-Samples-Response", model_tags(message, model.protocol), found)

    def _is_asked(self) -> bool:
        """Tell whether pools ask these questions, so that nobody may learn what is right."""
        return any(each.funds for each in self.state.shares.values())

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


def _numbers(text: str) -> frozenset[int]:
    """Read numbers joined by commas; what is no number of a question is left out."""
    found = {part: int(part) for part in text.split(",") if part.isascii() and part.isdecimal()}
    return frozenset(n for part, n in found.items() if str(n) == part and 0 < n <= LARGEST)
