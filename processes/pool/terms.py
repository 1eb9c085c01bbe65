"""What a funder asks for, and what a data set says of itself: read from tags, and checked."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from pydantic import Field

from benchpool.ao.clock import DAY_MS, parse_duration
from benchpool.ao.message import Message
from benchpool.ao.tags import Tags
from benchpool.errors import HandlerError, PoolError
from benchpool.evaluation.controls import CONTROLS, REORDERED
from benchpool.evaluation.protocol import Protocol
from benchpool.pools.allocation import find_rule
from benchpool.pools.terms import PayoutTerms
from benchpool.process import State
from benchpool.winston import parse_quantity
from processes.pool.pool import REMOTE_ALLOWED

DEFAULT_PROTOCOL: Final = "cloze"
DEFAULT_DURATION: Final = "30d"
LONGEST_MS: Final = 3650 * DAY_MS
LONGEST_TITLE: Final = 200
PAYOUT_TAGS: Final = ("X-Allocation", "X-Eligible", "X-Near-Copies", "X-Ties", "X-Places")
_CHANCE: Final = re.compile(r"0|[1-9][0-9]{0,8}/[1-9][0-9]{0,8}")
_RUNTIME: Final = re.compile(r"[0-9a-f]{16}")
_TIME: Final = re.compile(r"[0-9]{1,15}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Registration(State):
    """A data set process that can be benchmarked on."""

    name: str
    samples: int
    chance: str
    """The score of a blind guess, such as 1/3."""
    protocols: list[str]
    router: str
    module: str = Field(default="", exclude_if=operator.not_)
    """Whose code it runs. Empty in the first edition, as are the following."""
    owner: str = Field(default="", exclude_if=operator.not_)
    samples_hash: str = Field(default="", exclude_if=operator.not_)
    """SHA-256 of its questions."""
    seal: str = Field(default="", exclude_if=operator.not_)
    """SHA-256 of salt and questions, if they were a secret before."""
    controls: bool = Field(default=True, exclude_if=bool)
    """Whether its questions can be asked by a control."""


class Terms(NamedTuple):
    """What a funder asks for, checked."""

    dataset: str
    title: str
    allocation: str
    protocol: str
    start_time: int
    end_time: int
    more: dict[str, Any]
    """What the first edition does not know: fields of a pool by name."""


def read_terms(
    tags: Tags, datasets: Mapping[str, Registration], now_ms: int, *, first: bool
) -> Terms:
    """Read the X- tags of a Credit-Notice that funds a pool.

    Args:
        tags: those of the notice.
        datasets: that can be benchmarked on.
        now_ms: what time it is.
        first: whether the Benchmark goes by the rules of the first edition.

    Raises: PoolError, ConfigError naming the tag that is missing or wrong.
    """
    dataset = tags.get("X-Dataset")
    if not dataset:
        raise PoolError("X-Dataset is required: name the data set process; or X-Pool to add to one")
    registration = datasets.get(dataset)
    if registration is None:
        raise PoolError(f"X-Dataset: no data set process {dataset[:60]!r} is registered here")
    allocation = tags.get("X-Allocation")
    if not allocation:
        raise PoolError("X-Allocation is required: name an allocation rule")
    protocol = str(Protocol.parse(tags.get("X-Protocol") or DEFAULT_PROTOCOL))
    if protocol not in registration.protocols:
        raise PoolError(
            f"X-Protocol: {registration.name} has no protocol {protocol[:40]!r}; there are"
            f" {', '.join(registration.protocols)}"
        )
    title = tags.get("X-Title")
    if len(title) > LONGEST_TITLE:
        raise PoolError(f"X-Title has {len(title)} characters, at most {LONGEST_TITLE} are kept")
    duration_ms = parse_duration(tags.get("X-Duration") or DEFAULT_DURATION, bare_ms=True)
    if duration_ms > LONGEST_MS:
        raise PoolError("X-Duration: a pool lasts at most ten years (3650d)")
    start_time = _start_time(tags.get("X-Start"), now_ms)
    end_time = start_time + duration_ms
    more: dict[str, Any] = {}
    if not first:
        more = _binding(tags, registration) | _conditions(tags, registration, start_time, end_time)
    return Terms(dataset, title, find_rule(allocation).name, protocol, start_time, end_time, more)


def _binding(tags: Tags, registration: Registration) -> dict[str, Any]:
    """Return what a pool is bound to for good."""
    if not registration.router:
        raise PoolError("X-Dataset: the data set has no router that could know a model")
    sealed, pinned = tags.get("X-Sealed").lower(), tags.get("X-Data").lower()
    if sealed and not _SHA256.fullmatch(sealed):
        raise PoolError("X-Sealed must be the SHA-256 of salt and questions, 64 hexadecimal digits")
    if sealed and registration.samples:
        raise PoolError("X-Sealed: the data set has questions already, which everybody can read")
    if not sealed and not registration.samples:
        raise PoolError("X-Dataset: the data set has no questions")
    if pinned and (sealed or pinned != registration.samples_hash):
        raise PoolError(
            f"X-Data: the questions of the data set have the SHA-256"
            f" {registration.samples_hash or '(none)'}, not {pinned[:64]!r}"
        )
    bound = {
        "dataset_module": registration.module,
        "dataset_owner": registration.owner,
        "router": registration.router,
        "sealed": sealed,
    }
    return bound if sealed else bound | questions_of(registration)


def questions_of(registration: Registration) -> dict[str, Any]:
    """Return what a pool keeps of the questions that there are now."""
    return {"samples": registration.samples, "samples_hash": registration.samples_hash}


def _conditions(
    tags: Tags, registration: Registration, start_time: int, end_time: int
) -> dict[str, Any]:
    """Return how a pool is joined and paid out."""
    payout = {name: tags[name] for name in PAYOUT_TAGS if tags.get(name)}
    PayoutTerms.read(payout, Fraction(registration.chance))
    bond = parse_quantity(tags["X-Bond"]) if tags.get("X-Bond") else 0
    return {
        "payout": payout,
        "bond": bond,
        "join_until": _join_until(tags.get("X-Join-Until"), start_time, end_time),
        "controls": _controls(tags, registration),
        "remote": _remote(tags.get("X-Remote")),
        "runtime": _runtime(tags.get("X-Runtime")),
    }


def _controls(tags: Tags, registration: Registration) -> list[str]:
    named = [each.strip() for each in tags.get("X-Controls").split(",") if each.strip()]
    method = Protocol.parse(tags.get("X-Protocol") or DEFAULT_PROTOCOL).method
    if named and not registration.controls:
        raise PoolError(
            f"X-Controls: {registration.name} is asked as it was compiled, so it has no controls"
        )
    for each in named:
        if each not in CONTROLS or named.count(each) > 1:
            known = ", ".join(CONTROLS)
            raise PoolError(f"X-Controls names each once of {known}, not {each[:40]!r}")
        if each == REORDERED and method != "letters":
            raise PoolError(f"X-Controls: {REORDERED} goes with letters; {method} shows no order")
    return named


def _remote(word: str) -> bool:
    if word not in ("", REMOTE_ALLOWED):
        raise PoolError(f"X-Remote is {REMOTE_ALLOWED} or left out, not {word[:40]!r}")
    return bool(word)


def _runtime(text: str) -> str:
    if text and not _RUNTIME.fullmatch(text):
        raise PoolError(
            "X-Runtime is what a model's Info calls Runtime, 16 hexadecimal digits, not"
            f" {text[:40]!r}"
        )
    return text


def _join_until(text: str, start_time: int, end_time: int) -> int:
    if not text:
        return end_time
    until = int(text) if _TIME.fullmatch(text) else start_time + parse_duration(text)
    if not start_time < until <= end_time:
        raise PoolError(
            f"X-Join-Until must lie after the start ({start_time}) and not after the end"
            f" ({end_time}), not at {until}"
        )
    return until


def read_registration(message: Message, *, first: bool) -> Registration:
    """Read what a data set process says of itself. Raises: HandlerError."""
    tags = message.tags
    chance = tags.get("Chance")
    if not _CHANCE.fullmatch(chance) or Fraction(chance) >= 1:
        raise HandlerError(f"Chance must be a fraction below 1, such as 1/3, not {chance[:40]!r}")
    samples = tags.get("Samples")
    if not re.fullmatch(r"[0-9]{1,12}", samples):
        raise HandlerError(f"Samples must be a whole number, not {samples[:40]!r}")
    protocols = tags.get("Protocols") or f"{DEFAULT_PROTOCOL},letters"
    more: dict[str, Any] = {}
    if not first:
        if not _SHA256.fullmatch(tags.get("Samples-SHA-256")):
            raise HandlerError("Samples-SHA-256 is required: 64 hexadecimal digits")
        more = {
            "module": message.from_module,
            "owner": tags.get("Owner"),
            "samples_hash": tags["Samples-SHA-256"],
            "seal": tags.get("Seal"),
            "controls": tags.get("Controls") != "none",
        }
    return Registration(
        name=tags.get("Name"),
        samples=int(samples),
        chance=chance,
        protocols=[name.strip() for name in protocols.split(",")],
        router=tags.get("LlamaRouter"),
        **more,
    )


def _start_time(text: str, now_ms: int) -> int:
    if not text:
        return now_ms
    if not _TIME.fullmatch(text):
        raise PoolError(f"X-Start must be a time in milliseconds, not {text[:40]!r}")
    start_time = int(text)
    if start_time < now_ms:
        raise PoolError(f"X-Start {start_time} is past: it is {now_ms} now")
    if start_time > now_ms + LONGEST_MS:
        raise PoolError("X-Start lies more than ten years ahead")
    return start_time
