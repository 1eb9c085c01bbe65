"""Shelves: samples of one model, filtered, searched and leafed through by the number of a question.

What is filtered by is light; the texts are asked for a page at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient
from benchpool.client.samples import Sample, samples_of_entry
from benchpool.client.standing import NEAR_TIE_NATS
from benchpool.server.dashboard.page import Asked

PAGE: Final = 20
"""Samples on a page."""
_PART: Final = 200
"""Samples that are searched at a time."""
MOST_JUDGED: Final = 2_000
"""Answers of which it is counted what was taken for what."""


class Outcome(NamedTuple):
    """What became of a question, without its texts."""

    question: int
    status: str
    correct: bool | None
    margin_nats: float | None
    taken: object
    """What the answer is taken for; None if there is none."""


class Shelf(NamedTuple):
    """The samples of one model."""

    outcomes: Sequence[Outcome]
    """Those that may be told, in the order of their questions."""
    load: Callable[[Collection[int]], list[Sample]]
    """Gives the samples of questions, in their order."""

    def of(self, question: int) -> Outcome | None:
        """Return what became of a question; None if it is not known."""
        return next((each for each in self.outcomes if each.question == question), None)


def shelf_of_entry(client: PoolClient, pool: PoolFacts, model: str) -> Shelf:
    """Return the samples of a pool's entry."""
    rows = {each["question"]: each for each in client.answers(pool, model)}
    outcomes = [
        Outcome(
            number,
            row["status"],
            bool(row["correct"]) if row["status"] == "done" else None,
            row["margin_nats"] if row["status"] == "done" else None,
            row["prediction"] if row["status"] == "done" else None,
        )
        for number, row in sorted(rows.items())
    ]

    def load(questions: Collection[int]) -> list[Sample]:
        wanted = [rows[number] for number in sorted(questions) if number in rows]
        return samples_of_entry(client, pool, model, wanted)

    return Shelf(outcomes, load)


class Filter(msgspec.Struct):
    """Some of the samples."""

    name: str
    label: str
    count: int


class Picked(msgspec.Struct):
    """A page of samples."""

    show: str
    search: str
    filters: list[Filter]
    samples: list[Sample]
    before: int | None
    """For the page before this one; None if there is none."""
    after: int | None
    """For the page behind it."""


Wanted = Callable[[Outcome], bool]
FILTERS: Final[dict[str, tuple[str, Wanted]]] = {
    "all": ("All", lambda _each: True),
    "wrong": ("Wrong", lambda each: each.correct is False),
    "right": ("Right", lambda each: each.correct is True),
    "unscored": ("Unscored", lambda each: each.status == "unscored"),
    "near": (
        "Near ties",
        lambda each: each.margin_nats is not None and each.margin_nats < NEAR_TIE_NATS,
    ),
}
"""By name: the label, and which outcomes pass."""


def pick(shelf: Shelf, asked: Asked, more: dict[str, tuple[str, Wanted]]) -> Picked:
    """Choose a page of samples as somebody asks for it.

    Args:
        shelf: all samples.
        asked: `show` (a filter), `q` (a text to find), and `after` or `before` (a question).
        more: further filters.

    Raises: NoPage for a filter that there is not.
    """
    known = FILTERS | more
    show, search = asked.choice("show", known), asked.text("q")[:200]
    wanted = known[show][1]
    numbers = [each.question for each in shelf.outcomes if wanted(each)]
    backwards = bool(asked.text("before"))
    edge = asked.number("before" if backwards else "after", 0)
    ahead = (
        [n for n in numbers if n < edge][::-1] if backwards else [n for n in numbers if n > edge]
    )
    found: list[Sample] = []
    for sample in _found(shelf, ahead, search):
        found.append(sample)
        if len(found) > PAGE:
            break
    is_more = len(found) > PAGE
    found = found[:PAGE]
    if backwards:
        found.reverse()
    first, last = (found[0].question, found[-1].question) if found else (0, 0)
    any_before = is_more if backwards else bool(edge) and any(n < first for n in numbers)
    any_after = any(n > last for n in numbers) if backwards else is_more
    return Picked(
        show=show,
        search=search,
        filters=[
            Filter(name, label, sum(map(passes, shelf.outcomes)))
            for name, (label, passes) in known.items()
        ],
        samples=found,
        before=first if found and any_before else None,
        after=last if found and any_after else None,
    )


def _found(shelf: Shelf, numbers: Sequence[int], search: str) -> Iterator[Sample]:
    size, word = _PART if search else PAGE + 1, search.lower()
    for start in range(0, len(numbers), size):
        part = numbers[start : start + size]
        by_number = {each.question: each for each in shelf.load(part)}
        for number in part:
            if number in by_number and word in _texts(by_number[number]).lower():
                yield by_number[number]


def _texts(sample: Sample) -> str:
    choices = [each.text for each in sample.choices]
    shown = [str(sample.question), sample.id, sample.context, sample.text, sample.prompt]
    return "\n".join([*shown, *choices, *sample.targets, sample.answer])


class Confusion(msgspec.Struct):
    """How often what was taken for what."""

    letters: list[str]
    """Of the columns; `none` last if an answer named no choice."""
    rows: list[list[int]]
    """By the letter that is right, then by the one that was taken."""


def confusion(shelf: Shelf) -> Confusion | None:
    """Count what was taken for what; None if that is not told, or not a matter of letters."""
    done = [each.question for each in shelf.outcomes if each.status == "done"]
    samples = shelf.load(done) if len(done) <= MOST_JUDGED else []
    most = max((len(each.choices) for each in samples), default=0)
    if not 2 <= most <= 26:
        return None
    counts: dict[tuple[str, str], int] = {}
    letters = [chr(ord("A") + place) for place in range(most)]
    for sample in samples:
        right = [each.letter for each in sample.choices if each.right]
        if len(right) != 1:
            return None
        key = (right[0], sample.taken or "none")
        counts[key] = counts.get(key, 0) + 1
    columns = letters + (["none"] if any(taken == "none" for _, taken in counts) else [])
    rows = [[counts.get((right, taken), 0) for taken in columns] for right in letters]
    return Confusion(columns, rows)
