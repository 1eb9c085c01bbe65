# ruff: noqa: RUF012 - pydantic copies the defaults of a state

import time

import pytest

from benchpool.ao.message import Message
from benchpool.errors import LimitExceeded
from benchpool.process.process import Process, State, handler
from benchpool.units import making


class Seen(State):
    seen: list[str] = []


class Slow(Process):
    """Heavy, and the slower the earlier it was spawned."""

    state: Seen
    heavy = True

    @handler("Work")
    def work(self, message: Message) -> None:
        time.sleep(float(self.tags["Sleep"]))
        self.state.seen.append(message.text)
        self.send(self.tags["Boss"], "Done", {"Name": self.tags["Label"], "What": message.text})


class Boss(Process):
    state: Seen

    @handler("Done")
    def done(self, message: Message) -> None:
        self.state.seen.append(message.tags["Name"] + message.tags["What"])
        if len(self.state.seen) < 12:
            self.reply(message, "Work", data=str(len(self.state.seen)))


def run(make_network, threads, sleeps=("0.012", "0.006", "0"), **options):
    network = make_network(Slow, Boss, seed=5, threads=threads, **options)
    boss = network.spawn("Boss", name="boss")
    workers = []
    for label, sleep in zip("xyz", sleeps, strict=True):
        tags = {"Sleep": "0.01", "Label": label, "Boss": boss}
        workers.append(network.spawn("Slow", tags))
        network.process(workers[-1]).tags = network.info(workers[-1]).tags.__class__(
            tags | {"Sleep": sleep}
        )
    for number in range(2):
        for worker in workers:
            network.post(worker, "Work", data=str(number))
    network.run()
    return network


def test_the_log_is_the_same_however_many_threads_and_whoever_is_first(make_network, everything):
    one = everything(run(make_network, 1))
    four = everything(run(make_network, 4))
    turned = everything(run(make_network, 4, ("0", "0.006", "0.012")))
    assert one == four == turned
    assert len(one["logs"]) == 5


def test_outboxes_follow_the_order_of_their_causes(make_network):
    network = run(make_network, 4)
    assert network.process("boss").state.seen[:6] == ["x0", "y0", "z0", "x1", "y1", "z1"]


def test_heavy_processes_run_at_the_same_time(make_network):
    started = time.monotonic()
    network = run(make_network, 3, ("0.1", "0.1", "0.1"))
    assert len(network.process("boss").state.seen) >= 12
    assert time.monotonic() - started < 0.1 * 18 * 0.7


def test_a_log_in_memory_and_on_disk_is_the_same(make_network, tmp_path, everything):
    assert everything(run(make_network, 2, home=tmp_path)) == everything(run(make_network, 2))


def test_another_seed_gives_other_ids(make_network):
    ids = set()
    for seed in (1, 2):
        network = make_network(Boss, seed=seed)
        ids.add(network.spawn("Boss"))
    assert len(ids) == 2


class Stubborn(Process):
    state: Seen
    interrupted = True

    @handler("Stop")
    def stop(self, message: Message) -> None:
        self.state.seen.append("half")
        self.send(self.id, "Note", data="sent")
        if Stubborn.interrupted:
            raise KeyboardInterrupt

    @handler("Note")
    def note(self, message: Message) -> None:
        self.state.seen.append(message.text)


class HeavyStubborn(Stubborn):
    heavy = True


@pytest.mark.parametrize("module", [Stubborn, HeavyStubborn])
@pytest.mark.parametrize("keep", ["go on", "close", "crash"])
def test_an_interrupted_round_is_evaluated_again_as_a_whole(
    make_network, tmp_path, monkeypatch, everything, module, keep
):
    def play(interrupted, home):
        monkeypatch.setattr(Stubborn, "interrupted", interrupted)
        network = make_network(module, home=home, seed=1)
        network.spawn(module.__name__, name="s")
        network.spawn(module.__name__, name="other")
        network.send("s", "Note", data="before")
        network.post("s", "Note", data="same round")
        network.post("other", "Note", data="same round")
        network.post("s", "Stop")
        network.post("s", "Note", data="behind")
        return network

    network = play(True, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        network.run()
    assert network.process("s").state.seen == ["before"]
    assert network.pending == 4
    monkeypatch.setattr(Stubborn, "interrupted", False)
    if keep != "go on":
        network.store.commit(network.clock.now())
        network.close(abort=keep == "crash")
        network = make_network(module, home=tmp_path / "a")
    network.run()
    assert network.process("s").state.seen[1:] == ["same round", "half", "behind", "sent"]
    whole = play(False, None)
    whole.run()
    assert everything(network) == everything(whole)


def test_a_network_of_many_small_runs_keeps_checkpoints_too(make_network, tmp_path, monkeypatch):
    monkeypatch.setattr("benchpool.units.compute.CHECKPOINT_EVERY", 50)
    monkeypatch.setattr("benchpool.units.messenger.COMMIT_EVERY", 50)
    network = make_network(Stubborn, home=tmp_path)
    identity = network.spawn("Stubborn", name="s")
    for _ in range(120):
        network.send("s", "Nothing")
    network.close(abort=True)
    again = make_network(Stubborn, home=tmp_path)
    assert again.store.checkpoint(identity).position == 49
    assert len(again.process("s").inbox) == 120


def test_checkpoints_are_looked_for_where_something_was_evaluated(
    make_network, tmp_path, monkeypatch
):
    from benchpool.units import compute, messenger

    asked = []

    def due(instance, behind):
        asked.append(instance.process.id)
        return behind >= 30

    monkeypatch.setattr(compute, "_checkpoint_due", due)
    monkeypatch.setattr(messenger, "COMMIT_EVERY", 10)
    network = make_network(Stubborn, home=tmp_path)
    quiet = [network.spawn("Stubborn") for _ in range(20)]
    busy, slow = network.spawn("Stubborn"), network.spawn("Stubborn")
    network.send(slow, "Nothing")
    for _ in range(5):
        asked.clear()
        for _ in range(10):
            network.post(busy, "Nothing")
        network.run()
        assert asked.count(busy) == 1
        network.compute.checkpoint()
        assert asked.count(busy) == 1, "it stands as it stood"
    assert set(asked) == {busy}
    assert network.store.checkpoint(busy).position >= 30
    for _ in range(10):
        network.post(slow, "Nothing")
    network.run()
    assert set(asked) == {busy, slow}, "what was evaluated long before is looked at once more"
    network.compute.checkpoint(all_processes=True)
    assert all(network.store.checkpoint(each).position == 0 for each in quiet)
    network.close(abort=True)
    again = make_network(Stubborn, home=tmp_path)
    assert len(again.process(busy).inbox) == 50


def test_a_process_is_loaded_from_its_checkpoint_and_what_came_after(
    make_network, tmp_path, everything, monkeypatch
):
    from benchpool.units import compute, messenger

    monkeypatch.setattr(compute, "CHECKPOINT_EVERY", 10)
    monkeypatch.setattr(messenger, "COMMIT_EVERY", 7)
    network = make_network(Stubborn, home=tmp_path)
    identity = network.spawn("Stubborn", name="s")
    for number in range(25):
        network.post("s", "Note", data=str(number))
    network.run()
    kept = network.store.checkpoint(identity)
    assert kept is not None
    for number in range(3):
        network.send("s", "Note", data=f"after {number}")
    assert network.store.checkpoint(identity).position < 28
    before = everything(network)
    network.close(abort=True)
    assert everything(make_network(Stubborn, home=tmp_path)) == before


class Reader(Process):
    extensions = ("WeaveDrive",)


def test_a_process_is_shown_as_it_was(make_network, monkeypatch):
    network = make_network(Boss, Reader, seed=1)
    boss = network.spawn("Boss")
    for number in range(4):
        network.send(boss, "Done", {"Name": "n", "What": str(number)})
    assert network.compute.past(boss, 2).process.state.seen == ["n0", "n1"]
    assert len(network.process(boss).state.seen) == 4
    monkeypatch.setattr(making, "MOST_FOLDED", 2)
    with pytest.raises(LimitExceeded, match="3 messages"):
        network.compute.past(boss, 2)
    with pytest.raises(LimitExceeded, match="uses extensions"):
        network.compute.past(network.spawn("Reader"), 0)
