"""Run one GGUF model with llama.cpp, in this process.

It uses the low-level interface: the high-level one cannot evaluate several continuations of one
prompt at a time, and falls back to another model's chat template. A damaged model file can abort
the process; ``isolated`` runs this engine in a child for that reason.

Every answer is a pure function of its request: bits are equal in any order, beside any other
requests, in any process and for any number of threads. docs/inference.md says what that rests on.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchpool.errors import InferenceError, ModelFileError
from benchpool.inference.engine import (
    Answer,
    Engine,
    EngineStats,
    LayoutName,
    Precision,
    Progress,
    Request,
    Runtime,
)
from benchpool.inference.files.gguf_header import GgufHeader, read_header
from benchpool.inference.files.sealed import Identity, identity
from benchpool.inference.files.transcoding import bf16_copy
from benchpool.inference.llama.chat import ChatTemplate
from benchpool.inference.llama.cloze import Node
from benchpool.inference.llama.evaluator import Evaluator, Numbered
from benchpool.inference.llama.kernel import NAME
from benchpool.inference.llama.native import KERNEL, llama_cpp, native
from benchpool.inference.llama.packing import MAX_SEQUENCES, PIECE_ROWS, PIECE_TOKENS, piece_rows
from benchpool.inference.machine import usable_cores

MAX_CONTEXT_TOKENS = 4096
_F32, _F16, _BF16 = 0, 1, 30  # enum ggml_type
_EXACT_TYPES = ("F32", "F16")
_LOG_LINES = 200
_LOG_BYTES = 1000
"""Of one line: it may quote whatever the model's file says."""

_log: deque[str] = deque(maxlen=_LOG_LINES)


@native.llama_log_callback  # type: ignore[untyped-decorator]
def _collect_log(_level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    _log.append(text[:_LOG_BYTES].decode("utf-8", errors="replace"))


class LlamaCppEngine(Engine):
    """A model loaded into this process.

    Args:
        path: The GGUF file.
        threads: Threads of llama.cpp; None for every core this process may use.
        context_tokens: Longest request, if the model was trained on that much.
        name: The model's name on its card.
        precision: "bf16" computes with a BF16 copy of the file, made once.
        layout: How requests meet; None for the best that this model and build can do.
        copies: Folder of BF16 copies; None for one beside the model cache.
        sha256: The file's hash if it is known; a BF16 copy is kept under it.
        checked: A BF16 copy whose bytes were checked already; see `copy`.

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
        precision: Precision = "stored",
        layout: LayoutName | None = None,
        copies: Path | None = None,
        sha256: str | None = None,
        checked: Identity | None = None,
    ) -> None:
        header = read_header(path)
        self.card = header.card(name or path.name.removesuffix(".gguf"), sha256=sha256)
        self.copy: Identity | None = None
        """The BF16 copy that it runs, if it does: what this says of it was checked."""
        self._model: _NativeModel | None = None
        native.llama_log_set(_collect_log, ctypes.c_void_p(0))
        _log.clear()
        native.llama_backend_init()
        if precision == "bf16":
            path = bf16_copy(
                header, _quantize, build=_build(), folder=copies, sha256=sha256, checked=checked
            )
            self.copy = identity(path)
            header = read_header(path)
        weights = _Weights(header, threads or usable_cores(), context_tokens)
        self._model, self._evaluator = _open(weights, layout)
        self.runtime = Runtime(
            build=_build() + _product(header),
            cpu=_cpu(),
            precision=precision,
            layout="canonical-2" if self._model.packs else "canonical-1",
        )

    @property
    def stats(self) -> EngineStats:
        """What was done so far."""
        return self._evaluator.stats

    def answer(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Answer]:
        """Answer every request, in order. See ``Engine.answer``."""
        answers: dict[int, Answer] = {}
        for numbered in self.stream(requests):
            for number, answer in numbered:
                answers[number] = answer
                if progress is not None:
                    progress(len(answers), len(requests))
        return [answers[number] for number in range(len(requests))]

    def stream(self, requests: Sequence[Request]) -> Iterator[list[Numbered]]:
        """Answer every request, each with its place in the list, as the answers come.

        Raises:
            InferenceError: llama.cpp failed.
        """
        if self._model is None:
            raise InferenceError(f"{self.card.name}: the engine is closed")
        return self._evaluator.stream(requests)

    def close(self) -> None:
        """Release the model. See ``Engine.close``."""
        model, self._model = self._model, None
        if model is not None:
            model.close()


class _Weights:
    """A loaded file, before there is a cache to evaluate with."""

    def __init__(self, header: GgufHeader, threads: int, context_tokens: int) -> None:
        self.header = header
        self.threads = threads
        self.context_tokens = context_tokens
        parameters = native.llama_model_default_params()
        parameters.n_gpu_layers = 0
        parameters.check_tensors = True
        self.model = native.llama_model_load_from_file(os.fsencode(header.path), parameters)
        if not self.model:
            raise ModelFileError(f"{header.path}: llama.cpp refused this model{_log_tail()}")
        if native.llama_model_has_encoder(self.model):
            self.close()
            raise ModelFileError(
                f"{header.path}: {header.architecture} is not a decoder-only model"
            )
        # A recurrent state cannot be shared by sequences that part later.
        self.recurrent = bool(
            native.llama_model_is_recurrent(self.model) or native.llama_model_is_hybrid(self.model)
        )

    def layout(self) -> LayoutName:
        """The layout to try: exact weights deserve an exact cache."""
        matrices = [tensor for tensor in self.header.tensors if len(tensor.shape) > 1]
        exact = all(tensor.type.name in _EXACT_TYPES for tensor in matrices)
        return "canonical-1" if exact or self.recurrent else "canonical-2"

    def close(self) -> None:
        if self.model:
            native.llama_model_free(self.model)
            self.model = None


def _open(weights: _Weights, layout: LayoutName | None) -> tuple[_NativeModel, Evaluator]:
    opened: list[_NativeModel] = []
    try:
        for tried in (layout or weights.layout(), layout or "canonical-1"):
            model = _NativeModel(weights, tried)
            opened.append(model)
            evaluator = Evaluator(model)
            if not model.packs or evaluator.is_independent():
                _log.clear()
                return model, evaluator
            model.free()
    except BaseException:
        for model in opened:
            model.free()
        weights.close()
        raise
    weights.close()
    raise InferenceError(
        f"{weights.header.path}: requests change each other's numbers under {layout} with this "
        "build of llama.cpp; use canonical-1"
    )


class _NativeModel:
    """A context of llama.cpp. See ``evaluator.Model``."""

    def __init__(self, weights: _Weights, layout: LayoutName) -> None:
        self._weights = weights
        self.packs = layout == "canonical-2"
        self.shares_prompt = not weights.recurrent
        self._name = weights.header.path.name
        self._vocab = native.llama_model_get_vocab(weights.model)
        self._vocabulary = int(native.llama_vocab_n_tokens(self._vocab))
        # Where a decode moves the bits, it stays as it has always been cut.
        self.piece_rows = piece_rows(self._vocabulary) if self.packs else PIECE_ROWS
        self._context = native.llama_init_from_model(weights.model, self._parameters())
        if not self._context:
            raise ModelFileError(f"{weights.header.path}: llama.cpp gave no context{_log_tail()}")
        self._memory = native.llama_get_memory(self._context)
        trained = int(native.llama_model_n_ctx_train(weights.model))
        # llama.cpp rounds the context up; a request longer than the training length stays out.
        self.context_tokens = min(trained, weights.context_tokens)
        bos = int(native.llama_vocab_bos(self._vocab))
        eos = int(native.llama_vocab_eos(self._vocab))
        adds_bos = native.llama_vocab_get_add_bos(self._vocab) and bos >= 0
        self.start = [bos] if adds_bos else []
        self.empty_prompt = [token for token in (bos, eos) if token >= 0][:1]
        template = native.llama_model_chat_template(weights.model, None)
        self.chat = ChatTemplate(
            template.decode("utf-8", errors="replace") if template else None,
            bos=self._token_text(bos),
            eos=self._token_text(eos),
        )

    def _parameters(self) -> Any:
        weights = self._weights
        trained = int(native.llama_model_n_ctx_train(weights.model))
        parameters = native.llama_context_default_params()
        # Room for the fillers beside the longest request.
        parameters.n_ctx = min(trained, weights.context_tokens) + PIECE_TOKENS
        parameters.n_batch = parameters.n_ubatch = PIECE_TOKENS
        parameters.n_outputs_max = self.piece_rows
        parameters.n_seq_max = 1 if weights.recurrent else MAX_SEQUENCES
        parameters.n_threads = parameters.n_threads_batch = weights.threads
        parameters.kv_unified = True  # lets one cached token belong to several choices
        parameters.flash_attn_type = int(self.packs)
        parameters.type_k = _F16 if self.packs else _F32
        # Keys and values of two types: llama.cpp then attends to the cells of a sequence one by
        # one, in their order. With equal types it takes them in tiles of fixed places in the
        # cache, and rounds by where a sequence happens to lie.
        parameters.type_v = _BF16 if self.packs else _F32
        parameters.no_perf = True
        return parameters

    def decode(self, nodes: Sequence[Node]) -> NDArray[np.float32]:
        """Evaluate nodes; [n_wanted][n_vocabulary] logits, valid until the next call."""
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
            raise InferenceError(f"{self._name}: llama_decode returned {status}{_log_tail()}")
        rows = int(wanted.sum())
        if rows == 0:
            return np.empty((0, self._vocabulary), dtype=np.float32)
        logits: NDArray[np.float32] = np.ctypeslib.as_array(
            native.llama_get_logits(self._context), shape=(rows, self._vocabulary)
        )
        return logits

    def clear(self, *, data: bool = False) -> None:
        """Empty the cache; with ``data``, overwrite what it held."""
        native.llama_memory_clear(self._memory, data)

    def copy(self, source: int, target: int) -> None:
        """Let a sequence begin with what another one holds."""
        native.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def remove(self, sequence: int, *, keep: int = 0) -> None:
        """Take a sequence out of the cache, but for its first tokens."""
        native.llama_memory_seq_rm(self._memory, sequence, keep, -1)

    def tokens(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokenize; ``parse_special`` lets the text name control tokens."""
        encoded = text.encode("utf-8", errors="replace")
        # One byte can become three tokens: some vocabularies spell a space in bytes.
        for room in (len(encoded) + 16, 3 * len(encoded) + 16):
            buffer = (native.llama_token * room)()
            count = native.llama_tokenize(
                self._vocab, encoded, len(encoded), buffer, room, False, parse_special
            )
            if count >= 0:
                return buffer[:count]
        raise InferenceError(f"{self._name}: cannot tokenize {text[:80]!r}")

    def piece(self, token: int) -> bytes:
        """The text of a token; control tokens have none."""
        buffer = ctypes.create_string_buffer(512)
        length = native.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(length, 0)]

    def ends(self, token: int) -> bool:
        """Whether the model says with this token that it is done."""
        return bool(native.llama_vocab_is_eog(self._vocab, token))

    def _token_text(self, token: int) -> str:
        text = native.llama_vocab_get_text(self._vocab, token) if token >= 0 else b""
        return text.decode("utf-8", errors="replace") if text else ""

    def free(self) -> None:
        """Release the context alone."""
        context, self._context = self._context, None
        if context:
            native.llama_free(context)

    def close(self) -> None:
        """Release context and weights."""
        self.free()
        self._weights.close()


def _quantize(source: Path, target: Path) -> None:
    parameters = native.llama_model_quantize_default_params()
    parameters.ftype = native.LLAMA_FTYPE_MOSTLY_BF16
    parameters.nthread = usable_cores()
    parameters.allow_requantize = True
    status = native.llama_model_quantize(
        os.fsencode(source), os.fsencode(target), ctypes.byref(parameters)
    )
    if status != 0:
        raise ModelFileError(f"{source}: llama.cpp cannot make a BF16 copy{_log_tail()}")


def _build() -> str:
    version = native.llama_version().decode()
    return f"llama-cpp-python {llama_cpp.__version__}, llama.cpp {version}"


def _product(header: GgufHeader) -> str:
    # Other weights never meet it.
    found = KERNEL is not None and any(tensor.type.name == "BF16" for tensor in header.tensors)
    return f", {NAME}" if found else ""


def _cpu() -> str:
    words = native.llama_print_system_info().decode().split("|")
    found = (word.split("=") for word in words if word.count("=") == 1)
    return " ".join(name.split(":")[-1].strip() for name, value in found if value.strip() == "1")


def _log_tail(lines: int = 5) -> str:
    text = "".join(_log).strip().splitlines()[-lines:]
    return "".join(f"\n  {line}" for line in text)
