"""What a server tells Prometheus: every metric that the documentation names, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import Client, Running, actions

from benchpool.evaluation.prompts import cloze
from benchpool.evaluation.sample import Sample
from benchpool.inference.engine import Engine, EngineStats, Outcome, Precision, Request, WorkerView
from benchpool.inference.engines import MadeEngines
from benchpool.simulation.scripted_engine import ScriptedEngines, write_script

ROOT = Path(__file__).parents[2]
SAMPLE = Sample("Kim met a friend.", "How would Kim feel?", ("glad", "sad", "calm"), 1)
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class CountingEngines(MadeEngines):
    """Scripted models of which it is told what they have done."""

    def __init__(self) -> None:
        super().__init__(ScriptedEngines())
        self._stats = EngineStats()

    def open(self, path: Path, precision: Precision = "stored", *, runtime: str = "") -> Engine:
        engine = super().open(path, precision, runtime=runtime)
        answer = engine.answer

        def counted(requests: Sequence[Request], *given: Any) -> Sequence[Outcome]:
            self._stats.add(EngineStats(len(requests), cached=1, tokens=7, milliseconds=1500))
            return answer(requests, *given)

        engine.answer = counted  # type: ignore[method-assign]
        return engine

    def stats(self) -> EngineStats:
        return self._stats

    def workers(self) -> list[WorkerView]:
        stats = EngineStats(answered=3, tokens=30, milliseconds=2000)
        return [WorkerView(name, "node", "ready", ("model",), "", stats) for name in "ab"]


@pytest.fixture
def running(serve: Callable[..., Running]) -> Running:
    return serve(engine_factory=CountingEngines())


def read(client: Client) -> Series:
    answer = client.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float:
    return series[name, frozenset(labels.items())]


def documented() -> dict[str, set[str]]:
    """Name -> labels of every metric in the table of the server's page."""
    page = (ROOT / "docs" / "server.md").read_text()
    rows = re.findall(r"^\| `(benchpool_\w+)(?:\{([\w,]+)\})?` \|", page, re.MULTILINE)
    return {name: set(labels.split(",")) - {""} for name, labels in rows}


def ask_a_model(running: Running, client: Client) -> str:
    """Ask a model one question, and wait for its answer; return the model's process."""
    weights = running.network.data.put(write_script("model", [SAMPLE], [SAMPLE.gold]))
    worker = client.spawn("LlamaWorker", Model_Data=weights)
    question = cloze(SAMPLE)
    said = json.dumps({"prompt": question.prompt, "choices": question.continuations})
    asked = client.send(worker, "Inference", said.encode())
    answer = client.http.get(f"/cu/result/{asked}?process-id={worker}&no-busy=1")
    assert actions(answer.json()) == ["Inference-Response"]
    return worker


def test_the_workers_of_a_cluster_are_counted_and_their_pace_is_told(running: Running) -> None:
    series = read(Client(running.url))
    node = ("node", "node")
    assert series["benchpool_workers", frozenset({node, ("state", "ready")})] == 2
    pace = series["benchpool_worker_tokens_per_second", frozenset({node, ("worker", "a")})]
    assert pace == 15
    assert series["benchpool_inference_waiting", frozenset()] == 0


def test_the_documented_metrics_are_those_of_a_server(running: Running) -> None:
    client = Client(running.url)
    ask_a_model(running, client)
    found: dict[str, set[str]] = {}
    for name, labels in read(client):
        if name.startswith("benchpool_") and not name.endswith("_created"):
            base = re.sub(r"(_seconds)_(bucket|count|sum)$", r"\1", name)
            found.setdefault(base, set()).update(key for key, _ in labels if key != "le")
    assert found == documented()


def test_messages_are_counted_by_module_and_by_what_came_of_them(running: Running) -> None:
    client = Client(running.url)
    token = client.spawn("WrappedAR")
    for quantity in ("5", "7", "none"):
        client.send(token, "Mint", Quantity=quantity)
    messages = "benchpool_messages_total"
    before = read(client)
    assert value(before, messages, module="WrappedAR", outcome="ok") == 3  # the spawn is one
    assert value(before, messages, module="WrappedAR", outcome="error") == 1
    client.ask(token, "Balance")
    after = read(client)
    assert {each for each in before if each[0] == messages} == {
        each for each in after if each[0] == messages
    }
    assert value(after, messages, module="WrappedAR", outcome="ok") == 3  # a dry run is none


def test_time_is_counted_by_the_round(running: Running) -> None:
    client = Client(running.url)
    client.spawn("WrappedAR")
    ask_a_model(running, client)
    series = read(client)
    assert value(series, "benchpool_evaluation_seconds_count", kind="light") == 1
    heavy = value(series, "benchpool_evaluation_seconds_count", kind="heavy")
    assert heavy == 2  # the spawn and the question
    pushes = value(series, "benchpool_push_seconds_count")
    assert pushes >= 2
    assert 0 < value(series, "benchpool_push_seconds_sum") < 60
    assert value(series, "benchpool_queue_depth") == 0


def test_what_models_did_is_counted(running: Running) -> None:
    client = Client(running.url)
    names = ("tokens", "answers", "cached", "seconds")

    def counted() -> list[float]:
        series = read(client)
        return [value(series, f"benchpool_inference_{name}_total") for name in names]

    assert counted() == [0, 0, 0, 0]
    ask_a_model(running, client)
    assert counted() == [7, 1, 1, 1.5]


def test_requests_are_counted_by_unit_method_and_status(running: Running) -> None:
    client = Client(running.url)
    token = client.spawn("WrappedAR")
    client.http.get(f"/su/processes/{token}")
    client.http.get("/su/processes/nothing")
    client.http.post("/mu", content=b"nothing")
    series = read(client)
    requests = {
        tuple(dict(labels)[key] for key in ("unit", "method", "status")): count
        for (name, labels), count in series.items()
        if name == "benchpool_http_requests_total"
    }
    assert requests["mu", "POST", "202"] == 1
    assert requests["mu", "POST", "500"] == 1
    assert requests["su", "GET", "200"] == 2  # the scheduler's address was asked for the spawn
    assert requests["su", "GET", "400"] == 1
