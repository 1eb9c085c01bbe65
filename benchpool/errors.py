"""Every exception that benchpool raises.

Failures inside a handler are data: they become ``Result.error`` and never leave the network.
Programming and environment failures are the exceptions below; each message says what went
wrong, with which id or file, and what to do next.

    BenchpoolError                    exit 1
     +- ConfigError                   a bad option or file of settings; exit 2
     |   +- ScenarioError             a scenario file, with its line
     +- PrerequisiteError             something is not installed or not pulled; exit 3
     +- AmbiguousId                   the beginning of more than one id
     +- MessageError
     |   +- UnknownProcess            no process of that id or name
     |   +- UnknownModule             no module of that name
     |   +- DuplicateMessage          this id was scheduled for this process before
     |   +- ProcessBusy               its evaluation goes on; ask again
     |   +- DataItemError             bytes that are no data item, or not signed by their owner
     |   +- ItemRefused               a data item that breaks a rule of the protocol; has `rule`
     |   +- LimitExceeded             more than the network's limits allow
     |   |   +- PushLimitExceeded     one message pushed on without end
     +- HandlerError                  what a handler raises to refuse a message
     |   +- InvalidQuantity           not a positive integer in decimal
     |   +- NotAuthorized             an action kept for the owner, or for another process
     |   +- ModuleError               what a module of WebAssembly calls an error
     |   +- FuelExhausted             a module of WebAssembly that used up its fuel
     +- Unavailable                   a server that is stopping, overloaded or broken
     +- PoolError                     a pool rule refuses this
     +- DatasetError                  a data set, with file and line
     +- FetchError                    a file that its source does not give as it should
     +- InferenceError                a model could not answer
     |   +- ModelFileError            not a GGUF file, truncated, or refused by llama.cpp
     |   +- ModelDied                 the child process that ran the model is gone
     |   +- WorkerLost                a worker of a cluster that is gone, or not to be used
     +- StoreError                    the home folder
     |   +- HomeLocked                another process has this home open
     |   +- SchemaMismatch            the home was written by another version
     |   +- DataNotFound              no data of that id
     |   +- DataCorrupt               data whose bytes no longer hash to its id
     +- ReplayDivergence              a replay differs from the record; exit 4
"""

from __future__ import annotations

from pathlib import Path


class BenchpoolError(Exception):
    """Base of all benchpool errors. ``exit_code`` is what the command line ends with."""

    exit_code = 1


class ConfigError(BenchpoolError):
    """A bad option, tag or file of settings."""

    exit_code = 2


class ScenarioError(ConfigError):
    """A scenario file is malformed; the message points at the line."""


class PrerequisiteError(BenchpoolError):
    """Something outside is missing: a model that was not pulled, a package not installed."""

    exit_code = 3


class AmbiguousId(BenchpoolError):
    """The beginning of an id with which several ids begin."""


class MessageError(BenchpoolError):
    """A message cannot be accepted."""


class UnknownProcess(MessageError):
    """No process, wallet or name like this exists in the network."""


class UnknownModule(MessageError):
    """No installed package provides a module of this name."""


class DuplicateMessage(MessageError):
    """A message with this id was already scheduled for this process."""


class ProcessBusy(MessageError):
    """A process evaluates something that takes long, and cannot be looked at meanwhile."""


class DataItemError(MessageError):
    """Bytes that are no data item or bundle, or an item that its owner did not sign."""


class ItemRefused(MessageError):
    """A data item that breaks a rule of the protocol.

    Args:
        rule: `data-protocol`, `type`, `module`, `scheduler`, `target`, `link` or `signer`.
        message: what is wrong, in the words of the reference units where they have any.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class LimitExceeded(MessageError):
    """More than the network's limits allow; names the limit."""


class PushLimitExceeded(LimitExceeded):
    """One message pushed on and on: processes answer each other without end.

    Args:
        message: which limit, and where.
        root: the message that began it; empty for a cron tick.
    """

    def __init__(self, message: str, root: str = "") -> None:
        super().__init__(message)
        self.root = root


class HandlerError(BenchpoolError):
    """Raised by a handler to refuse a message: becomes ``Result.error``; state stays as it was."""


class InvalidQuantity(HandlerError):
    """A quantity that is not a positive integer in ASCII decimal digits."""


class NotAuthorized(HandlerError):
    """The sender may not do this."""


class ModuleError(HandlerError):
    """What a module of WebAssembly calls an error, in its own words."""


class FuelExhausted(HandlerError):
    """A module used up the fuel of a message.

    Args:
        action: of the message.
        fuel: how much it was.
    """

    def __init__(self, action: str, fuel: int) -> None:
        super().__init__(f"{action or 'this message'} used up its fuel of {fuel:,}")
        self.fuel = fuel


class Unavailable(BenchpoolError):
    """A server cannot do this now: it is stopping, has too much to do, or its disk failed."""


class PoolError(BenchpoolError):
    """A pool's rules refuse this."""


class DatasetError(BenchpoolError):
    """A data set that cannot be read. Names the file and, where there is one, the line."""

    def __init__(
        self, message: str, *, path: Path | str | None = None, line: int | None = None
    ) -> None:
        where = "" if path is None else f"{path}: " if line is None else f"{path}, line {line}: "
        super().__init__(f"{where}{message}")
        self.path = path
        self.line = line


class FetchError(BenchpoolError):
    """A source cannot be reached, or does not give the file that was wanted."""


class InferenceError(BenchpoolError):
    """A model could not answer a request."""


class ModelFileError(InferenceError):
    """A file that is not a usable GGUF model."""


class ModelDied(InferenceError):
    """The child process that ran a model ended before it answered."""


class WorkerLost(InferenceError):
    """A worker elsewhere is gone, or must not be used for a model: others do its work again."""


class WorkerUnfit(WorkerLost):
    """A worker elsewhere must not be used for a model; nothing was asked of it."""


class StoreError(BenchpoolError):
    """The home folder cannot be used."""


class HomeLocked(StoreError):
    """Another benchpool process has this home open."""


class SchemaMismatch(StoreError):
    """The home was written by a version of benchpool that this one cannot read."""


class DataNotFound(StoreError):
    """No data transaction of this id is stored."""


class DataCorrupt(StoreError):
    """Stored bytes no longer hash to their id."""


class ReplayDivergence(BenchpoolError):
    """A replay gave another result than the log records."""

    exit_code = 4
