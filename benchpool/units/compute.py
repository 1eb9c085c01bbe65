"""ComputeUnit: evaluates messages into state and results."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchpool.errors import (
    BenchpoolError,
    ReplayDivergence,
    UnknownModule,
    UnknownProcess,
)
from benchpool.extensions.base import Extension, Recorder
from benchpool.extensions.host import ExtensionHost
from benchpool.handlers import matches
from benchpool.message import EMPTY_RESULT, Message, Result, decode_result, encode_result
from benchpool.process import Process, state_type
from benchpool.registry import Registry
from benchpool.state import Journal, bind
from benchpool.store import Checkpoint, Store

if TYPE_CHECKING:
    from benchpool.extensions.database import Database

CHECKPOINT_EVERY = 5_000
"""Messages between two checkpoints of a process with a small state; see `_checkpoint_due`."""


@dataclass(slots=True)
class Instance:
    """A process in memory, and how far it has got."""

    process: Process
    recorder: Recorder
    extensions: tuple[Extension, ...] = ()
    database: Database | None = None
    """The one of its extensions that must be saved together with the log."""
    position: int = -1
    """Position of the last message evaluated."""
    saved_position: int = -1
    """Position of the last checkpoint."""
    memory_bytes: int = 0
    """Size of the last checkpoint."""
    fresh: list[tuple[int, bytes]] = field(default_factory=list)
    """Results since the last save of its database, by position."""
    adopted: dict[int, bytes] = field(default_factory=dict)
    """Results that its database has and the log has not: a crash came between the two commits."""


class ComputeUnit:
    """Holds the processes and folds their logs.

    State is a fold over the log: a process is loaded from its last checkpoint and the messages
    evaluated since, whose recorded answers stand in for anything outside.
    """

    def __init__(
        self, store: Store, registry: Registry, host: ExtensionHost, *, threads: int | None = None
    ) -> None:
        self._store = store
        self._registry = registry
        self._host = host
        self._instances: dict[str, Instance] = {}
        self._threads = threads or os.cpu_count() or 1
        self._executor: ThreadPoolExecutor | None = None

    def process(self, process_id: str) -> Process:
        """Return a process as it stands. Raises: UnknownProcess."""
        return self.instance(process_id).process

    def instance(self, process_id: str) -> Instance:
        """Return a process with its position, loading it if need be. Raises: UnknownProcess."""
        return self._instances.get(process_id) or self._load(process_id)

    def check_module(self, name: str) -> None:
        """Make sure that a module can be spawned. Raises: UnknownModule, PrerequisiteError."""
        module = self._registry.find(name)
        for extension in module.extensions:
            self._host.check(extension)
        try:
            bind(state_type(module)(), Journal())
        except Exception as error:
            raise UnknownModule(f"module {name!r} has no usable first state: {error}") from error

    # -- evaluating --------------------------------------------------------------------------

    def evaluate(self, message: Message) -> Result:
        """Evaluate a logged message: the next one of its process."""
        instance = self._instances.get(message.process) or self._load(message.process)
        if instance.adopted and message.position in instance.adopted:
            return decode_result(instance.adopted.pop(message.position))
        result = fold(instance, message)
        instance.position = message.position
        if instance.database is not None:
            instance.fresh.append((message.position, encode_result(result)))
        return result

    def evaluate_round(self, batch: Sequence[Message]) -> list[Result]:
        """Evaluate a round: heavy processes at the same time as each other, the others in turn.

        Returns: results in the order of the batch, whatever was completed first.
        """
        heavy: dict[str, list[Message]] = {
            process: []
            for process in {message.process for message in batch}
            if self.instance(process).process.heavy
        }
        if not heavy:
            return [self.evaluate(message) for message in batch]
        for message in batch:
            if message.process in heavy:
                heavy[message.process].append(message)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="benchpool")
        futures: dict[str, Future[list[Result]]] = {
            process: self._executor.submit(self._evaluate_heavy, messages)
            for process, messages in heavy.items()
        }
        light = {
            (message.process, message.position): self.evaluate(message)
            for message in batch
            if message.process not in heavy
        }
        done = {process: iter(future.result()) for process, future in futures.items()}
        return [
            next(done[message.process])
            if message.process in heavy
            else light[message.process, message.position]
            for message in batch
        ]

    def _evaluate_heavy(self, messages: list[Message]) -> list[Result]:
        instance = self.instance(messages[0].process)
        with suppress(Exception):  # it only saves time: a fault shows where a handler meets it
            instance.process.prepare([m for m in messages if refusal(instance.process, m) is None])
        return [self.evaluate(message) for message in messages]

    def dry_run(self, message: Message) -> Result:
        """Evaluate a message and take back all that it did."""
        return fold(self.instance(message.process), message, keep=False)

    # -- keeping -----------------------------------------------------------------------------

    def uses_database(self, process_id: str) -> bool:
        """Tell whether a process writes to a database that must be saved with the log."""
        return self.instance(process_id).database is not None

    def save_databases(self) -> None:
        """Commit the databases of the processes that evaluated something since the last save.

        Their messages must be committed in the log before, and their results after.
        """
        for instance in self._instances.values():
            if instance.database is not None and instance.fresh:
                checkpoint = Checkpoint(instance.position, instance.process.dump())
                instance.database.save(checkpoint, instance.fresh)
                instance.fresh.clear()

    def checkpoint(self, *, all_processes: bool = False) -> None:
        """Write checkpoints of the processes that went far since their last one, or of all."""
        for process_id, instance in self._instances.items():
            behind = instance.position - instance.saved_position
            if (
                instance.database is None
                and behind > 0
                and (all_processes or _checkpoint_due(instance, behind))
            ):
                memory = instance.process.dump()
                self._store.add_checkpoint(process_id, Checkpoint(instance.position, memory))
                instance.saved_position = instance.position
                instance.memory_bytes = len(memory)

    def forget(self, processes: Iterable[str]) -> None:
        """Let go of processes whose evaluation was interrupted; the log has them as they were."""
        if self._executor is not None:
            self._host.engines.close()
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None
        for process in processes:
            instance = self._instances.pop(process, None)
            for extension in instance.extensions if instance is not None else ():
                extension.close()

    def close(self) -> None:
        """End the executor, the engines and the extensions."""
        self._host.engines.close()
        self.forget(list(self._instances))

    # -- loading -----------------------------------------------------------------------------

    def _load(self, process_id: str) -> Instance:
        instance = self.fresh_instance(process_id)
        if instance.database is not None:
            checkpoint, results = instance.database.saved()
        else:
            checkpoint, results = self._store.checkpoint(process_id), {}
        if checkpoint is not None:
            instance.process.load(checkpoint.memory)
            instance.position = instance.saved_position = checkpoint.position
            instance.memory_bytes = len(checkpoint.memory)
        instance.adopted = {
            position: result
            for position, result in results.items()
            if self._lacks_result(process_id, position)
        }
        for entry in self._store.entries(process_id, after=instance.position):
            if entry.result is None:
                break
            if not entry.result.error:  # a message that failed left no mark
                fold(instance, entry.message, recorded=entry.result.recorded)
            instance.position = entry.message.position
        self._instances[process_id] = instance
        return instance

    def fresh_instance(self, process_id: str) -> Instance:
        """Make a process as it was before its first message. Raises: UnknownProcess."""
        info = self._store.process(process_id)
        if info is None:
            raise UnknownProcess(f"no process with id {process_id}")
        process = self._registry.find(info.module)(info)
        recorder = Recorder()
        built = {name: self._host.build(name, process_id, recorder) for name in process.extensions}
        for name, extension in built.items():
            setattr(process, name.lower(), extension)
        return Instance(
            process, recorder, tuple(built.values()), getattr(process, "database", None)
        )

    def _lacks_result(self, process_id: str, position: int) -> bool:
        entries = self._store.entries(process_id, after=position - 1, limit=1)
        return any(entry.result is None for entry in entries)


def fold(
    instance: Instance,
    message: Message,
    *,
    recorded: Sequence[bytes] | None = None,
    keep: bool = True,
) -> Result:
    """Evaluate one message on a process.

    Args:
        instance: the process.
        message: what it evaluates.
        recorded: answers from outside that an earlier evaluation got; None asks the outside.
        keep: False takes everything back afterwards.

    Returns: what came of it. A handler's failure is a result with `error`.
    """
    process = instance.process
    extensions = instance.extensions
    reference = process.reference
    if extensions:
        instance.recorder.start(recorded)
        for extension in extensions:
            extension.begin()
    try:
        _handle(process, message)
        for extension in extensions:
            if keep:
                extension.commit()
            else:
                extension.rollback()
    except (ReplayDivergence, KeyboardInterrupt, SystemExit):
        _take_back(instance, reference)
        raise  # a record at fault, or somebody who wants to stop: not the message's error
    except Exception as error:
        _take_back(instance, reference)
        return Result(error=explain(error), recorded=instance.recorder.finish())
    messages, spawns, assigns, output = process.take_outbox()
    if keep:
        process.journal.commit()
    else:
        process.undo(reference)
    if extensions:
        return Result(messages, spawns, assigns, output, "", instance.recorder.finish())
    if messages or spawns or assigns or output:
        return Result(messages, spawns, assigns, output)
    return EMPTY_RESULT


def _handle(process: Process, message: Message) -> None:
    refused = refusal(process, message)
    if refused is not None:
        process.log(refused)
    elif message.type == "Process" and message.target == process.id:
        process.on_spawn(message)
    else:
        process.handlers.evaluate(message, process.keep_in_inbox)


def _take_back(instance: Instance, reference: int) -> None:
    for extension in instance.extensions:
        extension.rollback()
    instance.process.undo(reference)


def refusal(process: Process, message: Message) -> str | None:
    """Say why a process must not handle a message, or None if it may.

    A message whose From is its owner speaks for itself; any other comes from a process and is
    trusted only if an authority of this process signed it. A message sent elsewhere and assigned
    to this process must match what the module declares assignable. Source: aos, ao.isTrusted,
    ao.isAssignable. Deviates: aos also trusts a From that claims to be an authority.
    """
    if message.sender != message.owner and message.owner not in process.authorities:
        return f"Message is not trusted! From: {message.sender} - Owner: {message.owner}"
    if message.target != process.id and not any(
        matches(pattern, message) for pattern in process.assignable
    ):
        return f"Assignment is not trusted! From: {message.sender} - Target: {message.target}"
    return None


def explain(error: Exception) -> str:
    """Write a handler's failure as text: for a fault in the module's code, with its place."""
    if isinstance(error, BenchpoolError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _checkpoint_due(instance: Instance, behind: int) -> bool:
    # A large state costs as much to write as many messages cost to fold again.
    return behind >= max(CHECKPOINT_EVERY, instance.memory_bytes // 100)
