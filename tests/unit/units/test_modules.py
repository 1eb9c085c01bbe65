"""Modules that are data: what is taken in under which name, and what is refused."""

from hashlib import sha256
from pathlib import Path

import pytest
from small_modules import small_module

from benchpool import Network
from benchpool.ao.ids import encode_id, module_id
from benchpool.ao.tags import Tags
from benchpool.errors import BenchpoolError, ConfigError, LimitExceeded, MessageError
from benchpool.store.shelf import MODULES, read_modules
from benchpool.units.limits import Limits
from benchpool.units.modules import read_size

AOS_ID = "ISShJH1ij-hPPt9St5UFFr_8Ys3Kj5cyg7zrMGt7H9s"
OTHER_ID = "do_Uns2YrFr2uZUtyVUlTC5Pq0cKSLCLTXwdNB6tTc4"


def test_a_module_is_found_by_its_name_and_by_each_of_its_ids() -> None:
    code = small_module()
    with Network() as network:
        added = network.add_module(code, name="tiny", ids=[AOS_ID])
        assert added.id == encode_id(sha256(code).digest())
        assert added.sha256 == sha256(code).hexdigest()
        assert network.data.get(added.id) == code
        for named in ("tiny", added.id, AOS_ID):
            process = network.spawn(named)
            assert network.info(process).module == (AOS_ID if named == AOS_ID else added.id)
            assert network.info(process).tags["Module"] == network.info(process).module
            assert network.send(process, "Any").result.output == "hello"


def test_the_same_again_is_harmless_and_brings_further_ids(tmp_path: Path) -> None:
    file = tmp_path / "tiny.wasm"
    file.write_bytes(small_module())
    with Network() as network:
        first = network.add_module(file, name="tiny", ids=[AOS_ID])
        assert network.add_module(str(file), name="tiny") == first
        more = network.add_module(first.id, name="tiny", ids=[OTHER_ID, AOS_ID, first.id])
        assert set(more.ids) >= {AOS_ID, OTHER_ID}
        assert network.modules.records() == [more]


@pytest.mark.parametrize(
    ("again", "said"),
    [
        ({"code": small_module("other"), "name": "tiny"}, "another file here"),
        ({"name": "second"}, "here as module tiny"),
        ({"name": "tiny", "memory_limit": 2 << 20}, "other bounds"),
        ({"name": "tiny", "compute_limit": 7}, "other bounds"),
    ],
)
def test_another_file_name_or_bound_is_refused(again: dict, said: str) -> None:
    with Network() as network:
        network.add_module(small_module(), name="tiny")
        before = (network.modules.records(), network.data.ids())
        with pytest.raises(ConfigError, match=said):
            network.add_module(again.pop("code", small_module()), **again)
        assert (network.modules.records(), network.data.ids()) == before


@pytest.mark.parametrize("name", ["Benchmark", "benchmark", "WRAPPEDAR", "", "a b", AOS_ID, "../x"])
def test_no_name_hides_a_module_that_is_installed_or_is_none(name: str) -> None:
    with Network() as network, pytest.raises(ConfigError):
        network.add_module(small_module(), name=name)


def test_no_id_is_taken_that_anything_else_has() -> None:
    with Network() as network:
        alice = network.new_wallet("alice")
        other = network.add_module(small_module("other"), name="other", ids=[OTHER_ID])
        token = network.spawn("WrappedAR")
        minted = network.send(token, "Mint", {"Quantity": "5"})
        data = network.data.put(b"something else")
        taken = [other.id, OTHER_ID, token, minted.id, alice.address, data, module_id("Benchmark")]
        for each in [*taken, "short", AOS_ID + "A", "x" * 43 + "\n", AOS_ID[:-1] + "t"]:
            with pytest.raises(ConfigError):
                network.add_module(small_module(), name="tiny", ids=[each])
        assert network.modules.record("tiny") is None
        assert network.data.size(encode_id(sha256(small_module()).digest())) is None


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.wasm"
    with file.open("wb") as out:
        out.truncate(1 << 40)
    with Network() as network, pytest.raises(LimitExceeded, match="module_bytes"):
        network.add_module(file, name="huge")
    few = Limits(module_bytes=100)
    with Network(limits=few) as network, pytest.raises(LimitExceeded, match="module_bytes"):
        network.add_module(small_module(), name="tiny")


NOT_ONE = [b"", b"\0asm", b"\0asm\1\0\0\0", b"MZ" * 50, b"\0asm" + b"\xff" * 99]


@pytest.mark.parametrize("code", NOT_ONE)
def test_what_is_no_module_leaves_nothing(code: bytes) -> None:
    with Network() as network:
        with pytest.raises(MessageError):
            network.add_module(code, name="tiny")
        assert network.data.ids() == []
        assert network.store.fact(MODULES) is None


def test_homes_without_such_modules_have_no_fact_of_them(tmp_path: Path) -> None:
    with Network(tmp_path / "home", seed=1) as network:
        network.spawn("WrappedAR")
        assert network.store.fact(MODULES) is None
        assert network.modules.records() == []


def test_a_name_of_a_module_that_is_data_never_passes_for_one_that_is_code() -> None:
    with Network() as network:
        added = network.add_module(small_module(), name="tiny")
        fact = (network.store.fact(MODULES) or "").replace('"tiny"', '"Benchmark"')
        network.store.set_fact(MODULES, fact)
        network.modules._records = None  # as in a home that was written by somebody else
        assert network.registry.name(added.id) == added.id
        assert network.registry.pin("Benchmark") == "Benchmark"
        assert network.registry.roles(added.id) == ()
        assert network.registry.find("Benchmark").__name__ == "Benchmark"


@pytest.mark.parametrize(
    "value",
    [
        "{}",
        '[{"id":"x","name":"a","format":"f","size":1}]',
        f'[{{"id":"{AOS_ID}","name":"{OTHER_ID}","format":"f","size":1}}]',
        f'[{{"id":"{AOS_ID}","name":"a","format":"f","size":1,"ids":["{AOS_ID}"]}}]',
        f'[{{"id":"{AOS_ID}","name":"a","format":"f","size":-1}}]',
        f'[{{"id":"{AOS_ID}","name":"a","format":"f","size":1,"compute_limit":-1}}]',
        f'[{{"id":"{AOS_ID}","name":"a","format":"f","size":1,"memory_limit":-1}}]',
        f'[{{"id":"{AOS_ID}","name":"a","format":"f","size":1}},'
        f'{{"id":"{OTHER_ID}","name":"a","format":"f","size":1}}]',
    ],
)
def test_a_fact_that_says_what_none_says_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_modules(value)


def test_sizes_are_read_as_modules_write_them() -> None:
    assert read_size("500-mb") == 500 << 20
    assert read_size("1-gb") == read_size("1 GB") == 1 << 30
    for text in ("", "much", "1", "-1-mb", "1.5-gb", "0-mb", "9" * 40 + "-mb", "١-mb"):
        assert read_size(text) is None


def test_its_tags_say_what_bounds_it() -> None:
    with Network() as network:
        added = network.add_module(
            small_module(), name="tiny", memory_limit=3 << 20, compute_limit=1_000_000
        )
        tags = Tags(network.modules.tags(added).pairs)
        assert tags["Memory-Limit"] == "3-mb"
        assert tags["Compute-Limit"] == "1000000"
        assert tags["Module-Format"].startswith("wasm32-")
        assert tags["Content-Type"] == "application/wasm"
        process = network.spawn("tiny")
        assert network.send(process, "Any").error == ""


def test_a_module_of_too_little_fuel_fails_its_message() -> None:
    with Network() as network:
        network.add_module(small_module(), name="tiny", compute_limit=1)
        with pytest.raises(BenchpoolError, match="fuel"):
            network.spawn("tiny")
