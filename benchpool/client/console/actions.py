"""The conversation with a process in messages: for modules in Python, and for strangers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from benchpool.ao.message import Message, Outgoing, Result
from benchpool.ao.wallet import Wallet
from benchpool.client.console.answers import (
    Answer,
    Came,
    Listed,
    Shown,
    Would,
)
from benchpool.client.console.talk import Command, Offer, Talk
from benchpool.client.naming import named_ids
from benchpool.client.outcome import failure
from benchpool.client.writer import Writer
from benchpool.errors import BenchpoolError, ConfigError
from benchpool.network import Network
from benchpool.process.state import state_json

_TAG: Final = re.compile(
    r"""(?P<name>[A-Za-z][\w.-]*)=(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"']\S*|)(?=\s|$)"""
)
_WHOLE: Final = re.compile(r"""'([^']*)'|("(?:[^"\\]|\\.)*")""", re.DOTALL)


class ActionTalk(Talk):
    """A conversation in actions, tags and Data.

    Args:
        network: see `Talk`.
        writer: see `Talk`.
        process: see `Talk`.
        wallet: see `Talk`.
        no_lua: why no Lua is spoken with a process that is known for it.
    """

    helps = "help"
    commands = (
        Command("send", "ACTION [NAME=VALUE …] [DATA]", "send a message", "send"),
        Command("dryrun", "ACTION [NAME=VALUE …] [DATA]", "see what a message would give", "dry"),
        Command("inbox", "", "the messages that no handler took", "inbox"),
        Command("state", "[PATH]", "what the process remembers, such as: state balances", "state"),
        Command("handlers", "", "what it takes, in the order in which they match", "handlers"),
        Command("info", "", "what it is", "about"),
        Command("advance", "TIME", "move virtual time on, such as 1h", "advance"),
        Command("pause", "", "do not show what comes in", "pause"),
        Command("live", "", "show what comes in, as at first", "go_live"),
        Command("help", "", "show this", "help"),
        Command("exit", "", "leave, as Ctrl-D does", "leave"),
    )

    def __init__(
        self, network: Network, writer: Writer, process: str, wallet: Wallet, *, no_lua: str = ""
    ) -> None:
        super().__init__(network, writer, process, wallet)
        self.no_lua = no_lua

    @property
    def prompt(self) -> str:
        """See `Talk`."""
        return f"{self.name if self.name != self.info.id else self.info.id[:8]}> "

    def _heard(self, prompt: str) -> None:
        """See `Talk`. This prompt says nothing that changes."""

    def needs_more(self, text: str) -> bool:
        """Tell whether a line ends with a backslash."""
        return text.endswith("\\")

    def _answers(self, text: str) -> Iterator[Answer]:
        text = text.replace("\\\n", "\n")
        if not text.strip():
            return
        found = self._command(text)
        if found is None:
            word = text.split()[0]
            raise ConfigError(f"there is no command {word!r}: {self.no_lua or 'see help'}")
        yield from self._run(*found)

    # -- messages ----------------------------------------------------------------------------

    def send(self, rest: str) -> Iterator[Answer]:
        """Send a message."""
        action, tags, data = self._read(rest)
        sent = self._send(action, tags, data)
        trace = sent.trace
        said = (trace.message.sender, trace.message.action)
        yield Came(trace, self._failure(said, trace.result, trace.replies(sent.sender)))

    def dry(self, rest: str) -> Iterator[Answer]:
        """Try a message."""
        action, tags, data = self._read(rest)
        result = self.network.dry_run(self.info.id, action, tags, data=data, sender=self.wallet)
        answers = [each for each in result.messages if each.target == self.wallet.address]
        yield Would(result, self._failure((self.wallet.address, action), result, answers))

    def _failure(
        self, said: tuple[str, str], result: Result | None, answers: list[Message] | list[Outgoing]
    ) -> str:
        return failure(self.network, self.name, said, result, answers) or ""

    def _read(self, rest: str) -> tuple[str, list[tuple[str, str]], str]:
        """Read an action, tags as far as there are any, and Data."""
        action, tags, data = read_message(rest)
        return action, named_ids(self.network, tags), data

    # -- looking -----------------------------------------------------------------------------

    def inbox(self, _rest: str) -> Iterator[Answer]:
        """Show the inbox."""
        yield Listed(tuple(self.network.inbox(self.info.id)))

    def state(self, rest: str) -> Iterator[Answer]:
        """Show the state, or a part of it."""
        yield Shown(part_of(self._state(), rest))

    def handlers(self, _rest: str) -> Iterator[Answer]:
        """Show the handlers."""
        yield Shown([f"{row['name']}: {row['pattern']}" for row in self._inspected()["handlers"]])

    def about(self, _rest: str) -> Iterator[Answer]:
        """Show what was fixed when it was spawned."""
        info, name_of = self.info, self.network.name_of
        yield Shown(
            {
                "id": info.id,
                "name": self.name,
                "module": self.module,
                "owner": name_of(info.owner),
                "tags": dict(info.tags),
                **self._inspected()["description"],
            }
        )

    def _state(self) -> Any:
        return state_json(self.network.process(self.info.id).state)

    def _inspected(self) -> dict[str, Any]:
        return self.network.process(self.info.id).inspect()

    # -- what may follow ---------------------------------------------------------------------

    def complete(self, text: str) -> list[Offer]:
        """Offer commands, actions, names of wallets and processes, and what a state has."""
        command, space, rest = text.lstrip().partition(" ")
        if not space:
            return self._offer_commands(command)
        begun = rest.rsplit(" ", 1)[-1]
        if command in ("send", "dryrun"):
            if " " not in rest:
                return _offers(self._actions(), begun, "action")
            name, at, party = begun.partition("=@")
            return _offers(self.network.names(), party, "name") if at and name else []
        if command == "state":
            return self._offer_parts(rest)
        return []

    def _actions(self) -> list[str]:
        try:
            rows = self._inspected()["handlers"]
        except BenchpoolError:
            return []
        return list(dict.fromkeys(row["action"] for row in rows if row["action"]))

    def _offer_parts(self, rest: str) -> list[Offer]:
        above, _, begun = rest.rpartition(".")
        try:
            found = part_of(self._state(), above)
        except BenchpoolError:
            return []
        return _offers(found, begun, "") if isinstance(found, dict) else []


def _offers(known: Any, begun: str, meaning: str) -> list[Offer]:
    return [Offer(each, len(begun), meaning) for each in known if each.startswith(begun)]


def read_message(text: str) -> tuple[str, list[tuple[str, str]], str]:
    """Read `ACTION NAME=VALUE … DATA`.

    Values with spaces stand in quotes. What is no tag begins the Data, which goes on to the end as
    it is, or is in quotes as a whole; `--` before it has Data that looks like a tag.

    Raises: ConfigError if there is no action.
    """
    action, rest = [*text.split(None, 1), "", ""][:2]
    if not action or "=" in action:
        raise ConfigError("say which action, such as: send Info")
    tags = []
    while (found := _TAG.match(rest)) is not None:
        tags.append((found["name"], _unquoted(found["value"])))
        rest = rest[found.end() :].lstrip()
    if rest == "--" or rest.startswith("-- "):
        return action, tags, rest[3:]
    return action, tags, _unquoted(rest.strip())


def _unquoted(text: str) -> str:
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        return text
    if whole[2] is None:
        return whole[1]
    return re.sub(r'\\(["\\])', r"\1", whole[2][1:-1])


def part_of(state: Any, path: str) -> Any:
    """Return what a path of names and places leads to, such as `pools.1.title`.

    A name may hold dots itself.

    Raises: ConfigError that says what there is instead.
    """
    names = path.split(".") if path else []
    at = state
    while names:
        for size in range(len(names), 0, -1):
            name = ".".join(names[:size])
            if isinstance(at, dict) and name in at:
                at = at[name]
                break
            if isinstance(at, list) and name.isdecimal() and int(name) < len(at):
                at = at[int(name)]
                break
        else:
            raise ConfigError(f"there is no {names[0]!r} here, but {_there(at)}")
        del names[:size]
    return at


def _there(value: Any) -> str:
    if isinstance(value, dict):
        names = list(value)
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        return f"{', '.join(names[:12])}{more}" if names else "nothing"
    if isinstance(value, list):
        return f"places 0 to {len(value) - 1}" if value else "nothing"
    return json.dumps(value, ensure_ascii=False)[:80]
