"""Fuzz a parser, guided by coverage: whatever it is given, it answers or raises its own error.

python scripts/fuzz_parsers.py cron --runs 200000      # needs: pip install atheris
python scripts/fuzz_parsers.py all --runs 200000       # every target, one after the other
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("atheris is not installed; it is optional: pip install atheris")

with atheris.instrument_imports(include=["benchpool", "processes", "yaml"]):
    import msgspec
    import yaml  # noqa: F401 - instrumented for the scenario target

    from benchpool.ao.clock import format_duration, parse_duration
    from benchpool.ao.dataitem import (
        decode,
        decode_bundle,
        decode_tags,
        encode_bundle,
        encode_tags,
        sign,
        verify,
    )
    from benchpool.ao.message import Item, Message, decode_message, decode_result, encode
    from benchpool.ao.shapes import message_json
    from benchpool.ao.signers import Ed25519Signer
    from benchpool.ao.tags import Tags
    from benchpool.errors import BenchpoolError, DataItemError
    from benchpool.evaluation.sample import parse_samples, to_json
    from benchpool.inference.files.gguf_header import read_header
    from benchpool.simulation.scenario import load_scenario
    from benchpool.units.cron import parse_cron, parse_interval
    from benchpool.units.limits import DEFAULT_LIMITS, read_limits
    from benchpool.winston import format_war, parse_quantity, parse_war
    from processes.workers.inference_request import read_request, write_request

_SCRATCH = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())


def fuzz_message(data: bytes) -> None:
    """Messages and results as the log keeps them."""
    for decode in (decode_message, decode_result):
        try:
            value = decode(data)
        except msgspec.DecodeError:
            continue
        assert decode(encode(value)) == value
        if isinstance(value, Message):
            message_json(value)


def fuzz_tags(data: bytes) -> None:
    """Tags from a wallet: accepted whole, and the same after the log, or refused."""
    pieces = data.decode(errors="surrogateescape").split("\n")
    tags = Tags(list(zip(pieces[::2], pieces[1::2], strict=False)))
    item = Item("target", "owner", "owner", tags, data)
    try:
        DEFAULT_LIMITS.check_item(item)
    except BenchpoolError:
        return
    message = Message(item.id(), "p", "target", "owner", "owner", tags, data)
    assert decode_message(encode(message)) == message
    for name, value in tags:
        assert value in tags.all(name)


def fuzz_dataset(data: bytes) -> None:
    """Data sets in every form."""
    try:
        samples = parse_samples(data, name="fuzz")
    except BenchpoolError:
        return
    assert parse_samples(to_json(samples).encode(), name="again") == samples


def fuzz_scenario(data: bytes) -> None:
    """Scenario files."""
    path = _SCRATCH / "benchpool-fuzz.yaml"
    path.write_bytes(data)
    with suppress(BenchpoolError):
        load_scenario(path)


def fuzz_cron(data: bytes) -> None:
    """Cron intervals, cron tags and durations."""
    text = data.decode(errors="replace")
    for parse in (parse_interval, parse_duration, lambda t: parse_cron(_cron_tags(t))):
        try:
            parse(text)
        except BenchpoolError:
            continue
    with suppress(BenchpoolError):
        assert parse_duration(format_duration(parse_duration(text))) == parse_duration(text)


def _cron_tags(text: str) -> Tags:
    pieces = text.split(" ")
    names = ("Cron-Interval", "Cron-Tag-Action", "cron-tag-")
    return Tags([(names[len(piece) % 3], piece) for piece in pieces])


def fuzz_request(data: bytes) -> None:
    """What the Data of an Inference asks for."""
    try:
        asked = read_request(data.decode(errors="replace"))
    except BenchpoolError:
        return
    assert read_request(write_request(asked)) == asked
    asked.words()
    asked.request(system_prompt="", max_tokens=4)


def fuzz_amount(data: bytes) -> None:
    """Quantities and amounts of wAR."""
    text = data.decode(errors="replace")
    with suppress(BenchpoolError):
        assert str(parse_quantity(text)) == text
    with suppress(BenchpoolError):
        assert parse_war(format_war(parse_war(text))) == parse_war(text)


def fuzz_gguf(data: bytes) -> None:
    """The header of a model file."""
    path = _SCRATCH / "benchpool-fuzz.gguf"
    path.write_bytes(data)
    with suppress(BenchpoolError):
        read_header(path).card("fuzz")


def fuzz_limits(data: bytes) -> None:
    """Files of limits."""
    path = _SCRATCH / "benchpool-fuzz.toml"
    path.write_bytes(data)
    with suppress(BenchpoolError):
        read_limits(path)


def fuzz_dataitem(data: bytes) -> None:
    """Data items, their tags, and bundles."""
    with suppress(DataItemError):
        tags = decode_tags(data)
        assert decode_tags(encode_tags(tags)) == tags
    with suppress(DataItemError):
        items = decode_bundle(data)
        assert encode_bundle(items) == data
    with suppress(DataItemError):
        item = decode(data)
        assert item.raw == data
        verify(item)
        # No input but the seeds' own content is signed: everything else was changed.
        assert (item.target, item.tags, item.data) in _SIGNED


_SIGNER = Ed25519Signer(bytes(32))
_ITEMS = (
    sign(_SIGNER, data=b"x"),
    sign(_SIGNER, target="A" * 43, anchor=b"1" * 32, tags=[("Action", "Info"), ("", "é")]),
)
_SIGNED = {(item.target, item.tags, item.data) for item in _ITEMS}
_ROW = b'{"context":"c","question":"q","answerA":"a","answerB":"b","answerC":"d","label":"1"}'
TARGETS: dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]] = {
    "message": (
        fuzz_message,
        (encode(Message("i" * 43, "p", "t", "o", "s", Tags([("A", "b")]), b"x")),),
    ),
    "tags": (fuzz_tags, (b"Action\nTransfer\nX-a_b\n\xff", b"a\n1\nA\n2")),
    "dataitem": (
        fuzz_dataitem,
        (*(item.raw for item in _ITEMS), encode_bundle(_ITEMS), _ITEMS[1].raw_tags),
    ),
    "dataset": (fuzz_dataset, (_ROW, b"[" + _ROW + b",\n" + _ROW + b"]", b"PK\x03\x04")),
    "scenario": (
        fuzz_scenario,
        (
            b"title: t\nwallets: {a: {mint: '1.5 wAR'}}\nprocesses:\n  WrappedAR: {module: W}\n"
            b"steps:\n- send: {target: WrappedAR, action: Info, from: a}\n  expect: {supply: 1}\n"
            b"- advance: 24h\n",
            b"a: &a [1, 0x1F, 1:30, 2001-01-01, .inf, ~, yes]\n? [b]\n: *a\n<<: {c: *a}\n",
        ),
    ),
    "cron": (fuzz_cron, (b"24-hours", b"10-blocks 1d12h", b"90s")),
    "request": (
        fuzz_request,
        (b'{"prompt":"p","choices":["a","b"]}', b'{"prompt":"p","system":"s","max_tokens":4}'),
    ),
    "amount": (fuzz_amount, (b"1000", b"1.5 wAR", b"0.000000000001")),
    "gguf": (fuzz_gguf, (b"GGUF\x03\0\0\0" + bytes(16), b"GGUF\x02\0\0\0" + bytes(40))),
    "limits": (fuzz_limits, (b"tags = 100\n", b"evaluation_seconds = 0.5\n[a]\nb = 1\n")),
}


def main() -> None:
    """Fuzz one target, or all of them in a process each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.target == "all":
        for name in TARGETS:
            command = [sys.executable, __file__, name, "--runs", str(given.runs)]
            subprocess.run([*command, "--seed", str(given.seed)], check=True)
            print(f"{name}: {given.runs:,} runs, nothing found", flush=True)
        return
    function, seeds = TARGETS[given.target]
    with tempfile.TemporaryDirectory(prefix="benchpool-fuzz-") as corpus:
        for number, seed in enumerate(seeds):
            Path(corpus, f"seed-{number}").write_bytes(seed)
        atheris.Setup(
            [
                sys.argv[0],
                f"-runs={given.runs}",
                f"-seed={given.seed}",
                "-timeout=10",
                "-rss_limit_mb=2048",
                "-max_len=4096",
                "-verbosity=0",
                f"-artifact_prefix={tempfile.gettempdir()}/benchpool-{given.target}-",
                corpus,
            ],
            function,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
