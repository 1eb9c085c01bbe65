"""Reading pages as a reader does, for the tests of what stands in them."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "input", "img", "hr"}


class Page(HTMLParser):
    """What a page holds: its texts, its tables by id, and what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        """Rows of the bodies of the tables that have an id, of tables in their cells too."""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self._open: list[str] = []
        self._tables: list[str] = []
        self._cell: list[str] | None = None
        self.feed(text)
        self.close()
        assert not self._open, self._open

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in _VOID:
            return
        self._open.append(tag)
        if tag in self.inside:
            self.inside[tag].append("")
        if tag == "table":
            self._tables.append(dict(attrs).get("id") or "")
            if self._tables[-1]:
                self.tables[self._tables[-1]] = []
        within = self._tables[-1] if self._tables else ""
        if within and "tbody" in self._open:
            if tag == "tr":
                self.tables[within].append([])
            elif tag in ("td", "th"):
                self._cell = []
                self.tables[within][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes nothing"
        if tag == "table":
            self._tables.pop()
        elif tag in ("td", "th") and self._tables and self._tables[-1]:
            self._cell = None

    def handle_data(self, data: str) -> None:
        within = self._open[-1] if self._open else ""
        if within in self.inside:
            self.inside[within][-1] += data
            return
        self.texts.append(data)
        if self._cell is not None and self._tables and self._tables[-1]:
            row = self.tables[self._tables[-1]][-1]
            row[-1] = " ".join(f"{row[-1]} {data}".split())
