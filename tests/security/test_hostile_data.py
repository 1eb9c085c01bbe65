"""Bytes from strangers: messages, JSON, data sets, scenarios and models that are none."""

import io
import json
import struct
import tracemalloc
import zipfile

import msgspec
import pytest

from benchpool.ao.message import decode_message, decode_result
from benchpool.errors import (
    DatasetError,
    HandlerError,
    LimitExceeded,
    ModelFileError,
    ScenarioError,
)
from benchpool.evaluation import archive
from benchpool.evaluation.sample import parse_samples
from benchpool.inference.files.gguf_header import read_header
from benchpool.simulation.scenario import load_scenario
from processes.workers.inference_request import read_request

DEEP = "[" * 100_000
HUGE = "9" * 100_000


@pytest.fixture
def dataset(network):
    return network.spawn("SiqaDataset", name="SiqaDataset")


@pytest.fixture
def measured():
    """Fail a test that takes much memory: a bomb went off."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256 << 20


def test_a_thousand_tags_and_too_much_data_are_refused_at_the_door(network, dataset):
    count = network.store.count()
    with pytest.raises(LimitExceeded, match="1,001 of them; at most 256"):
        network.send(dataset, "Info", [("X-T", "v")] * 1000)
    with pytest.raises(LimitExceeded, match="at most 10,485,760"):
        network.send(dataset, "Load-Data", data=b"x" * (10 * 2**20 + 1))
    assert network.store.count() == count


def test_ten_megabytes_of_nothing_are_an_error_of_the_message_alone(network, dataset, measured):
    sent = network.send(dataset, "Load-Data", data=b"\xff" * (10 * 2**20))
    assert "UTF-8" in sent.error
    assert network.send(dataset, "Info").reply("Info").tags["Samples"] == "0"


def test_messages_that_nobody_takes_do_not_fill_the_memory(network, dataset, measured):
    for _ in range(12):
        network.send(dataset, "Nothing", data="x" * 4_000_000)
    kept = network.process(dataset).inbox
    assert sum(len(message.data) for message in kept) <= 16 << 20
    assert len(kept) == 4


@pytest.mark.parametrize("text", [DEEP, DEEP.replace("[", '{"a":'), HUGE, f"[{HUGE}]", '"\\ud800"'])
def test_deep_and_huge_json_is_refused(network, dataset, measured, text):
    sent = network.send(dataset, "Load-Data", data=text)
    assert sent.error
    assert len(sent.error) < 500
    benchmark = network.spawn("Benchmark", {"WrappedAR": dataset})
    reply = network.send(benchmark, "Join-Pool", data=text).reply("Join-Pool-Error")
    assert reply.tags["Error"]
    with pytest.raises(HandlerError):
        read_request(text, json_only=True)


@pytest.mark.parametrize(
    "data", [b"\x01garbage", b"\x90", b"", b"\x95\xa1a", b"\xdc\xff\xff", b"\x91" * 100_000]
)
def test_bytes_that_are_no_message_are_named_so(data):
    for decode in (decode_message, decode_result):
        if not (decode is decode_result and data == b"\x90"):
            with pytest.raises(msgspec.DecodeError):
                decode(data)


# -- data sets -----------------------------------------------------------------------------------


def zipped(questions, labels=b"1\n", **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("s/dev.jsonl", questions, **options)
        opened.writestr("s/dev-labels.lst", labels)
    return out.getvalue()


@pytest.fixture
def small_members(monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBER_BYTES", 1 << 20)


def test_a_zip_bomb_is_read_no_further_than_its_bound(network, dataset, small_members, measured):
    bomb = zipped(bytes(200 << 20))
    assert len(bomb) < 1 << 20
    assert "unpacks to more than 1 MiB" in network.send(dataset, "Load-Data", data=bomb).error
    data_id = network.data.put(bomb)
    assert "unpacks to more" in network.send(dataset, "Load-Data", {"DataTxID": data_id}).error


def test_a_zip_that_lies_about_its_size_is_refused(small_members, measured):
    bomb = bytearray(zipped(bytes(5 << 20)))
    place = bomb.index(b"PK\x01\x02")
    bomb[place + 24 : place + 28] = struct.pack("<I", 10)
    with pytest.raises(DatasetError):
        parse_samples(bytes(bomb), name="liar")


def test_a_file_as_large_as_a_model_is_not_read_as_a_data_set(network, dataset, monkeypatch):
    monkeypatch.setattr("benchpool.extensions.weavedrive.MAX_READ_BYTES", 10)
    data_id = network.data.put(b"x" * 11)
    sent = network.send(dataset, "Load-Data", {"DataTxID": data_id})
    assert "at most 10 are read at once" in sent.error


# -- scenarios -----------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {k: v}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "stands for more than 100,000 values"),
        (MERGES, "stands for more than 100,000 values"),
        ("a: &a [*a]", "stands for more than"),
        ("&a {*a : 1}", r"stands for|a key is a word|unhashable|recursive"),
        (DEEP, "nested too deeply"),
        ("a: " * 3000, "mapping values are not allowed"),
        (f"a: {HUGE}", "a number of 100000 characters"),
        (f"a: {':'.join(['1'] * 50_000)}", "a number of"),
        ("a: 2001-13-45", "a value cannot be read"),
        ("? [a]\n: b", "a key is a word"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: !!int x", "a value cannot be read"),
        ("wallets:\nsteps: [{advance: 1h}]", "wallets"),
        ("wallets: {1: {}}\nsteps: [{advance: 1h}]", "not a usable name"),
        (f"title: {'x' * (1 << 20)}", "more than 1024 KiB"),
        ("a: \x07", "special characters|unacceptable"),
        ("", "a scenario is a mapping"),
    ],
)
def test_a_scenario_that_is_a_bomb_is_refused(tmp_path, measured, text, reason):
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=reason):
        load_scenario(path)


# -- models --------------------------------------------------------------------------------------


def gguf(tensors, metadata, body=b""):
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, metadata) + body


KEY = struct.pack("<Q", 20) + b"general.architecture"

BAD_MODELS = {
    "empty": b"",
    "random": bytes(range(256)) * 40,
    "truncated": b"GGUF\x03\0\0\0\x01",
    "endless tensors": gguf(1 << 60, 1),
    "endless metadata": gguf(1, 1 << 60),
    "endless string": gguf(1, 1, KEY + struct.pack("<IQ", 8, 1 << 60)),
    "endless array": gguf(1, 1, KEY + struct.pack("<IIQ", 9, 4, 1 << 60)),
    "nested arrays": gguf(1, 1, KEY + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 10_000),
    "zip": zipped(b"x"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_model_file_that_is_none_is_refused_by_its_header(tmp_path, measured, kind):
    path = tmp_path / "model.gguf"
    path.write_bytes(BAD_MODELS[kind])
    with pytest.raises(ModelFileError):
        read_header(path)


def test_a_worker_with_a_bad_model_says_so_and_harms_nobody(tmp_path):
    from benchpool.network import Network

    with Network(tmp_path / "home", seed=1) as network:
        bad = network.data.put(BAD_MODELS["truncated"])
        worker = network.spawn("LlamaWorker", name="worker")
        sent = network.send(worker, "loadModel", {"Data-Id": bad})
        assert "truncated" in (sent.error or sent.reply().tags["Error"])
        assert network.send(worker, "Info").reply("Info").tags["Loaded"] == "false"


def test_a_request_of_any_form_is_answered_or_refused():
    for text in (json.dumps({"prompt": 5}), '{"prompt":"p","choices":[]}', '{"max_tokens":1e999}'):
        with pytest.raises(HandlerError, match=r"not an inference request|JSON object"):
            read_request(text, json_only=True)
