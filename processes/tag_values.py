"""Values of tags as the modules read them. A value that cannot be read refuses the message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from benchpool.ao.clock import parse_duration
from benchpool.ao.ids import module_id
from benchpool.ao.tags import Tags
from benchpool.errors import ConfigError, HandlerError

LARGEST: Final = 10**15
"""What a whole number may be at most, where a tag says nothing narrower."""

DATASET: Final = "dataset"
"""The role, as in `Process.roles`, of modules whose processes hold the questions of pools."""
ROUTER: Final = "router"
"""That of modules whose processes pass questions on to models, and say who owns them."""

_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,15}")


def whole_number(
    tags: Tags, name: str, *, default: int, least: int = 0, most: int = LARGEST
) -> int:
    """Read a whole number in plain decimal digits; the default if the tag is absent or empty.

    Raises: HandlerError naming the tag, what it holds and what it may hold.
    """
    text = tags.get(name)
    if not text:
        return default
    value = int(text) if _WHOLE.fullmatch(text) else -1
    if not least <= value <= most:
        raise HandlerError(
            f"{name} must be a whole number from {least} to {most}, not {text[:40]!a}"
        )
    return value


def duration_ms(tags: Tags, name: str, *, default: int) -> int:
    """Read a duration such as `1h` or `30d`. Raises: HandlerError naming the tag."""
    text = tags.get(name)
    if not text:
        return default
    try:
        return parse_duration(text, bare_ms=True)
    except ConfigError as error:
        raise HandlerError(f"{name}: {error}") from None


def module_names(tags: Tags, name: str, *, default: str) -> list[str]:
    """Read names or ids of modules, separated by commas."""
    return [each.strip() for each in (tags.get(name) or default).split(",") if each.strip()]


def is_module(module: str, allowed: Sequence[str]) -> bool:
    """Tell whether a module, by its name or id, is among some."""
    return bool(module) and any(
        module in (each, module_id(each)) or module_id(module) == each for each in allowed
    )


def check_address(text: str, name: str) -> str:
    """Return the id or address of a tag, whatever its form.

    What a person cannot see in it is refused: two accounts must not look like one.

    Raises: HandlerError if it is empty or holds white space or control characters.
    """
    if not text:
        raise HandlerError(f"{name} is required!")
    if " " in text or not text.isprintable():
        raise HandlerError(f"{name} is not an address: {text[:60]!a}")
    return text
