"""A model that somebody has open, with what its children need of memory."""

from __future__ import annotations

import threading
from pathlib import Path

from benchpool.errors import ModelFileError
from benchpool.fetching.hashing import hash_file
from benchpool.inference import machine
from benchpool.inference.backoff import Backoff
from benchpool.inference.engine import ModelCard, Precision, Runtime
from benchpool.inference.files.gguf_header import GgufHeader, read_loadable
from benchpool.inference.files.transcoding import BF16_BYTES
from benchpool.inference.workplaces import Child

_BASE_BYTES = 128 << 20
_ROWS = 128


class SharedModel:
    """A model that somebody has open, and the children that run it.

    Args:
        path: Of its file.
        precision: In what its weights enter the computation.
        name: For people; None for the file's.
        context: Longest request, in tokens.
        elsewhere: Whether other machines run it, with whatever memory they have.

    Raises:
        ModelFileError: Not a model that llama.cpp can load, or one that this machine cannot hold.
    """

    def __init__(
        self,
        path: Path,
        precision: Precision,
        name: str | None,
        context: int,
        *,
        elsewhere: bool = False,
    ) -> None:
        header = read_loadable(path, elsewhere=elsewhere)
        self.path = path
        self.precision = precision
        self._file = _fingerprint(path)
        name = name or path.name.removesuffix(".gguf")
        self.card = card = header.card(name, sha256=hash_file(path))
        self.runtime: Runtime | None = None
        self.wanted = ""
        """The id of the runtime that it is to be computed on; empty: whoever is first decides."""
        self.opening = threading.Lock()
        self.users = 0
        self.backoff = Backoff()
        self.idle: list[Child] = []
        self.children = 0
        """Idle, at work, or being started."""
        self.used = 0
        """When it was last used: a count, not a time."""
        copied = precision == "bf16"
        self.file_bytes = BF16_BYTES * card.parameters if copied else header.size_bytes
        if not elsewhere and self.file_bytes > machine.memory_bytes():
            raise ModelFileError(
                f"{path}: its BF16 copy has {self.file_bytes:,} bytes, more than the"
                f" {machine.memory_bytes():,} of memory of this machine"
            )
        self.pace_s = 0.0
        """Time for one answer, as far as that is known."""
        self.child_bytes = _child_bytes(card, header, context)

    def check_file(self) -> None:
        """Check that the file is still the one that was opened.

        Raises:
            ModelFileError: It was changed.
        """
        if _fingerprint(self.path) != self._file:
            raise ModelFileError(f"{self.path} was changed while it was in use")

    def learn_pace(self, seconds: float) -> None:
        """Note how long an answer took: faster at once, slower little by little.

        So it stays that of the fast workers, against which a slow one is measured.
        """
        slower_s = self.pace_s + (seconds - self.pace_s) / 8
        self.pace_s = min(seconds, slower_s) if self.pace_s else seconds

    @property
    def resident_bytes(self) -> int:
        """Memory in use: children share the mapped file, each has a context of its own."""
        return self.children * self.child_bytes + (self.file_bytes if self.children else 0)


def _child_bytes(card: ModelCard, header: GgufHeader, context: int) -> int:
    def number(key: str, default: int) -> int:
        value = header.metadata.get(f"{header.architecture}.{key}", default)
        return value if isinstance(value, int) and value > 0 else default

    heads = number("attention.head_count", 1)
    keys = number("embedding_length", 0) * number("attention.head_count_kv", heads) // heads
    cells = min(context, card.context_tokens or context)
    cache = cells * card.layers * 2 * BF16_BYTES * keys
    return _BASE_BYTES + cache + 4 * _ROWS * card.vocabulary


def _fingerprint(path: Path) -> tuple[int, int, int]:
    """What tells that a file is still the same: its number, size and time of change."""
    try:
        status = path.stat()
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror}") from error
    return status.st_ino, status.st_size, status.st_mtime_ns
