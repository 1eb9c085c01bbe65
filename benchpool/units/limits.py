"""Limits: all bounds that a network keeps, in one place.

Beside them stands what a commit survives, since it is set in the same place.

They come from `Network(limits=...)`, else from the file that `$BENCHPOOL_LIMITS` names, else from
`limits.toml` in the home, else they are the defaults below. The file says `tags = 100`, one key a
line, by the names of the fields.

Too much from a wallet is refused when it is posted, and nothing is logged. Too much from a handler
fails its message, and nothing of it is pushed.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, get_args

from benchpool.ao.message import AssignRequest, Data, Item, Outgoing, SpawnRequest
from benchpool.ao.tags import Tags
from benchpool.errors import ConfigError, LimitExceeded, MessageError
from benchpool.inference.ray.address import check_address
from benchpool.store.base import Durability

LIMITS_FILE: Final = "limits.toml"
LIMITS_VARIABLE: Final = "BENCHPOOL_LIMITS"

_KIB: Final = 1 << 10
_MIB: Final = 1 << 20
_MOST: Final = 1 << 53
_MOST_SECONDS: Final = 1_000_000
_SHOWN: Final = 60
_SECONDS: Final = ("evaluation_seconds", "inference_seconds")
_NONE_IS_A_DEFAULT: Final = (
    "uploads_bytes",
    "disk_reserve_bytes",
    "worker_memory_bytes",
    "workers",
    "models_memory_bytes",
)
_MOST_BYTES_A_CHARACTER: Final = 4
_DURABILITIES: Final = get_args(Durability)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that a network keeps. Two runs are equal only under equal limits."""

    data_bytes: int = 10 * _MIB
    """Data of one message; larger things belong into the data store."""
    upload_bytes: int = 4096 * _MIB
    """One signed item that is uploaded into the data store."""
    uploads_bytes: int = 0
    """All uploads together; 0: half of the disk that they lie on."""
    module_bytes: int = 16 * _MIB
    """One WASM module; to compile a large one takes long."""
    disk_reserve_bytes: int = 0
    """What a server leaves free on its disk, uploads twice as much; 0: 5 %, from 16 to 512 MiB."""
    tags: int = 256
    """Tags of one message."""
    tag_name_bytes: int = _KIB
    """The name of one tag."""
    tag_value_bytes: int = 64 * _KIB
    """The value of one tag, and a target."""
    push_depth: int = 10_000
    """Pushes in one chain, from a wallet's message or a cron tick on."""
    pushed_messages: int = 1_000_000
    """Messages that one wallet's message may cause in all."""
    pushed_bytes: int = 1024 * _MIB
    """Data of the messages that one wallet's message may cause in all."""
    outbox_messages: int = 100_000
    """Messages that one evaluation may send."""
    outbox_bytes: int = 64 * _MIB
    """Data, tags and output of one evaluation."""
    spawns_per_message: int = 100
    """Processes that one evaluation may ask for."""
    spawns_per_process: int = 1_000
    """Processes that one process and those it spawned, in turn, may bring forth in all."""
    crons_per_process: int = 16
    """Cron-Intervals of one process."""
    ticks_per_second: int = 100
    """Cron ticks by the wall clock, of all processes in turn; those beyond are coalesced."""
    pending_per_process: int = 250_000
    """Messages that may wait for one process."""
    evaluation_seconds: float = 60
    """Time of the wall in one handler, without waiting for a model; 0 is without end."""
    wasm_fuel_per_message: int = 50_000_000_000
    """Fuel of a WASM module for one message, whatever its Compute-Limit: some ten seconds."""
    wasm_memory_bytes: int = 2048 * _MIB
    """Memory of one process of a WASM module, whatever its Memory-Limit."""
    inference_seconds: float = 3600
    """Time that a model may compute on one batch of requests; 0 is without end."""
    worker_memory_bytes: int = 0
    """Memory of one model's child process beside its file; 0: 3 GiB and twice the file, within
    what the machine has for each worker."""
    workers: int | str = 0
    """Child processes that compute at a time, for all models; 0: one a core. Or the Ray cluster
    that models run on: "ray" for one of this machine, "ray://HOST:10001", or "HOST:6379"."""
    models_memory_bytes: int = 0
    """Memory of all loaded models, with their files; 0: half of what the machine has."""
    durability: Durability = "power"
    """What is committed survives the loss of power too, or the end of the program alone."""

    _plain: int = field(init=False, repr=False, compare=False, default=0)
    """Tags with no more characters than this are within the limits for sure."""

    def __post_init__(self) -> None:
        if self.durability not in _DURABILITIES:
            raise ConfigError(
                f"durability must be {' or '.join(map(repr, _DURABILITIES))}, not"
                f" {ascii(self.durability)[:_SHOWN]}"
            )
        least = min(self.tag_name_bytes, self.tag_value_bytes, self.data_bytes)
        object.__setattr__(self, "_plain", least // _MOST_BYTES_A_CHARACTER)

    def of_this_machine(self) -> Limits:
        """Return the same limits, but models run on this machine's cores, not on a cluster."""
        return replace(self, workers=0) if isinstance(self.workers, str) else self

    # -- from a wallet -----------------------------------------------------------------------

    def check_item(self, item: Item) -> None:
        """Accept what a wallet says. Raises: LimitExceeded; MessageError for text that is none."""
        for text in (item.target, *chain.from_iterable(item.tags.pairs), item.data):
            check_text(text)
        self._check("this message", item.target, item.tags, item.data)

    def check_crons(self, count: int) -> None:
        """Accept so many crons of a process that is to be spawned. Raises: LimitExceeded."""
        if count > self.crons_per_process:
            raise LimitExceeded(
                f"this process has {count:,} crons; at most {self.crons_per_process:,} are allowed"
                " (crons_per_process)"
            )

    # -- from a handler ----------------------------------------------------------------------

    def check_outbox(
        self,
        messages: Sequence[Outgoing],
        spawns: Sequence[SpawnRequest],
        assignments: Sequence[AssignRequest],
        output: str,
    ) -> None:
        """Accept what an evaluation put out. Raises: LimitExceeded."""
        total = len(output)
        if output:
            check_text(output)
        plain, most_tags = self._plain, self.tags
        for message in messages:
            tags, length = message.tags, len(message.data)
            # In one go first: nearly all messages are plain, and far below every limit.
            size = tags.characters + len(message.target)
            if size > plain or length > plain or len(tags.pairs) > most_tags:
                what = f"an outgoing message {tags.get('Action')[:_SHOWN]}"
                self._check(what, message.target, tags, message.data)
            if not tags.ascii:
                check_text("".join(chain.from_iterable(tags.pairs)))
            total += size + length
        if spawns or assignments:
            self._check_requests(spawns, assignments)
            total += sum(len(spawn.data) for spawn in spawns)
        if len(messages) > self.outbox_messages:
            raise _too_much("this evaluation sends", len(messages), self, "outbox_messages")
        if total > self.outbox_bytes:
            raise _too_much("this evaluation puts out", total, self, "outbox_bytes")

    def check_given(self, given: bytes) -> None:
        """Accept what a WASM module answered, pushed or not. Raises: LimitExceeded."""
        if len(given) > self.outbox_bytes:
            raise _too_much("the module's answer has", len(given), self, "outbox_bytes")

    def _check_requests(
        self, spawns: Sequence[SpawnRequest], assignments: Sequence[AssignRequest]
    ) -> None:
        if len(spawns) > self.spawns_per_message:
            raise _too_much("this evaluation spawns", len(spawns), self, "spawns_per_message")
        for spawn in spawns:
            self._check("a spawned process", spawn.module, spawn.tags, spawn.data)
            for text in (spawn.module, *chain.from_iterable(spawn.tags.pairs), spawn.data):
                check_text(text)
        assigned = sum(len(assign.processes) for assign in assignments)
        if assigned > self.outbox_messages:
            raise _too_much("this evaluation assigns", assigned, self, "outbox_messages")

    def _check(self, what: str, target: str, tags: Tags, data: Data) -> None:
        if len(tags) > self.tags:
            raise _too_much(f"{what} has tags", len(tags), self, "tags")
        if _size(target) > self.tag_value_bytes:
            raise _too_much(f"the target of {what} has", _size(target), self, "tag_value_bytes")
        for name, value in tags.pairs:
            if _size(name) > self.tag_name_bytes:
                named = f"{what}: the name of tag {name[:_SHOWN]!a} has"
                raise _too_much(named, _size(name), self, "tag_name_bytes")
            if _size(value) > self.tag_value_bytes:
                named = f"{what}: the value of tag {name[:_SHOWN]!a} has"
                raise _too_much(named, _size(value), self, "tag_value_bytes")
        if _size(data) > self.data_bytes:
            raise _too_much(f"the Data of {what} has", _size(data), self, "data_bytes")


DEFAULT_LIMITS = Limits()


def find_limits(home: Path | None) -> Limits:
    """Read the limits of the environment or of a home; the defaults if there are none.

    Raises: ConfigError naming the file and the key.
    """
    named = os.environ.get(LIMITS_VARIABLE)
    if named:
        return read_limits(Path(named))
    if home is not None and (home / LIMITS_FILE).exists():
        return read_limits(home / LIMITS_FILE)
    return DEFAULT_LIMITS


def read_limits(path: Path) -> Limits:
    """Read a file of limits. Raises: ConfigError naming the file and the key."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    known = {each.name for each in fields(Limits) if each.init}
    for key, value in given.items():
        if key not in known:
            names = ", ".join(sorted(known))
            raise ConfigError(f"{path}: there is no limit {key[:_SHOWN]!a}; there are: {names}")
        if key != "durability":
            _check_value(path, key, value)
    try:
        return Limits(**given)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def forget_cluster(path: Path) -> None:
    """Take the Ray cluster out of a file of limits that came from elsewhere, if it names one.

    Who runs a cluster can run code here: that it is asked is for this machine's user alone to say.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # whoever reads it says what is wrong with it
        return
    if isinstance(given.get("workers"), str):
        del given["workers"]
        lines = [f"{key} = {json.dumps(value, default=str)}\n" for key, value in given.items()]
        path.write_text("".join(lines), encoding="utf-8")


def _check_value(path: Path, key: str, value: Any) -> None:
    if key in _SECONDS:
        if type(value) not in (int, float) or not 0 <= value <= _MOST_SECONDS:
            raise ConfigError(
                f"{path}: {key} must be a number of seconds from 0 to {_MOST_SECONDS}, not"
                f" {ascii(value)[:_SHOWN]}"
            )
        return
    if key == "workers" and isinstance(value, str):
        check_address(value)
        return
    least = 0 if key in _NONE_IS_A_DEFAULT else 1
    if type(value) is not int or not least <= value <= _MOST:
        raise ConfigError(
            f"{path}: {key} must be a whole number from {least} to {_MOST}, not"
            f" {ascii(value)[:_SHOWN]}"
        )


def _too_much(what: str, found: int, limits: Limits, name: str) -> LimitExceeded:
    allowed = getattr(limits, name)
    unit = "bytes" if name.endswith("_bytes") else "of them"
    return LimitExceeded(f"{what} {found:,} {unit}; at most {allowed:,} are allowed ({name})")


def _size(text: Data) -> int:
    if isinstance(text, bytes) or text.isascii():
        return len(text)
    return len(text.encode(errors="surrogatepass"))


def check_text(text: object) -> None:
    """Accept text that is Unicode, and bytes. Raises: MessageError."""
    if isinstance(text, str):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise MessageError(f"this text is no Unicode: {error}") from None
    elif not isinstance(text, bytes):
        raise MessageError(f"tags and targets are text, Data is text or bytes, not {type(text)}")
