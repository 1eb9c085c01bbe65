"""The conversation with a process, line by line: what a line means, without a terminal."""

from benchpool.client.console.opening import converse
from benchpool.client.console.talk import Talk

__all__ = ["Talk", "converse"]
