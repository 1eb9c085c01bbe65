"""The same pools in a network that signs everything, as on AO."""

import sqlite3
from pathlib import Path
from shutil import copytree

import pytest

from benchpool.audit.audit import audit_home
from benchpool.audit.replay import replay_home
from benchpool.network import Network


def paid(home: Path, pool: str) -> list[tuple[str, int]]:
    statement = audit_home(home, pool)
    assert [check.name for check in statement.checks if check.passed is False] == []
    return [(statement.names.get(each.recipient, ""), each.quantity) for each in statement.paid]


@pytest.mark.parametrize("pool", ["happy", "tie", "empty"])
def test_signatures_change_no_payment(finished: Path, signed_and_finished: Path, pool: str):
    assert paid(signed_and_finished, pool) == paid(finished, pool) != []


def test_every_signature_of_the_run_is_verified(finished: Path, signed_and_finished: Path):
    plain, signed = replay_home(finished), replay_home(signed_and_finished)
    assert signed.difference is None
    assert (signed.messages, signed.mail) == (plain.messages, plain.mail)
    assert plain.signatures == 0
    with Network(signed_and_finished, read_only=True) as network:
        ticks = sum(
            message.cron for info in network.processes() for message, _ in network.log(info.id)
        )
    assert signed.signatures == signed.messages + signed.mail - ticks > 100
    assert (signed.assignments, plain.assignments) == (signed.signatures, 0)


def test_an_audit_finds_a_forged_assignment(signed_and_finished: Path, tmp_path: Path):
    home = tmp_path / "home"
    copytree(signed_and_finished, home)
    with Network(home, read_only=True) as network:
        token = network.resolve("WrappedAR")
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        connection.execute(
            "UPDATE assignments SET signature = zeroblob(64) WHERE process = ? AND position = 3",
            (token,),
        )
    failed = [check for check in audit_home(home, "happy").checks if check.passed is False]
    assert failed[0].name.startswith("the logs are whole")
    assert f"position 3 of {token}" in failed[0].detail
