# ruff: noqa: E501 - Lua stands as it is sent
"""A process on AO's own module gives what AO's own loader gives, message by message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ao_modules import MESSENGER, Bench, ao_loader, ao_module, ask_loader

from benchpool.ao.tags import Tags

TOKEN = (Path(__file__).parents[1] / "lua_token.lua").read_text()
ALICE, BOB, OTHER = "A" * 43, "B" * 43, "X" * 43

EVALS = [
    "return 1 + 1",
    "return 7 // 2, 7 / 2, 2^53, 1e100, -0.0, math.maxinteger, 1/3",
    'return "text with ünïcode, 日本語 and \\u{1F600}"',
    "return {}",
    "return {1, 2, {a = 1, b = {c = 'x'}}}",
    "return tostring({})",
    "return tostring(print)",
    "return os.time()",
    "return os.clock()",
    'return os.date("!%Y-%m-%d %H:%M:%S %j %p %I %U %W %V %G %u %w %%", 1700000000)',
    "return os.time({year = 2024, month = 2, day = 31, hour = 12})",
    'return os.date("*t", 951782400).yday',
    'return os.date("%c|%x|%X|%D|%F|%T|%e|%y|%C|%h|%n|%t|%Z|%z", 0)',
    'return os.getenv("HOME")',
    "return math.random(1000000)",
    "return math.random()",
    "math.randomseed(42) return math.random(1000000)",
    "t = {} for n = 1, 250 do t['key' .. n] = n end local s = '' for k in pairs(t) do s = s .. k .. ',' end return s",
    "local s = '' for k in pairs(_G) do s = s .. tostring(k) .. ',' end return s",
    "local s = '' for k in pairs({a=1,b=2,[1]=3,[2.5]=4,[true]=5,z=6}) do s = s .. tostring(k) end return s",
    "print('printed') print('twice') return 'returned'",
    "print({a = 1})",
    "error('an error of mine')",
    "error({code = 7})",
    "error()",
    "local x = nil + 1",
    "return nil",
    "this is no Lua",
    "return pcall(error, 'inside')",
    "local ok, why = pcall(function () error({a = 1}) end) return ok, type(why), why.a",
    "return select('#', pcall(string.rep, 'x', -1))",
    "return xpcall(function () error('deep') end, function (e) return 'handled ' .. e end)",
    "local co = coroutine.wrap(function () for n = 1, 3 do coroutine.yield(n) end end) return co() + co() + co()",
    "co = coroutine.create(function (a) local b = coroutine.yield(a + 1) error('in co ' .. b) end) return coroutine.resume(co, 1)",
    "return coroutine.resume(co, 'again')",
    "return coroutine.status(co)",
    "local function f(n) return n == 0 and 0 or 1 + f(n - 1) end return f(5000)",
    "local function f() return f() + 1 end return pcall(f)",
    "return string.format('%5.2f|%d|%x|%q|%s|%g', 3.14159, 42, 255, 'a\\nb', {} ~= nil, 1e20)",
    "return ('x'):rep(3, ','), ('hello'):gsub('l', 'L'), ('abc'):byte(1, -1)",
    "return string.find('a.b.c', '.', 1, true), ('key=val'):match('(%w+)=(%w+)')",
    "return table.concat({1, 2, 3}, '-'), #{1, 2, nil, 4}, table.unpack({1, 2})",
    "return utf8.char(72, 228, 8364), utf8.len('häß'), #'häß'",
    "return string.char(255, 254, 65)",
    "return require('json').encode({1, 2, 3, n = nil}), require('json').encode({b = 1, a = {true, false}})",
    "return require('json').decode('[1, 2.5, -3e2, \"x\\\\u00e9\", null, true, {\"a\": 1}]')",
    "return require('json').decode('{bad')",
    "return require('json').encode(1e15), require('json').encode(1e16), require('json').encode(0.1)",
    "return #collectgarbage and 1",
    "return type(collectgarbage('count'))",
    "return ao.id, ao.env.Process.Owner, Owner, Name",
    "return Inbox and #Inbox",
    "return #ao.authorities, ao.authorities[1]",
    "x = 41",
    "x = x + 1 return x",
    "x = 99 error('x must not be 99')",
    "return x",
    "Send({Target = ao.id, Action = 'Ping', Number = 5, Flag = true, Data = 'pong'})",
    "Send({Target = '"
    + ALICE
    + "', Tags = {Action = 'Tagged', Zeta = '1', Alpha = '2'}, Data = 'd'})",
    "Send({Target = '" + ALICE + "', Table = {a = 1}, Float = 1.5, Data = ''})",
    "Send({Target = '" + ALICE + "', Data = string.rep('long ', 2000)})",
    "ao.send({Target = '" + BOB + "', Action = 'Plain', ['X-Note'] = 'ünïcode'})",
    "for n = 1, 20 do Send({Target = ao.id, Action = 'Many', N = tostring(n)}) end return 'sent'",
    "Spawn('" + "S" * 43 + "', {Name = 'child', Data = 'body', Zed = '1', Tags = {A = 'b'}})",
    "Assign({Processes = {ao.id}, Message = '" + "T" * 43 + "'})",
    "return 'x' .. string.rep('y', 20000)",
    "local t = {} for n = 1, 30000 do t[n] = n * n end return #t, t[30000]",
    "local s = 0 for n = 1, 300000 do s = s + n % 7 end return s",
    "big = {} for n = 1, 20000 do big['k' .. n] = {n = n} end return 'filled'",
    "local n = 0 for _ in pairs(big) do n = n + 1 end return n",
    "big = nil collectgarbage() return 'emptied'",
    "Handlers.add('greet', Handlers.utils.hasMatchingTag('Action', 'Greet'), function (m) m.reply({Action = 'Greeting', Data = 'hello ' .. m.From}) end)",
    "Handlers.add('fail', {Action = 'Fail'}, function (m) error('handler fails') end)",
    "Handlers.add('slow', {Action = 'Ask'}, function (m) local r = Receive({Action = 'Answer'}) print('got ' .. r.Data) Send({Target = m.From, Data = r.Data}) end)",
    "Handlers.add('every', function (m) return 'continue' end, function (m) Seen = (Seen or 0) + 1 end)",
    "Handlers.prepend('first', {Action = 'First'}, function (m) Send({Target = m.From, Data = 'first'}) end)",
    "Handlers.once({Action = 'Once'}, function (m) Send({Target = m.From, Data = 'once'}) end)",
    "return #Handlers.list, Handlers.list[1].name",
    "Handlers.remove('every') return #Handlers.list",
    "return io.open('/data/none')",
    "return _VERSION, math.pi, math.type(1), math.type(1.0), 3 | 4, ~0 >> 60",
    "goto done do return 'skipped' end ::done:: return 'done'",
    "return debug.traceback('trace')",
    "return load('return 5')() + (loadstring or load)('return 6')()",
    "local t = setmetatable({}, {__index = function (_, k) return k .. '!' end, __tostring = function () return 'custom' end}) return t.key, tostring(t)",
    "local t = {5, 3, 9, 1} table.sort(t, function (a, b) return a > b end) return table.concat(t, ',')",
    "return string.pack and string.unpack('<i4', string.pack('<i4', -7))",
    "os.exit",
    "return require('.bint')(256)('123456789012345678901234567890') * 2 and 'ok'",
    "return tostring(require('.bint')(256)('123456789012345678901234567890') * 3)",
    "return require('.base64').encode('hello wörld'), require('.base64').decode('aGVsbG8=')",
    "return require('.crypto').digest.sha2_256('abc').asHex()",
    "return #require('.pretty').tprint({a = {b = 1}})",
    "return require('nonsense')",
]


def talk(bench: Bench) -> list:
    """Say the whole list; return the results."""
    eval_tags = Tags([("Action", "Eval")])
    heard = [bench.begin()]
    heard += [bench.run(lua) for lua in EVALS]
    pushed = {"owner": MESSENGER, "sender": OTHER, "from_module": "Z" * 43}
    for action, given in (
        ("Greet", {}),
        ("Fail", {}),
        ("First", {}),
        ("Once", {}),
        ("Once", {}),
        ("Unknown", {"data": "kept in the inbox"}),
        ("Ask", {}),
        ("Greet", {**pushed, "reference": "7", "pushed_for": "W" * 43}),
        ("Greet", {"owner": OTHER, "sender": ALICE}),  # nobody trusts it
        ("Answer", {"data": "forty-two", **pushed, "reference": "8"}),
        ("Tick", {"cron": True}),
        ("Large", {"data": "Lärge " * 20_000}),
        ("Bytes", {"data": bytes(range(256))}),
        ("Elsewhere", {"target": BOB}),
        ("Quote", {"data": 'quotes " and \\ and \x00 and \x1f and \u2028'}),
        ("Json", {"tags": [("Content-Type", "application/json")], "data": '{"a": [1, 2.0]}'}),
        ("Json", {"tags": [("Content-Type", "application/json")], "data": "{no"}),
        ("Twice", {"tags": [("Twice", "1"), ("Twice", "2"), ("lower-case", "x"), ("From", "me")]}),
    ):
        tags = Tags([("Action", action), *given.pop("tags", ())])
        heard.append(bench.say(tags=tags, **given))
    heard.append(bench.say(tags=eval_tags, data="return 'not mine'", sender=ALICE, owner=ALICE))
    heard.append(bench.run("return #Inbox, Inbox[#Inbox].Data, Inbox[#Inbox].Tags"))
    heard.append(bench.run(TOKEN))
    for tags in (
        [("Action", "Mint"), ("Quantity", "1000")],
        [("Action", "Transfer"), ("Recipient", ALICE), ("Quantity", "250")],
        [("Action", "Transfer"), ("Recipient", BOB), ("Quantity", "100000")],
        [("Action", "Transfer"), ("Recipient", BOB), ("Quantity", "-1")],
        [("Action", "Transfer"), ("Quantity", "1")],
        [("Action", "Transfer"), ("Recipient", BOB), ("Quantity", "50"), ("Cast", "true")],
        [("Action", "Balance"), ("Recipient", ALICE)],
        [("Action", "Balance")],
        [("Action", "Balances")],
    ):
        heard.append(bench.say(tags=Tags(tags)))
    heard += [
        bench.say(
            tags=Tags([("Action", "Transfer"), ("Recipient", f"{n:043d}"), ("Quantity", "1")])
        )
        for n in range(10)
    ]
    return heard


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["aos2_0_6.wasm", "aos2_0_4_32.wasm", "aos2_0_1.wasm", "aos2_0_3.wasm", "aos.wasm"],
)
def test_a_module_of_ao_gives_what_ao_s_loader_gives(name):
    path = ao_module(name)
    ao_loader()
    bench = Bench(path.read_bytes())
    heard = talk(bench)
    assert len(heard) >= 100
    wide = bench.module.format.startswith("wasm64")
    kind = bench.module.format if wide else "wasm32-unknown-emscripten4"
    expected = ask_loader(path, kind, bench.asked)
    differing = []
    for number, (result, wanted) in enumerate(zip(heard, expected, strict=True)):
        given = json.loads(result.given or b"{}") or {"Error": result.error}
        if "JSON input" in str(wanted.get("Error")):  # the module gave no answer at all
            assert "empty text" in result.error
        elif _filled(given) != _filled(wanted):
            said = bench.asked[number]["message"]["Data"][:80]
            differing.append((number, said, _filled(given), _filled(wanted)))
    assert differing == []
    bench.close()


def _filled(response: dict) -> dict:
    """Leave out what is empty: the loader's own object has keys where the module gave none."""
    return {key: value for key, value in dict(response).items() if value not in (None, "", [], {})}
