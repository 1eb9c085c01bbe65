"""A report as one page: nothing is loaded, and no script runs but the one that stands in it.

Whatever models, data and people say is text: every value is escaped, and the page's policy names
its style and its script by their hashes, so that a browser would run nothing else.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchpool.client.standing import NEAR_TIE_NATS
from benchpool.server.dashboard import drawings, rendering
from benchpool.server.dashboard.charts import Axis
from benchpool.server.report.views import EvalReport, PoolReport

_HERE: Final = Path(__file__).parent
_PAGES: Final = Path(rendering.__file__).parent


def pool_page(report: PoolReport) -> bytes:
    """Write the page of a pool."""
    return _write("pool_report.html", report)


def eval_page(report: EvalReport) -> bytes:
    """Write the page of an evaluation without a pool."""
    values = [bound for each in report.models for bound in each.interval]
    axis = Axis.around([*values, *([] if report.chance is None else [report.chance])])
    metrics = list(dict.fromkeys(name for each in report.models for name in each.metrics))
    return _write("eval_report.html", report, axis=axis, metrics=metrics)


def _write(template: str, report: msgspec.Struct, **more: object) -> bytes:
    style, script = (
        _text(_PAGES, "style.css") + _text(_HERE, "report.css"),
        _text(_HERE, "report.js"),
    )
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)};"
        " base-uri 'none'; form-action 'none'"
    )
    text = (
        _environment()
        .get_template(template)
        .render(
            view=report,
            policy=policy,
            style=Markup(style),  # noqa: S704 - a file of this package
            script=Markup(script),  # noqa: S704
            **more,
        )
    )
    return text.encode(errors="replace")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader([_HERE / "templates", _PAGES / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= rendering.FILTERS
    environment.globals |= {"charts": drawings, "near_tie": NEAR_TIE_NATS}
    return environment


def _text(folder: Path, name: str) -> str:
    return (folder / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
