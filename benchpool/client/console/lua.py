"""The conversation with a process that evaluates Lua, as AO's own console has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchpool.ao.wallet import Wallet
from benchpool.client.console import lua_probes as probes
from benchpool.client.console.answers import Answer, Edit, Evaluated, Told
from benchpool.client.console.outputs import Output, read
from benchpool.client.console.talk import Command, Offer, Talk
from benchpool.client.lua_bundle import bundle
from benchpool.client.writer import Writer
from benchpool.errors import BenchpoolError, ConfigError
from benchpool.network import Network

_COMMAND: Final = re.compile(r"\.[A-Za-z][\w-]*(?=\s|$)")
_LINE: Final = re.compile(r'\[string "aos"\]:(\d{1,9}):')
"""Where an error says that it happened in the code that was evaluated."""
_RED_STAR: Final = "\x1b[31m*\x1b[0m"
_PLAIN_NAME: Final = re.compile(r"[\w-]+", re.ASCII)
_ELSEWHERE: Final = {
    ".monitor": "here the network itself sees to cron ticks: there is nothing to monitor",
    ".unmonitor": "here the network itself sees to cron ticks: there is nothing to monitor",
    ".update": "a process keeps the module that it was spawned from; spawn one from a newer module",
}
"""What AO's console has, and why there is none here."""


class LuaTalk(Talk):
    """A conversation with a process that evaluates the Lua of its owner.

    Args:
        network: see `Talk`.
        writer: see `Talk`.
        process: see `Talk`.
        wallet: see `Talk`.
        blueprints: the folder in which `.load-blueprint` finds files.
    """

    helps = ".help"
    commands = (
        Command(".load", "FILE", "evaluate a Lua file, with the files that it requires", "load"),
        Command(".load-blueprint", "NAME", "evaluate a blueprint", "load_blueprint"),
        Command(".editor", "", "write several lines, until .done or .cancel", "edit_lines"),
        Command(".pad", "", "write in your editor ($VISUAL, $EDITOR)", "edit_elsewhere"),
        Command(".dryrun", "[CODE]", "evaluate code, or all that follows, and keep nothing", "dry"),
        Command(".pause", "", "do not show what comes in", "pause"),
        Command(".live", "", "show what comes in, as at first", "go_live"),
        Command(".advance", "TIME", "move virtual time on, such as 1h", "advance"),
        Command(".help", "", "show this", "help"),
        Command(".exit", "", "leave, as Ctrl-D does", "leave"),
    )

    def __init__(
        self,
        network: Network,
        writer: Writer,
        process: str,
        wallet: Wallet,
        *,
        blueprints: Path | None = None,
    ) -> None:
        super().__init__(network, writer, process, wallet)
        self._blueprints = blueprints
        self._prompt = f"{self.info.name or self.info.id[:8]}> "
        self._dry = False
        self._written: list[str] | None = None
        """The lines written since `.editor`."""
        self._members: dict[str, list[tuple[str, str]]] = {}
        """What tables have, by their paths, until the process evaluates something."""

    def connect(self) -> bool:
        """Take the prompt over; tell whether the process evaluates code of this wallet."""
        output = self._ask(probes.WHO)
        self._heard(output.prompt)
        return probes.MARK in output.text

    @property
    def prompt(self) -> str:
        """See `Talk`."""
        if self._written is not None:
            return ""
        return f"{_RED_STAR}{self._prompt}" if self._dry else self._prompt

    def _heard(self, prompt: str) -> None:
        self._members.clear()
        self._prompt = prompt or self._prompt

    # -- what a line means -------------------------------------------------------------------

    def needs_more(self, text: str) -> bool:
        """Ask the process's own parser."""
        if self._written is not None or _COMMAND.match(text.strip()):
            return False
        return self._probe(probes.more(text)) == "more"

    def _answers(self, text: str) -> Iterator[Answer]:
        if self._written is not None:
            yield from self._write(text)
            return
        named = _COMMAND.match(text.strip())
        if named is None:
            if text.strip():
                yield self._evaluate(text)
            return
        found = self._command(text)
        if found is None:
            why = _ELSEWHERE.get(named[0], "see .help")
            raise ConfigError(f"there is no command {named[0]}; {why}")
        yield from self._run(*found)

    def _evaluate(self, code: str, *, dry: bool = False) -> Evaluated:
        if dry or self._dry:
            result = self.network.dry_run(self.info.id, "Eval", data=code, sender=self.wallet)
            # Its prompt tells of a process that is not to be.
            return Evaluated("", result, _pointing(read(result), code))
        sent = self._send("Eval", data=code)
        output = read(sent.result)
        self._heard(output.prompt)
        return Evaluated(sent.id, sent.result, _pointing(output, code))

    def load(self, rest: str) -> Iterator[Answer]:
        """Evaluate a file."""
        name = rest.strip("\"'")
        if not name.endswith(".lua"):
            raise ConfigError(f".load takes a file of Lua, such as main.lua, and not {name!r}")
        yield self._evaluate(bundle(Path(name).expanduser()))

    def load_blueprint(self, rest: str) -> Iterator[Answer]:
        """Evaluate a file of the blueprints' folder."""
        if self._blueprints is None:
            raise ConfigError(
                "no folder of blueprints is known; take blueprints/ of AO's repository aos, or your"
                " own, and name it with --blueprints FOLDER"
            )
        file = self._blueprints / f"{rest}.lua"
        if not _PLAIN_NAME.fullmatch(rest) or not file.is_file():
            known = ", ".join(self._blueprint_names()) or "none"
            raise ConfigError(f"{self._blueprints} has no blueprint {rest!r}; it has {known}")
        yield self._evaluate(bundle(file))

    def _blueprint_names(self) -> list[str]:
        folder = self._blueprints
        return sorted(file.stem for file in folder.glob("*.lua")) if folder is not None else []

    def dry(self, rest: str) -> Iterator[Answer]:
        """Evaluate code and keep nothing; without code, begin or end to do so."""
        if rest:
            yield self._evaluate(rest, dry=True)
            return
        self._dry = not self._dry
        yield Told(
            "what you write is evaluated and not kept, until the next .dryrun"
            if self._dry
            else "what you write is kept again"
        )

    def edit_elsewhere(self, _rest: str) -> Iterator[Answer]:
        """Have an editor opened."""
        yield Edit()

    def edit_lines(self, _rest: str) -> Iterator[Answer]:
        """Collect lines."""
        self._written = []
        yield Told("write lines; .done evaluates them, .delete drops the last, .cancel drops all")

    def _write(self, text: str) -> Iterator[Answer]:
        lines = self._written
        assert lines is not None
        word = text.strip()
        if word == ".delete":
            del lines[-1:]
        elif word in (".done", ".cancel"):
            self._written = None
            if word == ".done" and any(map(str.strip, lines)):
                yield self._evaluate("\n".join(lines))
        else:
            lines.append(text)

    # -- what may follow ---------------------------------------------------------------------

    def complete(self, text: str) -> list[Offer]:
        """Offer commands, files, keywords, and what the tables of the process have."""
        if self._written is None and text.startswith("."):
            command, space, begun = text.partition(" ")
            if not space:
                return self._offer_commands(text)
            if command == ".load":
                return _offer_files(begun)
            if command == ".load-blueprint":
                return _offers(((name, "blueprint") for name in self._blueprint_names()), begun)
            if command != ".dryrun":
                return []
        path, begun, method = probes.at_cursor(text)
        if not path and not begun:
            return []
        known = self._known(path)
        if method:
            known = [each for each in known if each[1] == "function"]
        keywords = [] if path else [(word, "keyword") for word in probes.KEYWORDS]
        return _offers([*known, *keywords], begun)

    def _known(self, path: str) -> list[tuple[str, str]]:
        """Return the names in a table with their types, sorted."""
        if path not in self._members:
            lines = (line.partition(" ") for line in self._probe(probes.members(path)).split("\n"))
            self._members[path] = [(name, kind) for name, _, kind in lines if kind]
        return self._members[path]

    def _probe(self, code: str) -> str:
        """Return what code gives in a dry run; nothing if it fails."""
        try:
            return self._ask(code).text
        except BenchpoolError:  # whoever writes a line wants to go on writing it
            return ""

    def _ask(self, code: str) -> Output:
        return read(self.network.dry_run(self.info.id, "Eval", data=code, sender=self.wallet))


def _pointing(output: Output, code: str) -> Output:
    """Add to an error the line of the code that it speaks of, if there are several."""
    numbers = _LINE.findall(output.error)
    lines = code.split("\n")
    if not numbers or len(lines) == 1 or not 0 < int(numbers[-1]) <= len(lines):
        return output
    number = int(numbers[-1])
    return replace(output, error=f"{output.error}\n{number:>5} | {lines[number - 1]}")


def _offers(known: Iterator[tuple[str, str]] | list[tuple[str, str]], begun: str) -> list[Offer]:
    return [Offer(name, len(begun), kind) for name, kind in known if name.startswith(begun)]


def _offer_files(begun: str) -> list[Offer]:
    folder, slash, name = begun.rpartition("/")
    found = []
    try:
        for path in sorted(Path(f"{folder}{slash}" or ".").expanduser().iterdir()):
            if path.name.startswith(name) and (name.startswith(".") or path.name[0] != "."):
                if path.is_dir():
                    found.append(Offer(f"{path.name}/", len(name), "folder"))
                elif path.suffix == ".lua":
                    found.append(Offer(path.name, len(name), "file"))
    except OSError:
        return []
    return found
