"""Processes whose ids are asked for, as sources name them."""

from pathlib import Path

import pytest

from benchpool import Network
from benchpool.ao.ids import encode_id
from benchpool.ao.wallet import ARWEAVE
from benchpool.audit.export import export_home, import_file
from benchpool.audit.replay import replay_home
from benchpool.errors import ConfigError

MAINNET = "xU9zFkq3X2ZQ6olwNVvr1vUWIjc3kXTWr7xKQD6dh10"


def test_a_process_has_the_id_that_was_asked_for(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Network(home, seed=1) as network:
        token = network.spawn("WrappedAR", name="Token", given_id=MAINNET)
        assert token == MAINNET == network.resolve("Token")
        network.send(MAINNET, "Mint", {"Quantity": "5"})
        assert network.send(MAINNET, "Balance").reply().data == "5"
    replay_home(home).check()
    export_home(home, tmp_path / "run")
    import_file(tmp_path / "run", tmp_path / "copy").check()
    with Network(tmp_path / "copy", read_only=True) as copy:
        assert copy.info(MAINNET).name == "Token"


def test_what_such_a_process_was_made_with_cannot_be_changed_unseen(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Network(home, seed=1) as network:
        network.spawn("WrappedAR", {"Ticker": "ONE"}, given_id=MAINNET)
        network.store.set_fact("given_ids", f'{{"{MAINNET}":"{encode_id(bytes(32))}"}}')
    difference = replay_home(home).difference
    assert difference is not None
    assert "do not hash to its id" in difference.what


@pytest.mark.parametrize("bad", ["", "short", MAINNET + "A", MAINNET[:-1] + "1", "x" * 42 + "é"])
def test_what_is_no_id_is_refused(bad: str) -> None:
    with Network() as network, pytest.raises(ConfigError, match="not an id"):
        network.spawn("WrappedAR", given_id=bad)


def test_an_id_that_is_taken_is_refused() -> None:
    with Network() as network:
        alice = network.new_wallet("alice")
        token = network.spawn("WrappedAR", given_id=MAINNET)
        minted = network.send(token, "Mint", {"Quantity": "5"})
        units = [network.messenger.address, network.keys.wire.scheduler]
        for taken in (MAINNET, alice.address, minted.id, *units):
            count = network.store.count()
            with pytest.raises(ConfigError, match="something else here"):
                network.spawn("WrappedAR", given_id=taken)
            assert network.store.count() == count


def test_where_signatures_make_ids_none_can_be_asked_for() -> None:
    with Network(signed=True) as network, pytest.raises(ConfigError, match="unsigned network"):
        network.spawn("WrappedAR", given_id=MAINNET)
    with Network() as network:
        signer = network.new_wallet("signer", ARWEAVE)
        with pytest.raises(ConfigError, match="unsigned network"):
            network.spawn("WrappedAR", given_id=MAINNET, sender=signer)
