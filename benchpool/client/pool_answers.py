"""What the entries of a pool answered, as `benchpool eval` keeps answers: for its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchpool.ao.ids import decode_id
from benchpool.client.evaluating.run import Evaluation, Record
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.samples import Sample
from benchpool.client.standing import SETTLED

Row = Mapping[str, Any]


def entry_names(rows: Sequence[Row]) -> dict[str, str]:
    """Return the names of entries by model; those that share a name, with the model's id."""
    names = [row["name"] for row in rows]
    return {
        row["model"]: row["name"]
        if names.count(row["name"]) == 1
        else f"{row['name']} {row['model'][:8]}"
        for row in rows
    }


def pool_evaluations(
    pool: PoolFacts, data: str, reports: Sequence[Row], samples: Mapping[str, Sequence[Sample]]
) -> list[Evaluation]:
    """Return the answers of a pool as evaluations, one an entry.

    What an open pool has not asked to the end is left out; in a settled one it counts, as not
    right. Answers of several runtimes stand under all their ids, joined by `+`.

    Args:
        pool: as `PoolClient.get` tells of it.
        data: what the data set is called.
        reports: as `PoolClient.reports` gives them.
        samples: of every entry, by model.
    """
    settled = pool.text("status") in SETTLED
    names = entry_names(reports)
    found = []
    for report in reports:
        about = {
            "model": names[report["model"]],
            "weights": decode_id(report["weights"]).hex(),
            "runtime": "+".join(sorted({each["runtime"] for each in report["runtimes"]})),
            "data": data,
            "data_sha256": pool.binding.get("samples_sha_256", ""),
            "protocol": report["protocol"],
        }
        records = [
            _record(about, sample)
            for sample in samples[report["model"]]
            if settled or sample.status in ("done", "unscored")
        ]
        if records:
            found.append(Evaluation(about["model"], records))
    return found


def _record(about: Mapping[str, str], sample: Sample) -> Record:
    taken: int | str | None = sample.taken or None
    if sample.choices:
        taken = next((place for place, each in enumerate(sample.choices, 1) if each.taken), 0)
    done = sample.status == "done"
    return Record(
        **about,
        question=sample.question,
        id=sample.id,
        prompt=sample.prompt,
        choices=tuple(each.text for each in sample.choices),
        gold=tuple(place for place, each in enumerate(sample.choices, 1) if each.right),
        targets=tuple(sample.targets),
        log_likelihoods=tuple(each.nats for each in sample.choices if each.nats is not None),
        text=sample.answer or None,
        prediction=taken if done else None,
        prediction_per_character=None,
        correct=bool(sample.correct),
        correct_per_character=None,
        margin_nats=sample.margin_nats,
        scores={},
        unscored="" if done else sample.why or "not answered",
    )
