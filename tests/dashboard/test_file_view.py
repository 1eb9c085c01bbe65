"""Files of samples, shown with the pages of a pool's entries."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from pages import record

from benchpool.client.evaluating.run import Evaluation
from benchpool.client.evaluating.samples import write_samples
from benchpool.errors import DatasetError
from benchpool.server.dashboard.file_view import make_app


class Browser:
    """Asks an application, and goes where it is sent."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def get(self, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1", follow_redirects=True
            ) as client:
                return await client.get(path, **options)

        return asyncio.run(ask())


@pytest.fixture(params=[".jsonl", ".csv"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Browser:
    path = tmp_path / f"samples{request.param}"
    good = [record("good", n, gold=n % 2 + 1, prediction=n % 2 + 1) for n in range(1, 31)]
    poor = [
        record("poor", n, gold=n % 2 + 1, prediction=None if n == 3 else 1) for n in range(1, 31)
    ]
    write_samples(path, [Evaluation("good", good), Evaluation("poor", poor)])
    return Browser(make_app(path))


def test_a_file_opens_at_its_first_model(client: Browser) -> None:
    shown = client.get("/", headers={"Accept": "application/json"}).json()
    assert (shown["name"], shown["correct"], shown["n"]) == ("good", 30, 30)
    assert [each["name"] for each in shown["others"]] == ["poor"]
    assert shown["confusion"]["rows"] == [[15, 0], [0, 15]]
    assert shown["picked"]["after"] == 20


def test_another_model_is_filtered_and_searched(client: Browser) -> None:
    def numbers(query: str) -> list[int]:
        shown = client.get(f"/ui/samples.json?model=poor&{query}").json()
        return [each["question"] for each in shown["picked"]["samples"]]

    assert numbers("show=unscored") == [3]
    assert numbers("show=wrong&after=10")[:3] == [11, 13, 15]
    assert numbers("show=differ&beside=good")[:3] == [1, 5, 7]
    assert numbers("q=number+12") == [12]


def test_its_pages_hold_text_and_nothing_else(client: Browser) -> None:
    answer = client.get("/ui/samples?model=poor")
    assert answer.status_code == 200
    assert "<img" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for name in ("style.css", "live.js", "icon.svg"):
        assert client.get(f"/ui/assets/{name}").status_code == 200


def test_what_is_not_there_is_told(client: Browser) -> None:
    assert client.get("/ui/samples.json?model=none").status_code == 404
    assert client.get("/ui/pools.json").status_code == 404
    assert client.get("/", headers={"Host": "rebound.example"}).status_code == 421


def test_no_file_of_samples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text("{}\n")
    with pytest.raises(DatasetError):
        make_app(path)
