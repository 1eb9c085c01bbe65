"""What is sure of a pool's entries: how far their accuracies and ranks can be trusted.

A board's numbers come from the Benchmark, as of its last ranking. Here they are joined with what
the data set tells of each question, and with what statistics make of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from string import ascii_uppercase
from typing import Any, Final, NamedTuple

from benchpool.ao.ids import find_titled
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient
from benchpool.errors import PoolError
from benchpool.evaluation.pairs import compare_right, rank_sets, told_apart
from benchpool.evaluation.statistics import LEVEL, above_chance, mcnemar, wilson
from benchpool.pools.copies import Answer, Contender
from benchpool.pools.ranking import Standing

SETTLED: Final = frozenset({"paid", "refunded"})
NEAR_TIE_NATS: Final = 0.1
"""An answer whose best two choices are closer may come out otherwise on another build."""
MOSTLY: Final = Fraction(19, 20)
"""The share of answers from which on they count as always the same letter."""
FEWEST_LETTERS: Final = 20
"""Answers that a model must have given before its letters are judged."""

Row = dict[str, Any]


class Sheet(NamedTuple):
    """What became of the questions that an entry's counts are about."""

    met: frozenset[int]
    """The numbers of the questions that count for it."""
    done: Mapping[int, Row]
    """Those that it answered, as the data set tells of them."""

    @property
    def right(self) -> frozenset[int]:
        """The questions that it answered right."""
        return frozenset(number for number, each in self.done.items() if each["correct"])

    def near_ties(self, *, right: bool) -> int:
        """Count the right answers, or the others, that may come out otherwise elsewhere."""
        margins = [each["margin_nats"] for each in self.done.values() if each["correct"] is right]
        return sum(margin is not None and margin < NEAR_TIE_NATS for margin in margins)


class Field:
    """The entries of one pool, each with its sheet.

    Args:
        client: asks the data set.
        pool: the pool.
        rows: its entries, with `model`, `name`, `correct`, `evaluated`, `unscored`, `total`:
            of the leaderboard, or of the reports.
    """

    def __init__(self, client: PoolClient, pool: PoolFacts, rows: Sequence[Row]) -> None:
        self._client = client
        self._pool = pool
        self._rows = rows
        self._settled = pool.text("status") in SETTLED
        self._chance = client.chance(pool)
        self._sheets = {row["model"]: self._sheet(row) for row in rows}

    def standings(self) -> list[Row]:
        """Return the rows, each with what is sure of it.

        These are `accuracy` of `n` questions with `interval`, its bounds of 95 %; `chance`, the
        score of a blind guess; `rank_set`, the best and the worst rank that the data allow;
        `provisional` until the pool is settled; and `warnings`.

        A settled pool counts every question, one without an answer as not right. Before that
        only those count that were asked to the end, answered or given up.
        """
        right, met = self._marks()
        ranks = rank_sets(right, met=met)
        warnings = {row["model"]: self._warnings(row) for row in self._rows}
        for model, text in self._shaky_ranks():
            warnings[model].append(text)
        rows = []
        for row in self._rows:
            correct, n = row["correct"], self._n(row)
            sure = {
                "accuracy": correct / n if n else None,
                "n": n,
                "interval": list(wilson(correct, n)) if n else None,
                "chance": float(self._chance),
                "rank_set": list(ranks[row["model"]]),
                "provisional": not self._settled,
                "warnings": warnings[row["model"]],
            }
            rows.append({**row, **sure})
        return rows

    def contenders(self) -> list[Contender]:
        """Return the entries as a settlement takes them, as far as their answers are told.

        Log-likelihoods are not. The rows must be those of `PoolClient.get`.
        """
        return [
            Contender(
                Standing(
                    row["model"],
                    row["correct"],
                    row["evaluated"],
                    row["total"],
                    row["joined_at"],
                    order,
                ),
                self._answers(row),
                row.get("committed_at"),
                row["weights"],
            )
            for order, row in enumerate(self._rows)
        ]

    def _answers(self, row: Row) -> dict[int, Answer]:
        done = self._sheets[row["model"]].done
        whole = len(done) == row["evaluated"]
        return {n: Answer(bool(each["correct"])) for n, each in done.items()} if whole else {}

    def course(self, model: str) -> list[bool]:
        """Return whether each answer of an entry was right, in the order in which they came."""
        return [bool(each["correct"]) for each in self._sheets[model].done.values()]

    def find(self, text: str) -> str:
        """Find an entry by its name or id. Raises: PoolError, AmbiguousId."""
        names = {row["model"]: row["name"] for row in self._rows}
        found = find_titled(text, names, "entries")
        if found is None:
            there = ", ".join(names.values()) or "none"
            raise PoolError(f"no entry {text[:60]!r} in the pool; there are {there}")
        return found

    def compare(self, first: str, second: str, *, seed: int = 0) -> Row:
        """Compare two entries on the questions that both have met.

        Args:
            first: a model.
            second: another one.
            seed: of the bootstrap.

        Raises: PoolError if it is one entry, or they have no question in common.
        """
        a, b = self._sheets[first], self._sheets[second]
        both_met = sorted(a.met & b.met)
        if first == second:
            raise PoolError("an entry cannot be compared with itself")
        if not both_met:
            raise PoolError("there is no question yet that both have met")
        only_a, only_b = sorted((a.right - b.right) & b.met), sorted((b.right - a.right) & a.met)
        right, met = self._marks()
        apart = {frozenset(pair) for pair in told_apart(right, met=met)}
        return {
            "pool": self._pool.id,
            "first": self._side(first, both_met),
            "second": self._side(second, both_met),
            **compare_right(a.right, b.right, both_met, seed=seed),
            "told_apart": frozenset((first, second)) in apart,
            "provisional": not self._settled,
            "questions": self._disagreements(a, b, sorted([*only_a, *only_b])),
        }

    def indistinct(self) -> list[Row]:
        """Return every pair of entries that the data cannot tell apart, with its p-value."""
        right, met = self._marks()
        apart = {frozenset(pair) for pair in told_apart(right, met=met)}
        found = []
        for place, row in enumerate(self._rows):
            for other in self._rows[place + 1 :]:
                a, b = row["model"], other["model"]
                if frozenset((a, b)) not in apart:
                    only = len((right[a] - right[b]) & met[b]), len((right[b] - right[a]) & met[a])
                    found.append({"models": [a, b], "only": list(only), "p": float(mcnemar(*only))})
        return found

    # -- working out -------------------------------------------------------------------------

    def _n(self, row: Row) -> int:
        return int(row["total"] if self._settled else row["evaluated"] + row["unscored"])

    def _sheet(self, row: Row) -> Sheet:
        """Return what an entry's counts are about; nothing if the data set does not tell.

        Since the counts were taken more may have been answered: the first so many are meant.
        """
        answers = self._client.answers(self._pool, row["model"])
        done = [each for each in answers if each["status"] == "done"]
        done.sort(key=lambda each: (each["answered_at"], each["question"]))
        counted = {each["question"]: each for each in done[: row["evaluated"]]}
        if sum(bool(each["correct"]) for each in counted.values()) != row["correct"]:
            return Sheet(frozenset(), {})
        if self._settled:
            met = set(range(1, row["total"] + 1))
        else:
            met = {each["question"] for each in answers if each["status"] == "unscored"}
        return Sheet(frozenset(met | counted.keys()), counted)

    def _marks(self) -> tuple[dict[str, frozenset[int]], dict[str, frozenset[int]]]:
        right = {model: sheet.right for model, sheet in self._sheets.items()}
        return right, {model: sheet.met for model, sheet in self._sheets.items()}

    def _side(self, model: str, met: Iterable[int]) -> Row:
        sheet = self._sheets[model]
        name = next(row["name"] for row in self._rows if row["model"] == model)
        return {
            "model": model,
            "name": name,
            "correct": len(sheet.right & set(met)),
            "unanswered": len(set(met) - sheet.done.keys()),
        }

    def _disagreements(self, a: Sheet, b: Sheet, numbers: Sequence[int]) -> list[Row]:
        def answer(sheet: Sheet, number: int) -> int | None:
            done = sheet.done.get(number)
            return None if done is None else done["prediction"]

        return [
            {**each, "first": answer(a, each["id"]), "second": answer(b, each["id"])}
            for each in self._client.questions(self._pool, numbers)
        ]

    # -- warnings ----------------------------------------------------------------------------

    def _warnings(self, row: Row) -> list[str]:
        found = []
        correct, n = row["correct"], self._n(row)
        sheet = self._sheets[row["model"]]
        if n and (p := above_chance(correct, n, self._chance)) > LEVEL:
            found.append(
                f"{correct} of {n} right is within the noise of guessing, {float(self._chance):.4f}"
                f" (exact binomial p = {float(p):.2f})"
            )
        letters = Counter(each["prediction"] or 0 for each in sheet.done.values())
        for letter, times in letters.most_common(1):
            if len(sheet.done) >= FEWEST_LETTERS and times >= MOSTLY * len(sheet.done):
                said = f"answers {ascii_uppercase[letter - 1]}" if letter else "names no choice"
                found.append(f"{said} at {times} of {len(sheet.done)} questions")
        if marked := sum(each["template_mark"] for each in sheet.done.values()):
            found.append(
                f"{marked} of its prompts hold template marks ({{{{, }}}} or {{%): was a template"
                " left unfilled?"
            )
        return found

    def _shaky_ranks(self) -> Iterable[tuple[str, str]]:
        """Find neighbours that near ties could make change places on another build."""
        answered = [row for row in self._rows if self._sheets[row["model"]].done]
        answered.sort(key=lambda row: Fraction(row["correct"], row["total"]), reverse=True)
        for better, worse in pairwise(answered):
            ahead = better["correct"] - worse["correct"]
            down = self._sheets[better["model"]].near_ties(right=True)
            up = self._sheets[worse["model"]].near_ties(right=False)
            if down + up and ahead <= down + up:
                lead = "level with it" if not ahead else f"{ahead} right answers ahead"
                yield (
                    worse["model"],
                    f"{better['name']} is {lead}, and {down + up} answers that could change that"
                    f" are closer than {NEAR_TIE_NATS} nats: another build may rank them otherwise",
                )
