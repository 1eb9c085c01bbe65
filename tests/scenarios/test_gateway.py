"""The gateway: what clients ask of Arweave's nodes and of Goldsky's index."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from serving import Client, Running

from benchpool.ao.dataitem import sign


@pytest.fixture
def ana(serve: Callable[..., Running]) -> Client:
    return Client(serve().url)


def ask(ana: Client, query: str, **variables: Any) -> Any:
    answer = ana.http.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in answer, answer
    return answer["data"]


def upload(ana: Client, data: bytes, *tags: tuple[str, str]) -> str:
    item = sign(ana.signer, tags=[*tags, ("Number", str(next(ana.numbers)))], data=data)
    assert ana.http.post("/tx", content=item.raw).status_code == 200
    return item.id


def test_an_upload_has_a_status_a_size_and_its_data(ana: Client) -> None:
    upload_id = upload(ana, b"some data\xff")
    assert ana.http.get(f"/tx/{upload_id}/offset").json() == {"size": "10", "offset": "10"}
    found = ana.http.get(f"/tx/{upload_id}/data").text
    assert base64.urlsafe_b64decode(found + "=" * (-len(found) % 4)) == b"some data\xff"
    status = ana.http.get(f"/tx/{upload_id}/status").json()
    height = int(ana.http.get("/height").text)
    assert status["number_of_confirmations"] == height - status["block_height"] + 1 >= 1
    block = ask(
        ana, "query ($id: String) { block(id: $id) { height } }", id=status["block_indep_hash"]
    )
    assert block["block"]["height"] == status["block_height"]


def test_messages_have_a_status_and_data_too(ana: Client) -> None:
    token = ana.spawn("WrappedAR")
    message = ana.send(token, "Info", b"words")
    assert ana.http.get(f"/tx/{message}/data").text == "d29yZHM"
    assert ana.http.get(f"/tx/{message}/status").status_code == 200


def test_what_is_not_there_is_404(ana: Client) -> None:
    for part in ("status", "offset", "data"):
        for name in ("A" * 43, "x"):
            assert ana.http.get(f"/tx/{name}/{part}").status_code == 404


def test_everything_is_free(ana: Client) -> None:
    for path in (
        "/price/0",
        "/price/1000",
        f"/price/1000/{'A' * 43}",
        f"/wallet/{ana.address}/balance",
    ):
        assert ana.http.get(path).text == "0"
        assert ana.http.get(f"/gateway{path}").text == "0"
    assert ana.http.get("/v1/price/bytes/1000").json()["winc"] == "0"
    assert ana.http.get("/v1/rates").json()["winc"] == "0"
    for path in (
        "/price/x",
        "/price/-1",
        "/price/" + "9" * 30,
        "/wallet/x/balance",
        "/v1/price/bytes/x",
    ):
        assert ana.http.get(path).status_code == 400, path


def test_the_anchor_is_the_newest_block(ana: Client) -> None:
    info = ana.http.get("/info").json()
    assert ana.http.get("/tx_anchor").text == info["current"]
    assert int(ana.http.get("/height").text) == info["height"]


def test_blocks_are_listed_from_the_newest_on_and_page_by_page(ana: Client) -> None:
    height = int(ana.http.get("/height").text)
    query = """query ($after: String, $sort: SortOrder, $height: BlockFilter) {
        blocks(first: 3, after: $after, sort: $sort, height: $height) {
            pageInfo { hasNextPage } count
            edges { cursor node { id height previous timestamp } } } }"""
    first = ask(ana, query)["blocks"]
    shown = [edge["node"]["height"] for edge in first["edges"]]
    assert shown == [height, height - 1, height - 2]
    assert first["edges"][0]["node"]["previous"] == first["edges"][1]["node"]["id"]
    second = ask(ana, query, after=first["edges"][-1]["cursor"])["blocks"]
    assert second["edges"][0]["node"]["height"] == height - 3
    bounds = {"min": 5, "max": 8}
    up = ask(ana, query, sort="HEIGHT_ASC", height=bounds)["blocks"]
    assert [edge["node"]["height"] for edge in up["edges"]] == [5, 6, 7]
    assert (up["pageInfo"]["hasNextPage"], up["count"]) == (True, "4")
    rest = ask(ana, query, sort="HEIGHT_ASC", height=bounds, after=up["edges"][-1]["cursor"])
    assert [edge["node"]["height"] for edge in rest["blocks"]["edges"]] == [8]
    ids = "query ($ids: [ID!]) { blocks(ids: $ids) { edges { node { height } } } }"
    wanted = [up["edges"][0]["node"]["id"], "x", "A" * 43]
    assert [e["node"]["height"] for e in ask(ana, ids, ids=wanted)["blocks"]["edges"]] == [5, 0]
    assert ask(ana, "{ block { height } }")["block"]["height"] == height
    assert ask(ana, f'{{ block(id: "{"_" * 43}") {{ height }} }}')["block"] is None


def test_transactions_are_asked_for_by_when_they_came(ana: Client) -> None:
    upload_id = upload(ana, b"x", ("Kind", "one"))
    query = """query ($range: RangeFilter) { transactions(ingested_at: $range,
        sort: INGESTED_AT_DESC, tags: [{name: "Kind", values: ["one"]}]) {
            count edges { node { id ingested_at } } } }"""
    (edge,) = ask(ana, query)["transactions"]["edges"]
    came = edge["node"]["ingested_at"]
    assert edge["node"]["id"] == upload_id
    for bounds, count in (({"min": came}, "1"), ({"max": came}, "1"), ({"min": came + 1}, "0")):
        assert ask(ana, query, range=bounds)["transactions"]["count"] == count


@pytest.mark.parametrize(
    ("match", "value", "found"),
    [
        ("EXACT", "Data Set One", ["one"]),
        ("WILDCARD", "data*", []),
        ("WILDCARD", "Data ??? T*", ["two"]),
        ("FUZZY_AND", "set data", ["one", "two"]),
        ("FUZZY_AND", "set data two", ["two"]),
        ("FUZZY_OR", "one two", ["one", "two"]),
    ],
)
def test_values_of_tags_are_matched_otherwise_than_exactly(
    ana: Client, match: str, value: str, found: list[str]
) -> None:
    ids = {
        upload(ana, b"x", ("Title", f"Data Set {name.title()}")): name for name in ("one", "two")
    }
    query = """query ($match: TagMatch, $op: TagOperator, $values: [String!]!) {
        transactions(first: 100, tags: [{name: "Title", values: $values, match: $match, op: $op}]) {
            edges { node { id } } } }"""
    for op, wanted in (
        ("EQ", found),
        ("NEQ", [each for each in ids.values() if each not in found]),
    ):
        edges = ask(ana, query, match=match, op=op, values=[value])["transactions"]["edges"]
        shown = [ids[edge["node"]["id"]] for edge in edges if edge["node"]["id"] in ids]
        assert sorted(shown) == wanted


def test_too_many_patterns_are_refused(ana: Client) -> None:
    query = """query ($tags: [TagFilter!]) { transactions(tags: $tags) { count } }"""
    for tags in (
        [{"name": "a", "values": ["*" * 300], "match": "WILDCARD"}],
        [{"name": "a", "values": ["*"], "match": "WILDCARD"}] * 11,
    ):
        answer = ana.http.post(
            "/graphql", json={"query": query, "variables": {"tags": tags}}
        ).json()
        assert "otherwise than EXACT" in answer["errors"][0]["message"]
