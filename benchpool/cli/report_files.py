"""The files that reports are written to, and the options that name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import output

if TYPE_CHECKING:
    from benchpool.client.evaluating.run import Evaluation
    from benchpool.client.pool_facts import PoolFacts
    from benchpool.client.pools import PoolClient
    from benchpool.network import Network

HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write one page that loads nothing: the board, plots, every question, provenance.",
    ),
]
PngOption = Annotated[
    Path | None, typer.Option("--png", metavar="FILE", help="Write the board and plots as PNG.")
]
CsvOption = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write what became of each question, as CSV."),
]
ParquetOption = Annotated[
    Path | None, typer.Option("--parquet", metavar="FILE", help="The same as Parquet.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]


@dataclass(frozen=True)
class ReportFiles:
    """Where a report is written.

    Raises:
        BadParameter: A table's name has another ending, or two files are one.
        ConfigError: A file is there already and may not be overwritten, or has no folder.
        PrerequisiteError: What writes such files is not installed.
    """

    html: Path | None = None
    png: Path | None = None
    csv: Path | None = None
    parquet: Path | None = None
    force: bool = False

    def __post_init__(self) -> None:
        from benchpool.audit.export import check_new
        from benchpool.client.evaluating.samples import check_ending
        from benchpool.errors import ConfigError

        named = [each for each in (self.html, self.png, self.csv, self.parquet) if each is not None]
        if len(set(named)) < len(named):
            raise typer.BadParameter("each file needs a name of its own")
        for path, ending in ((self.csv, ".csv"), (self.parquet, ".parquet")):
            if path is not None:
                if path.suffix.lower() != ending:
                    raise typer.BadParameter(f"{path} does not end in {ending}")
                check_ending(path)
        for path in named:
            if not path.parent.is_dir():
                raise ConfigError(f"{path.parent} is no folder for {path.name}")
            if path.is_dir():
                raise ConfigError(f"{path} is a folder; name a file in it")
            check_new(path, overwrite=self.force)
        if self.png is not None:
            from benchpool.server.report.picture import find_renderer

            find_renderer()

    def __bool__(self) -> bool:
        """Tell whether there is anything to write."""
        return any((self.html, self.png, self.csv, self.parquet))

    def write_pool(self, network: Network, client: PoolClient, pool: PoolFacts) -> None:
        """Write the report of a pool. Raises: ConfigError if a file cannot be written."""
        if not self:
            return
        from benchpool.server.report.page import pool_page
        from benchpool.server.report.picture import pool_png
        from benchpool.server.report.views import pool_report

        report, answers = pool_report(network, client, pool, audited=self.html is not None)
        if self.html is not None:
            _write(self.html, pool_page(report))
        if self.png is not None:
            _write(self.png, pool_png(report))
        for path in filter(None, (self.csv, self.parquet)):
            _write_table(path, answers)

    def write_eval(
        self, about: dict[str, Any], found: Sequence[Evaluation], figures: Any, pairs: Any
    ) -> None:
        """Write the report of an evaluation. Raises: ConfigError if it cannot be written."""
        if self.html is None:
            return
        from benchpool.server.report.page import eval_page
        from benchpool.server.report.views import eval_report

        _write(self.html, eval_page(eval_report(about, found, figures, pairs)))


def _write(path: Path, body: bytes) -> None:
    from benchpool.client.files import write_whole

    write_whole(path, lambda place: place.write_bytes(body))
    output.note(f"{path}: {output.count(-(-len(body) // 1000), 'kB', 'kB')}")


def _write_table(path: Path, answers: Sequence[Evaluation]) -> None:
    from benchpool.client.evaluating.samples import write_samples

    write_samples(path, answers)
    output.note(f"{path}: {output.count(sum(len(each.records) for each in answers), 'sample')}")
