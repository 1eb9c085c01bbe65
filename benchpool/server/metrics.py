"""What a server counts, for Prometheus. Each server has a registry of its own."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from benchpool.inference.engines import Engines

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.messages = Counter(
            "benchpool_messages",
            "Messages evaluated, by module and by what came of them: ok or error.",
            ["module", "outcome"],
            registry=self.registry,
        )
        self.evaluation_seconds = Histogram(
            "benchpool_evaluation_seconds",
            "Time of a round of evaluations: light for the modules evaluated in turn, heavy for"
            " one batch of a process with a model.",
            ["kind"],
            registry=self.registry,
        )
        self.push_seconds = Histogram(
            "benchpool_push_seconds",
            "Time from taking messages to having them scheduled, evaluated, pushed and committed.",
            registry=self.registry,
        )
        self.requests = Counter(
            "benchpool_http_requests",
            "HTTP requests, by unit, method and status.",
            ["unit", "method", "status"],
            registry=self.registry,
        )

        self.dropped = Counter(
            "benchpool_http_dropped",
            "Connections ended: no room (full, replaced), too slow (head, body, answer, closing),"
            " or too much that they did not take (unsent).",
            ["why"],
            registry=self.registry,
        )
        for why in ("full", "replaced", "head", "body", "answer", "closing", "unsent"):
            self.dropped.labels(why)

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Show a number that somebody else keeps."""
        Gauge(name, meaning, registry=self.registry).set_function(read)

    def watch_engines(self, engines: Engines) -> None:
        """Show what the engines have done, and on which workers."""
        self.registry.register(_Inference(engines))

    def text(self) -> bytes:
        """Write everything in Prometheus's text format."""
        return generate_latest(self.registry)


class _Inference(Collector):
    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        stats = self._engines.stats()
        for name, meaning, value in (
            ("tokens", "Tokens that models evaluated.", stats.tokens),
            ("answers", "Requests answered by models.", stats.answered),
            ("cached", "Requests answered from the answer cache.", stats.cached),
            ("seconds", "Time that models spent answering.", stats.milliseconds / 1000),
        ):
            yield CounterMetricFamily(f"benchpool_inference_{name}", meaning, value=value)
        yield GaugeMetricFamily(
            "benchpool_inference_waiting",
            "Requests to models that nobody has begun to compute.",
            value=self._engines.waiting(),
        )
        workers = GaugeMetricFamily(
            "benchpool_workers",
            "Workers of a cluster, by node and state.",
            labels=["node", "state"],
        )
        rates = GaugeMetricFamily(
            "benchpool_worker_tokens_per_second",
            "Tokens that a worker of a cluster evaluates a second while it computes.",
            labels=["worker", "node"],
        )
        there = self._engines.workers()
        for (node, state), count in Counted((each.node, each.state) for each in there).items():
            workers.add_metric([node, state], count)
        for each in there:
            rates.add_metric([each.id, each.node], each.tokens_per_second)
        yield from (workers, rates)
