# ruff: noqa: E501 - Lua stands as it is sent
"""Processes on AO's own module in a network: what holds for all processes holds for them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from ao_modules import MODULE_ID, Bench, ao_module

from benchpool.ao.shapes import result_json
from benchpool.audit.replay import replay_home
from benchpool.errors import PrerequisiteError
from benchpool.extensions.outside import OutOfFuel, read_fact
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network
from benchpool.process.registry import Registry
from benchpool.units.limits import Limits
from benchpool.wasm import recall
from benchpool.wasm.device import lua as llama_lua
from benchpool.wasm.module import WasmModule

TOKEN = (Path(__file__).parents[1] / "lua_token.lua").read_text()


@pytest.fixture(scope="module")
def code():
    return ao_module("aos2_0_6.wasm").read_bytes()


def registry(code, authority):
    made = Registry()
    module = WasmModule(code, id=MODULE_ID, name="aos")
    module.authority = authority
    made.add(module, MODULE_ID)
    return made


@pytest.fixture
def open_network(code):
    opened = []

    def make(home=None, **options):
        network = Network(home, seed=1, registry=registry(code, ""), **options)
        opened.append(network)
        return network

    yield make
    for network in opened:
        network.close(abort=True)


def run(network, process, lua, **given):
    return network.send(process, "Eval", data=lua, **given).result


def test_processes_talk_to_each_other_and_to_wallets(open_network):
    network = open_network()
    one = network.spawn(MODULE_ID, name="one")
    two = network.spawn(MODULE_ID, name="two")
    run(network, two, "Handlers.add('ask', {Action='Ask'}, function (m) m.reply({Data='42'}) end)")
    lua = f"local r = Send({{Target='{two}', Action='Ask'}}).receive() Got = r.Data .. r.From"
    assert run(network, one, lua).error == ""
    assert run(network, one, "return Got").output == f"42{two}"
    owner = network.wallet().address
    run(network, one, f"Send({{Target='{owner}', Action='Hello', Data='wallet'}})")
    assert network.inbox(owner)[-1].data == "wallet"
    assert network.result(network.log(two)[-1][0].id).error == ""


def test_a_process_spawns_another_and_learns_its_id(open_network):
    network = open_network()
    one = network.spawn(MODULE_ID, name="one")
    lua = f"local r = Spawn('{MODULE_ID}', {{Name='child', Note='x'}}).receive() Child = r.Process"
    assert run(network, one, lua).error == ""
    child = run(network, one, "return Child").output
    assert network.info(child).owner == one
    assert network.info(child).name == "child"
    run(network, one, f"Send({{Target='{child}', Action='Eval', Data='return 6 * 7'}})")
    assert network.log(child)[-1][1].output == "42"


def test_a_stranger_is_not_trusted_and_an_error_leaves_no_mark(open_network):
    network = open_network()
    one = network.spawn(MODULE_ID, name="one")
    network.new_wallet("mallory")
    assert run(network, one, "x = 1 return x").output == "1"
    run(network, one, "x = 2", sender="mallory")
    result = run(network, one, "x = 3 error('no')")
    assert "no" in result.error
    shown = result_json(result, network.info(one))
    assert "no" in shown["Error"]
    assert run(network, one, "return x").output == "1"
    assert network.dry_run(one, "Eval", data="x = 9 return x").output == "9"
    assert run(network, one, "return x").output == "1"


def test_clients_get_what_the_module_gave(open_network):
    network = open_network()
    one = network.spawn(MODULE_ID, name="one")
    result = run(network, one, "Send({Target='T', Z='1', A='2'}) return 'text'")
    shown = result_json(result, network.info(one))
    assert shown["Output"]["data"] == "text"
    assert "prompt" in shown["Output"]
    [message] = shown["Messages"]
    assert {"name": "Data-Protocol", "value": "ao"} in message["Tags"]
    assert shown["Messages"] == json.loads(result.given)["Messages"]
    assert "A" in dict(result.messages[0].tags)
    assert "Data-Protocol" not in dict(result.messages[0].tags)


def test_a_token_survives_a_crash_and_its_log_replays(open_network, code, tmp_path):
    home = tmp_path / "home"
    network = open_network(home)
    token = network.spawn(MODULE_ID, name="token")
    run(network, token, TOKEN)
    network.send(token, "Mint", {"Quantity": "1000"})
    for number in range(20):
        network.send(token, "Transfer", {"Recipient": f"{number:043d}", "Quantity": "3"})
    run(network, token, "error('a failure in between')")
    run(
        network,
        token,
        "Handlers.once({Action='Wait'}, function () Send({Target=Owner, Data=Receive({Action='Go'}).Data}) end)",
    )
    network.send(token, "Wait")
    network.close(abort=True)

    network = open_network(home)
    owner = network.wallet().address
    network.send(token, "Go", data="woken up after the crash")
    assert network.inbox(owner)[-1].data == "woken up after the crash"
    network.send(token, "Transfer", {"Recipient": "last", "Quantity": "1"})
    run(network, token, "while true do end")
    network.close()

    network = open_network(home)
    balance = network.dry_run(token, "Balance", {"Recipient": "last"})
    assert balance.messages[0].data == "1"
    position = network.log(token)[5][0].position
    ask = network.dispatch.message(token, "Balance", {}, "", network.wallet())
    preview = network.scheduler.preview(ask, token)
    assert network.compute.dry_run(preview, position).messages[0].data == str(1000 - 3 * 3)
    assert network.compute.dry_run(preview).messages[0].data == str(1000 - 61)
    network.close()

    replay = replay_home(home, registry=registry(code, ""))
    assert replay.difference is None
    assert replay.processes[0].compared


def test_a_process_is_copied_by_its_memory(code):
    one, two = Bench(code), Bench(code)
    one.begin()
    one.run("x = 7 co = coroutine.wrap(function () coroutine.yield(1) coroutine.yield(2) end) co()")
    two.process.load(one.process.dump())
    two._count = one._count
    assert two.run("return x, co()").given == one.run("return x, co()").given
    assert two.process.dump() == one.process.dump()
    one.run("x = 8")
    assert two.run("return x").output == "7"
    one.close()
    two.close()


@pytest.mark.parametrize("large", [pytest.param(False, marks=pytest.mark.slow), True])
def test_errors_dry_runs_and_reopening_leave_no_mark_in_the_memory(code, large, monkeypatch):
    """The hash of a memory depends on the messages that stand, and on nothing else."""
    if large:  # as a large memory is kept
        monkeypatch.setattr(recall, "LARGE_BYTES", 0)
        monkeypatch.setattr(recall, "MOST_MESSAGES", 7)
        monkeypatch.setattr(recall, "_CAREFUL", 3)
    chance = random.Random(5)
    plain, troubled = Bench(code), Bench(code)
    plain.begin()
    troubled.begin()
    for number in range(60):
        lua = chance.choice(
            [
                f"t = t or {{}} t[{number}] = string.rep('x', {number})",
                "collectgarbage() return tostring({})",
                f"Send({{Target=ao.id, N='{number}'}})",
                "local ok = pcall(error, {}) return tostring(ok)",
                "co = coroutine.wrap(function () coroutine.yield(1) end) co()",
                "local s = '' for k in pairs(_G) do s = s .. k end return #s",
            ]
        )
        plain.run(lua, nonce=number)
        trouble = chance.choice(["none", "none", "error", "dry", "load", "deep", "exit"])
        if trouble == "error":
            assert troubled.run("x = string.rep('y', 99999) error('z')").error
        elif trouble == "dry":
            troubled.run("t = nil collectgarbage()", keep=False)
        elif trouble == "deep":
            troubled.run("local function f() return f() + 1 end f()")
        elif trouble == "exit":
            assert "exited" in troubled.run("x = string.rep('y', 99999) os.exit(1)").error
        elif trouble == "load":
            memory = troubled.process.dump()
            troubled.instance.close()
            troubled.instance = troubled.fresh()
            troubled.process.load(memory)
        troubled._count = plain._count - 1
        troubled.run(lua, nonce=number)
        assert troubled.process.dump() == plain.process.dump(), (number, trouble)
    plain.close()
    troubled.close()


HOSTILE = {
    "a loop": "while true do end",
    "a loop under pcall": "while true do pcall(function () while true do end end) end",
    "nested pcall": "local function f() pcall(f) return f() end f()",
    "a finaliser": "setmetatable({}, {__gc = function () while true do end end}) collectgarbage()",
    "recursion": "local function f() return 1 + f() end f()",
    "recursion in C": "local t = setmetatable({}, {}) getmetatable(t).__index = function (s, k) return s[k] end return t.x",
    "gsub": "local function f() return ('x'):gsub('x', f) end f()",
    "a gsub bomb": "local s = 'x' for n = 1, 40 do s = s:gsub('.', '%0%0') end",
    "a pattern": "return ('a'):rep(3000):find(('a*'):rep(9) .. 'b')",
    "a memory bomb": "local t = {} while true do t[#t + 1] = ('x'):rep(1 << 20) .. #t end",
    "a large string": "return ('x'):rep(1 << 40)",
    "a concat bomb": "local s = 'x' while true do s = s .. s end",
    "os.exit": "os.exit(1)",
    "deep coroutines": "local function f() return coroutine.wrap(f)() end f()",
    "many coroutines": "local t = {} for n = 1, 1e7 do t[n] = coroutine.create(print) coroutine.resume(t[n]) end",
    "a giant print": "for n = 1, 1000 do print(('x'):rep(100000)) end",
    "endless print": "while true do print('x') end",
    "many messages": "for n = 1, 1e6 do Send({Target = ao.id}) end",
    "a giant message": "Send({Target = ao.id, Data = ('x'):rep(1 << 26)})",
    "a deep table": "local t = {} for n = 1, 1e5 do t = {t} end Send({Target = ao.id, T = t})",
    "a circle": "local t = {} t.t = t Send({Target = ao.id, T = t})",
    "broken ao": "ao.result = function () return 7 end",
    "broken outbox": "ao.outbox.Messages = 'none'",
    "a numeric target": "ao.outbox.Messages = {{Target = 7}}",
    "string.format": "return ('%99.99f'):rep(1000):format(table.unpack({}, 1, 1000))",
    "load": "return load(('x='):rep(1e6) .. '1')",
    "nested brackets": "return load(('('):rep(1e5) .. '1' .. (')'):rep(1e5))",
    "debug": "debug.sethook(function () while true do end end, 'l') local x = 1",
    "a lone surrogate": "return '\\xed\\xa0\\x80'",
    "no UTF-8": "Send({Target = ao.id, Data = '\\xff\\xfe', Tag = '\\xc3'})",
    "sort": "local t = {} for n = 1, 1000 do t[n] = n end table.sort(t, function () return true end)",
    "no handlers": "Handlers.evaluate = nil",
    "no json": "package.loaded.json = nil require = nil",
    "a missing file": "return io.open('/etc/passwd')",
    "a shell": "return os.execute('id'), io.popen",
    "a file to write": "return io.open('/tmp/x', 'w')",
    "a temporary file": "return os.tmpname(), os.rename('a', 'b'), os.remove('c')",
    "standard streams": "io.write('to C') io.stderr:write('to C') return io.read and 'ok'",
    "reading a terminal": "return io.read()",
}


def test_hostile_lua_ends_in_bounded_time_and_harms_nobody(code):
    bench = Bench(code, fuel=400_000_000, memory_bytes=160 << 20)
    other = Bench(code)
    for each in (bench, other):
        each.begin()
        each.run("x = 5")
    untouched = other.process.dump()
    kept = bench.process.dump()
    for name, lua in HOSTILE.items():
        result = bench.run(lua)
        assert len(result.error) <= 4000, name
        if bench.run("return x").output != "5":  # it broke its own code, as it may on AO
            bench.process.load(kept)
        bench._count = 2
        assert bench.run("return x").output == "5", (name, result.error)
    assert other.process.dump() == untouched
    bench.close()
    other.close()


FUZZ = """
import random, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from ao_modules import Bench

chance = random.Random({seed})
words = '''while true do end for = , {{ }} ( ) [ ] local function return nil "x" 1 0.5 -1 + - * / % ^ # == ..
: . ; and or not string.rep table.concat pcall error coroutine.wrap setmetatable Send Spawn ao Handlers
Inbox msg Target Data Action print tostring _G _ENV collectgarbage debug.sethook load goto :: break'''.split()
bench = Bench(Path({module!r}).read_bytes(), fuel=400_000_000, memory_bytes=128 << 20)
bench.begin()
bench.run('return 0')
kept = bench.process.dump()
for number in range({count}):
    lua = " ".join(chance.choice(words) for _ in range(chance.randrange(1, 30)))
    result = bench.run(lua)
    if number % 20 == 19:
        bench.process.load(kept)
bench.process.load(kept)
print("alive", bench.run("return 1 + 1").output)
"""


@pytest.mark.parametrize("seed", range(2))
def test_random_lua_ends_nothing(seed):
    path = str(ao_module("aos2_0_6.wasm"))
    code = FUZZ.format(paths=[each for each in sys.path if each], seed=seed, module=path, count=200)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout == "alive 2\n", (done.returncode, done.stderr[-2000:])


def test_out_of_fuel_is_told_and_taken_over_by_a_replay(open_network, code, tmp_path):
    home = tmp_path / "home"
    limits = Limits(wasm_fuel_per_message=300_000_000)
    network = open_network(home, limits=limits)
    one = network.spawn(MODULE_ID, name="one")
    result = run(network, one, "while true do end")
    assert result.error == "Eval used up its fuel of 300,000,000"
    assert read_fact(result.recorded[0]) == OutOfFuel(300_000_000)
    assert run(network, one, "return 'still here'").output == "still here"
    network.close()
    much = Limits(wasm_fuel_per_message=600_000_000)
    for taken in (limits, much):
        assert replay_home(home, registry=registry(code, ""), limits=taken).difference is None


def test_data_of_the_network_is_read_by_its_id(open_network, code, tmp_path):
    home = tmp_path / "home"
    network = open_network(home)
    one = network.spawn(MODULE_ID, name="one")
    data_id = network.data.put(b"hello from the data store")
    lua = "local f = io.open('/data/{}') if not f then return 'nothing' end local n = f:seek('end') f:seek('set') local s = f:read(n) f:close() return n .. ' ' .. s"
    assert run(network, one, lua.format(data_id)).output == "25 hello from the data store"
    gone = "g" * 42 + "A"
    assert run(network, one, lua.format(gone)).output == "nothing"
    assert run(network, one, lua.format("../../etc/passwd")).output == "nothing"
    network.data.put(b"")
    network.close()
    assert replay_home(home, registry=registry(code, "")).difference is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sqlite.wasm", "process.wasm", "llama.wasm"])
def test_other_modules_of_ao_run(name):
    bench = Bench(ao_module(name).read_bytes())
    assert bench.begin().error == ""
    result = bench.run("return 1 + 1")
    assert "2" in result.output or "pong" in result.output
    if name == "sqlite.wasm":
        lua = """local db = require('lsqlite3').open_memory()
          db:exec('CREATE TABLE t (a)')
          local insert = db:prepare('INSERT INTO t VALUES (?)')
          for n = 1, 1000 do insert:bind_values(n) insert:step() insert:reset() end
          for row in db:nrows('SELECT sum(a) AS s FROM t') do return row.s end"""
        assert bench.run(lua).output == "500500"
        assert bench.run("-- " + "x" * 120_000 + "\nreturn 'large'").output == "large"
    bench.close()


WORKER = """
Handlers.add("Init", Handlers.utils.hasMatchingTag("Action", "Init"), function (msg)
  Llama = require("llama")
  Llama.load("/data/" .. msg.Tags["Model-Id"])
  Send({ Target = msg.From, Action = "Worker-Initialized" })
end)
Handlers.add("Inference", Handlers.utils.hasMatchingTag("Action", "Inference"), function (msg)
  Llama.setPrompt(msg.Data)
  local response = ""
  for _ = 1, tonumber(msg.Tags.Tokens) do response = response .. Llama.next() end
  ao.send({ Target = msg.From, Action = "Inference-Response", Data = response })
end)
"""


@pytest.mark.model
def test_a_worker_in_lua_asks_a_model(code, tmp_path):
    try:
        path = Catalogue().find("smollm2-135m")
    except PrerequisiteError as missing:
        pytest.skip(str(missing))
    home = tmp_path / "home"
    with Network(home, seed=1, registry=registry(code, "")) as network:
        model = network.data.put_file(path)
        worker = network.spawn(MODULE_ID, {"Extension": "Llama"}, name="worker")
        plain = network.spawn(MODULE_ID, name="plain")
        for process in (worker, plain):
            assert run(network, process, llama_lua()).error == ""
            assert run(network, process, WORKER).error == ""
        owner = network.wallet().address
        assert network.send(worker, "Init", {"Model-ID": model}).error == ""
        ask = {"Tokens": "8"}
        prompt = "The capital of France is"
        assert network.send(worker, "Inference", ask, data=prompt).error == ""
        answer = network.inbox(owner)[-1]
        assert answer.action == "Inference-Response"
        assert "Paris" in answer.data
        run(network, worker, "Llama.setPrompt('One, two,') Whole = Llama.run(4)")
        run(network, worker, "Llama.setPrompt('One, two,') Part = Llama.run(2) .. Llama.run(2)")
        assert run(network, worker, "return #Whole > 0 and Whole == Part").output == "true"
        assert "data id" in run(network, worker, "Llama.load('/data/none')").error
        assert "no inference" in network.send(plain, "Init", {"Model-ID": model}).error
    assert replay_home(home, registry=registry(code, "")).difference is None
