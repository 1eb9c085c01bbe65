"""Make the plan of a seed: pools, participants, data sets, transfers, mischief, faults."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any, Final

from benchpool.ao.clock import DAY_MS, HOUR_MS, MINUTE_MS
from benchpool.evaluation.sample import Sample, to_json
from benchpool.pools.allocation import RULES
from benchpool.simulation.faults import FAULTS, Crash, CrashKind
from benchpool.simulation.plan import Operation, Plan, Say
from benchpool.simulation.scripted_engine import choose, write_script

WALLETS: Final = ("bank", "funder", "sponsor", "alice", "bob", "carol", "mallory")
PARTICIPANTS: Final = ("alice", "bob", "carol")
STRANGER: Final = "mallory"
_RULES: Final = tuple(RULES)
_BOND: Final = "5"
_DAYS_AFTER: Final = 10
_BAD_QUANTITIES: Final = ("0", "-5", "1.5", "1e9", "007", " 5", "٣", "", "9" * 401, "NaN", "0x10")
_CRASHES: Final[tuple[CrashKind, ...]] = ("kill", "kill", "kill", "full", "blip", "answer")


def make_plan(seed: int) -> Plan:
    """Make the plan of a seed."""
    return _Generator(seed).plan()


class _Generator:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._at = 0
        self._operations: list[Operation] = []
        self._end = 0
        self._models: list[str] = []
        self._owners: dict[str, str] = {}
        self._pools = 0
        world = self._random("world")
        self._datasets = ["Quiz", "Exam"][: world.choice((1, 1, 2))]
        self._samples = {
            name: _make_samples(f"{name} of seed {seed}", world, world.randint(2, 5))
            for name in (*self._datasets, "More")
        }
        self._paid = world.random() < 0.35
        """Whether the last data set buys its inferences from the herder."""

    def _random(self, label: str) -> Random:
        return Random(f"{self._seed}:{label}")  # noqa: S311 - reproducible on purpose

    def plan(self) -> Plan:
        self._set_up(self._random("world facts"))
        random = self._random("operations")
        actions = (
            [self._fund] * 3
            + [self._join] * 6
            + [self._transfer] * 3
            + [self._owner] * 2
            + [self._forge] * 3
            + [self._workers] * 3
            + [self._top_up, self._mint, self._bad_fund, self._assign, self._buy, self._more_data]
        )
        self._fund(random)
        self._join(random)
        self._join(random)
        for _ in range(random.randint(6, 18)):
            self._at += random.choice((0, 0, MINUTE_MS, random.randrange(9 * HOUR_MS)))
            random.choice(actions)(random)
        self._at = max(self._at, self._end) + random.randrange(HOUR_MS)
        self._add("wait")
        # Pools wait a week for entries that are not evaluated, and the last payment may take
        # several ticks if the token refuses: give them time, then look.
        for _ in range(_DAYS_AFTER):
            self._at += DAY_MS
            self._add("wait")
        self._add("restart", name="clean")
        return Plan(
            self._seed,
            self._with_crashes(),
            self._rates(),
            threads=self._random("threads").choice((1, 1, 2)),
        )

    # -- the world ---------------------------------------------------------------------------

    def _set_up(self, random: Random) -> None:
        for name in WALLETS:
            self._add("wallet", name=name)
        self._spawn("WrappedAR", "WrappedAR", [])
        daily = random.choice(("24-hours", "12-hours"))
        crons = [("Cron-Interval", daily), ("Cron-Tag-Action", "Update-Leaderboard")]
        crons += [("Cron-Interval", daily), ("Cron-Tag-Action", "Allocate-Rewards")]
        self._spawn("Benchmark", "Benchmark", [("WrappedAR", "@WrappedAR"), *crons])
        lease = [("Lease", random.choice(("3h", "9h")))]
        self._spawn("LlamaRouter", "LlamaRouter", lease if random.random() < 0.5 else [])
        self._spawn("LlamaHerder", "LlamaHerder", [("WrappedAR", "@WrappedAR"), *lease])
        for place, name in enumerate(self._datasets):
            self._dataset(name, random, paid=self._paid and place == len(self._datasets) - 1)
        for person in (*WALLETS[1:], *(["Exam", "Quiz"] if self._paid else [])):
            self._say(
                "bank", "WrappedAR", "Mint", {"Recipient": f"@{person}", "Quantity": "900000"}
            )
        for place in range(random.randint(1, 4)):
            self._model(f"model{place}", random.choice(PARTICIPANTS), random)

    def _dataset(self, name: str, random: Random, *, paid: bool) -> None:
        tags = [
            ("DataTxID", "%data"),
            ("LlamaRouter", "@LlamaHerder" if paid else "@LlamaRouter"),
            ("WrappedAR", "@WrappedAR"),
            ("Benchmark", "@Benchmark"),
            ("Lease", random.choice(("2h", "5h"))),
            ("Cron-Interval", random.choice(("4-hours", "6-hours", "12-hours"))),
            ("Cron-Tag-Action", "Evaluate"),
        ]
        if paid:
            tags.append(("Herder", "true"))
        self._spawn("SiqaDataset", name, tags, data=to_json(self._samples[name]).encode())

    def _model(self, name: str, owner: str, random: Random) -> None:
        samples = [sample for group in self._samples.values() for sample in group]
        known = samples if random.random() < 0.8 else samples[:-1]
        right = choose(known, random.randint(0, len(known)), seed=f"{self._seed}:{name}")
        herder = self._paid and random.random() < 0.6
        tags = [
            ("Model-Data", "%data"),
            ("Model-Name", name),
            ("Router", "@LlamaHerder" if herder else "@LlamaRouter"),
        ]
        self._spawn("LlamaWorker", name, tags, sender=owner, data=write_script(name, known, right))
        self._models.append(name)
        self._owners[name] = owner

    # -- what happens ------------------------------------------------------------------------

    def _fund(self, random: Random) -> None:
        hours = random.choice((7, 13, 26, 40))
        tags = {
            "Recipient": "@Benchmark",
            "Quantity": str(random.choice((1, 2, 7, 1000, random.randrange(1, 200_000)))),
            "X-Dataset": f"@{random.choice(self._datasets)}",
            "X-Allocation": random.choice(_RULES),
            "X-Protocol": random.choice(("cloze", "letters", "cloze/bf16")),
            "X-Duration": f"{hours}h",
            **self._terms(random),
        }
        self._say(random.choice(("funder", "sponsor")), "WrappedAR", "Transfer", tags)
        self._pools += 1
        self._end = max(self._end, self._at + hours * HOUR_MS)

    def _terms(self, random: Random) -> dict[str, str]:
        """Choose how a pool is joined and paid out; so few questions make nobody eligible."""
        terms = {}
        if random.random() < 0.8:
            terms["X-Eligible"] = "all"
        if random.random() < 0.2:
            terms["X-Ties"] = "tiers"
        if random.random() < 0.2:
            terms["X-Places"] = random.choice(("1", "2"))
        if random.random() < 0.3:
            terms["X-Join-Until"] = random.choice(("2h", "5h"))
        if random.random() < 0.25:
            terms["X-Bond"] = _BOND
        return terms

    def _top_up(self, random: Random) -> None:
        tags = {
            "Recipient": "@Benchmark",
            "Quantity": str(random.randrange(1, 5_000)),
            "X-Pool": f"%pool{random.randrange(self._pools + 1)}",
        }
        self._say(random.choice(WALLETS[1:]), "WrappedAR", "Transfer", tags)

    def _bad_fund(self, random: Random) -> None:
        wrong = random.choice(
            ({"X-Dataset": "@funder"}, {"X-Allocation": "Mine"}, {"X-Duration": "soon"}, {})
        )
        tags = {"Recipient": "@Benchmark", "Quantity": "77", "X-Reference": "5"}
        good = {"X-Dataset": f"@{self._datasets[0]}", "X-Allocation": "Equal"} if wrong else {}
        self._say("sponsor", "WrappedAR", "Transfer", {**tags, **good, **wrong})

    def _join(self, random: Random) -> None:
        says = []
        for _ in range(random.randint(1, 4)):
            model = random.choice([*self._models * 3, "nobody"])
            data = {
                "dataset": f"%pool{random.randrange(self._pools + 1)}",
                "model": f"@{model}",
            }
            anybody = random.choice((*PARTICIPANTS, STRANGER))
            person = self._owners.get(model, anybody) if random.random() < 0.7 else anybody
            if random.random() < 0.3:
                tags = {"Recipient": "@Benchmark", "Quantity": random.choice((_BOND, _BOND, "4"))}
                tags |= {"X-Join-Pool": data["dataset"], "X-Model": data["model"]}
                says.append(Say(person, "WrappedAR", "Transfer", tuple(tags.items())))
            else:
                says.append(Say(person, "Benchmark", "Join-Pool", (), data))
        self._add("send", messages=tuple(says))

    def _transfer(self, random: Random) -> None:
        says = []
        for _ in range(random.randint(1, 5)):
            quantity = str(random.choice((1, 10**6, random.randrange(1, 50_000))))
            if random.random() < 0.25:
                quantity = random.choice(_BAD_QUANTITIES)
            tags = [("Recipient", f"@{random.choice(WALLETS)}"), ("Quantity", quantity)]
            if random.random() < 0.1:
                tags.append(("Cast", "true"))
            action = "Burn" if random.random() < 0.1 else "Transfer"
            says.append(Say(random.choice(WALLETS), "WrappedAR", action, tuple(tags)))
        self._add("send", messages=tuple(says))

    def _mint(self, random: Random) -> None:
        who = random.choice(("bank", "bank", STRANGER))
        quantity = random.choice((str(random.randrange(1, 10**6)), *_BAD_QUANTITIES[:3]))
        self._say(who, "WrappedAR", "Mint", {"Recipient": "@alice", "Quantity": quantity})

    def _owner(self, random: Random) -> None:
        target, action = random.choice(
            (
                ("Benchmark", "Update-Leaderboard"),
                ("Benchmark", "Allocate-Rewards"),
                (random.choice(self._datasets), "Evaluate"),
            )
        )
        self._say(random.choice(("bank", "bank", STRANGER)), target, action, {})

    def _forge(self, random: Random) -> None:
        """Say what only a process may say; references are small, so many of them are real ones."""
        says = []
        for _ in range(random.randint(1, 4)):
            reference = str(random.randrange(1, 60))
            target, action = random.choice(
                (
                    ("Benchmark", "Credit-Notice"),
                    ("Benchmark", "Debit-Notice"),
                    ("Benchmark", "Transfer-Error"),
                    ("Benchmark", "Score-Response"),
                    ("Benchmark", "Get-Model-Response"),
                    (random.choice(self._datasets), "Inference-Response"),
                    (random.choice(self._datasets), "Inference-Error"),
                    (random.choice(self._datasets), "Benchmark"),
                    ("LlamaRouter", "Inference-Response"),
                    ("LlamaHerder", "Credit-Notice"),
                    ("LlamaHerder", "Debit-Notice"),
                    (random.choice(self._models), "Inference"),
                )
            )
            says.append(Say(STRANGER, target, action, self._forged_tags(random, reference)))
        self._add("send", messages=tuple(says))

    def _forged_tags(self, random: Random, reference: str) -> tuple[tuple[str, str], ...]:
        model = f"@{random.choice(self._models)}"
        tags = [
            ("X-Reference", reference),
            ("X-Payment", reference),
            ("Sender", "@mallory"),
            ("Quantity", "1000"),
            ("Recipient", "@mallory"),
            ("Model", model),
            ("X-Model", model),
            ("X-Dataset", f"@{self._datasets[0]}"),
            ("X-Allocation", "Equal"),
            ("Correct", "5"),
            ("Evaluated", "5"),
            ("Total", "5"),
        ]
        if random.random() < 0.4:
            claimed = random.choice(("WrappedAR", "LlamaRouter", "Benchmark", *self._datasets))
            tags.append(("From-Process", f"@{claimed}"))
        return tuple(tags)

    def _workers(self, random: Random) -> None:
        model = random.choice(self._models)
        what = random.randrange(6)
        if what == 0:
            self._add("kill", name=model)
        elif what == 1:
            self._add("revive", name=model)
        elif what == 2:
            tags = {"Worker": f"@{model}"}
            router = random.choice(("LlamaRouter", "LlamaHerder"))
            self._say(random.choice(("bank", STRANGER)), router, "Unregister-Worker", tags)
        elif what == 3:
            tags = {"Router": f"@{random.choice(('LlamaRouter', 'LlamaHerder'))}"}
            self._say(random.choice(PARTICIPANTS), model, "Set-Router", tags)
        elif what == 4:
            for name in self._models:
                self._say("alice", name, "Info", {})  # wakes who answers late
        else:
            self._add("restart", name=random.choice(("clean", "abort")))

    def _assign(self, random: Random) -> None:
        process = random.choice(("WrappedAR", "Benchmark", "LlamaRouter", *self._datasets))
        self._add("assign", name=process, number=random.randrange(1000))

    def _buy(self, random: Random) -> None:
        sample = random.choice(self._samples[self._datasets[0]])
        request = f'{{"prompt": "{sample.question}", "choices": [" a", " b"]}}'
        tags = {
            "Recipient": "@LlamaHerder",
            "Quantity": str(random.choice((5, 2_000, 9_000))),
            "X-Model": f"@{random.choice(self._models)}",
            "X-Request": random.choice((request, request, "{")),
            "X-Reference": str(random.randrange(100)),
        }
        self._say(random.choice(WALLETS), "WrappedAR", "Transfer", tags)

    def _more_data(self, random: Random) -> None:
        who = random.choice(("bank", "bank", STRANGER))
        data = to_json(self._samples["More"])
        self._say(who, random.choice(self._datasets), "Load-Data", {}, data)

    # -- writing it down ---------------------------------------------------------------------

    def _add(self, kind: Any, **fields: Any) -> None:
        self._operations.append(Operation(self._at, kind, **fields))

    def _say(
        self, sender: str, target: str, action: str, tags: dict[str, str], data: Any = ""
    ) -> None:
        say = Say(sender, target, action, tuple(tags.items()), data)
        last = self._operations[-1]
        if last.kind == "send" and last.at_ms == self._at and len(last.messages) < 6:
            self._operations.pop()
            self._add("send", messages=(*last.messages, say))
        else:
            self._add("send", messages=(say,))

    def _spawn(
        self,
        module: str,
        name: str,
        tags: list[tuple[str, str]],
        *,
        sender: str = "bank",
        data: bytes = b"",
    ) -> None:
        self._add("spawn", name=name, module=module, tags=tuple(tags), sender=sender, data=data)

    def _rates(self) -> dict[str, float]:
        random = self._random("rates")
        if random.random() < 0.3:
            return {}  # crashes and strangers only
        rates = {}
        for fault in FAULTS:
            if random.random() < (0.15 if fault == "raise" else 0.4):
                rates[fault] = random.choice((0.02, 0.1, 0.3))
        return rates

    def _with_crashes(self) -> tuple[Operation, ...]:
        random = self._random("crashes")
        share = random.choice((0.0, 0.1, 0.3, 0.6))
        operations = []
        for operation in self._operations:
            crashes: list[Crash] = []
            while len(crashes) < 4 and random.random() < share:
                kind = random.choice(_CRASHES)
                most = 3 if kind == "answer" else random.choice((6, 25, 120))
                crashes.append(Crash(random.randint(1, most), kind))
            patient = random.random() < 0.7
            operations.append(replace(operation, crashes=tuple(crashes), patient=patient))
        return tuple(operations)


def _make_samples(title: str, random: Random, count: int) -> list[Sample]:
    return [
        Sample(
            f"{title}, case {number}.",
            f"What is right in case {number}?",
            tuple(f"answer {letter} of {number}" for letter in "abc"),
            random.randint(1, 3),
        )
        for number in range(1, count + 1)
    ]
