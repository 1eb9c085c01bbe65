"""A GGUF file of a tiny model, written here: real inference in a moment."""

import random
import struct
from pathlib import Path
from typing import Any

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
EMBEDDING, HIDDEN, HEADS = 32, 64, 2


def _string(text: str | bytes) -> bytes:
    body = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(body)) + body


def _value(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return _string(value)
    if kind == ARRAY:
        element, values = value
        body = b"".join(_value(element, one) for one in values)
        return struct.pack("<IQ", element, len(values)) + body
    return struct.pack({U32: "<I", F32: "<f", BOOL: "<?", I32: "<i"}[kind], value)


def _vocabulary() -> dict[str, tuple[int, Any]]:
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [2, 3, 3, *([6] * 256)]
    return {
        "tokenizer.ggml.model": (STRING, "llama"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, words)),
        "tokenizer.ggml.scores": (ARRAY, (F32, [0.0] * len(words))),
        "tokenizer.ggml.token_type": (ARRAY, (I32, kinds)),
        "tokenizer.ggml.bos_token_id": (U32, 1),
        "tokenizer.ggml.eos_token_id": (U32, 2),
        "tokenizer.ggml.add_space_prefix": (BOOL, False),
    }


def _shapes() -> dict[str, tuple[int, ...]]:
    block = "blk.0."
    return {
        "token_embd.weight": (EMBEDDING, 259),
        "output_norm.weight": (EMBEDDING,),
        "output.weight": (EMBEDDING, 259),
        block + "attn_norm.weight": (EMBEDDING,),
        block + "attn_q.weight": (EMBEDDING, EMBEDDING),
        block + "attn_k.weight": (EMBEDDING, EMBEDDING),
        block + "attn_v.weight": (EMBEDDING, EMBEDDING),
        block + "attn_output.weight": (EMBEDDING, EMBEDDING),
        block + "ffn_norm.weight": (EMBEDDING,),
        block + "ffn_gate.weight": (EMBEDDING, HIDDEN),
        block + "ffn_up.weight": (EMBEDDING, HIDDEN),
        block + "ffn_down.weight": (HIDDEN, EMBEDDING),
    }


def write_gguf(
    path: Path,
    *,
    metadata: dict[str, tuple[int, Any] | None] | None = None,
    version: int = 3,
    output_weight: float | None = None,
    seed: int = 7,
) -> Path:
    """Write a llama of one layer with random F32 weights; ``None`` drops a metadata key."""
    entries: dict[str, tuple[int, Any] | None] = {
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, "Tiny"),
        "general.file_type": (U32, 0),
        "llama.block_count": (U32, 1),
        "llama.context_length": (U32, 1024),
        "llama.embedding_length": (U32, EMBEDDING),
        "llama.feed_forward_length": (U32, HIDDEN),
        "llama.attention.head_count": (U32, HEADS),
        "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        **_vocabulary(),
        **(metadata or {}),
    }
    kept = {key: entry for key, entry in entries.items() if entry is not None}
    source = random.Random(seed)
    table, data = b"", b""
    for name, shape in _shapes().items():
        table += _string(name) + struct.pack("<I", len(shape))
        table += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", 0, len(data))
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        weights = [1.0 if len(shape) == 1 else source.gauss(0, 0.15) for _ in range(count)]
        if name == "output.weight" and output_weight is not None:
            weights = [output_weight] * count
        data += struct.pack(f"<{count}f", *weights)
        data += bytes(-len(data) % 32)
    body = b"GGUF" + struct.pack("<IQQ", version, len(_shapes()), len(kept))
    for key, (kind, value) in kept.items():
        body += _string(key) + struct.pack("<I", kind) + _value(kind, value)
    body += table
    path.write_bytes(body + bytes(-len(body) % 32) + data)
    return path
