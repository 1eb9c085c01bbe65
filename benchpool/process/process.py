"""Process: the base class of a module written in Python.

A module is a class; a process is one instance of it, with its own state. The class reads like the
specification of the process: its state (a `State` model), then its handlers in the order in which
they match.

    class Counts(State):
        greetings: int = 0

    class Greeter(Process):
        state: Counts

        @handler("Greet", requires=("Name",))
        def greet(self, message: Message) -> None:
            self.state.greetings += 1
            self.reply(message, "Greeting", data=f"Hello, {message.tags['Name']}")
"""

from __future__ import annotations

import json
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeVar

from benchpool.ao.message import (
    Message,
    ProcessInfo,
    decode_message,
    encode,
)
from benchpool.errors import HandlerError, NotAuthorized
from benchpool.process.handlers import Handle, HandlerTable, Pattern, Verdict, matches
from benchpool.process.module import ModuleProcess
from benchpool.process.outbox import Outbox, PutOut
from benchpool.process.state import Journal, State, bind

_NO_LUA = "this process is a module in Python, and there is no Lua here"

Method = TypeVar("Method", bound=Callable[..., None])


class _HandlerRow(NamedTuple):
    """What a decorator says of one handler."""

    name: str
    pattern: Pattern
    requires: tuple[str, ...]
    owner_only: bool
    then: Verdict


def handler(
    *patterns: Pattern,
    name: str | None = None,
    requires: Sequence[str] = (),
    owner_only: bool = False,
    then: Verdict = Verdict.BREAK,
) -> Callable[[Method], Method]:
    """Put a method into its class's handler table.

    Args:
        patterns: an action, a tag table or a function of the message; several make several rows.
        name: the row's name; by default the action, or the method's name.
        requires: tags without which the message is refused: "Quantity is required!".
        owner_only: refuse everybody but the process's owner (and the process itself).
        then: what follows when an action or tag table matches.
    """

    def decorate(method: Method) -> Method:
        rows = [
            _HandlerRow(
                name or (pattern if isinstance(pattern, str) else method.__name__),
                pattern,
                tuple(requires),
                owner_only,
                then,
            )
            for pattern in patterns
        ]
        method.__dict__["_handler_rows"] = rows
        return method

    return decorate


class Receive(State):
    """A handler that waits for one message and is then gone, kept with the state."""

    name: str
    pattern: dict[str, str]
    method: str
    context: dict[str, Any]


class Process(Outbox):
    """Base of all modules. Subclasses annotate `state` with their own `State` model.

    While a handler runs, what it sends collects in an outbox. If it raises, the outbox is dropped
    and the state is as it was before.
    """

    extensions: ClassVar[tuple[str, ...]] = ()
    """The extensions this module needs; each is set as an attribute of that name in lower case."""
    heavy: ClassVar[bool] = False
    """Evaluated on an executor beside other heavy processes; `prepare` sees its pending batch."""
    roles: ClassVar[tuple[str, ...]] = ()
    """What its processes are for, such as "dataset": others may ask before they trust one."""
    assignable: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """Tag tables of messages that others may assign to this process; by default none."""
    inbox_limit: ClassVar[int] = 10_000
    """Messages kept of those that no handler took; the oldest go first."""
    inbox_limit_bytes: ClassVar[int] = 16 << 20
    """Data kept with them."""

    state: Any

    _rows: ClassVar[tuple[tuple[str, list[_HandlerRow]], ...]] = ()
    _state_type: ClassVar[type[State]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._rows = _decorated(cls)
        taken = _OWN_ATTRIBUTES & {method_name for method_name, _ in cls._rows}
        if taken:
            raise TypeError(
                f"{cls.__name__} has handlers named {', '.join(sorted(taken))}: these are"
                " attributes of every process; give the methods other names"
            )

    def __init__(self, info: ProcessInfo) -> None:
        super().__init__()
        self.info = info
        self.edition = info.edition
        self.id = info.id
        self.owner = info.owner
        self.tags = info.tags
        self.authorities = info.authorities
        self.handlers = HandlerTable()
        self.journal = Journal()
        self._reference_before = 0
        self.inbox: list[Message] = []
        self._inbox_bytes = 0
        self._fill_table()
        self.state = bind(state_type(type(self))(), self.journal)
        self._receives: list[Receive] = bind([], self.journal)

    # -- what a module overrides -------------------------------------------------------------

    def on_spawn(self, message: Message) -> None:
        """Handle the process's own first message: read the spawn tags, set the state up."""

    def prepare(self, batch: Sequence[Message]) -> None:
        """Look at the messages that are pending, all at once, before each is handled in turn.

        For heavy modules: ask extensions ahead for what the handlers will ask one by one. It must
        not touch the state, and the answers must not depend on it: it only saves time.
        """

    def describe(self) -> dict[str, Any]:
        """Return more about the process for `benchpool inspect`, beside its state."""
        return {}

    # -- what a handler uses -----------------------------------------------------------------

    def receive(
        self, pattern: Mapping[str, str], method: Callable[..., None], **context: Any
    ) -> None:
        """Wait for one message that matches, then call `method(message, **context)` and forget.

        The wait is part of the state, so it survives a restart: pattern values are texts and the
        context is JSON. Source: aos, Handlers.receive and Handlers.once.
        """
        waits = self._receives
        number = int(waits[-1].name.rpartition("_")[2]) + 1 if waits else 1
        waiting = Receive(
            name=f"_receive_{number}",
            pattern=dict(pattern),
            method=method.__name__,
            # Through JSON at once, so that it is now what it will be after a restart.
            context=json.loads(json.dumps(context)),
        )
        self._receives.append(waiting)
        self._add_receive(waiting)

    def on_reply(
        self, reference: int, sender: str, method: Callable[..., None], **context: Any
    ) -> None:
        """Call `method(message, **context)` once, when `sender` replies to this reference."""
        self.receive({"From": sender, "X-Reference": str(reference)}, method, **context)

    def require_owner(self, message: Message) -> None:
        """Refuse a message that is not from the owner. Raises: NotAuthorized."""
        if message.sender not in (self.owner, self.id):
            raise NotAuthorized(
                f"{message.action} is for the owner of this process only, and {message.sender} is"
                " not its owner"
            )

    # -- what the compute unit uses, see `ModuleProcess` -------------------------------------

    def look_ahead(self, batch: Sequence[Message]) -> None:
        """Prepare what this process would handle."""
        self.prepare([message for message in batch if self.refusal(message) is None])

    def handle(self, message: Message, most: int = sys.maxsize) -> PutOut:
        """Evaluate a message as aos does: trust, its own first message, JSON, handlers, inbox."""
        self.outbox_limit = most
        self._reference_before = self._reference
        refused = self.refusal(message)  # a module may refuse more
        if refused is not None:
            self.log(refused)
            if refused.startswith("Assignment") and message.sender != self.id:
                self.send(message.sender, "", data="Assignment is not trusted by this process!")
        elif message.type == "Process" and message.target == self.id:
            if "On-Boot" in message.tags:
                raise HandlerError(f"On-Boot cannot be run: {_NO_LUA}")
            self.on_spawn(message)
        else:
            if message.tags.get("Content-Type") == "application/json":
                message.json()  # as aos, which decodes it before any handler sees it
            self.handlers.evaluate(message, self.keep_in_inbox)
        return self.take_outbox()

    def refusal(self, message: Message) -> str | None:
        """Say why this process must not handle a message, or None if it may.

        A message whose From is its owner speaks for itself; any other comes from a process and is
        trusted only if an authority of this process signed it. A message sent elsewhere and
        assigned to this process must match what the module declares assignable. Source: aos,
        ao.isTrusted, ao.isAssignable. Deviates: aos also trusts a From that claims to be an
        authority.
        """
        owner = message.owner
        trusted = message.sender == owner or owner in self.authorities
        if not (trusted or self.info.trusts(message)):
            return f"Message is not trusted! From: {message.sender} - Owner: {message.owner}"
        if message.target != self.id and not any(
            matches(pattern, message) for pattern in self.assignable
        ):
            return f"Assignment is not trusted! From: {message.sender} - Owner: {message.owner}"
        return None

    def commit(self) -> None:
        """Let the writes of the last message stand."""
        self.journal.steps.clear()

    def inspect(self) -> dict[str, Any]:
        """Show handlers and description."""
        required = {row.name: list(row.requires) for _, rows in self._rows for row in rows}
        return {
            "handlers": [
                {
                    "name": row.name,
                    "action": row.action,
                    "pattern": row.describe(),
                    "max_runs": row.max_runs,
                    "requires": required.get(row.name, []),
                }
                for row in self.handlers
            ],
            "description": self.describe(),
        }

    def dump(self) -> bytes:
        """Write the whole memory of the process as JSON."""
        inbox = ",".join(json.dumps(encode(message).hex()) for message in self.inbox)
        receives = ",".join(receive.model_dump_json() for receive in self._receives)
        return (
            f'{{"reference":{self._reference},"state":{self.state.model_dump_json()},'
            f'"receives":[{receives}],"inbox":[{inbox}]}}'
        ).encode()

    def load(self, memory: bytes) -> None:
        """Take over a memory written by `dump`."""
        fields = json.loads(memory)
        self._reference = fields["reference"]
        self.inbox = [decode_message(bytes.fromhex(text)) for text in fields["inbox"]]
        self._inbox_bytes = sum(len(message.data) for message in self.inbox)
        self.state = bind(state_type(type(self)).model_validate(fields["state"]), self.journal)
        self._receives = bind(
            [Receive.model_validate(each) for each in fields["receives"]], self.journal
        )
        self._sync_receives()
        self.journal.commit()

    def undo(self) -> None:
        """Take the last message back: state, inbox, waits, outbox and reference counter."""
        waiting = len(self._receives)
        self.journal.rollback()
        self._reference = self._reference_before
        self.take_outbox()
        if waiting != len(self._receives) or waiting:
            self._sync_receives()

    def keep_in_inbox(self, message: Message) -> None:
        """The default handler: keep a message that no other handler took.

        Raises: HandlerError for an `Eval` of the owner, whose Lua nothing here can run.
        """
        if message.action == "Eval" and message.sender == self.owner:
            raise HandlerError(f"Eval cannot be run: {_NO_LUA}")
        inbox = self.inbox
        inbox.append(message)
        self.journal.note(list.pop, inbox)
        held = self._inbox_bytes
        self.journal.note(setattr, self, "_inbox_bytes", held)
        held += len(message.data)
        while len(inbox) > self.inbox_limit or (held > self.inbox_limit_bytes and len(inbox) > 1):
            oldest = inbox.pop(0)
            self.journal.note(list.insert, inbox, 0, oldest)
            held -= len(oldest.data)
        self._inbox_bytes = held
        self.log(untaken_note(message.sender, message.action))

    def _fill_table(self) -> None:
        for method_name, rows in self._rows:
            method = getattr(self, method_name)
            for row in rows:
                handle: Handle = method
                if row.requires or row.owner_only:
                    handle = partial(self._checked, method, row)
                self.handlers.add(row.name, row.pattern, handle, then=row.then)

    def _checked(self, method: Handle, row: _HandlerRow, message: Message) -> None:
        if row.owner_only:
            self.require_owner(message)
        for name in row.requires:
            if not message.tags.get(name):
                raise HandlerError(f"{name} is required!")
        method(message)

    def _add_receive(self, waiting: Receive) -> None:
        self.handlers.once(
            dict(waiting.pattern), partial(self._received, waiting), name=waiting.name
        )

    def _received(self, waiting: Receive, message: Message) -> None:
        self._receives.remove(waiting)
        getattr(self, waiting.method)(message, **waiting.context)

    def _sync_receives(self) -> None:
        # The newest wait stands first, as when each was put at the front.
        rows = [row.name for row in self.handlers if row.name.startswith("_receive_")]
        if rows == [waiting.name for waiting in reversed(self._receives)]:
            return
        for name in rows:
            self.handlers.remove(name)
        for waiting in self._receives:
            self._add_receive(waiting)


def untaken_note(sender: str, action: str) -> str:
    """Return what a process logs of a message that no handler took, as aos does."""
    return f"New Message From {sender}: Action = {action}"


_OWN_ATTRIBUTES = frozenset(
    {"authorities", "edition", "handlers", "info", "journal", "owner", "tags"}
    | {name for name in vars(ModuleProcess) if not name.startswith("_")}
)


def state_type(module: type[Process]) -> type[State]:
    """Return the model that a module annotates its `state` with."""
    kept = module.__dict__.get("_state_type")
    if kept is None:
        hint = typing.get_type_hints(module).get("state", State)
        kept = hint if isinstance(hint, type) and issubclass(hint, State) else State
        module._state_type = kept
    return kept


def _decorated(module: type[Process]) -> tuple[tuple[str, list[_HandlerRow]], ...]:
    """Return a module's decorated methods in order: base classes first, then as written."""
    found: dict[str, list[_HandlerRow]] = {}
    for part in reversed(module.__mro__):
        for method_name, attribute in vars(part).items():
            rows = getattr(attribute, "__dict__", {}).get("_handler_rows")
            if rows is not None:
                found[method_name] = rows
    return tuple(found.items())
