"""What a network keeps: log, results, checkpoints, processes, names, wallets and data."""

from benchpool.store.base import Checkpoint, Line, LogEntry, Search, Store
from benchpool.store.data import DataStore
from benchpool.store.memory import MemoryStore

__all__ = [
    "Checkpoint",
    "DataStore",
    "Line",
    "LogEntry",
    "MemoryStore",
    "Search",
    "Store",
]
