"""The console on a terminal: a prompt with history and completion, and what comes in meanwhile.

Beside the history, the only file that imports prompt_toolkit.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth

from benchpool.cli import console_view, output, session
from benchpool.cli.console_history import LineHistory
from benchpool.client.console import Talk
from benchpool.client.console.answers import Arrived, Edit, Left
from benchpool.errors import BenchpoolError, ConfigError

_LOOK_S: Final = 1.0
"""How often the console looks for what came in, while a server runs on the home."""
_MOST_PROMPT: Final = 200
_MOST_OFFERS: Final = 500


class Terminal:
    """Asks for lines, and shows what comes of them and what comes by itself."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._session: PromptSession[str] = PromptSession(
            history=LineHistory(talk.network.home, talk.info.id),
            completer=_Offers(talk),
            complete_while_typing=False,
            multiline=True,
            key_bindings=_keys(talk),
            prompt_continuation="",
            color_depth=None if output.in_colour(sys.stdout) else ColorDepth.DEPTH_1_BIT,
        )

    def run(self) -> None:
        """Talk until the user leaves."""
        self._greet()
        while True:
            try:
                text = self._session.prompt(
                    lambda: ANSI(_prompt(self._talk.prompt)), pre_run=self._look_out
                )
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if not self._say(text):
                return

    def _greet(self) -> None:
        talk = self._talk
        output.note(f"{talk.name} ({talk.module}); {talk.helps} says what you can say, Ctrl-D ends")
        if talk.no_lua:
            output.note(talk.no_lua)
        if not talk.served:
            output.note(
                "this console has the home to itself: other commands that write wait until you"
                " leave; with a server on it (benchpool up) they need not"
            )

    def _say(self, text: str) -> bool:
        """Say a text; tell whether the conversation goes on."""
        talk = self._talk
        try:
            with session.working(talk.network, talk.writer):
                answers = talk.say(text)
        except KeyboardInterrupt:
            if not talk.served:  # half a round cannot be taken up again here
                raise
            output.note("you need not wait: the server goes on with it")
            return True
        for answer in answers:
            if isinstance(answer, Left):
                return False
            if isinstance(answer, Edit):
                return self._edit()
            console_view.show(answer, talk)
        self._show(talk.news())
        return True

    def _edit(self) -> bool:
        try:
            text = _edited()
        except BenchpoolError as error:
            output.complain(str(error))
            return True
        return self._say(text) if text.strip() else True

    def _show(self, news: list[Arrived]) -> None:
        for each in news:
            console_view.show(each, self._talk)

    def _look_out(self) -> None:
        if self._talk.served:
            get_app().create_background_task(self._show_what_comes())

    async def _show_what_comes(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            prompt = self._talk.prompt
            try:
                news = self._talk.news()
            except BenchpoolError as error:
                await run_in_terminal(partial(output.complain, str(error)))
                return
            if news:
                await run_in_terminal(partial(self._show, news))
            elif prompt != self._talk.prompt:
                get_app().invalidate()


class _Offers(Completer):
    """What the conversation offers."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterator[Completion]:
        del complete_event
        for offer in self._talk.complete(document.text_before_cursor)[:_MOST_OFFERS]:
            yield Completion(
                offer.text,
                -offer.replaces,
                display=output.clean(offer.text),
                display_meta=output.clean(offer.meaning),
            )


def _keys(talk: Talk) -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.text
        # An empty line at the end says: it is as I want it.
        insists = text.endswith("\n") and not buffer.document.text_after_cursor
        if text.strip() and not insists and talk.needs_more(text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _prompt(text: str) -> str:
    return output.tinted(text.replace("\n", " ")[:_MOST_PROMPT])


def _edited() -> str:
    """Have the user write a text in an editor. Raises: ConfigError."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="benchpool-") as folder:
        file = Path(folder) / "console.lua"
        file.touch()
        try:
            done = subprocess.run([*shlex.split(editor), str(file)], check=False)  # noqa: S603
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(f"the editor {editor!r} does not work: {why}") from None
        if done.returncode:
            raise ConfigError(f"the editor {editor!r} ended with exit code {done.returncode}")
        return text
