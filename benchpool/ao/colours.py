"""Colours: aos writes them into what it prints and into its errors, as a terminal takes them."""

from __future__ import annotations

import re
from typing import Final

COLOUR: Final = re.compile(r"(\x1b\[[0-9;]{0,32}m)")
"""One colour, of all that a terminal takes for a command."""


def colourless(text: str) -> str:
    """Take the colours out of a text."""
    return COLOUR.sub("", text)
