"""What a report shows: of a pool, or of an evaluation without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from benchpool.audit.audit import audit
from benchpool.client.evaluating.run import Evaluation
from benchpool.client.pool_answers import entry_names, pool_evaluations
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient
from benchpool.client.samples import Sample, sample_of_record, samples_of_entry
from benchpool.client.words import indistinct
from benchpool.errors import BenchpoolError, PoolError
from benchpool.network import Network
from benchpool.server.dashboard.audits import Audit, Check
from benchpool.server.dashboard.page import Asked
from benchpool.server.dashboard.pages import board
from benchpool.server.dashboard.pages.board import BoardView
from benchpool.version import VERSION

MOST_QUESTIONS: Final = 2_000
"""Questions that a page shows; the tables hold all."""


class ReportedQuestion(msgspec.Struct):
    """A question with the samples of all entries, in the order of the entries."""

    number: int
    text: str
    samples: list[Sample | None]
    """None where nothing is told of an entry."""
    differ: bool
    """Whether some entries are right and others are not."""


class Questions(msgspec.Struct):
    """The questions of a report."""

    entries: list[str]
    questions: list[ReportedQuestion]
    of: int
    """How many there are in all."""


class Fact(msgspec.Struct):
    """A line of the provenance."""

    about: str
    """The entry; empty if it is about all."""
    name: str
    value: str


class PoolReport(msgspec.Struct):
    """A pool, as a report shows it: amounts are decimal strings of winston, times milliseconds."""

    version: str
    board: BoardView
    questions: Questions
    provenance: list[Fact]


class ModelScore(msgspec.Struct):
    """What a model scored in an evaluation."""

    name: str
    accuracy: float
    interval: list[float]
    correct: int
    n: int
    unscored: int
    metrics: dict[str, float]


class EvalReport(msgspec.Struct):
    """An evaluation without a pool, as a report shows it."""

    version: str
    data: str
    protocol: str
    of: int
    chance: float | None
    models: list[ModelScore]
    indistinct: list[str]
    questions: Questions
    provenance: list[Fact]


def pool_report(
    network: Network, client: PoolClient, pool: PoolFacts, *, audited: bool = True
) -> tuple[PoolReport, list[Evaluation]]:
    """Look at a pool for a report; return what a page shows, and all answers for tables.

    Args:
        network: where it is; it is only read.
        client: asks its Benchmark.
        pool: as `PoolClient.get` tells of it.
        audited: whether it is audited, for which whole logs are read.
    """
    verdict = _audited(network, pool) if audited else Audit("none")
    shown = board.view(network, Asked({"pool": pool.id}, {}), verdict)
    names = entry_names(pool.facts["models"])
    reports = client.reports(pool.id)
    samples = {
        model: samples_of_entry(client, pool, model, client.answers(pool, model))
        for model in names
        if not pool.is_sealed
    }
    order = [entry.model for entry in shown.entries]
    questions = _questions(
        [names[model] for model in order], [samples.get(model, []) for model in order]
    )
    facts = _pool_provenance(network, client, pool, reports)
    report = PoolReport(VERSION, shown, questions, facts)
    return report, pool_evaluations(pool, network.name_of(pool.dataset), reports, samples)


def eval_report(
    about: Mapping[str, Any],
    found: Sequence[Evaluation],
    figures: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
) -> EvalReport:
    """Make a report of evaluations of the same questions.

    Args:
        about: `data`, `data_sha256`, `protocol`, `of`.
        found: the evaluations.
        figures: as `summarise` gives them.
        pairs: as `compare_all` gives them.
    """
    facts = [
        Fact("", "Made by", f"benchpool {VERSION}"),
        Fact("", "Data", str(about["data"])),
        Fact("", "SHA-256 of the data", str(about["data_sha256"])),
        Fact("", "Protocol", str(about["protocol"])),
    ]
    for each in figures:
        facts.append(Fact(each["model"], "Weights, SHA-256", each["weights"]))
        facts.append(Fact(each["model"], "Runtime", each["runtime"]))
    return EvalReport(
        version=VERSION,
        data=str(about["data"]),
        protocol=str(about["protocol"]),
        of=int(about["of"]),
        chance=next((each["chance"] for each in figures if each["chance"] is not None), None),
        models=[
            ModelScore(
                name=each["model"],
                accuracy=each["accuracy"],
                interval=list(each["interval"]),
                correct=each["correct"],
                n=each["questions"],
                unscored=each["unscored"],
                metrics=dict(each["metrics"]),
            )
            for each in figures
        ],
        indistinct=[indistinct(pair) for pair in pairs],
        questions=_questions(
            [each.model for each in found],
            [[sample_of_record(record) for record in each.records] for each in found],
        ),
        provenance=facts,
    )


def _questions(names: list[str], samples: Sequence[Sequence[Sample]]) -> Questions:
    by_number = [{each.question: each for each in those} for those in samples]
    numbers = sorted({number for those in by_number for number in those})
    rows = [
        _question(number, [those.get(number) for those in by_number])
        for number in numbers[:MOST_QUESTIONS]
    ]
    return Questions(names, rows, len(numbers))


def _question(number: int, samples: list[Sample | None]) -> ReportedQuestion:
    one = next(each for each in samples if each is not None)
    words = f"{one.context} {one.text}".strip() or one.prompt
    correct = {each.correct for each in samples if each is not None and each.status == "done"}
    return ReportedQuestion(number, words, samples, differ=len(correct) > 1)


def _audited(network: Network, pool: PoolFacts) -> Audit:
    end = network.store.end()
    try:
        found = audit(network.store, network.data, pool.id, registry=network.registry)
    except BenchpoolError as error:
        return Audit("failed", error=str(error), message=end)
    checks = [Check(each.name, each.passed, each.detail) for each in found.checks]
    return Audit("done", found.passed, checks, message=end)


def _pool_provenance(
    network: Network, client: PoolClient, pool: PoolFacts, reports: Sequence[Mapping[str, Any]]
) -> list[Fact]:
    def called(identity: str) -> str:
        name = network.name_of(identity)
        return identity if name == identity else f"{name} {identity}"

    binding, info = pool.binding, network.info(pool.dataset)
    try:
        told = client.info(pool.dataset)
    except PoolError:
        told = info.tags
    module = network.registry.name
    facts = [
        ("Made by", f"benchpool {VERSION}"),
        ("Pool", pool.id),
        ("Benchmark", called(client.benchmark)),
        ("Module", module(network.info(client.benchmark).module)),
        ("Data set", called(pool.dataset)),
        ("Its module", module(info.module)),
        ("Data", told.get("DataTxID") or info.tags.get("DataTxID")),
        ("Questions", binding.get("samples") or told.get("Samples")),
        ("SHA-256 of the questions", binding.get("samples_sha_256", "")),
        ("Sealed as", binding.get("sealed", "")),
        ("Router", called(binding["router"]) if "router" in binding else ""),
        ("Protocol", pool.text("protocol")),
    ]
    found = [Fact("", name, value) for name, value in facts if value]
    names = entry_names(pool.facts["models"])
    for row in reports:
        computing = row["computing"]
        lines = [
            ("Process", row["model"]),
            ("Weights", row["weights"]),
            ("Quantization", computing.get("Quantization", "")),
            ("Chat template", computing.get("Chat-Template", "")),
        ]
        for each in row["runtimes"]:
            said = computing.get(f"Runtime-{each['precision']}", each["runtime"])
            lines.append(("Runtime", f"{each['precision']}, {each['answers']:,} answers: {said}"))
        found += [Fact(names[row["model"]], name, value) for name, value in lines if value]
    return found
