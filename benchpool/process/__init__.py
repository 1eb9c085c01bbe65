"""What the author of a module writes against: a process, its state and its handlers."""

from benchpool.ao.message import Message
from benchpool.process.process import Process, handler
from benchpool.process.state import State

__all__ = ["Message", "Process", "State", "handler"]
