import time

import pytest

from benchpool.errors import PushLimitExceeded
from benchpool.units.limits import Limits


def test_two_processes_that_answer_each_other_for_ever_are_stopped(make):
    network = make()
    network.spawn("Rogue", name="a")
    b = network.spawn("Rogue", name="b")
    waiting = network.post("b", "Note")
    start = time.monotonic()
    with pytest.raises(PushLimitExceeded, match="10001 pushes deep"):
        network.send("a", "Ping", {"To": b})
    assert time.monotonic() - start < 10
    assert waiting.reply("Noted")
    assert network.send("a", "Note").reply("Noted").tags["Count"] == "1"


@pytest.mark.parametrize("at_home", [False, True])
def test_a_fork_bomb_of_spawns_ends_at_its_family(make, tmp_path, at_home):
    limits = Limits(spawns_per_process=50)
    network = make(tmp_path / "home" if at_home else None, limits=limits)
    network.spawn("Rogue", name="innocent")
    bomb = network.spawn("Breeder", name="bomb")
    assert len(network.processes()) == 2 + 50
    errors = [
        message
        for info in network.processes()
        for message in network.process(info.id).inbox
        if message.action == "Spawn-Error"
    ]
    assert len(errors) == 2 * 51 - 50
    assert f"process {bomb} and those that it spawned" in errors[0].tags["Error"]
    network.send("innocent", "Breed", {"Count": "1"})
    assert len(network.processes()) == 2 + 50 + 50
    if at_home:
        network.close()
        network = make(tmp_path / "home", limits=limits)
        network.send("innocent", "Breed", {"Count": "1"})
        assert len(network.processes()) == 2 + 50 + 50
    network.spawn("Rogue", name="another")


def test_more_spawns_in_one_message_than_allowed_fail_it(make):
    network = make()
    network.spawn("Rogue", name="rogue")
    sent = network.send("rogue", "Breed", {"Count": "101"})
    assert "spawns 101 of them; at most 100" in sent.error
    assert len(network.processes()) == 1


def test_a_bomb_by_cron_ends_too(make):
    network = make(limits=Limits(spawns_per_process=20))
    tags = {"Cron-Interval": "1-hour", "Cron-Tag-Action": "Breed", "Cron-Tag-Count": "1"}
    network.spawn("Rogue", tags)
    network.advance("30h")
    assert len(network.processes()) == 1 + 20
