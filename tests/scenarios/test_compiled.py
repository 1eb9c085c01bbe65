"""A compiled data set: its process among puppets, and pools over it from funding to payout."""

import json
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text
from tiny_gguf import write_gguf

from benchpool.audit.audit import audit_home
from benchpool.audit.recompute import Again
from benchpool.audit.replay import replay_home
from benchpool.errors import HandlerError, PrerequisiteError
from benchpool.evaluation.compiled import Header, read_compiled, write_compiled
from benchpool.evaluation.compiled_scores import score
from benchpool.evaluation.prompts import compiled_letters
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network
from benchpool.process.process import Process, handler
from benchpool.simulation.scripted_engine import ScriptedEngines, write_replies
from processes.compiled import CompiledDataset

WAR = 10**12
HEADER = {
    "format": "benchpool-dataset/1",
    "name": "mixed",
    "title": "Mixed",
    "source": "made up",
    "license": "MIT",
    "version": "1.0",
    "compiled": {"task": "", "data": []},
    "kind": "choices",
    "protocol": "cloze",
    "metrics": ["acc", "acc_norm"],
    "filters": [],
    "unscored": [],
    "count": 0,
}


def write(questions, **header):
    rows = [HEADER | header | {"count": len(questions)}, *questions]
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def choice(number, count, *gold):
    texts = [f"answer {letter}" for letter in "abcdefghij"[:count]]
    return {
        "prompt": f"Question: number {number}?\nAnswer:",
        "choices": [f" {each}" for each in texts],
        "texts": texts,
        "gold": list(gold),
        "question": f"number {number}?",
    }


# 3, 4 and 5 choices; of every fourth question two are right.
MIXED = [
    choice(n, count, *sorted({n % count + 1, n % 3 + 1} if n % 4 == 0 else {n % count + 1}))
    for n in range(30)
    for count in (n % 3 + 3,)
]
SUMS = [
    {
        "prompt": f"Question: {n} + {n}?\nAnswer:",
        "stop": ["\n", "Question:"],
        "max_tokens": 16,
        "targets": [f"{n} plus {n}\n#### {2 * n:,}"],
    }
    for n in range(400, 424)
]
GSM8K = {
    "kind": "generate",
    "protocol": "gsm8k",
    "metrics": [
        {
            "name": "exact_match",
            "ignore_case": True,
            "regexes_to_ignore": [",", r"\$", "(?s).*#### ", r"\.$"],
        },
        "f1",
    ],
    "filters": [
        {
            "name": "flexible-extract",
            "filter": [
                {
                    "function": "regex",
                    "regex_pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)",
                    "group_select": -1,
                },
                {"function": "take_first"},
            ],
        }
    ],
}
WORDS = [
    {"prompt": f"The {n}th word is", "choices": [f" w{n}"], "targets": [f"w{n}"]} for n in range(6)
]
LED = [
    {
        "prompt": "Fill the gap. ",
        "choices": [f" fits {n}."] * 2,
        "texts": [f"This {n} so it", f"That {n} so that"],
        "leads": [f"This {n} so it", f"That {n} so that"],
        "gold": [n % 2 + 1],
    }
    for n in range(30)
]
FILES = {
    "choices": write(MIXED),
    "led": write(LED),
    "letters": write(MIXED, title="By letters"),
    "generate": write(SUMS, **GSM8K),
    "likelihood": write(WORDS, kind="likelihood", protocol="lambada", metrics=["acc"]),
}


KINDS = [
    pytest.param(kind, marks=[pytest.mark.slow] if kind in ("led", "letters") else [])
    for kind in FILES
]


def right_replies(kind):
    if kind == "choices":
        return {each["prompt"]: each["gold"][-1] for each in MIXED}
    if kind == "led":
        return {each["prompt"] + "".join(each["leads"]): each["gold"][0] for each in LED}
    if kind == "letters":
        questions = read_compiled(FILES[kind], "x").questions
        return {compiled_letters(each).user: each.gold[-1] for each in questions}
    if kind == "generate":
        return {each["prompt"]: f" It is ${2 * n:,}.\nNext" for n, each in enumerate(SUMS, 400)}
    return {each["prompt"]: 1 for each in WORDS}


def worse_replies(kind):
    """Every third answer is wrong."""
    wrong = {"generate": " It is 7.", "likelihood": 0}
    replies = right_replies(kind)
    for place, prompt in enumerate(list(replies)):
        if place % 3 == 0:
            other = 0
            if kind in ("choices", "led", "letters"):
                asked = (LED if kind == "led" else MIXED)[place]
                golds, count = asked["gold"], len(asked["choices"])
                other = next(n for n in range(1, count + 1) if n not in golds)
            replies[prompt] = wrong.get(kind, other)
    return replies


class Puppet(Process):
    """Says what it is told to, and keeps what it hears."""

    @handler("Say")
    def say(self, message):
        what = message.json()
        self.send(what["to"], what["action"], what["tags"], what["data"])


class Pools:
    """A funder, a router, a Benchmark and a compiled data set."""

    def __init__(self, network, folder: Path, data: bytes, *, module=CompiledDataset, herder=False):
        self.network, self.folder = network, folder
        network.registry.add(module, "CompiledDataset")
        self.funder = network.new_wallet("funder")
        self.token = network.spawn("WrappedAR")
        network.send(self.token, "Mint", {"Quantity": 10 * WAR, "Recipient": self.funder.address})
        daily = [
            ("Cron-Interval", "24-hours"),
            ("Cron-Tag-Action", "Update-Leaderboard"),
            ("Cron-Interval", "24-hours"),
            ("Cron-Tag-Action", "Allocate-Rewards"),
        ]
        self.benchmark = network.spawn("Benchmark", [("WrappedAR", self.token), *daily])
        self.router = (
            network.spawn("LlamaHerder", {"WrappedAR": self.token})
            if herder
            else network.spawn("LlamaRouter")
        )
        self.dataset = network.spawn(
            "CompiledDataset",
            {
                "LlamaRouter": self.router,
                "WrappedAR": self.token,
                "Herder": str(herder).lower(),
                "Benchmark": self.benchmark,
                "DataTxID": network.data.put(data),
                "Cron-Interval": "1-hour",
                "Cron-Tag-Action": "Evaluate",
            },
        )

    def fund(self, **tags):
        given = {"Recipient": self.benchmark, "Quantity": WAR + 1, "X-Dataset": self.dataset}
        (info,) = self.network.send(self.dataset, "Info").replies
        letters = info.tags["Name"] == "By letters"
        protocol = info.tags["Protocols"].split(",")[letters]
        given |= {"X-Allocation": "ArithmeticDecrease", "X-Duration": "3d"}
        given |= {"X-Protocol": protocol, **tags}
        sent = self.network.send(self.token, "Transfer", given, sender=self.funder)
        return sent.reply("Pool-Created").tags["Pool"]

    def join(self, pool, who, model: bytes):
        wallet = self.network.new_wallet(who)
        worker = self.network.spawn(
            "LlamaWorker",
            {"Router": self.router, "Model-Data": self.network.data.put(model), "Model-Name": who},
            sender=wallet,
        )
        data = json.dumps({"dataset": pool, "model": worker})
        sent = self.network.send(self.benchmark, "Join-Pool", data=data, sender=wallet)
        sent.reply("Joined-Pool")

    def board(self, pool):
        reply = self.network.send(self.benchmark, "Leaderboard", {"Pool": pool}).reply()
        return json.loads(reply.data)


@pytest.mark.parametrize("kind", FILES)
def test_a_pool_lives_from_funding_to_payout_and_is_audited_and_replayed(kind, tmp_path):
    home = tmp_path / "home"
    with Network(home, seed=1, engine_factory=ScriptedEngines()) as network:
        pools = Pools(network, tmp_path, FILES[kind])
        pool = pools.fund(**({"X-Eligible": "all"} if kind in ("generate", "likelihood") else {}))
        pools.join(pool, "ana", write_replies("ana", right_replies(kind)))
        pools.join(pool, "ben", write_replies("ben", worse_replies(kind)))
        network.advance("4d")
        board = pools.board(pool)
        asked = len(right_replies(kind))
        assert [row["name"] for row in board] == ["ana", "ben"]
        assert [row["correct"] for row in board] == [asked, asked - (asked + 2) // 3]
        assert {row["evaluated"] for row in board} == {asked}
        assert sum(int(row["reward"]) for row in board) == WAR + 1
        assert all(row["paid"] for row in board)
        for process in network.processes():
            assert [r.error for _, r in network.log(process.id) if r and r.error] == []
    statement = audit_home(home, pool, registry=network.registry)
    assert [each for each in statement.checks if each.passed is False] == []
    replay = replay_home(home, registry=network.registry)
    assert replay.difference is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_herder_sells_answers_to_every_kind_of_question(kind, tmp_path):
    with Network(seed=1, engine_factory=ScriptedEngines()) as network:
        pools = Pools(network, tmp_path, FILES[kind], herder=True)
        tags = {"Recipient": pools.dataset, "Quantity": WAR}
        network.send(pools.token, "Transfer", tags, sender=pools.funder)
        pool = pools.fund(**{"X-Eligible": "all"})
        pools.join(pool, "ana", write_replies("ana", right_replies(kind)))
        network.advance("4d")
        (row,) = pools.board(pool)
        assert row["correct"] == row["evaluated"] == len(right_replies(kind))
        assert row["paid"]


@pytest.fixture
def world(network):
    made = []

    class World:
        def __init__(self, data, **tags):
            if not made:
                network.registry.add(CompiledDataset)
                network.registry.add(Puppet)
            made.append(self)
            self.router = network.spawn("Puppet")
            self.benchmark = network.spawn("Puppet")
            self.tags = {"LlamaRouter": self.router, "Benchmark": self.benchmark, **tags}
            if data is not None:
                self.tags["DataTxID"] = network.data.put(data)
            self.dataset = network.spawn("CompiledDataset", self.tags)

        def heard(self, party, action):
            return [each for each in network.inbox(party) if each.action == action]

        def send(self, action, tags=(), **options):
            return network.send(self.dataset, action, tags, **options)

        def ask(self):
            self.send("Benchmark", {"Model": "m", "Weights": "w"})
            self.send("Evaluate")
            return self.heard(self.router, "Inference")

        def answer(self, asked, data):
            tags = {"X-Reference": asked.tags["X-Reference"]}
            what = {
                "to": self.dataset,
                "action": "Inference-Response",
                "tags": tags,
                "data": data,
            }
            network.send(self.router, "Say", data=json.dumps(what))

        def rows(self, columns):
            session = network.process(self.dataset).database.session
            return [
                tuple(row)
                for row in session.execute(text(f"SELECT {columns} FROM evaluations ORDER BY id"))
            ]

    return World


def nats(*values):
    return {"log_likelihoods": [{"nats": value, "tokens": 1} for value in values]}


def test_it_says_what_it_holds(world):
    left_out = [{"item": 3, "reason": "no answer"}, {"item": 9, "reason": "no answer"}]
    made = world(write(MIXED, unscored=left_out))
    (registered,) = made.heard(made.benchmark, "Register-Dataset")
    guess = sum(Fraction(len(each["gold"]), len(each["choices"])) for each in MIXED) / len(MIXED)
    info = made.send("Info").reply().tags
    for tags in (registered.tags, info):
        assert tags["Name"] == "Mixed"
        assert Fraction(tags["Chance"]) == guess
        assert tags["Protocols"] == "cloze,letters,cloze/bf16,letters/bf16"
        assert tags["Samples"] == "30"
    assert (info["Kind"], info["Metric"], info["License"]) == ("choices", "acc", "MIT")
    assert info["Left-Out"] == "2"


@pytest.mark.parametrize("kind", ["generate", "likelihood"])
def test_nobody_writes_a_text_by_chance(world, kind):
    info = world(FILES[kind]).send("Info").reply().tags
    assert (info["Chance"], info["Protocols"]) == ("0", f"{kind},{kind}/bf16")


def test_a_long_chance_is_rounded_up(world):
    primes = [101, 103, 107, 109, 113, 127, 131, 137, 139, 149]
    questions = [
        {"prompt": "?", "choices": ["x"] * n, "texts": ["x"] * n, "gold": [1]} for n in primes
    ]
    info = world(write(questions)).send("Info").reply().tags
    exact = sum(Fraction(1, n) for n in primes) / len(primes)
    assert 0 <= Fraction(info["Chance"]) - exact < Fraction(1, 10**6)
    assert all(len(part) <= 9 for part in info["Chance"].split("/"))


def test_before_a_file_is_loaded_no_pool_can_be_made(world, network):
    made = world(None)
    assert made.heard(made.benchmark, "Register-Dataset") == []
    assert made.send("Info").reply().tags["Samples"] == "0"
    assert made.send("Load-Data", data=FILES["choices"].decode()).reply().tags["Total"] == "30"
    assert len(made.heard(made.benchmark, "Register-Dataset")) == 1
    again = made.send("Load-Data", {"DataTxID": network.data.put(FILES["likelihood"])})
    assert "holds one file" in again.error
    assert made.send("Info").reply().tags["Samples"] == "30"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (FILES["choices"].replace(b'"gold":[1]', b'"gold":[9]'), "line "),
        (write(SUMS, **GSM8K | {"metrics": ["f1"]}), "put another metric first"),
        (write([choice(1, 2, 1, 2)]), "every choice is right"),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_is_half_loaded(world, data, reason):
    made = world(None)
    assert reason in made.send("Load-Data", data=data.decode()).error
    assert made.send("Info").reply().tags["Samples"] == "0"
    assert made.send("Load-Data", data=FILES["choices"].decode()).error == ""


def test_requests_are_asked_byte_for_byte(world):
    asked = world(FILES["choices"]).ask()
    assert [each.json() for each in asked] == [
        {"prompt": each["prompt"], "choices": each["choices"]} for each in MIXED
    ]
    asked = world(FILES["generate"]).ask()
    assert asked[0].json() == {
        "prompt": SUMS[0]["prompt"],
        "raw": True,
        "max_tokens": 16,
        "stop": ["\n", "Question:"],
    }
    chat = world(write(SUMS, **GSM8K | {"chat": True, "system": "Be brief."})).ask()
    assert chat[0].json() == {
        "prompt": SUMS[0]["prompt"],
        "system": "Be brief.",
        "max_tokens": 16,
        "stop": ["\n", "Question:"],
    }
    asked = world(FILES["likelihood"]).ask()
    assert asked[0].json() == {"prompt": "The 0th word is", "choices": [" w0"], "greedy": True}


def test_several_choices_may_be_right_and_acc_norm_may_come_first(world):
    two = {"prompt": "?", "choices": [" a", " long one", " c"], "texts": ["a", "long one", "c"]}
    for metrics, prediction, right in (
        (["acc"], 1, 1),
        (["acc_norm"], 2, 0),
    ):
        made = world(write([two | {"gold": [1, 3]}], metrics=metrics))
        made.answer(made.ask()[-1], nats(-3.0, -4.0, -5.0))
        assert made.rows("prediction, correct, prediction_per_character, correct_answer") == [
            (prediction, right, 2, 1)
        ]


def test_what_cannot_be_judged_is_unscored_with_a_reason(world):
    made = world(FILES["likelihood"])
    for _ in range(3):
        for asked in made.ask()[-6:]:
            made.answer(asked, {"log_likelihoods": [{"nats": -1.0, "tokens": 1}]})
    statuses = made.rows("status, error")
    assert {status for status, _ in statuses} == {"unscored"}
    assert "does not say whether the continuation is the greedy one" in statuses[0][1]
    report = json.loads(made.send("Get-Report", {"Model": "m"}).reply().data)
    assert report["not_answered"][0]["rows"] == 6


def test_a_reply_too_long_for_a_pattern_is_unscored_and_ends_soon(world):
    made = world(FILES["generate"])
    for _ in range(3):
        for asked in made.ask()[-24:][:1]:
            made.answer(asked, {"text": "1" * 200_000, "tokens": 16})
    assert "too long for the pattern" in made.rows("error")[0][0]


@pytest.mark.parametrize("kind", KINDS)
def test_while_pools_ask_nothing_tells_what_is_right(network, tmp_path, kind):
    pools = Pools(network, tmp_path, FILES[kind])
    ask = {"Questions": "1,2"}
    open_ = json.loads(network.send(pools.dataset, "Get-Questions", ask).reply().data)
    assert open_[0]["targets" if kind in ("generate", "likelihood") else "gold"]
    pool = pools.fund()
    pools.join(pool, "ana", write_replies("ana", right_replies(kind)))
    hidden = json.loads(network.send(pools.dataset, "Get-Questions", ask).reply().data)
    assert hidden[0]["prompt"] == open_[0]["prompt"]
    assert hidden[0].get("gold") is None
    assert hidden[0].get("targets") is None
    if kind == "likelihood":
        assert hidden[0]["choices"] is None


def test_a_control_is_refused_for_a_prompt_is_what_it_is(world):
    made = world(FILES["choices"])
    sent = made.send("Benchmark", {"Model": "m", "Protocol": "cloze/reordered"})
    assert "asked as it was compiled" in sent.error


def test_a_pool_with_controls_goes_back_to_the_funder(network, tmp_path):
    pools = Pools(network, tmp_path, FILES["choices"])
    with pytest.raises(HandlerError, match="no Pool-Created"):
        pools.fund(**{"X-Controls": "answers-only"})
    errors = [
        each.tags["X-Error"]
        for each in network.inbox(pools.funder.address)
        if "X-Error" in each.tags
    ]
    assert "asked as it was compiled" in errors[0]


def test_answers_are_told_with_a_score_and_a_report(world):
    made = world(FILES["choices"])
    for asked in made.ask():
        count = len(asked.json()["choices"])
        made.answer(asked, nats(*(-1.0 - place for place in range(count))))
    tags = made.send("Score", {"Model": "m"}).reply().tags
    right = sum(1 in each["gold"] for each in MIXED)
    assert (tags["Correct"], tags["Total"]) == (str(right), "30")
    report = json.loads(made.send("Get-Report", {"Model": "m"}).reply().data)
    assert report["predictions"] == {"A": 30, "B": 0, "C": 0, "D": 0, "E": 0}
    answers = json.loads(made.send("Get-Answers", {"Model": "m"}).reply().data)
    assert len(answers) == 30
    assert not any(each["template_mark"] for each in answers)


def test_every_metric_and_filter_has_a_score():
    header, questions = read_compiled(FILES["generate"], "x")
    assert score(header, questions[0], {"text": "It is 800."}) == {
        "exact_match,flexible-extract": 1,
        "f1,flexible-extract": Fraction(2, 5),  # of "400 plus 400 800"
    }
    header, questions = read_compiled(FILES["choices"], "x")
    assert score(header, questions[1], nats(-3.0, -1.0, -2.0, -9.0)) == {"acc": 1, "acc_norm": 1}
    assert write_compiled(header, questions) == FILES["choices"]
    assert isinstance(header, Header)


def play(home, folder, kind, models, pool):
    """Let models that really answer play a pool of a kind to its end."""
    with Network(home, seed=1, engine_factory=pool.open) as network:
        pools = Pools(network, folder, FILES[kind])
        named = pools.fund(**{"X-Eligible": "all", "X-Duration": "1d", "X-Title": kind})
        for who, model in models.items():
            pools.join(named, who, model)
        network.advance("2d")
        board = pools.board(named)
        assert {row["evaluated"] for row in board} == {len(right_replies(kind))}
        return network.registry, board


@pytest.mark.parametrize(
    "kind",
    [
        "generate",
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in ("choices", "led", "letters", "likelihood")
        ),
    ],
)
def test_tiny_models_answer_and_answer_again_bit_for_bit(kind, tmp_path):
    models = {
        who: write_gguf(tmp_path / f"{who}.gguf", seed=seed).read_bytes()
        for seed, who in enumerate(("ana", "ben"))
    }
    engines = EnginePool(workers=1)
    try:
        registry, _ = play(tmp_path / "home", tmp_path, kind, models, engines)
        statement = audit_home(tmp_path / "home", kind, registry=registry, again=Again(engines, 8))
    finally:
        engines.close()
    assert [each for each in statement.checks if each.passed is False] == []
    drawn = min(8, len(right_replies(kind)))
    assert [each.same for each in statement.recomputed.entries] == [drawn, drawn]
    assert replay_home(tmp_path / "home", registry=registry).difference is None


@pytest.mark.model
def test_a_real_model_earns_more_than_a_guesser(tmp_path):
    try:
        path = Catalogue().find("smollm2-135m")
    except PrerequisiteError as missing:
        pytest.skip(str(missing))
    facts = {
        "The capital of France is": ("Paris", "Rome", "Oslo"),
        "The opposite of hot is": ("cold", "paper", "seven", "run"),
        "Two plus two equals": ("four", "banana", "sky", "river", "loud"),
    }
    asked = [
        {
            "prompt": prompt,
            "choices": [f" {each}" for each in texts],
            "texts": list(texts),
            "gold": [1],
        }
        for prompt, texts in facts.items()
    ]
    engines = EnginePool(workers=1)
    try:
        with Network(tmp_path / "home", seed=1, engine_factory=engines.open) as network:
            pools = Pools(network, tmp_path, write(asked))
            pool = pools.fund(**{"X-Eligible": "all", "X-Duration": "1d"})
            pools.join(pool, "smol", path.read_bytes())
            network.advance("2d")
            (row,) = pools.board(pool)
    finally:
        engines.close()
    assert (row["correct"], row["evaluated"], row["paid"]) == (3, 3, True)


def test_a_chance_that_the_questions_do_not_give_is_found(tmp_path):
    class Flatterer(CompiledDataset):
        """Says that guessing earns nothing."""

        def _announce(self):
            self.state.chance = "1/100"
            super()._announce()

    with Network(tmp_path / "home", seed=1, engine_factory=ScriptedEngines()) as network:
        pools = Pools(network, tmp_path, FILES["choices"], module=Flatterer)
        pool = pools.fund(**{"X-Duration": "1d"})
        pools.join(pool, "ana", write_replies("ana", right_replies("choices")))
        network.advance("2d")
    statement = audit_home(tmp_path / "home", pool, registry=network.registry)
    failed = [each for each in statement.checks if each.passed is False]
    assert any("the pool's chance is 1/100" in each.detail for each in failed)
