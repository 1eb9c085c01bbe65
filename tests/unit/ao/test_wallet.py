from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchpool.ao.ids import encode_id, is_id
from benchpool.ao.wallet import Wallet, check_name
from benchpool.errors import ConfigError


def test_the_same_seed_and_name_give_the_same_wallet():
    assert Wallet.derive(b"seed", "alice") == Wallet.derive(b"seed", "alice")


def test_another_seed_or_name_gives_another_address():
    addresses = {
        Wallet.derive(seed, name).address for seed in (b"a", b"b") for name in ("alice", "bob")
    }
    assert len(addresses) == 4


def test_the_address_is_the_hash_of_the_public_key():
    wallet = Wallet.derive(b"seed", "alice")
    public = Ed25519PrivateKey.from_private_bytes(wallet.secret).public_key().public_bytes_raw()
    assert is_id(wallet.address)
    assert wallet.address == encode_id(sha256(public).digest())


def test_a_wallet_does_not_show_its_secret():
    wallet = Wallet.derive(b"seed", "alice")
    assert "secret" not in repr(wallet)


@pytest.mark.parametrize("name", ["a", "Alice", "wAR-2.0_x", "a" * 64, "a" * 42])
def test_usable_names_pass(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "1a", "-a", "a b", "a\n", "ä", "a" * 65, "A" * 43, "../a"])
def test_names_that_could_be_taken_for_something_else_are_refused(name):
    with pytest.raises(ConfigError, match="not a usable name"):
        check_name(name)
