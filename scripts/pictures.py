"""Make the pictures of the README: the board's page in a browser, and the demo in a terminal.

Both are of a real run: the demo runs in a terminal of its own, then its home is served, and
Chromium looks at the board. Each picture is made light and dark.

    python scripts/pictures.py

Needs the two models of the demo, Chromium, and the development packages (playwright, pyte).
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pyte
from playwright.sync_api import sync_playwright
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from benchpool.client.demo import TITLE

ROOT = Path(__file__).parents[1]
COLUMNS, ROWS = 100, 300
LARGEST = 150_000
"""Bytes of a picture."""
THEMES = {
    "light": ("#ffffff", "#1a1f29 #b3261e #156f3a #8a5a00 #2457d6 #7b3fb5 #0a7285 #586173"),
    "dark": ("#12151b", "#e6e9ef #ff9a8f #71cf93 #efc069 #86a8ff #c9a2f5 #6fd0e3 #a0a9b8"),
}
"""The paper, and the eight colours of a terminal, the first of which is the ink's."""
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--browser", default=shutil.which("chromium") or "chromium")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        screen = run_demo(folder)
        for theme, colours in THEMES.items():
            drawn = draw_terminal(screen, *colours)
            keep(given.out / f"demo-{theme}.svg", drawn.encode())
        with served(folder / ".benchpool-demo") as address:
            for theme, shot in look(address, given.browser):
                keep(given.out / f"board-{theme}.png", shot)


def keep(file: Path, body: bytes) -> None:
    """Write a picture, unless it is too large for a README."""
    if len(body) > LARGEST:
        sys.exit(f"{file} would have {len(body):,} bytes; at most {LARGEST:,} are good for a page")
    file.write_bytes(body)
    print(f"{file}: {len(body):,} bytes")


# -- the terminal --------------------------------------------------------------------------------


def run_demo(folder: Path) -> pyte.Screen:
    """Run the demo in a terminal; return what stands there in the end."""
    child, leader = pty.fork()
    if child == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.chdir(folder)
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
        environment.pop("COLUMNS", None)
        os.execve(sys.executable, [sys.executable, "-m", "benchpool", "demo"], environment)
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    try:
        while block := os.read(leader, 65536):
            stream.feed(block)
    except OSError:  # Linux says so when the other side has closed
        pass
    os.close(leader)
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit("\n".join(line.rstrip() for line in screen.display).strip())
    return screen


def draw_terminal(screen: pyte.Screen, paper: str, colours: str) -> str:
    """Draw what stands on a terminal as SVG that loads nothing."""
    ansi = [tuple(Color.parse(each).get_truecolor()) for each in colours.split()]
    theme = TerminalTheme(tuple(Color.parse(paper).get_truecolor()), ansi[0], ansi)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor")
    lines = [_line(screen, row) for row in range(ROWS)]
    while not lines[-1].plain.strip():
        lines.pop()
    for line in [Text("$ benchpool demo", style="bold"), *lines]:
        console.print(line, no_wrap=True, crop=True)
    form = re.sub(r"@font-face\s*\{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code, monospace", FONTS).replace("Fira Code", FONTS)
    return console.export_svg(
        title="benchpool", theme=theme, code_format=form, unique_id="benchpool"
    )


def _line(screen: pyte.Screen, row: int) -> Text:
    chars = [screen.buffer[row][column] for column in range(COLUMNS)]
    text = Text()
    for (colour, bold), run in groupby(chars, lambda char: (char.fg, char.bold)):
        known = {"default": None, "brown": "yellow"}.get(colour, colour)
        text.append("".join(char.data for char in run), Style(color=known, bold=bold))
    text.rstrip()
    return text


# -- the browser ---------------------------------------------------------------------------------


@contextmanager
def served(home: Path) -> Iterator[str]:
    """Serve a home; give the address of its pages."""
    command = [sys.executable, "-m", "benchpool", "up", "--home", str(home), "--go-live"]
    with subprocess.Popen(
        [*command, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as program:
        try:
            assert program.stdout is not None
            lines = [program.stdout.readline()]
            while lines[-1] not in ("}\n", ""):
                lines.append(program.stdout.readline())
            yield json.loads("".join(lines))["dashboard"]
        finally:
            program.terminate()


def look(address: str, browser: str) -> Iterator[tuple[str, bytes]]:
    """Take pictures of the demo's board; a theme and a PNG each."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for theme in ("light", "dark"):
            page = chromium.new_page(
                viewport={"width": 960, "height": 900}, color_scheme=theme, reduced_motion="reduce"
            )
            page.goto(f"{address}pools")
            page.get_by_role("link", name=TITLE).click()
            page.get_by_role("heading", name=TITLE).wait_for()
            end = page.locator("#money").bounding_box()
            tall = end["y"] if end else 900
            page.set_viewport_size({"width": 960, "height": int(min(tall, 1200))})
            yield theme, page.screenshot()
        chromium.close()


if __name__ == "__main__":
    main()
