"""A pool with two funders, attacked by messages: nobody's money and nobody's score moves."""

import json

import pytest

from benchpool.ao.clock import DAY_MS
from benchpool.process.process import Process, handler

SQL = "'; DROP TABLE log; --"
PATHS = ("../../etc/passwd", "/etc/passwd", "..", "a/../../b", "\0", "A" * 43 + "/..", "file:///x")
ANSI = "\x1b[2J\x1b]0;owned\x07name"


class Stranger(Process):
    """Anybody's process: it says what it is told to."""

    @handler("Say")
    def say(self, message):
        what = message.json()
        self.send(what["to"], what["action"], what["tags"], what.get("data", ""))


class World:
    def __init__(self, network):
        self.network = network
        network.registry.add(Stranger)
        self.alice, self.mallory = (network.new_wallet(name) for name in ("alice", "mallory"))
        self.token = network.spawn("WrappedAR", name="WrappedAR")
        self.benchmark = network.spawn("Benchmark", {"WrappedAR": self.token}, name="Benchmark")
        self.router = network.spawn("LlamaRouter", name="LlamaRouter")
        tags = {"Benchmark": self.benchmark, "LlamaRouter": self.router}
        self.dataset = network.spawn("SiqaDataset", tags, name="SiqaDataset")
        rows = [
            {"context": "c", "question": f"q{n}", "answerA": "a", "answerB": "b", "answerC": "d"}
            for n in range(3)
        ]
        data = json.dumps([{**row, "label": "1"} for row in rows])
        network.send(self.dataset, "Load-Data", data=data).reply("Load-Data-Response")
        self.stranger = network.spawn("Stranger", sender=self.mallory)
        model = network.data.put(b"model")
        loaded = {"Router": self.router, "Model-Data": model}
        self.worker = network.spawn("LlamaWorker", loaded, name="worker", sender=self.alice)
        network.send(self.token, "Mint", {"Quantity": "1000", "Recipient": self.alice.address})
        self.fund()
        self.pool_id = self.pools()[0]["id"]
        self.join(self.alice)

    def fund(self, **tags):
        given = {
            "Recipient": self.benchmark,
            "Quantity": "600",
            "X-Dataset": self.dataset,
            "X-Allocation": "Equal",
            "X-Duration": "1d",
            "X-Eligible": "all",  # three questions tell nobody from a guesser
        }
        return self.network.send(self.token, "Transfer", given | tags, sender=self.alice)

    def join(self, who, **fields):
        data = json.dumps({"dataset": self.pool_id, "model": self.worker} | fields)
        return self.network.send(self.benchmark, "Join-Pool", data=data, sender=who)

    def pools(self):
        return json.loads(self.network.send(self.benchmark, "Get-Pools").reply().data)

    def memory(self):
        """What must not change: the memories of all but the stranger, without references."""
        return {
            name: self.network.process(name).state.model_dump_json()
            for name in ("WrappedAR", "Benchmark", "SiqaDataset", "LlamaRouter", "worker")
        }

    def say(self, to, action, tags, data=""):
        """Let the stranger say something; return what its target made of it."""
        what = json.dumps({"to": to, "action": action, "tags": tags, "data": data})
        self.network.send(self.stranger, "Say", data=what, sender=self.mallory)
        return self.network.log(to)[-1][1]


@pytest.fixture
def world(network):
    return World(network)


def forgeries(world):
    """Every message that only one party may send, as the stranger would write it."""
    credit = {
        "Sender": world.mallory.address,
        "Quantity": "999",
        "X-Dataset": world.dataset,
        "X-Allocation": "Equal",
    }
    score = {"Model": world.worker, "Protocol": "cloze", "Correct": "3", "Evaluated": "3"}
    score |= {"Total": "3"}
    answer = {"Model": world.worker, "Weights": "w"}
    for reference in ("1", "2", "3", "4", "5"):
        named = {"X-Reference": reference, "X-Payment": reference}
        yield world.benchmark, "Score-Response", score | named
        yield world.benchmark, "Score-Error", score | named
        yield world.benchmark, "Get-Model-Response", answer | {"Name": "n"} | named
        yield world.benchmark, "Debit-Notice", {"Recipient": "r", "Quantity": "1"} | named
        yield world.benchmark, "Transfer-Error", {"Error": "e"} | named
        yield world.dataset, "Inference-Response", answer | named
        yield world.dataset, "Inference-Error", answer | named
        yield world.router, "Inference-Response", answer | named
        yield world.router, "Inference-Error", answer | named
    yield world.benchmark, "Credit-Notice", credit
    yield world.dataset, "Credit-Notice", credit
    yield world.benchmark, "Credit-Notice", credit | {"X-Pool": world.pool_id}
    yield world.dataset, "Pool-Funds", {"Pool": world.pool_id, "Funds": "0"}
    yield world.dataset, "Benchmark", {"Model": world.worker, "Weights": "w"}
    yield world.benchmark, "Register-Dataset", {"Name": "d", "Samples": "3", "Chance": "1/3"}
    yield world.router, "Register-Worker", {"Worker": world.worker, "Model": world.worker}
    yield world.router, "Unregister-Worker", {"Worker": world.worker}


def test_forged_notices_scores_and_answers_change_nothing(world):
    world.network.send(world.dataset, "Evaluate")
    before = world.memory()
    for to, action, tags in forgeries(world):
        result = world.say(to, action, tags)
        assert result.error or result.output or result.messages, (action, tags)
        assert world.memory() == before, (action, tags)


@pytest.mark.parametrize("trick", ["wallet", "From-Process"])
def test_a_wallet_that_claims_to_be_the_token_is_not_believed(world, trick):
    before = world.memory()
    tags = {"Sender": world.mallory.address, "Quantity": "999", "X-Pool": world.pool_id}
    if trick == "From-Process":
        tags |= {"From-Process": world.token}
    sent = world.network.send(world.benchmark, "Credit-Notice", tags, sender=world.mallory)
    assert "not the token" in sent.result.output or "not trusted" in sent.result.output
    assert world.memory() == before


@pytest.mark.parametrize(
    ("process", "action", "tags"),
    [
        ("WrappedAR", "Mint", {"Quantity": "5"}),
        ("SiqaDataset", "Init", {"Benchmark": "x"}),
        ("SiqaDataset", "Load-Data", {}),
        ("SiqaDataset", "Evaluate", {}),
        ("SiqaDataset", "Benchmark", {"Model": "m"}),
        ("Benchmark", "Update-Leaderboard", {}),
        ("Benchmark", "Allocate-Rewards", {}),
        ("worker", "loadModel", {"Data-Id": "x"}),
        ("worker", "Set-Max-Tokens", {"Max-Tokens": "5"}),
        ("worker", "setSystemPrompt", {"System-Prompt": "x"}),
        ("worker", "Set-Router", {"Router": "x"}),
        ("worker", "Inference", {}),
    ],
)
def test_what_belongs_to_the_owner_is_refused_to_others(world, process, action, tags):
    before = world.memory()
    sent = world.network.send(process, action, tags, sender=world.mallory)
    answers = [message.tags.get("Error") for message in sent.replies]
    assert "owner" in sent.error or any(answers), (action, sent.error)
    assert world.memory() == before


def test_joins_after_the_end_twice_or_in_another_name(world):
    entries = world.network.process("Benchmark").state.pools[world.pool_id].models
    assert [entry.participant for entry in entries.values()] == [world.alice.address]
    again = world.join(world.mallory, participant=world.alice.address)
    assert "Error" in again.reply("Join-Pool-Error").tags
    twice = world.join(world.mallory)
    assert "in the pool already" in twice.reply("Join-Pool-Error").tags["Error"]
    named = world.network.send(
        world.benchmark,
        "Join-Pool",
        {"From-Process": world.alice.address},
        data=json.dumps({"dataset": world.pool_id, "model": "other"}),
        sender=world.mallory,
    )
    assert "not trusted" in named.result.output
    world.network.clock.set(world.network.clock.now() + DAY_MS)
    late = world.join(world.mallory, model="another")
    assert "has ended" in late.reply("Join-Pool-Error").tags["Error"]
    assert list(entries) == [world.worker]


QUANTITIES = (
    *("", "0", "-1", "+1", " 1", "1 ", "1\n", "01", "1e3", "1.0", "0x10", "1_000", "Infinity"),
    *("NaN", "\u0661", "\uff11", "\u00b2", "1\u200b", "\U0001d7cf", "1" + "0" * 400, "9" * 4001),
    *("null", "[]", SQL, "1\0", "\u22121", "1,000", "--1", "1" * 60_000),
)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_no_quantity_makes_money(world, quantity):
    before = world.memory()
    for action in ("Transfer", "Burn", "Mint"):
        tags = {"Quantity": quantity, "Recipient": world.mallory.address}
        sent = world.network.send(world.token, action, tags, sender=world.mallory)
        answers = [message.tags.get("Error") for message in sent.replies]
        assert "Quantity" in sent.error or any(answers)
    assert world.memory() == before


def test_the_whole_pool_is_still_paid_after_all_attacks(world):
    for to, action, tags in forgeries(world):
        world.say(to, action, tags)
    world.network.send(world.dataset, "Evaluate")
    world.network.send(world.benchmark, "Update-Leaderboard")
    world.network.advance("2d")
    world.network.send(world.benchmark, "Allocate-Rewards")
    pool = next(pool for pool in world.pools() if pool["id"] == world.pool_id)
    assert pool["status"] == "paid"
    balances = world.network.process("WrappedAR").state.balances
    assert balances[world.alice.address] == 1000
    assert balances.get(world.mallory.address, 0) == 0


# -- what stands in texts ----------------------------------------------------------------------


@pytest.mark.parametrize("text", [*PATHS, SQL, ANSI, "💥" * 100, "x" * 60_000])
def test_no_text_opens_a_file_or_reaches_a_database(world, text):
    before = world.memory()
    network = world.network
    asked = [
        network.send("worker", "loadModel", {"Data-Id": text}),
        network.send("SiqaDataset", "Load-Data", {"DataTxID": text}),
        world.join(world.mallory, dataset=text),
        network.send("Benchmark", "Get-Pool", {"Pool": text}),
        network.send("SiqaDataset", "Score", {"Model": text, "Protocol": "cloze"}),
        network.send("SiqaDataset", "Score", {"Model": world.worker, "Protocol": text}),
        network.send("LlamaRouter", "Get-Model", {"Model": text}),
    ]
    for sent in asked:
        errors = [m.tags.get("Error") for m in sent.replies] or [sent.error]
        assert all(errors), sent.replies
        assert all("root:" not in error for error in errors)
    assert world.memory() == before
    assert network.store.count() == sum(
        len(network.log(party))
        for party in [i.id for i in network.processes()] + [w.address for w in network.wallets()]
    )


def test_sql_in_every_name_stays_text(world):
    sent = world.fund(**{"X-Title": SQL, "X-Allocation": SQL, "X-Dataset": SQL, "X-Note": SQL})
    assert any(SQL in m.tags.get("X-Error") for m in sent.trace.replies(world.alice.address)) or (
        world.network.process("WrappedAR").state.balances[world.alice.address] == 400
    )
    world.network.send(
        world.dataset, "Benchmark", {"Model": SQL, "Name": SQL, "Weights": SQL}
    ).reply("Benchmark-Response")
    listed = json.loads(world.network.send(world.dataset, "Get-Models").reply().data)
    assert [model["inference_process"] for model in listed] == [world.worker, SQL]
    paid = world.network.send(
        world.token, "Transfer", {"Recipient": SQL, "Quantity": "1"}, sender=world.alice
    )
    assert "not an address" in paid.error


def test_an_escape_sequence_does_not_reach_the_terminal(capsys):
    from benchpool.cli import output

    output.table(["name"], [[ANSI]])
    output.fields([("name", ANSI)])
    output.note(ANSI)
    output.complain(ANSI)
    shown = capsys.readouterr()
    assert "\x1b]" not in shown.out + shown.err
    assert "\x07" not in shown.out + shown.err
    assert "\\x1b[2J" in shown.out
