"""The same pools in a network that signs everything, as on AO."""

from pathlib import Path

import pytest

from benchpool.audit import audit_home
from benchpool.network import Network
from benchpool.replay import replay_home


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
