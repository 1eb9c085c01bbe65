"""Measure cloze questions a second, every way of asking on the same items; print Markdown.

    python benchmarks/bench_inference.py
    python benchmarks/bench_inference.py --quick
    python benchmarks/bench_inference.py --lm-eval ENV/bin/python --full-dev

ENV is another environment with lm-eval, torch, transformers, gguf and llama-cpp-python[server].

Ways take turns, round after round, and a figure is the median of its rounds: other work on the
machine then hurts all alike. The questions are Social IqA's dev split where $BENCHPOOL_SIQA or
../shared/datasets has it, else the sample that comes with benchpool.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import llama_cpp
import numpy as np
from inference_figures import print_bus, print_full, print_workers, requests_of
from inference_peers import LmEval, open_peers
from llama_cpp import llama_cpp as native
from measure import median, print_head, print_row

from benchpool.errors import BenchpoolError
from benchpool.evaluation.sample import Sample, load_samples
from benchpool.inference import ChoicesRequest
from benchpool.inference.engine import EngineStats, LayoutName, Precision
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.files.gguf_header import read_header
from benchpool.inference.files.hashing import hash_file
from benchpool.inference.files.transcoding import bf16_copy
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.llama.kernel import NAME
from benchpool.inference.machine import usable_cores

MODELS = ("smollm2-135m", "gemma-3-270m")
SAMPLE = Path(__file__).resolve().parents[1] / "datasets/siqa-sample.jsonl"
DEV = Path(__file__).resolve().parents[2] / "shared/datasets/siqa/socialiqa-train-dev.zip"
CONTEXT = 512

Ask = Callable[[Sequence[ChoicesRequest]], object]


@dataclass
class Way:
    """One way of asking: how to ask, and how many questions a round can afford."""

    name: str
    ask: Ask
    share: float = 1.0
    rates: list[float] | None = None

    def measure(self, requests: Sequence[ChoicesRequest]) -> None:
        """Ask some of the questions and note questions a second."""
        some = requests[: max(2, int(len(requests) * self.share))]
        start = time.perf_counter()
        self.ask(some)
        self.rates = [*(self.rates or []), len(some) / (time.perf_counter() - start)]


class Plain:
    """The high-level class of llama-cpp-python, one sequence at a time."""

    def __init__(self, path: Path) -> None:
        self._model = llama_cpp.Llama(
            str(path), n_ctx=CONTEXT, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False
        )

    def three_evaluations(self, requests: Sequence[ChoicesRequest]) -> None:
        """Evaluate prompt and choice anew for each choice."""
        for request in requests:
            for choice in request.choices:
                prompt, whole = self._tokens(request.prompt), self._tokens(request.prompt + choice)
                self._model.n_tokens = 0
                self._model.eval(whole)
                self._score(prompt, whole)

    def prefix_reuse(self, requests: Sequence[ChoicesRequest]) -> None:
        """Evaluate the prompt once, go back to its end for each choice."""
        for request in requests:
            prompt = self._tokens(request.prompt)
            self._model.n_tokens = 0
            self._model.eval(prompt)
            for choice in request.choices:
                whole = self._tokens(request.prompt + choice)
                self._model.n_tokens = len(prompt)
                self._model.eval(whole[len(prompt) :])
                self._score(prompt, whole)

    def _tokens(self, text: str) -> list[int]:
        return self._model.tokenize(text.encode(), add_bos=True)

    def _score(self, prompt: list[int], whole: list[int]) -> float:
        rows = self._model.scores[len(prompt) - 1 : len(whole) - 1]
        logprobs = self._model.logits_to_logprobs(rows)
        return float(
            sum(row[token] for row, token in zip(logprobs, whole[len(prompt) :], strict=True))
        )


class Limit:
    """llama.cpp's own prompt speed: as many tokens and output rows, none of our work."""

    def __init__(self, path: Path, work: EngineStats) -> None:
        parameters = native.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = native.llama_model_load_from_file(os.fsencode(path), parameters)
        options = native.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = 256
        options.n_threads = options.n_threads_batch = 1
        options.flash_attn_type = 1
        self._context = native.llama_init_from_model(self._model, options)
        self._tokens = work.tokens / work.answered
        self._rows = work.rows / work.tokens

    def ask(self, requests: Sequence[ChoicesRequest]) -> None:
        """Evaluate one long text, 256 tokens at a time."""
        memory = native.llama_get_memory(self._context)
        left = round(self._tokens * len(requests))
        batch = native.llama_batch_init(256, 0, 1)
        while left > 0:
            batch.n_tokens = count = min(256, left)
            rows = max(1, round(count * self._rows))
            for place in range(count):
                batch.token[place] = 5 + place % 100
                batch.pos[place] = place
                batch.n_seq_id[place] = 1
                batch.seq_id[place][0] = 0
                batch.logits[place] = place < rows
            native.llama_memory_clear(memory, False)
            if native.llama_decode(self._context, batch) != 0:
                raise RuntimeError("llama_decode failed")
            native.llama_synchronize(self._context)
            left -= count
        native.llama_batch_free(batch)


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--lm-eval", type=Path, metavar="PYTHON", help="lm-eval's interpreter")
    parser.add_argument("--full-dev", action="store_true", help="also ask everything in BF16")
    options = parser.parse_args()
    questions, rounds = (24, 1) if options.quick else (options.questions, options.rounds)
    silence()
    everything = load_questions()
    samples = everything[:questions]
    requests = requests_of(samples)
    print(f"{len(requests)} questions, medians of {rounds} rounds, each by turns\n")
    columns = ("model", "computed in", "way", "questions/s", "of the limit")
    print_head(*columns, "plain", "plain, stored")
    try:
        for model in options.model or MODELS:
            path = Catalogue().find(model)
            with contextlib.ExitStack() as stack:
                peers = open_peers(options.lm_eval, path, requests, stack)
                base = 0.0
                for precision in ("stored", "bf16"):
                    base = bench(model, path, precision, requests, rounds, peers, base)
        print()
        path = Catalogue().find((options.model or MODELS)[0])
        for precision in ("stored", "bf16"):
            print_workers(path, precision, requests)
        print_bus(path, samples, rounds, workers=usable_cores())
        if options.full_dev:
            print_full(path, everything)
    except BenchpoolError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def load_questions() -> list[Sample]:
    """Read the questions."""
    given = os.environ.get("BENCHPOOL_SIQA")
    path = Path(given) if given else DEV if DEV.exists() else SAMPLE
    return list(load_samples(path))


def bench(  # noqa: PLR0917 - one for each thing that varies
    model: str,
    path: Path,
    precision: Precision,
    requests: Sequence[ChoicesRequest],
    rounds: int,
    peers: Mapping[str, LmEval],
    base: float,
) -> float:
    """Measure one model in one precision and print its rows.

    `base` is what the plain method reached as stored, 0 if that is measured now; it is returned.
    """

    def engine(layout: LayoutName, threads: int = 1) -> IsolatedEngine:
        return IsolatedEngine(path, threads=threads, precision=precision, layout=layout)

    with (
        engine("canonical-2") as one,
        closing(EnginePool(workers=2)) as pool,
        pool.open(path, precision) as two,
        engine("canonical-2", threads=2) as threaded,
        engine("canonical-1") as alone,
    ):
        one.answer(requests)  # warms up, and tells the limit how much there is to do
        two.answer(requests)
        threaded.answer(requests)
        file = path
        if precision == "bf16":
            file = bf16_copy(
                read_header(path), no_quantizer, build=build(one), sha256=hash_file(path)
            )
        plain = Plain(file)
        ways = [
            Way("plain: three full evaluations", plain.three_evaluations, share=0.2),
            Way("prefix reuse, high-level class", plain.prefix_reuse, share=0.3),
            Way("canonical-1: alone, exact cache", alone.answer, share=0.5),
            Way("canonical-2: packed, 1 worker", one.answer),
            Way("canonical-2: packed, 1 worker of 2 threads", threaded.answer),
            Way("canonical-2: packed, 2 workers", two.answer),
            Way("limit of llama.cpp, 1 thread", Limit(file, one.stats).ask),
            *(
                Way(name, peer.ask, share=0.02 if "gguf" in name else 0.5)
                for name, peer in peers.items()
            ),
        ]
        for _ in range(rounds):
            for way in ways:
                # A server that takes seconds a question is asked once.
                if not (way.rates and "gguf" in way.name):
                    way.measure(requests)
    rates = {way.name: median(way.rates or [0.0]) for way in ways}
    limit, slowest = rates["limit of llama.cpp, 1 thread"], rates[ways[0].name]
    for name, rate in rates.items():
        times = (f"{_figure(rate / plain)} x" for plain in (slowest, base or slowest))
        print_row(model, precision, name, _figure(rate), f"{rate / limit:.0%}", *times)
    return base or slowest


def _figure(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def build(engine: IsolatedEngine) -> str:
    """The build that named the engine's BF16 copy."""
    # Copies are made without it.
    return engine.runtime.build.removesuffix(f", {NAME}")


def no_quantizer(_source: Path, _target: Path) -> None:
    """The engine made the copy already."""
    raise RuntimeError("the BF16 copy is missing")


_quiet = native.llama_log_callback(lambda _level, _text, _data: None)


def silence() -> None:
    """Keep llama.cpp's own messages away."""
    native.llama_log_set(_quiet, ctypes.c_void_p(0))
    np.seterr(all="ignore")


if __name__ == "__main__":
    sys.exit(main())
