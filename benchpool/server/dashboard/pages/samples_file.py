"""A file of samples that an evaluation wrote: the page of an entry, without a pool."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from benchpool.client.evaluating.run import Evaluation
from benchpool.client.evaluating.summary import summarise
from benchpool.client.samples import Sample, sample_of_record
from benchpool.errors import DatasetError
from benchpool.server.dashboard.page import Asked, Page, nothing
from benchpool.server.dashboard.pages.board import Party
from benchpool.server.dashboard.pages.entry import EntryView, differing
from benchpool.server.dashboard.pages.shelf import Outcome, Shelf, confusion, pick


def shelf_of_evaluation(evaluation: Evaluation) -> Shelf:
    """Return the samples of one model of a file."""
    records = {each.question: each for each in evaluation.records}
    outcomes = [
        Outcome(
            number,
            "unscored" if each.unscored else "done",
            None if each.unscored else each.correct,
            each.margin_nats,
            each.prediction,
        )
        for number, each in sorted(records.items())
    ]

    def load(questions: Collection[int]) -> list[Sample]:
        return [sample_of_record(records[n]) for n in sorted(questions) if n in records]

    return Shelf(outcomes, load)


def view(evaluations: Sequence[Evaluation], asked: Asked) -> EntryView:
    """Show one model of a file, by default the first. Raises: DatasetError if it is not there."""
    named = {each.model: each for each in evaluations}
    model = asked.text("model") or evaluations[0].model
    beside = asked.text("beside")
    for each in filter(None, (model, beside)):
        if each not in named:
            raise DatasetError(f"no model {each[:60]!r} in this file; there are {', '.join(named)}")
    evaluation = named[model]
    figures, first = summarise(evaluation), evaluation.records[0]
    shelf = shelf_of_evaluation(evaluation)
    other = named.get(beside)
    more = {} if other is None else differing(shelf_of_evaluation(other), beside)
    facts = [("Data", first.data), ("SHA-256", first.data_sha256), ("Protocol", first.protocol)]
    facts += [("Weights", first.weights), ("Runtime", first.runtime)]
    facts += [("Unscored", f"{count:,}: {reason}") for reason, count in figures["reasons"].items()]
    return EntryView(
        pool=None,
        model=model,
        name=model,
        participant=None,
        correct=figures["correct"],
        n=figures["questions"],
        total=figures["questions"],
        accuracy=figures["accuracy"],
        interval=figures["interval"],
        chance=figures["chance"],
        rank_set=[],
        provisional=False,
        warnings=[],
        facts=[(name, value) for name, value in facts if value],
        others=[Party(each, each) for each in named if each != model],
        beside=None if other is None else Party(beside, beside),
        picked=pick(shelf, asked, more),
        confusion=None if set(asked.query) - {"model"} else confusion(shelf),
    )


PAGES: Final = (Page("/samples", "entry.html", view, nothing),)
