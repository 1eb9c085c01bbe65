import json
import os
import subprocess
import sys

import msgspec
import pytest
import wat
from ao_modules import MODULE_ID, Bench

from benchpool.ao.message import Result, decode_result, encode_result
from benchpool.audit.replay_report import compare
from benchpool.errors import BenchpoolError, MessageError, PrerequisiteError, StoreError
from benchpool.wasm import compiled, module
from benchpool.wasm.module import WASM32, WASM64, WasmModule, check


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(compiled.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "_codes", {})
    return tmp_path / "cache"


@pytest.fixture
def bench():
    made = []

    def make(code, **bounds):
        made.append(Bench(code, **bounds))
        return made[-1]

    yield make
    for each in made:
        each.close()


def answering(response, ok=True):
    return wat.module(answer=json.dumps({"ok": ok, "response": response}))


# -- what a module must be -------------------------------------------------------------------


def test_a_module_is_described_by_its_bytes():
    found = check(wat.module(imports='(import "env" "emscripten_date_now" (func (result f64)))'))
    assert (found.format, found.memory_min_bytes, found.memory_max_bytes) == (
        WASM64,
        2 * 65536,
        16 * 65536,
    )
    assert "handle" in found.exports
    assert found.imports == ("env.emscripten_date_now",)


def test_the_width_of_pointers_is_told_from_the_memory():
    code = wat.wat2wasm("""(module (memory (export "memory") 1)
      (func (export "handle") (param i32 i32) (result i32) (i32.const 0))
      (func (export "malloc") (param i32) (result i32) (i32.const 8)))""")
    assert check(bytes(code)).format == WASM32


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (b"", "0 bytes are no WebAssembly"),
        (b"MZ\x90\x00", "no WebAssembly"),
        (b"\0asm\1\0\0\0\1\2\3", "cannot be compiled"),
        (wat.wat2wasm("(module)"), "exports no memory"),
        (wat.wat2wasm('(module (memory (export "memory") 1))'), "no function handle"),
        (
            wat.wat2wasm(
                '(module (memory (export "memory") 1) (func (export "handle") (param i32)))'
            ),
            "its function handle is (i32) -> (), not (i32, i32) -> (i32)",
        ),
        (
            wat.wat2wasm(
                '(module (memory (export "memory") 1) (func (export "handle") (param i32 i32)'
                " (result i32) i32.const 0))"
            ),
            "no function malloc",
        ),
        (wat.module(imports='(import "env" "g" (global i32))'), "imports env.g, a global"),
        (wat.module(imports='(import "env" "t" (table 1 funcref))'), "imports env.t, a table"),
    ],
)
def test_what_is_no_module_is_refused_in_one_sentence(code, why):
    with pytest.raises(MessageError) as refused:
        check(bytes(code))
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_wasmtime_a_module_asks_for_it(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(PrerequisiteError, match=r"pip install 'benchpool\[wasm\]'"):
        check(wat.module())


def test_a_module_is_spawned_by_a_network_under_its_id(make_network):
    network = make_network(WasmModule(wat.module(), id=MODULE_ID))
    process = network.spawn(MODULE_ID, name="one")
    assert network.send(process, "Hello").result.output == "said"
    assert network.info(process).module == MODULE_ID
    network.registry.add(WasmModule(b"\0asm none", id="N" * 43))
    with pytest.raises(BenchpoolError, match="cannot be compiled"):
        network.spawn("N" * 43)


# -- compiled code ---------------------------------------------------------------------------


def test_compiled_code_is_kept_for_the_next_program(cache, monkeypatch):
    check(wat.module())
    [kept] = cache.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    compiled._codes.clear()
    monkeypatch.setattr(compiled.Code, "compile", None)  # it would fail
    assert check(wat.module()).format == WASM64


@pytest.mark.parametrize("how", ["cut", "changed", "foreign", "open to others", "a link"])
def test_compiled_code_that_cannot_be_trusted_is_compiled_anew(cache, tmp_path, how):
    check(wat.module())
    [kept] = cache.iterdir()
    good = kept.read_bytes()
    if how == "cut":
        kept.write_bytes(good[:100])
    elif how == "changed":
        kept.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    elif how == "foreign":
        check(wat.module(memory="i64 3 16"))
        [other] = set(cache.iterdir()) - {kept}
        other.replace(kept)
    elif how == "open to others":
        kept.chmod(0o666)
    else:
        kept.replace(tmp_path / "elsewhere")
        kept.symlink_to(tmp_path / "elsewhere")
    compiled._codes.clear()
    assert check(wat.module()).memory_min_bytes == 2 * 65536
    assert kept.stat(follow_symlinks=False).st_mode & 0o777 == 0o600
    assert len(kept.read_bytes()) == len(good)


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(compiled.FOLDER_VARIABLE, str(tmp_path / "file" / "below"))
    assert check(wat.module()).format == WASM64


# -- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (wat.module(answer=""), "empty text"),
        (wat.module(answer="no JSON"), "not what AO's modules give"),
        (wat.module(answer='{"ok":true,"response":' + "[" * 5000), "not what AO's modules give"),
        (wat.module(answer=b'{"ok":true,"response":{"Output":"\xff\xfe"}}'), ""),
        (wat.module("(i64.const 0)"), "empty text"),
        (wat.module("(i64.const 99999999)"), "does not end in time"),
        (wat.module("(i64.const -1)"), "does not end in time"),
        (
            wat.module(
                "(memory.fill (i64.const 0) (i32.const 97) (i64.const 131072)) (i64.const 1)"
            ),
            "does not end in time",
        ),
        (answering("failed", ok=False), "failed"),
        (answering({"Error": "mine"}), "mine"),
        (answering({"Error": {"code": 7}}), '{"code":7}'),
        (answering("text"), "not an object"),
        (answering(None), "not an object"),
        (answering([1]), "not an object"),
        (answering({"Messages": "none"}), "Messages of the module's response are str"),
        (answering({"Messages": {"a": 1}}), "not a list"),
        (answering({"Messages": ["x"]}), "not an object"),
        (answering({"Messages": [{"Target": 7}]}), "Target of a message is int 7, not a text"),
        (answering({"Messages": [{"Target": "t", "Tags": 7}]}), "Tags of a message"),
        (answering({"Messages": [{"Target": "t", "Tags": [7]}]}), "a tag"),
        (answering({"Messages": [{"Target": "t", "Tags": [{}]}]}), "has no name"),
        (answering({"Spawns": 1}), "Spawns"),
        (answering({"Assignments": [{"Message": 1, "Processes": []}]}), "Message of an assignment"),
        (answering({"Assignments": [{"Message": "m", "Processes": [1]}]}), "no list of ids"),
        (wat.module("(unreachable)"), "unreachable"),
        (wat.module("(i64.load (i64.const -8))"), "out of bounds"),
        (wat.module("(loop (br 0)) (i64.const 0)"), "fuel"),
        (
            wat.module(
                "(call $deep)",
                more="(func $deep (result i64) (i64.add (call $deep) (i64.const 1)))",
            ),
            "stack",
        ),
        (
            wat.module(
                "(call $unknown) (i64.const 1024)",
                imports='(import "strange" "thing" (func $unknown))',
            ),
            "calls strange.thing, which is not here",
        ),
        (
            wat.module(
                "(drop (call $odd (i64.const 5))) (i64.const 1024)",
                imports='(import "env" "emscripten_date_now" (func $odd (param i64) (result i32)))',
            ),
            "takes",
        ),
        (
            wat.module(
                "(call $exit (i32.const 3)) (i64.const 1024)",
                imports='(import "env" "exit" (func $exit (param i32)))',
            ),
            "exited with status 3",
        ),
    ],
)
def test_a_message_that_fails_leaves_the_memory_as_it_was(bench, code, error):
    made = bench(code, fuel=50_000_000)
    before = made.process.dump()
    result = made.begin()
    assert error in result.error
    assert bool(error) == bool(result.error)
    assert "\n" not in result.error
    if error:
        assert made.process.dump() == before


def test_messages_are_taken_over_with_the_order_of_their_tags(bench):
    tags = [
        {"name": "Data-Protocol", "value": "ao"},
        {"name": "Type", "value": "Message"},
        {"name": "Reference", "value": "5"},
        {"name": "Zeta", "value": "z"},
        {"name": "Number", "value": 1.5},
        {"name": "Table", "value": {"a": [True, None]}},
        {"name": "Action", "value": "Go"},
    ]
    response = {
        "Messages": [
            {"Target": "T" * 43, "Tags": tags, "Data": "d", "Anchor": "0"},
            {"device": "patch@1.0", "Tags": []},
            {"Target": "T" * 43, "Tags": [{"name": "Reference", "value": "5"}], "Data": 7},
            {"Target": "T" * 43, "Tags": [{"name": "Reference", "value": "9" * 30}]},
        ],
        "Spawns": [{"Tags": [{"name": "Module", "value": "m"}, {"name": "B", "value": "1"}]}],
        "Assignments": [{"Message": "x", "Processes": ["p", "q"]}],
        "Output": {"data": {"output": "old aos"}, "prompt": ">"},
    }
    made = bench(answering(response))
    result = made.begin()
    assert json.loads(result.given) == response
    first, second, third = result.messages
    assert first.tags.pairs == (
        ("Zeta", "z"),
        ("Number", "1.5"),
        ("Table", '{"a":[true,null]}'),
        ("Action", "Go"),
    )
    assert [each.reference for each in result.messages] == [5, 6, 7]
    assert (second.data, third.data) == ("7", "")
    [spawn] = result.spawns
    assert (spawn.module, spawn.tags.pairs, spawn.reference) == ("m", (("B", "1"),), 8)
    assert result.assignments[0].processes == ("p", "q")
    assert result.output == "old aos"
    again = made.say()
    assert [each.reference for each in again.messages] == [9, 10, 11]


# -- memory ----------------------------------------------------------------------------------

COUNTING = wat.module(
    "(i64.store8 (i64.const 1070) (i64.add (call $count) (i64.const 48))) (i64.const 1024)",
    answer='{"ok":true,"response":{"Output":"counted 0 times"}}'.replace("counted 0", "counted  0"),
)


def counter(bench):
    memory = bench.process.dump()
    return memory.split(b"\n", 2)[2][64]


def test_memory_is_written_down_and_taken_over(bench):
    one, two = bench(COUNTING), bench(COUNTING)
    one.begin()
    one.say()
    assert counter(one) == 2
    two.process.load(one.process.dump())
    assert two.process.dump() == one.process.dump()
    two.say()
    assert (counter(one), counter(two)) == (2, 3)
    one.say(keep=False)
    assert counter(one) == 2
    assert one.say(keep=False).given == one.say().given


def test_the_memory_of_another_module_is_refused(bench):
    one, other = bench(COUNTING), bench(wat.module())
    one.begin()
    with pytest.raises(StoreError, match="belongs to the WASM module with SHA-256"):
        other.process.load(one.process.dump())


@pytest.mark.parametrize(
    "damage", [lambda m: m[:-1], lambda m: m[:40], lambda m: b"{}", lambda m: b""]
)
def test_damaged_memory_is_refused(bench, damage):
    made = bench(COUNTING)
    made.begin()
    memory = made.process.dump()
    with pytest.raises(ValueError, match="memory"):
        made.process.load(damage(memory))
    assert made.process.dump() == memory


GROWING = wat.module(
    "(drop (memory.grow (i64.const 1))) (i64.store (i64.const 150000) (call $count))"
    " (if (i64.eq (i64.load (i64.const 64)) (i64.const 3)) (then (unreachable)))"
    " (i64.const 1024)"
)


def test_memory_that_grew_is_given_back_after_an_error(bench):
    made = bench(GROWING)
    made.begin()
    made.say()
    before = made.process.dump()
    pages = made.process.state["memory_bytes"] // 65536
    assert "unreachable" in made.say().error
    assert made.process.dump() == before
    made.say(keep=False)
    assert made.process.dump() == before
    assert made.process.state["memory_bytes"] // 65536 == pages == 4


def test_memory_has_a_limit(bench):
    code = wat.module(
        "(if (i64.eq (memory.grow (i64.const 8)) (i64.const -1)) (then (unreachable)))"
        " (i64.const 1024)"
    )
    assert bench(code, memory_bytes=16 * 65536).begin().error == ""
    assert "unreachable" in bench(code, memory_bytes=9 * 65536).begin().error
    tight = bench(code, memory_bytes=65536)
    assert "memory" in tight.begin().error
    assert "\n" not in tight.say().error


def test_fuel_that_is_used_up_is_a_fact_from_outside(bench):
    slow = wat.module(
        "(local $n i64) (loop $again (local.set $n (i64.add (local.get $n) (i64.const 1)))"
        " (br_if $again (i64.lt_u (local.get $n) (i64.const 100000)))) (drop (call $count))"
        " (i64.const 1024)"
    )
    made = bench(slow, fuel=400_000)
    result = made.begin()
    assert result.error == "this message used up its fuel of 400,000"
    assert len(result.recorded) == 1
    assert made.say(recorded=()).error == "", "a replay gives ample"
    assert counter(made) == 1


def test_a_module_s_own_limit_counts_if_it_is_lower(bench):
    made = bench(wat.module("(loop (br 0)) (i64.const 0)"), fuel=10_000_000)
    made.module.compute_limit = 1_000_000
    assert "fuel of 1,000,000" in made.begin().error


# -- hosts -----------------------------------------------------------------------------------


def test_files_that_stay_open_are_part_of_the_memory(bench):
    imports = """
      (import "env" "__asyncjs__weavedrive_open" (func $open (param i64 i64) (result i32)))
      (import "env" "__asyncjs__weavedrive_read" (func $read (param i32 i64 i64) (result i32)))"""
    body = """
      (if (i32.eqz (i32.load (i64.const 32)))
        (then (i32.store (i64.const 32) (call $open (i64.const 512) (i64.const 8)))))
      (drop (call $read (i32.load (i64.const 32)) (i64.const 1057) (i64.const 3)))
      (i64.const 1024)"""
    answer = '{"ok":true,"response":{"Output":"___"}}'
    at = 1024 + answer.index("___")
    body = body.replace("1057", str(at))
    made = bench(wat.module(body, answer=answer, imports=imports))
    data_id = made.data.put(b"onetwothree")
    path = f"/data/{data_id}".encode()
    code = wat.module(
        body,
        answer=answer,
        imports=imports,
        more='(data (i64.const 512) "' + "".join(f"\\{each:02x}" for each in path) + '\\00")',
    )
    one, two = bench(code), bench(code)
    two.data = one.data = made.data
    one.instance, two.instance = one.fresh(), two.fresh()
    assert one.begin().output == "one"
    two.process.load(one.process.dump())
    assert one.say(keep=False).output == "two"
    assert one.say().output == "two"
    two._count = 2  # the message itself lies in the memory, too
    assert two.say().output == "two"
    assert one.process.dump() == two.process.dump()
    lost = bench(code)
    assert "file 0, which is not open" in lost.begin().error
    assert lost.begin().recorded, "its absence is a fact"


# -- what must not end the program -----------------------------------------------------------

FUZZ = """
import random, sys
sys.path[:0] = {paths!r}
import wat
from ao_modules import Bench
from benchpool.ao.message import Result, decode_result, encode_result
from benchpool.audit.replay_report import compare
from benchpool.errors import BenchpoolError

chance = random.Random({seed})
base = wat.module(
    "(i64.store (i64.const 200) (call $count)) (i64.const 1024)",
    imports='(import "env" "emscripten_date_now" (func (result f64)))'
    '(import "env" "fd_write" (func (param i32 i64 i64 i64) (result i32)))',
)
for number in range({count}):
    code = bytearray(base)
    for _ in range(chance.randrange(1, 6)):
        how, at = chance.randrange(4), chance.randrange(8, len(code))
        if how == 0:
            code[at] = chance.randrange(256)
        elif how == 1:
            code[at] ^= 1 << chance.randrange(8)
        elif how == 2:
            del code[at : at + chance.randrange(8)]
        else:
            code[at:at] = chance.randbytes(chance.randrange(8))
    if number % 7 == 0:
        code = bytearray(b"\\0asm\\1\\0\\0\\0" + chance.randbytes(chance.randrange(200)))
    try:
        bench = Bench(bytes(code), fuel=2_000_000, memory_bytes=1 << 24)
    except BenchpoolError as error:
        assert "\\n" not in str(error), error
        continue
    bench.begin()
    memory = bench.process.dump()
    bench.say(data="x" * chance.randrange(1000))
    try:
        bench.process.load(memory[: chance.randrange(len(memory) + 1)])
    except (ValueError, BenchpoolError):
        pass
    bench.say()
    bench.close()
print("alive")
"""


@pytest.mark.parametrize("seed", range(2))
def test_no_bytes_end_the_program(seed, tmp_path):
    paths = [path for path in sys.path if path]
    code = FUZZ.format(paths=paths, seed=seed, count=300)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, compiled.FOLDER_VARIABLE: str(tmp_path / "fuzz")},
    )
    assert done.stdout == "alive\n", (done.returncode, done.stderr[-2000:])


def test_a_module_that_is_not_what_its_tags_say_is_refused(make_network):
    network = make_network(WasmModule(wat.module(), id=MODULE_ID, format=WASM32))
    with pytest.raises(BenchpoolError, match=r"is said to be wasm32.*and is wasm64"):
        network.spawn(MODULE_ID)
    network = make_network(WasmModule(bytes(wat.wat2wasm("(module)")), id=MODULE_ID, format=WASM64))
    with pytest.raises(BenchpoolError, match="exports no memory"):
        network.spawn(MODULE_ID)


def test_a_replay_compares_what_the_module_gave():
    one, other = Result(given=b'{"Output":"a"}'), Result(given=b'{"Output":"b"}')
    assert "given is recorded as" in compare(one, other)
    assert decode_result(encode_result(one)) == one
    assert encode_result(Result(output="x")) == encode_result(
        decode_result(encode_result(Result(output="x")))
    )
    assert len(msgspec.msgpack.decode(encode_result(Result(output="x")))) == 6, "as before"
