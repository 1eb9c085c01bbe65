"""Modules as installed, with faults in them: what the processes of a simulated run are made of."""

from __future__ import annotations

from typing import Any, Final

from benchpool.ao.message import Message, Outgoing
from benchpool.ao.tags import Tags
from benchpool.process.handlers import Handle
from benchpool.process.module import Module
from benchpool.process.process import Process
from benchpool.process.registry import Registry
from benchpool.simulation.faults import Faults

RAISED: Final = "simulated fault in a handler"

_RUBBISH: Final = (
    "not JSON at all",
    "[]",
    '{"log_likelihoods": []}',
    '{"log_likelihoods": [{"nats": "x"}, {}, {}], "text": 7}',
    '{"text": 17}',
)
_NOT_FORWARDED: Final = frozenset({"X-Reference", "X-Origin"})


class FaultyRegistry(Registry):
    """Finds the modules of another registry, and puts the faults of a seed into each."""

    def __init__(self, faults: Faults, modules: Registry | None = None) -> None:
        super().__init__()
        self._faults = faults
        self._modules = modules or Registry()

    def find(self, name: str) -> Module:
        """See `Registry`. Faults go into classes alone."""
        if name not in self._added and not self.is_data(self.pin(name)):
            found = self._modules.find(name)
            is_class = isinstance(found, type) and issubclass(found, Process)
            self.add(_with_faults(name, found, self._faults) if is_class else found, name)
        return super().find(name)


def _with_faults(name: str, module: Any, faults: Faults) -> Module:
    def set_up(self: Any, info: Any) -> None:
        module.__init__(self, info)
        evaluate = self.handlers.evaluate
        if name == "LlamaWorker":
            evaluate = _Worker(self, evaluate, faults).evaluate
        elif name == "WrappedAR":
            evaluate = _Token(self, evaluate, faults).evaluate

        def evaluate_or_raise(message: Message, default: Handle) -> bool:
            taken: bool = evaluate(message, default)
            if faults.strikes("raise", message.id):
                raise RuntimeError(RAISED)
            return taken

        self.handlers.evaluate = evaluate_or_raise

    return type(name, (module,), {"__init__": set_up, "__module__": module.__module__})


class _Token:
    """Refuses some of the payments and refunds that other processes send."""

    def __init__(self, process: Process, evaluate: Any, faults: Faults) -> None:
        self._process = process
        self._evaluate = evaluate
        self._faults = faults

    def evaluate(self, message: Message, default: Handle) -> bool:
        tags = message.tags
        if (
            message.action == "Transfer"
            and ("X-Payment" in tags or "X-Refund" in tags)
            and self._faults.strikes("refuse", message.id)
        ):
            carried = [pair for pair in tags.extras() if pair[0] not in _NOT_FORWARDED]
            reason = [("Message-Id", message.id), ("Error", "refused (simulated)")]
            self._process.reply(message, "Transfer-Error", [*reason, *carried])
            return True
        return bool(self._evaluate(message, default))


class _Worker:
    """Answers late, twice, wrongly or not at all."""

    def __init__(self, process: Process, evaluate: Any, faults: Faults) -> None:
        self._process = process
        self._evaluate = evaluate
        self._faults = faults

    def evaluate(self, message: Message, default: Handle) -> bool:
        if message.action != "Inference":
            taken = bool(self._evaluate(message, default))
            self._answer_late(message, default)
            return taken
        if self._faults.strikes("late", message.id):
            self._process.keep_in_inbox(message)
            return True
        taken = bool(self._evaluate(message, default))
        self._spoil(message)
        self._answer_late(message, default)
        return taken

    def _answer_late(self, woken_by: Message, default: Handle) -> None:
        inbox = self._process.inbox
        waiting = [kept for kept in inbox if kept.action == "Inference"]
        if waiting and self._faults.choose("wake", woken_by.id, 3) == 0:
            place = inbox.index(waiting[0])
            self._process.journal.note(list.insert, inbox, place, inbox.pop(place))
            self._evaluate(waiting[0], default)

    def _spoil(self, message: Message) -> None:
        outbox = self._process._messages
        if not outbox or outbox[-1].tags.get("Action") != "Inference-Response":
            return
        answer, faults = outbox[-1], self._faults
        if faults.strikes("silent", message.id):
            outbox.pop()
        elif faults.strikes("twice", message.id):
            self._process.send(
                answer.target, "Inference-Response", answer.tags.pairs[1:], answer.data
            )
        elif faults.strikes("rubbish", message.id):
            data = _RUBBISH[faults.choose("rubbish", message.id, len(_RUBBISH))]
            outbox[-1] = Outgoing(answer.target, answer.tags, data, answer.reference)
        elif faults.strikes("weights", message.id):
            outbox[-1] = _changed(answer, Weights="other weights")
        elif faults.strikes("error", message.id):
            outbox[-1] = _changed(answer, Action="Inference-Error", Error="simulated")


def _changed(answer: Outgoing, **values: str) -> Outgoing:
    kept = [(name, value) for name, value in answer.tags if name not in values]
    return Outgoing(answer.target, Tags([*values.items(), *kept]), answer.data, answer.reference)
