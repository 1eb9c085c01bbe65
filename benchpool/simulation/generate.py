"""Make the plan of a seed: pools, participants, data sets, transfers, mischief, faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from benchpool.ao.clock import DAY_MS, HOUR_MS, MINUTE_MS
from benchpool.evaluation.sample import to_json
from benchpool.pools.allocation import RULES
from benchpool.simulation.faults import FAULTS, Crash, CrashKind
from benchpool.simulation.plan import Operation, Plan, Say
from benchpool.simulation.sayings import FORGERIES, ORDERS, QUESTIONS, Saying
from benchpool.simulation.world import PARTICIPANTS, STRANGER, WALLETS, World

_RULES: Final = tuple(RULES)
_BOND: Final = "5"
_DAYS_AFTER: Final = 10
_SERVED: Final = 0.3
"""The share of networks that are served."""
_SIGNED: Final = 0.2
_BAD_QUANTITIES: Final = ("0", "-5", "1.5", "1e9", "007", " 5", "٣", "", "9" * 401, "NaN", "0x10")
_CRASHES: Final[tuple[CrashKind, ...]] = ("kill", "kill", "kill", "full", "blip", "answer")


def make_plan(seed: int) -> Plan:
    """Make the plan of a seed."""
    return _Generator(seed).plan()


class _Generator(World):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._end = 0
        self._bonds: list[bool] = []
        """Of each pool, whether joining takes one."""

    def plan(self) -> Plan:
        self._set_up(self._random("world facts"))
        random = self._random("operations")
        actions = (
            [self._fund] * 3
            + [self._join] * 6
            + [self._transfer] * 3
            + [self._order] * 3
            + [self._ask] * 3
            + [self._forge] * 3
            + [self._workers] * 2
            + [self._top_up, self._copies] * 2
            + [self._mint, self._bad_fund, self._assign, self._buy, self._more_data]
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
            served=self._random("served").random() < _SERVED,
            signed=self._random("signed").random() < _SIGNED,
        )

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
        self._bonds.append("X-Bond" in tags)
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

    def _pool(self, random: Random) -> str:
        """Name a pool; one more than there are is none."""
        return f"%pool{random.randrange(len(self._bonds) + 1)}"

    def _top_up(self, random: Random) -> None:
        """Give to a pool, several at once and some of them twice; it may have ended."""
        pool = self._pool(random)
        givers = random.sample(WALLETS[1:], 2)
        for _ in range(random.randint(1, 4)):
            quantity = str(random.choice((1, 3, random.randrange(1, 5_000))))
            tags = {"Recipient": "@Benchmark", "Quantity": quantity, "X-Pool": pool}
            self._say(random.choice(givers), "WrappedAR", "Transfer", tags)

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
            anybody = random.choice((*PARTICIPANTS, STRANGER))
            person = self._owners.get(model, anybody) if random.random() < 0.7 else anybody
            says.append(
                _wish(
                    person,
                    self._pool(random),
                    model,
                    bond=random.choice((_BOND, _BOND, "4")) if random.random() < 0.3 else "",
                )
            )
        self._add("send", messages=tuple(says))

    def _copies(self, random: Random) -> None:
        """Enter a model and two copies of it, whose owners may have committed to it before."""
        self._fund(random)
        number = len(self._models)
        first, second, third = random.sample(PARTICIPANTS, 3)
        original = f"original{number}"
        self._model(original, first, random, herder=False)
        committed = random.random() < 0.6 and not self._many
        for person in (third, second) if committed else ():
            tags = {"Commitment": f"%commitment {person} {original}"}
            self._say(person, "Benchmark", "Commit-Entry", tags)
        pool, bond = f"%pool{len(self._bonds) - 1}", _BOND if self._bonds[-1] else ""
        says = [_wish(first, pool, original, bond=bond)]
        for person in (second, third):
            self._copy(f"copy{number}by{person}", person, original)
            salt = person if committed else ""
            says.append(_wish(person, pool, self._models[-1], bond=bond, salt=salt))
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

    def _order(self, random: Random) -> None:
        says = []
        for _ in range(random.randint(1, 2)):
            saying = random.choice(ORDERS)
            target = self._chosen(saying.target, random)
            owner = self._owners.get(target, "bank")
            sender = random.choice((owner, owner, owner, STRANGER))
            says.append(self._filled(saying, sender, target, random))
        self._add("send", messages=tuple(says))

    def _ask(self, random: Random) -> None:
        says = []
        for saying in random.sample(QUESTIONS, random.randint(2, 5)):
            target = self._chosen(saying.target, random)
            says.append(self._filled(saying, random.choice(WALLETS), target, random))
        self._add("send", messages=tuple(says))

    def _filled(self, saying: Saying, sender: str, target: str, random: Random) -> Say:
        tags = []
        for name, value in saying.tags:
            chosen = self._chosen(value, random)
            tags.append((name, chosen if chosen == value or chosen[0] == "%" else f"@{chosen}"))
        return Say(sender, target, saying.action, tuple(tags), saying.data)

    def _chosen(self, what: str, random: Random) -> str:
        """Choose one of what is meant; what means nothing of the kind is itself."""
        options: dict[str, Callable[[], Sequence[str]]] = {
            "a model": lambda: self._models,
            "a data set": lambda: self._datasets,
            "a router": lambda: ("LlamaRouter", "LlamaHerder"),
            "a wallet": lambda: WALLETS,
            "a pool": lambda: (self._pool(random),),
            "weights": lambda: [f"%weights {name}" for name in self._models],
        }
        return random.choice(options[what]()) if what in options else what

    def _forge(self, random: Random) -> None:
        """Say what only a process may say; references are small, so many of them are real ones."""
        says = []
        for _ in range(random.randint(1, 4)):
            reference = str(random.randrange(1, 60))
            forgery = random.choice(FORGERIES)
            target = self._chosen(forgery.target, random)
            tags = self._forged_tags(random, reference)
            says.append(Say(STRANGER, target, forgery.action, tags))
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
            ("Pool", self._pool(random)),
            ("Funds", "0"),
            ("Weights", "mine"),
            ("Worker", "@mallory"),
        ]
        if random.random() < 0.4:
            claimed = random.choice(("WrappedAR", "LlamaRouter", "Benchmark", *self._datasets))
            tags.append(("From-Process", f"@{claimed}"))
        return tuple(tags)

    def _workers(self, random: Random) -> None:
        """Let a model die or come back, wake those who answer late, or restart."""
        what = random.choice(("kill", "revive", "wake", "restart"))
        if what == "wake":
            for name in self._models:
                self._say("alice", name, "Info", {})
        elif what == "restart":
            self._add("restart", name=random.choice(("clean", "abort")))
        else:
            self._add(what, name=random.choice(self._models))

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


def _wish(person: str, pool: str, model: str, *, bond: str = "", salt: str = "") -> Say:
    """Write a wish to join a pool; with a bond it is a transfer."""
    if not bond:
        data = {"dataset": pool, "model": f"@{model}"} | ({"salt": salt} if salt else {})
        return Say(person, "Benchmark", "Join-Pool", (), data)
    tags = {"Recipient": "@Benchmark", "Quantity": bond, "X-Join-Pool": pool}
    tags |= {"X-Model": f"@{model}"} | ({"X-Salt": salt} if salt else {})
    return Say(person, "WrappedAR", "Transfer", tuple(tags.items()))
