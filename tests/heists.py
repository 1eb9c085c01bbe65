"""A network with a rich pool in it, and thieves who try every way to its money."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replaying import replay_network

from benchpool.audit.audit import audit
from benchpool.client.deployment import deploy, upload_model
from benchpool.evaluation.sample import Sample, to_json
from benchpool.inference.engine import Answer, ChoicesAnswer, LogLikelihood, Request
from benchpool.network import Network
from benchpool.pools.commitment import commitment
from benchpool.process import Message, Process, handler
from benchpool.simulation.scripted_engine import MARK, ScriptedEngine

DAY = 24 * 3_600_000
FUNDS = 9_000
GRANT = 100_000


def questions(count: int, word: str = "friend") -> list[Sample]:
    """Questions; those of another word are others."""
    return [
        Sample(f"Kim met {word} {n}.", "How?", ("glad", "sad", "calm"), n % 3 + 1)
        for n in range(count)
    ]


class Thief(Process):
    """Says what its owner has it say: a process whose owner can change what it does."""

    @handler("Say")
    def say(self, message: Message) -> None:
        what = message.json()
        self.send(what["to"], what["action"], what["tags"], what.get("data", ""))

    @handler("Breed")
    def breed(self, message: Message) -> None:
        self.spawn("LlamaWorker", message.tags)


def model_file(
    name: str, right: int, *, seed: str = "", noise: float = 0, silent: int = 0, remark: str = ""
) -> bytes:
    """Write the file of a model that gets the first questions right and answers no last ones.

    Files of one seed are one model; with noise they nearly are.
    """
    told = {"name": name, "right": right, "silent": silent, "answers": {}}
    told |= {"seed": seed or name, "noise": noise, "remark": remark}
    return MARK + b"," + json.dumps(told).encode()[1:]


class Engines:
    """Opens the files that `model_file` writes."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = {sample.context: sample for sample in samples}
        self.places = {sample.context: n for n, sample in enumerate(samples)}

    def __call__(self, path: Path, precision: Any = "stored") -> ScriptedEngine:
        return _Engine(path.read_bytes(), self, precision)


class _Engine(ScriptedEngine):
    def __init__(self, script: bytes, engines: Engines, precision: Any) -> None:
        super().__init__(script, precision=precision)
        self._told = json.loads(script)
        self._engines = engines

    def _answer(self, request: Request) -> Answer:
        told = self._told
        samples = self._engines.samples
        context = next((each for each in samples if each in request.prompt), "")
        place = self._engines.places.get(context, len(samples))
        if place >= len(samples) - told["silent"]:
            return super()._answer(request)  # which says that there is no answer
        sample = samples[context]
        choice = sample.gold if place < told["right"] else sample.gold % 3 + 1
        likely = [
            LogLikelihood(
                (-1.0 if n == choice else -9.0)
                - _part(told["seed"], context, n)
                - told["noise"] * _part(told["name"], context, n),
                2,
            )
            for n in (1, 2, 3)
        ]
        return ChoicesAnswer(tuple(likely), 9)


def _part(*texts: object) -> float:
    digest = hashlib.sha256(repr(texts).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


class Heist:
    """A deployment of 24 questions, and the wallets `funder`, `ana`, `ben`, `thief` with money."""

    def __init__(self, folder: Path, *, samples: int = 24, more: int = 0) -> None:
        self.folder = folder
        all_of_them = [*questions(samples), *questions(more, "guest")]
        self.samples = all_of_them[:samples]
        self.later = all_of_them[samples:]
        self.network = Network(seed=1, engine_factory=Engines(all_of_them))
        self.network.registry.add(Thief)
        self.ids = deploy(self.network, samples=to_json(self.samples).encode())
        for who in ("funder", "ana", "ben", "thief"):
            self.network.new_wallet(who)
            self.grant(self.address(who))
        self.process = self.network.spawn("Thief", name="process", sender="thief")
        self.grant(self.process)

    def grant(self, account: str) -> None:
        self.network.send("WrappedAR", "Mint", {"Quantity": str(GRANT), "Recipient": account})

    def address(self, who: str) -> str:
        return self.network.resolve(who)

    def gain(self, who: str) -> int:
        held = self.network.process("WrappedAR").state.balances.get(self.address(who), 0)
        return int(held) - GRANT

    # -- pools -------------------------------------------------------------------------------

    def pay(self, quantity: int, sender: str = "funder", **tags: str) -> Any:
        given = {"Recipient": self.ids.Benchmark, "Quantity": str(quantity)}
        named = {name.replace("_", "-"): value for name, value in tags.items()}
        return self.network.send("WrappedAR", "Transfer", given | named, sender=sender)

    def fund(self, quantity: int = FUNDS, sender: str = "funder", **tags: str) -> str:
        given = {"X_Dataset": self.ids.SiqaDataset, "X_Allocation": "ArithmeticDecrease"}
        sent = self.pay(quantity, sender, **given | {"X_Duration": "2d"} | tags)
        made = [each for each in self.network.inbox(sender) if each.action == "Pool-Created"]
        refused = [m.tags["X-Error"] for m in self.network.inbox(sender) if "X-Error" in m.tags]
        assert [each.pushed_for for each in made[-1:]] == [sent.id], refused[-1:]
        return str(made[-1].tags["Pool"])

    def refused(self, quantity: int = 5, sender: str = "funder", **tags: str) -> str:
        """Pay for what is refused; return why, once the money has come back."""
        before = self.gain(sender)
        self.pay(quantity, sender, **tags)
        back = self.network.inbox(sender)[-1]
        assert (back.action, back.tags["Quantity"]) == ("Credit-Notice", str(quantity))
        assert self.gain(sender) == before
        return str(back.tags["X-Error"])

    def pool(self, pool: str) -> dict[str, Any]:
        sent = self.network.send("Benchmark", "Get-Pool", {"Pool": pool})
        return dict(json.loads(sent.reply("Get-Pool-Response").data))

    def rows(self, pool: str) -> dict[str, dict[str, Any]]:
        return {row["model"]: row for row in self.pool(pool)["models"]}

    # -- entries -----------------------------------------------------------------------------

    def write(self, name: str, right: int, **more: Any) -> str:
        """Write the file of a model; return its weights id."""
        path = self.folder / f"{name}.gguf"
        path.write_bytes(model_file(name, right, **more))
        return str(self.network.add_model(path))

    def model(self, who: str, name: str, right: int, **more: Any) -> str:
        self.write(name, right, **more)
        return upload_model(self.network, self.folder / f"{name}.gguf", name, sender=who)

    def commit(self, who: str, salt: str, weights: str, *, as_who: str = "") -> Any:
        made = commitment(salt, self.address(as_who or who), weights)
        return self.network.send("Benchmark", "Commit-Entry", {"Commitment": made}, sender=who)

    def join(self, pool: str, who: str, model: str, salt: str = "") -> str:
        """Join; return why not, or nothing."""
        data = {"dataset": pool, "model": model} | ({"salt": salt} if salt else {})
        sent = self.network.send("Benchmark", "Join-Pool", data=json.dumps(data), sender=who)
        answers = {each.action: each for each in self.network.inbox(who)[-1:]}
        assert answers.keys() <= {"Joined-Pool", "Join-Pool-Error"}, sent
        return answers["Join-Pool-Error"].tags["Error"] if "Join-Pool-Error" in answers else ""

    def enter(self, pool: str, who: str, name: str, right: int, **more: Any) -> str:
        """Upload a model and join with it."""
        model = self.model(who, name, right, **more)
        assert self.join(pool, who, model) == ""
        return model

    def join_paid(self, pool: str, who: str, model: str, bond: int, **tags: str) -> str:
        self.pay(bond, who, X_Join_Pool=pool, X_Model=model, **tags)
        last = self.network.inbox(who)[-1]
        return "" if last.action == "Joined-Pool" else str(last.tags["X-Error"])

    def say(self, to: str, action: str, tags: dict[str, str], data: Any = "") -> Any:
        """Let the thief's process say something; return what was made of it."""
        what = {"to": self.address(to), "action": action, "tags": tags, "data": data}
        self.network.send("process", "Say", data=json.dumps(what), sender="thief")
        return self.network.log(to)[-1][1]

    # -- the end -----------------------------------------------------------------------------

    def settle(self, pool: str, days: int = 3, **gains: int) -> dict[str, dict[str, Any]]:
        """Let time pass until the pool is over; check all that must hold, and who got how much."""
        self.network.advance(f"{days}d")
        self.check(pool)
        assert self.pool(pool)["status"] in ("paid", "refunded")
        assert {who: self.gain(who) for who in gains} == gains
        return self.rows(pool)

    def check(self, pool: str) -> None:
        """Check that the audit passes, that no money was made or lost, and that the run replays."""
        network = self.network
        statement = audit(network.store, network.data, pool, registry=network.registry)
        wrong = [(each.name, each.detail) for each in statement.checks if each.passed is False]
        assert wrong == []
        ledger = network.process("WrappedAR").state
        assert sum(ledger.balances.values()) == ledger.supply == 5 * GRANT
        replay_network(network).check()
        benchmark = network.process("Benchmark").state
        held = ledger.balances.get(self.ids.Benchmark, 0)
        running = (benchmark.pools[each] for each in benchmark.running)
        owed = sum(each.funds + sum(e.bond for e in each.models.values()) for each in running)
        assert held == owed + benchmark.kept


def spawn_dataset(heist: Heist, *, sender: str | None = None, **tags: str) -> str:
    """Spawn one more data set with the questions of the heist, or without any: `empty`."""
    given = {"LlamaRouter": heist.ids.LlamaRouter, "Benchmark": heist.ids.Benchmark}
    if not tags.pop("empty", ""):
        given["DataTxID"] = heist.network.data.put(to_json(heist.samples).encode())
    return heist.network.spawn("SiqaDataset", given | tags, sender=sender)
