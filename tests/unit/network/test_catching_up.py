"""A network that only looks follows what another program writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchpool.errors import Unavailable
from benchpool.network import Network
from benchpool.units import following


def test_processes_in_memory_are_brought_to_the_end_of_their_logs(
    open_network: Callable[[Path], Network], tmp_path: Path, monkeypatch
) -> None:
    with open_network(tmp_path / "home") as writer:
        me = writer.wallet()
        token = writer.spawn("WrappedAR", name="token")
        mint = {"Quantity": "5", "Recipient": me.address}
        writer.send(token, "Mint", mint)
        with Network(tmp_path / "home", read_only=True) as looking:
            for balance in ("5", "10", "15"):
                result = looking.dry_run("token", "Balance", {"Recipient": me.address})
                assert result.messages[0].data == balance
                instance = looking.compute.instance(token)
                writer.send(token, "Mint", mint)
                looking.refresh()
                assert looking.compute.instance(token) is instance
                assert instance.position == writer.store.last_position(token)
            monkeypatch.setattr(following, "MOST_FOLLOWED", 0)
            looking.refresh()
            assert looking.compute.instance(token) is not instance


def test_a_process_with_a_database_is_loaded_again(
    open_network: Callable[[Path], Network], tmp_path: Path
) -> None:
    with open_network(tmp_path / "home") as writer:
        dataset = writer.spawn("SiqaDataset", name="data")
        with Network(tmp_path / "home", read_only=True) as looking:
            instance = looking.compute.instance(dataset)
            writer.send(
                dataset,
                "Load-Data",
                data='[{"context":"a","question":"b","answerA":"c","answerB":"d","answerC":"e","correct":"A"}]',
            )
            looking.refresh()
            assert looking.compute.instance(dataset) is not instance
            looking.compute.following.forget_databases()
            assert dataset not in looking.compute._instances


def test_what_a_checkpoint_holds_is_not_folded_again(
    open_network: Callable[[Path], Network], tmp_path: Path
) -> None:
    with open_network(tmp_path / "home") as writer:
        me = writer.wallet()
        token = writer.spawn("WrappedAR", name="token")
        with Network(tmp_path / "home", read_only=True) as looking:
            instance = looking.compute.instance(token)
            writer.send(token, "Mint", {"Quantity": "5", "Recipient": me.address})
            writer.compute.checkpoint(all_processes=True)
            writer.store.commit(writer.clock.now())
            looking.refresh()
            fresh = looking.compute.instance(token)
            assert fresh is not instance
            assert fresh.saved_position == writer.store.last_position(token)
            result = looking.dry_run("token", "Balance", {"Recipient": me.address})
            assert result.messages[0].data == "5"


def test_nothing_is_folded_before_it_is_asked_for(
    open_network: Callable[[Path], Network], tmp_path: Path
) -> None:
    with open_network(tmp_path / "home") as writer:
        token, other = (writer.spawn("WrappedAR", name=name) for name in ("token", "other"))
        with Network(tmp_path / "home", read_only=True) as looking:
            instances = {each: looking.compute.instance(each) for each in (token, other)}
            before = looking.compute.following.positions()
            for each in instances:
                writer.send(each, "Balance")
            looking.refresh()
            assert looking.compute.following.positions() == before
            assert looking.compute.following.asked_for() == frozenset()
            looking.dry_run(token, "Balance")
            assert looking.compute.following.asked_for() == {token}
            assert looking.compute.following.positions() == {
                token: before[token] + 1,
                other: before[other],
            }


def test_a_memory_is_written_for_who_is_far_behind(
    open_network: Callable[[Path], Network], tmp_path: Path
) -> None:
    with open_network(tmp_path / "home") as writer:
        me = writer.wallet().address
        token = writer.spawn("WrappedAR", name="token")
        dataset = writer.spawn("SiqaDataset", name="data")
        writer.compute.instance(dataset)
        with Network(tmp_path / "home", read_only=True) as looking:
            looking.compute.instance(token)
            for _ in range(following.FEW + 1):
                writer.post(token, "Mint", {"Quantity": "5", "Recipient": me})
            writer.run()
            writes = writer.compute.following
            last = writer.store.last_position(token)
            known = {token: last - following.FEW, dataset: -1, "nobody": -1}
            assert writes.memories(known) == {}
            known |= looking.compute.following.positions()
            given = writes.memories(known)
            assert {each: memory.position for each, memory in given.items()} == {token: last}
            looking.refresh()
            looking.compute.following.take_over(given)
            writer.send(token, "Mint", {"Quantity": "5", "Recipient": me})
            looking.refresh()
            instance = looking.compute.instance(token)
            assert instance.position == writer.store.last_position(token)  # the rest was folded
            assert instance.process.dump() == writer.compute.instance(token).process.dump()


def test_a_large_memory_is_not_written_for_a_few_messages(
    open_network: Callable[[Path], Network], tmp_path: Path
) -> None:
    with open_network(tmp_path / "home") as writer:
        token = writer.spawn("WrappedAR", name="token")
        for _ in range(2 * following.FEW):
            writer.post(token, "Balance")
        writer.run()
        writes, instance = writer.compute.following, writer.compute.instance(token)
        instance.memory_bytes = 100 * following.FEW * following.MESSAGE_BYTES
        assert writes.memories({token: 0}) == {}
        instance.memory_bytes = 0
        assert writes.memories({token: 0})
        assert instance.memory_bytes > 0  # as it is known by now


def test_a_fold_that_is_interrupted_goes_on_where_it_was(
    open_network: Callable[[Path], Network], tmp_path: Path, monkeypatch
) -> None:
    with open_network(tmp_path / "home") as writer:
        token = writer.spawn("WrappedAR", name="token")
        with Network(tmp_path / "home", read_only=True) as looking:
            instance = looking.compute.instance(token)
            for _ in range(10):
                writer.post(token, "Balance")
            writer.run()
            looking.refresh()
            entries, store = looking.store.entries, looking.store

            def interrupted(*given, **more):
                for number, entry in enumerate(entries(*given, **more)):
                    if number == 4:
                        raise Unavailable("enough")
                    yield entry

            monkeypatch.setattr(store, "entries", interrupted)
            with pytest.raises(Unavailable):
                looking.compute.instance(token)
            assert looking.compute.following.positions() == {token: 4}
            monkeypatch.undo()
            assert looking.compute.instance(token) is instance
            assert instance.position == 10
