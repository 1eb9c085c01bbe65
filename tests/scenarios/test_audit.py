"""Audit: pools that went as they should, and forgeries that are found from the log alone."""

import json
import sqlite3
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from benchpool import Message, Network, Process, handler
from benchpool.ao.ids import module_id
from benchpool.ao.message import decode_message, decode_result, encode, encode_result
from benchpool.ao.tags import Tags
from benchpool.audit.audit import audit, audit_home
from benchpool.audit.statement import Statement
from benchpool.cli import app
from benchpool.errors import PoolError
from processes.siqa import SiqaDataset

WAR = 10**12


def failed(statement: Statement) -> list[str]:
    return [check.name for check in statement.checks if check.passed is False]


def change(home: Path, module: str, action: str, column: str, edit) -> int:
    """Edit every message (or result of one) of an action in the log of a module's process."""
    count = 0
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        (process,) = connection.execute("SELECT id FROM processes WHERE module = ?", [module])
        rows = connection.execute(
            "SELECT sequence, message, result FROM log WHERE process = ?", process
        ).fetchall()
        for sequence, message, result in rows:
            raw = message if column == "message" else result
            if decode_message(message).action == action and (new := edit(raw)) != raw:
                connection.execute(
                    f"UPDATE log SET {column} = ? WHERE sequence = ?", [new, sequence]
                )
                count += 1
    return count


def outgoing(action: str, name: str, old: str, new: str):
    """Edit a tag of what a result puts out."""

    def edit(raw: bytes) -> bytes:
        result = decode_result(raw)
        messages = tuple(
            msgspec.structs.replace(
                each, tags=Tags([(n, new if (n, v) == (name, old) else v) for n, v in each.tags])
            )
            if each.tags.get("Action") == action
            else each
            for each in result.messages
        )
        return encode_result(msgspec.structs.replace(result, messages=messages))

    return edit


def test_a_paid_pool_that_was_topped_up(finished: Path):
    statement = audit_home(finished, "happy")
    assert failed(statement) == []
    assert (statement.status, statement.pool.funds) == ("paid", WAR + 6)
    assert [deposit.quantity for deposit in statement.pool.deposits] == [WAR + 1, 5]
    assert [(row.rank, row.correct, row.evaluated) for row in statement.rows] == [
        (1, 6, 6),
        (2, 1, 6),
    ]
    assert sum(paid.quantity for paid in statement.paid) == WAR + 6
    assert {paid.quantity for paid in statement.paid} == {row.reward for row in statement.rows}


def test_a_tie_shares_a_rank_and_the_funds(finished: Path):
    statement = audit_home(finished, "tie")
    assert failed(statement) == []
    assert [row.rank for row in statement.rows] == [1, 1]
    assert sorted(paid.quantity for paid in statement.paid) == [WAR // 2, WAR // 2 + 1]


def test_a_pool_that_nobody_joined_is_refunded(finished: Path):
    statement = audit_home(finished, "empty")
    assert (failed(statement), statement.status) == ([], "refunded")
    assert [(paid.quantity, paid.model) for paid in statement.paid] == [(7, "")]


def test_of_an_open_pool_the_payouts_are_not_due(finished: Path):
    statement = audit_home(finished, "open")
    assert (statement.passed, statement.status) == (True, "open")
    assert sum(check.passed is None for check in statement.checks) == 4


def test_a_pool_in_memory_before_anything_was_evaluated(open_pools):
    pools = open_pools()
    with pools.network as network:
        pool = pools.fund(3)
        pools.join(pool, "ana", [1] * 6)
        statement = audit(network.store, network.data, pool[:12])
    assert failed(statement) == []
    assert statement.rows[0].standard_error is None


def test_a_payout_that_was_altered_in_the_record_is_found(finished: Path):
    happy = audit_home(finished, "happy")
    quantity = str(happy.rows[1].reward)
    edit = outgoing("Transfer", "Quantity", quantity, "999")
    assert change(finished, "Benchmark", "Score-Response", "result", edit) == 1
    found = failed(audit_home(finished, "happy"))
    assert "ranks and shares are those of the rule" in found
    assert "each was transferred and confirmed once" in found


def test_a_score_that_was_altered_in_the_record_is_found(finished: Path):
    edit = outgoing("Score-Response", "Correct", "1", "5")
    assert change(finished, "SiqaDataset", "Score", "result", edit) > 0
    statement = audit_home(finished, "happy")
    assert failed(statement) == ["every score is what the answers give"]
    detail = next(check.detail for check in statement.checks if check.passed is False)
    assert "it said 5 correct of 6 evaluated" in detail


def test_an_answer_that_was_altered_in_the_log_is_found(finished: Path):
    def edit(raw: bytes) -> bytes:
        message = decode_message(raw)
        return encode(msgspec.structs.replace(message, data=message.data.replace("-10.0", "-0.5")))

    assert change(finished, "SiqaDataset", "Inference-Response", "message", edit) > 0
    assert "the logs are whole: nonces, hash chains, ids" in failed(audit_home(finished, "happy"))


def test_a_credit_without_a_debit_is_found(finished: Path):
    edit = outgoing("Debit-Notice", "Quantity", "7", "8")
    assert change(finished, "WrappedAR", "Transfer", "result", edit) == 2
    assert failed(audit_home(finished, "happy")) == ["no winston was made or lost in the token"]


def test_the_command_prints_a_page_and_json(finished: Path):
    run = CliRunner().invoke(app, ["audit", "happy", "--home", str(finished)])
    assert run.exit_code == 0, run.stderr
    assert len(run.stdout.splitlines()) < 60
    assert "✗" not in run.stdout
    assert "1.000000000001 wAR" in run.stdout
    shown = json.loads(
        CliRunner().invoke(app, ["audit", "happy", "--json", "--home", str(finished)]).stdout
    )
    assert shown["schema"] == "audit/1"
    assert shown["passed"] is True
    assert sum(int(paid["quantity"]) for paid in shown["payments"]) == int(shown["pool"]["funds"])


def test_the_command_ends_with_1_if_a_check_fails(finished: Path):
    edit = outgoing("Score-Response", "Correct", "1", "5")
    change(finished, "SiqaDataset", "Score", "result", edit)
    run = CliRunner().invoke(app, ["audit", "happy", "--home", str(finished)])
    assert run.exit_code == 1
    assert "✗ every score is what the answers give" in run.stdout


@pytest.mark.parametrize("text", ["nowhere", "", "abc"])
def test_a_pool_that_is_not_there(finished: Path, text: str):
    with pytest.raises(PoolError, match="there is no pool"):
        audit_home(finished, text)


def test_a_data_set_spawned_by_its_modules_id_is_not_judged_by_its_own_code(
    open_pools, monkeypatch: pytest.MonkeyPatch
):
    spawn = Network.spawn
    monkeypatch.setattr(
        Network, "spawn", lambda self, module, *a, **k: spawn(self, module_id(module), *a, **k)
    )
    pools = open_pools()
    with pools.network as network:
        pool = pools.fund(3)
        pools.join(pool, "ana", [1] * 6)
        monkeypatch.setattr(SiqaDataset, "is_correct", lambda *_: True)
        network.advance("1d")
        statement = audit(network.store, network.data, pool)
    assert failed(statement) == ["every score is what the answers give"]


class Shadow(Process):
    """Takes itself for a Benchmark: it bears the tag, and answers as one does."""

    @handler("Credit-Notice")
    def credit(self, message: Message) -> None:
        asked = ("X-Title", "X-Dataset", "X-Allocation")
        self.reply(message, "Pool-Created", {name: message.tags.get(name) for name in asked})


def test_only_a_process_of_the_module_benchmark_has_pools(open_pools):
    pools = open_pools()
    with pools.network as network:
        network.registry.add(Shadow)
        shadow = network.spawn("Shadow", {"WrappedAR": pools.ids.WrappedAR})
        network.send(shadow, "Register-Dataset", {"Name": "x"}, sender="funder")
        named = {"X-Title": "mine", "X-Dataset": network.resolve("funder")}
        pools.transfer(3, Recipient=shadow, **named, **{"X-Allocation": "Equal"})
        pool = pools.fund(3, **{"X-Title": "mine"})
        assert audit(network.store, network.data, "mine").pool.id == pool
