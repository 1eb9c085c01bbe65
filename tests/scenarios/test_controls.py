"""Controls beside a score: what the report says of questions that were asked another way, too."""

import json
from typing import Any

import pytest

from benchpool.audit.audit import audit
from benchpool.client.pools import PoolClient
from benchpool.evaluation.controls import controlled
from benchpool.evaluation.sample import Sample

LETTERS = {"X-Protocol": "letters", "X-Controls": "answers-only,reordered", "X-Duration": "2d"}


def test_a_control_changes_what_it_says() -> None:
    sample = Sample("Kim won.", "How?", ("a", "b", "c"), 3)
    assert controlled(sample, "") == sample
    assert controlled(sample, "answers-only") == Sample("", "", ("a", "b", "c"), 3)
    moved = controlled(sample, "reordered")
    assert moved == Sample("Kim won.", "How?", ("c", "a", "b"), 1)
    assert moved.choices[moved.gold - 1] == sample.choices[sample.gold - 1]


@pytest.mark.parametrize(
    ("controls", "protocol", "why"),
    [("sideways", "letters", "not 'sideways'"), ("reordered", "cloze", "goes with letters")],
)
def test_controls_that_there_are_not_are_refused(
    open_pools: Any, controls: str, protocol: str, why: str
) -> None:
    pools = open_pools()
    tags = {"X-Dataset": pools.ids.SiqaDataset, "X-Allocation": "Equal", "X-Protocol": protocol}
    pools.transfer(5, **tags, **{"X-Controls": controls})
    refund = pools.network.inbox("funder")[-1]
    assert why in refund.tags["X-Error"]


def test_the_report_says_what_the_question_earned(open_pools: Any) -> None:
    pools = open_pools()
    network = pools.network
    pool = pools.fund(9, **LETTERS)
    # It answers each question as asked; of the controls it knows none, but says A to everything.
    pools.join_guesser(pool, "ana")
    network.advance("3d")
    (report,) = PoolClient(network).reports(pool)
    plain = {"evaluated": 6, "correct_plain": 6}
    by_name = {each.pop("control"): each for each in report["controls"]}
    assert by_name["answers-only"] == {**plain, "correct": 2, "correct_both": 2, "earned": 4 / 6}
    assert by_name["reordered"] == {**plain, "correct": 2, "correct_both": 2, "earned": 2 / 6}
    data = network.data
    assert audit(network.store, data, pool, registry=network.registry).passed
    asked = [each for each, _ in network.log("SiqaDataset") if each.action == "Benchmark"]
    assert [each.tags["Protocol"] for each in asked] == [
        "letters",
        "letters/answers-only",
        "letters/reordered",
    ]


def test_controls_count_in_the_cost_and_not_in_the_score(open_pools: Any) -> None:
    pools = open_pools()
    pool = pools.fund(9, **LETTERS)
    pools.join_guesser(pool, "ana")
    pools.network.advance("2h")
    asked = [each for each, _ in pools.network.log("LlamaRouter") if each.action == "Inference"]
    assert len(asked) == 3 * 6
    prompts = {json.loads(each.data)["prompt"] for each in asked}
    assert any(prompt.startswith("A. ") for prompt in prompts)
    pools.network.advance("3d")
    (row,) = PoolClient(pools.network).leaderboard(pool)
    assert (row["correct"], row["total"]) == (6, 6)
