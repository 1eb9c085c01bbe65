"""Generate answers to a data set's questions beside llama.cpp's own batches; print Markdown.

    python benchmarks/bench_generate.py
    python benchmarks/bench_generate.py --data gsm8k --questions 100 --model gemma-3-270m

The data set is one that is answered in free text, pulled before. llama.cpp works as its server
does: one context on all cores, 8 slots that each take the next question as soon as theirs is
answered, what all prompts begin with evaluated once, greedy. Both run the same BF16 file and are
asked the same questions, a block each by turns; loading does not count.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from bench_inference import build, no_quantizer, silence
from llama_cpp import llama_cpp as native
from measure import print_head, print_row

from benchpool.client.evaluating.questions import load_questions
from benchpool.errors import BenchpoolError, InferenceError
from benchpool.fetching.hashing import hash_file
from benchpool.inference.engine import CompleteRequest, Generation
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.files.gguf_header import read_header
from benchpool.inference.files.transcoding import bf16_copy
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.llama.packing import common_prefix
from benchpool.inference.machine import usable_cores
from benchpool.tasks.catalogue.shelf import DatasetShelf

MODELS = ("smollm2-135m", "gemma-3-270m")
BLOCK = 25
"""Questions that one program answers before it is the other's turn."""
SLOTS = 8
BATCH = 512
CONTEXT = 16_384


class OwnBatches:
    """llama.cpp without any of our work: continuous batches of greedy texts."""

    def __init__(self, path: Path) -> None:
        parameters = native.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = native.llama_model_load_from_file(os.fsencode(path), parameters)
        self._vocab = native.llama_model_get_vocab(self._model)
        self._vocabulary = native.llama_vocab_n_tokens(self._vocab)
        options = native.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = CONTEXT, BATCH, BATCH
        options.n_seq_max, options.kv_unified = SLOTS + 1, True
        options.n_threads = options.n_threads_batch = usable_cores()
        self._context = native.llama_init_from_model(self._model, options)
        self._memory = native.llama_get_memory(self._context)
        self._batch = native.llama_batch_init(BATCH, 0, 1)

    def answer(self, requests: Sequence[CompleteRequest]) -> list[tuple[str, int]]:
        """Write an answer to each request: its text, not cut at the stop, and its tokens."""
        native.llama_memory_clear(self._memory, False)
        prompts = [self._tokens(request.prompt) for request in requests]
        shared = min(common_prefix(prompts[0][:-1], prompt) for prompt in prompts)
        self._decode([(token, at, SLOTS, False) for at, token in enumerate(prompts[0][:shared])])
        waiting = list(range(len(requests)))[::-1]
        slots: dict[int, int] = {}
        texts: list[list[int]] = [[] for _ in requests]
        written = [b"" for _ in requests]
        while waiting or slots:
            rows: list[tuple[int, int, int, bool]] = []
            for slot in range(SLOTS):
                if slot in slots:
                    question = slots[slot]
                    at = len(prompts[question]) + len(texts[question]) - 1
                    rows.append((texts[question][-1], at, slot, True))
                elif waiting:
                    question = slots[slot] = waiting.pop()
                    native.llama_memory_seq_cp(self._memory, SLOTS, slot, -1, -1)
                    own = prompts[question][shared:]
                    last = len(own) - 1
                    rows += [(t, shared + n, slot, n == last) for n, t in enumerate(own)]
            for slot, token in self._decode(rows):
                question = slots[slot]
                request = requests[question]
                texts[question].append(token)
                written[question] += self._piece(token)
                ended = native.llama_vocab_is_eog(self._vocab, token)
                stopped = any(stop.encode() in written[question] for stop in request.stop)
                if ended or stopped or len(texts[question]) == request.max_tokens:
                    native.llama_memory_seq_rm(self._memory, slot, -1, -1)
                    del slots[slot]
        return [
            (text.decode(errors="replace"), len(own))
            for text, own in zip(written, texts, strict=True)
        ]

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> list[tuple[int, int]]:
        """Evaluate (token, position, sequence, wanted); the likeliest next of those wanted."""
        found = []
        for first in range(0, len(rows), BATCH):
            part, batch = rows[first : first + BATCH], self._batch
            batch.n_tokens = len(part)
            for place, (token, at, sequence, wanted) in enumerate(part):
                batch.token[place], batch.pos[place] = token, at
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, sequence
                batch.logits[place] = wanted
            if native.llama_decode(self._context, batch) != 0:
                raise InferenceError("llama_decode failed")
            for place, (_, _, sequence, wanted) in enumerate(part):
                if wanted:
                    row: Any = native.llama_get_logits_ith(self._context, place)
                    logits = np.ctypeslib.as_array(row, shape=(self._vocabulary,))
                    found.append((sequence, int(np.argmax(logits))))
        return found

    def _tokens(self, text: str) -> list[int]:
        encoded = text.encode()
        room = len(encoded) + 16
        buffer = (native.llama_token * room)()
        count = native.llama_tokenize(self._vocab, encoded, len(encoded), buffer, room, True, False)
        return list(buffer[:count])

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        length = native.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(length, 0)]


def bench(name: str, model: str, count: int) -> None:
    """Measure one model and print its row."""
    data = load_questions(DatasetShelf().find(name))
    requests = []
    for place in range(min(count, len(data))):
        request = data.ask(place).request
        if not isinstance(request, CompleteRequest):
            raise InferenceError(f"{name} is not answered in free text")
        requests.append(request)
    path = Catalogue().find(model)
    with IsolatedEngine(path, precision="bf16") as engine:
        engine.answer([])
        file = bf16_copy(
            read_header(path), no_quantizer, build=build(engine), sha256=hash_file(path)
        )
    own = OwnBatches(file)
    our_rates, their_rates = [], []
    our_tokens = their_tokens = same = right = their_right = 0
    with closing(EnginePool()) as pool, pool.open(path, "bf16") as opened:
        opened.answer([CompleteRequest("Once", (), 2)])
        for first in range(0, len(requests), BLOCK):
            block = requests[first : first + BLOCK]
            start = time.perf_counter()
            answers = opened.answer(block)
            seconds = time.perf_counter() - start
            tokens = sum(each.tokens for each in answers if isinstance(each, Generation))
            our_tokens += tokens
            our_rates.append(tokens / seconds)
            start = time.perf_counter()
            theirs = own.answer(block)
            seconds = time.perf_counter() - start
            their_tokens += sum(tokens for _, tokens in theirs)
            their_rates.append(sum(tokens for _, tokens in theirs) / seconds)
            for place, (answer, (text, length)) in enumerate(
                zip(answers, theirs, strict=True), start=first
            ):
                if not isinstance(answer, Generation):
                    raise InferenceError(f"not answered: {answer}")
                cut = text
                for stop in requests[place].stop:
                    cut = cut.split(stop, 1)[0]
                same += cut == answer.text
                right += data.judge(place, answer).correct
                their = Generation(cut, answer.prompt_tokens, length, "stop")
                their_right += data.judge(place, their).correct
    ratio = median(one / other for one, other in zip(our_rates, their_rates, strict=True))
    print_row(
        *(name, model, len(requests), f"{our_tokens:,}", f"{their_tokens:,}"),
        *(f"{median(our_rates):.0f}", f"{median(their_rates):.0f}", f"{ratio:.2f} x"),
        *(f"{same} of {len(requests)}", f"{right} and {their_right}"),
    )


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="gsm8k", help="a name of the catalogue, pulled before")
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--questions", type=int, default=100)
    options = parser.parse_args()
    silence()
    print(f"bfloat16 on {usable_cores()} cores, {BLOCK} questions by turns\n")
    print_head(
        *("data", "model", "questions", "tokens written", "by llama.cpp"),
        *("tokens/s", "llama.cpp's own batches", "ratio, median of blocks"),
        *("same text", "right"),
    )
    try:
        for model in options.model or MODELS:
            bench(options.data, model, options.questions)
    except BenchpoolError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
