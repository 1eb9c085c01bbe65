"""Run one GGUF model with llama.cpp, in this process.

The only file that imports ``llama_cpp``. It uses the low-level interface: the high-level one
cannot evaluate several continuations of one prompt at a time, and falls back to another
model's chat template. A damaged model file can abort the process; ``isolated`` runs this engine
in a child for that reason.

Every answer is a pure function of its request: each request starts from an empty cache and is
cut into pieces of fixed size, whatever was asked before. Bits are then equal in any order, in
any process and for any number of threads.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from llama_cpp import llama_cpp as native
from numpy.typing import NDArray

from benchpool.errors import InferenceError, ModelFileError
from benchpool.inference.chat import ChatTemplate, TemplateRefusedError
from benchpool.inference.cloze import Layout, Node, Pair, plan, split_pair
from benchpool.inference.engine import (
    Answer,
    ChoicesAnswer,
    ChoicesRequest,
    GenerateRequest,
    Generation,
    LogLikelihood,
    Progress,
    Request,
    Unanswered,
)
from benchpool.inference.gguf_header import read_header

MAX_CONTEXT_TOKENS = 4096
MAX_CHOICES = 64
PIECE_TOKENS = 512  # one piece is one llama_decode; part of what defines the numbers
PIECE_ROWS = 128  # bounds the logits buffer: rows x vocabulary x 4 bytes
_FLASH_ATTENTION_ON = 1
_LOG_LINES = 200

_log: deque[str] = deque(maxlen=_LOG_LINES)


@native.llama_log_callback  # type: ignore[untyped-decorator]
def _collect_log(_level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    _log.append(text.decode("utf-8", errors="replace"))


class _NonFiniteError(Exception):
    """The model computed NaN or infinity where a score was needed."""


class LlamaCppEngine:
    """A model loaded into this process.

    Raises:
        ModelFileError: Not a model that llama.cpp can load; with llama.cpp's last words.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int | None = None,
        context_tokens: int = MAX_CONTEXT_TOKENS,
        name: str | None = None,
    ) -> None:
        header = read_header(path)
        self.card = header.card(name or path.name.removesuffix(".gguf"))
        self._model: Any = None
        self._context: Any = None
        native.llama_log_set(_collect_log, ctypes.c_void_p(0))
        _log.clear()
        native.llama_backend_init()
        try:
            self._load(path, threads or _usable_cores(), context_tokens)
        except BaseException:
            self.close()
            raise

    def _load(self, path: Path, threads: int, context_tokens: int) -> None:
        parameters = native.llama_model_default_params()
        parameters.n_gpu_layers = 0
        parameters.check_tensors = True
        self._model = native.llama_model_load_from_file(os.fsencode(path), parameters)
        if not self._model:
            raise ModelFileError(f"{path}: llama.cpp refused this model{_log_tail()}")
        if native.llama_model_has_encoder(self._model):
            raise ModelFileError(f"{path}: {self.card.architecture} is not a decoder-only model")
        self._vocab = native.llama_model_get_vocab(self._model)
        self._vocabulary = int(native.llama_vocab_n_tokens(self._vocab))
        # A recurrent state cannot be shared by sequences that part later.
        self._shares_prompt = not (
            native.llama_model_is_recurrent(self._model)
            or native.llama_model_is_hybrid(self._model)
        )
        self._open_context(path, threads, context_tokens)
        bos = int(native.llama_vocab_bos(self._vocab))
        eos = int(native.llama_vocab_eos(self._vocab))
        adds_bos = native.llama_vocab_get_add_bos(self._vocab) and bos >= 0
        self._start = [bos] if adds_bos else []
        self._empty_prompt = [token for token in (bos, eos) if token >= 0][:1]
        template = native.llama_model_chat_template(self._model, None)
        self._chat = ChatTemplate(
            template.decode("utf-8", errors="replace") if template else None,
            bos=self._token_text(bos),
            eos=self._token_text(eos),
        )
        self._exponentials = np.empty(self._vocabulary, dtype=np.float32)

    def _open_context(self, path: Path, threads: int, context_tokens: int) -> None:
        trained = int(native.llama_model_n_ctx_train(self._model))
        parameters = native.llama_context_default_params()
        parameters.n_ctx = min(trained, context_tokens)
        parameters.n_batch = parameters.n_ubatch = PIECE_TOKENS
        parameters.n_outputs_max = PIECE_ROWS
        parameters.n_seq_max = MAX_CHOICES
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.kv_unified = True  # lets one cached token belong to several choices
        parameters.flash_attn_type = _FLASH_ATTENTION_ON
        parameters.no_perf = True
        self._context = native.llama_init_from_model(self._model, parameters)
        if not self._context:
            raise ModelFileError(f"{path}: llama.cpp gave no context{_log_tail()}")
        self._memory = native.llama_get_memory(self._context)
        # llama.cpp rounds the context up; a request longer than the training length stays out.
        self._context_tokens = min(int(native.llama_n_ctx(self._context)), trained, context_tokens)
        self._piece_tokens = min(PIECE_TOKENS, int(native.llama_n_batch(self._context)))

    def answer(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Answer]:
        """Answer every request, in order. See ``Engine.answer``."""
        if self._context is None:
            raise InferenceError(f"{self.card.name}: the engine is closed")
        answers: list[Answer] = []
        for request in requests:
            answers.append(self._answer(request))
            if progress is not None:
                progress(len(answers), len(requests))
        return answers

    def _answer(self, request: Request) -> Answer:
        try:
            if isinstance(request, ChoicesRequest):
                return self._score(request)
            return self._generate(request)
        except TemplateRefusedError as refusal:
            return Unanswered(str(refusal))
        except _NonFiniteError:
            # What is left in the cache must not reach the next request.
            native.llama_memory_clear(self._memory, True)
            return Unanswered("model gave non-finite logits")

    def _score(self, request: ChoicesRequest) -> Answer:
        if not 1 <= len(request.choices) <= MAX_CHOICES:
            return Unanswered(f"{len(request.choices)} choices; 1 to {MAX_CHOICES} can be scored")
        start = self._start if request.prompt.strip() or self._start else self._empty_prompt
        pairs = [
            split_pair(request.prompt, choice, tokenize=self._plain_tokens, start=start)
            for choice in request.choices
        ]
        for number, pair in enumerate(pairs, start=1):
            if not request.choices[number - 1] or not pair.choice:
                return Unanswered(f"choice {number} is empty")
            if not pair.prompt:
                return Unanswered("the prompt is empty and the model has no start token")
        groups: list[list[Pair]] = [pairs] if self._shares_prompt else [[pair] for pair in pairs]
        log_likelihoods: list[LogLikelihood] = []
        for group in groups:
            layout = plan(group)
            if len(layout.nodes) > self._context_tokens:
                return self._too_long(len(layout.nodes))
            log_likelihoods += self._log_likelihoods(layout)
        return ChoicesAnswer(tuple(log_likelihoods), len(pairs[0].prompt))

    def _log_likelihoods(self, layout: Layout) -> list[LogLikelihood]:
        targets: dict[int, list[tuple[int, int]]] = {}
        nats = [[0.0] * len(predicted) for predicted in layout.predicted]
        for choice, predicted in enumerate(layout.predicted):
            for place, (row, _) in enumerate(predicted):
                targets.setdefault(row, []).append((choice, place))
        native.llama_memory_clear(self._memory, False)
        row = 0
        for piece in _pieces(layout.nodes, self._piece_tokens):
            for logits in self._decode(piece):
                total = self._log_sum_exp(logits)
                for choice, place in targets[row]:
                    token = layout.predicted[choice][place][1]
                    nats[choice][place] = float(logits[token]) - total
                row += 1
        sums = [LogLikelihood(sum(terms), len(terms)) for terms in nats]
        if not all(np.isfinite(one.nats) for one in sums):
            raise _NonFiniteError
        return sums

    def _generate(self, request: GenerateRequest) -> Answer:
        if request.max_tokens < 1:
            return Unanswered(f"max_tokens is {request.max_tokens}")
        text = self._chat.render(system=request.system, user=request.user)
        prompt = self._tokens(text, parse_special=True)
        if prompt[: len(self._start)] != self._start:  # templates write the start token or do not
            prompt = self._start + prompt
        if not prompt:
            return Unanswered("the prompt is empty")
        if len(prompt) + request.max_tokens > self._context_tokens:
            return self._too_long(len(prompt) + request.max_tokens)
        native.llama_memory_clear(self._memory, False)
        last = len(prompt) - 1
        nodes = [Node(token, place, (0,), place == last) for place, token in enumerate(prompt)]
        logits = [
            row for piece in _pieces(nodes, self._piece_tokens) for row in self._decode(piece)
        ]
        pieces: list[bytes] = []
        finish = "length"
        for place in range(len(prompt), len(prompt) + request.max_tokens):
            best = int(np.argmax(logits[0]))
            if not np.isfinite(logits[0][best]):
                raise _NonFiniteError
            if native.llama_vocab_is_eog(self._vocab, best):
                finish = "stop"
                break
            pieces.append(self._piece(best))
            if len(pieces) < request.max_tokens:
                logits = self._decode([Node(best, place, (0,), wanted=True)])
        reply = b"".join(pieces).decode("utf-8", errors="replace")
        return Generation(reply, len(prompt), len(pieces), "stop" if finish == "stop" else "length")

    def _decode(self, nodes: Sequence[Node]) -> list[NDArray[np.float32]]:
        """Evaluate one piece.

        Returns:
            Logits [n_vocabulary] after each wanted node; valid until the next call.
        """
        tokens = np.array([node.token for node in nodes], dtype=np.int32)
        positions = np.array([node.position for node in nodes], dtype=np.int32)
        counts = np.array([len(node.sequences) for node in nodes], dtype=np.int32)
        wanted = np.array([node.wanted for node in nodes], dtype=np.int8)
        flat = np.fromiter(chain.from_iterable(node.sequences for node in nodes), dtype=np.int32)
        addresses = flat.ctypes.data + 4 * (np.cumsum(counts, dtype=np.uintp) - counts)
        addresses = addresses.astype(np.uintp)
        batch = native.llama_batch(
            n_tokens=len(nodes),
            token=tokens.ctypes.data_as(ctypes.POINTER(native.llama_token)),
            pos=positions.ctypes.data_as(ctypes.POINTER(native.llama_pos)),
            n_seq_id=counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=addresses.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(native.llama_seq_id))),
            logits=wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        status = native.llama_decode(self._context, batch)
        if status != 0:
            raise InferenceError(f"{self.card.name}: llama_decode returned {status}{_log_tail()}")
        rows = int(wanted.sum())
        if rows == 0:
            return []
        logits = np.ctypeslib.as_array(
            native.llama_get_logits(self._context), shape=(rows, self._vocabulary)
        )
        return list(logits)

    def _log_sum_exp(self, logits: NDArray[np.float32]) -> float:
        # Row by row with one buffer: twice as fast as whole-matrix temporaries.
        peak = logits.max()
        buffer = self._exponentials
        np.subtract(logits, peak, out=buffer)
        np.exp(buffer, out=buffer)
        total = float(peak) + float(np.log(buffer.sum(dtype=np.float64)))
        if not np.isfinite(total):
            raise _NonFiniteError
        return total

    def _plain_tokens(self, text: str) -> list[int]:
        # Text of a data set is text: "<|im_end|>" inside it is no control token.
        return self._tokens(text, parse_special=False)

    def _tokens(self, text: str, *, parse_special: bool) -> list[int]:
        encoded = text.encode("utf-8", errors="replace")
        # One byte can become three tokens: some vocabularies spell a space in bytes.
        for room in (len(encoded) + 16, 3 * len(encoded) + 16):
            buffer = (native.llama_token * room)()
            count = native.llama_tokenize(
                self._vocab, encoded, len(encoded), buffer, room, False, parse_special
            )
            if count >= 0:
                return buffer[:count]
        raise InferenceError(f"{self.card.name}: cannot tokenize {text[:80]!r}")

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        length = native.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(length, 0)]

    def _token_text(self, token: int) -> str:
        text = native.llama_vocab_get_text(self._vocab, token) if token >= 0 else b""
        return text.decode("utf-8", errors="replace") if text else ""

    def _too_long(self, tokens: int) -> Unanswered:
        return Unanswered(f"{tokens} tokens; the context has {self._context_tokens}")

    def close(self) -> None:
        """Release the model. See ``Engine.close``."""
        context, self._context = self._context, None
        model, self._model = self._model, None
        if context:
            native.llama_free(context)
        if model:
            native.llama_model_free(model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _pieces(nodes: list[Node], size: int) -> list[list[Node]]:
    """Cut a layout into pieces of at most ``size`` nodes and ``PIECE_ROWS`` wanted ones."""
    pieces: list[list[Node]] = [[]]
    rows = 0
    for node in nodes:
        if len(pieces[-1]) == size or rows + node.wanted > PIECE_ROWS:
            pieces.append([])
            rows = 0
        pieces[-1].append(node)
        rows += node.wanted
    return pieces


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _log_tail(lines: int = 5) -> str:
    text = "".join(_log).strip().splitlines()[-lines:]
    return "".join(f"\n  {line}" for line in text)
