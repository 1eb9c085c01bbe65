"""A network that only looks follows what another program writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchpool.network import Network
from benchpool.units import compute


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
            monkeypatch.setattr(compute, "MOST_FOLLOWED", 0)
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
            looking.compute.forget_databases()
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
