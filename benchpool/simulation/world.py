"""World: who takes part in the plan of a seed, and what its processes and models are."""

from __future__ import annotations

from hashlib import sha256
from random import Random
from typing import Any, Final

from benchpool.evaluation.sample import Sample, to_json
from benchpool.simulation.plan import Operation, Say
from benchpool.simulation.scripted_engine import choose, write_script

WALLETS: Final = ("bank", "funder", "sponsor", "alice", "bob", "carol", "mallory")
PARTICIPANTS: Final = ("alice", "bob", "carol")
STRANGER: Final = "mallory"
_MANY: Final = 21
"""Questions by which copies of other files are known; so many take a while, so few worlds have."""


class World:
    """Notes the operations that set a network up, and knows what is in it."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._at = 0
        self._operations: list[Operation] = []
        self._models: list[str] = []
        self._owners: dict[str, str] = {}
        self._files: dict[str, bytes] = {}
        """By model."""
        world = self._random("world")
        self._many = world.random() < 0.08
        self._datasets = ["Quiz", "Exam"][: 1 if self._many else world.choice((1, 1, 2))]
        self._samples = {}
        for name in (*self._datasets, "More"):
            count = _MANY if self._many and name != "More" else world.randint(2, 5)
            self._samples[name] = _make_samples(f"{name} of seed {seed}", world, count)
        self._paid = world.random() < 0.35
        """Whether the last data set buys its inferences from the herder."""

    def _random(self, label: str) -> Random:
        return Random(f"{self._seed}:{label}")  # noqa: S311 - reproducible on purpose

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

    def _model(self, name: str, owner: str, random: Random, *, herder: bool = True) -> None:
        samples = [sample for group in self._samples.values() for sample in group]
        known = samples if random.random() < 0.8 else samples[:-1]
        right = choose(known, random.randint(0, len(known)), seed=f"{self._seed}:{name}")
        herder = herder and self._paid and random.random() < 0.6
        tags = [
            ("Model-Data", "%data"),
            ("Model-Name", name),
            ("Router", "@LlamaHerder" if herder else "@LlamaRouter"),
        ]
        self._spawn_model(name, owner, tags, write_script(name, known, right))

    def _copy(self, name: str, owner: str, original: str) -> None:
        """Let somebody make a process of a model's file, or of another one that answers alike."""
        data = self._files[original]
        if self._many:
            data = _changed(data, name)
        tags = [("Model-Data", "%data"), ("Model-Name", name), ("Router", "@LlamaRouter")]
        self._spawn_model(name, owner, tags, data)

    def _spawn_model(self, name: str, owner: str, tags: list[tuple[str, str]], data: bytes) -> None:
        self._spawn("LlamaWorker", name, tags, sender=owner, data=data)
        self._models.append(name)
        self._owners[name] = owner
        self._files[name] = data

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


def _changed(data: bytes, name: str) -> bytes:
    """Return another file of a model that answers as this one does, to the last digit."""
    return data[:-1] + f',"like":"{sha256(data).hexdigest()}","remark":"{name}"}}'.encode()


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
