"""PoolClient: says the messages of docs/protocol.md to a Benchmark and reads its answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from benchpool.ao.ids import find_titled
from benchpool.ao.message import Message, Outgoing
from benchpool.ao.tags import Tags, TagsInput
from benchpool.ao.wallet import Wallet, check_name
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.writer import Writer, send
from benchpool.errors import ConfigError, PoolError, UnknownProcess
from benchpool.evaluation.controls import ANSWERS_ONLY
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network, Party, Sent, ask
from benchpool.store.data import file_id

_FRACTIONS = {"score", "accuracy", "standard_error", "progress"}
_RANKING = "Update-Leaderboard"
_COUNTS = {
    "correct": "Correct",
    "correct_per_character": "Correct-Per-Character",
    "evaluated": "Evaluated",
    "unscored": "Unscored",
    "total": "Total",
}


def balance(network: Network, token: Party, account: Party) -> int:
    """Return how many winston an account has."""
    recipient = {"Recipient": network.resolve(account)}
    return int(ask(network, token, "Balance", recipient).data)


def supply(network: Network, token: Party) -> int:
    """Return how many winston there are."""
    return int(ask(network, token, "Total-Supply").data)


class PoolWatch(Protocol):
    """Who is told what a client asks and sends."""

    def say(self, text: str) -> None:
        """Tell what is asked or spawned."""

    def sent(self, sent: Sent) -> None:
        """Show what came of a message."""


class PoolClient:
    """Talks to one Benchmark. Looking uses dry runs, which leave no trace.

    Args:
        network: where the Benchmark is.
        benchmark: its name or id.
        writer: who sends and spawns; by default the network itself.
        watch: is told what is asked and sent.

    Raises: UnknownProcess.
    """

    def __init__(
        self,
        network: Network,
        benchmark: Party = "Benchmark",
        *,
        writer: Writer | None = None,
        watch: PoolWatch | None = None,
    ) -> None:
        self._network = network
        self._writer = writer or network
        self._benchmark = network.resolve(benchmark)
        self._watch = watch

    @property
    def benchmark(self) -> str:
        """The id of the Benchmark."""
        return self._benchmark

    # -- looking -----------------------------------------------------------------------------

    def pools(self) -> list[PoolFacts]:
        """Return every pool."""
        return [
            PoolFacts(facts) for facts in json.loads(self._ask(self._benchmark, "Get-Pools").data)
        ]

    def get(self, pool: str) -> PoolFacts:
        """Return one pool with all its facts. Raises: PoolError."""
        return PoolFacts(json.loads(self._ask(self._benchmark, "Get-Pool", {"Pool": pool}).data))

    def leaderboard(self, pool: str) -> list[dict[str, Any]]:
        """Return a pool's ranked entries. Raises: PoolError."""
        rows: list[dict[str, Any]] = json.loads(
            self._ask(self._benchmark, "Leaderboard", {"Pool": pool}).data
        )
        return [{name: _number(name, value) for name, value in row.items()} for row in rows]

    def reports(self, pool: str) -> list[dict[str, Any]]:
        """Return what the data set reports of each entry, in the order of joining.

        Nothing while the questions are sealed.

        Raises: PoolError.
        """
        found = self.get(pool)
        reports: list[dict[str, Any]] = []
        if found.is_sealed:
            return reports
        for entry in found.facts["models"]:
            named = {"Model": entry["model"], "Protocol": found.text("protocol")}
            answer = self._ask(found.dataset, "Get-Report", named)
            reports.append(
                {
                    "model": entry["model"],
                    "name": entry["name"],
                    "weights": entry["weights"],
                    "protocol": named["Protocol"],
                    **{name: int(answer.tags[tag]) for name, tag in _COUNTS.items()},
                    "score": float(answer.tags["Score"]),
                    "standard_error": _error(answer.tags.get("Standard-Error")),
                    **json.loads(answer.data),
                    "fate": entry.get("fate"),
                    "why": entry.get("why", []),
                    "computing": self._computing(entry["model"]),
                    "controls": self._controls(found, entry["model"]),
                }
            )
        return reports

    def _controls(self, pool: PoolFacts, model: str) -> list[dict[str, Any]]:
        """Return how an entry answered the pool's controls, beside its answers that count."""
        named = pool.facts.get("binding", {}).get("controls", "")
        protocol = pool.text("protocol")
        right = {each["question"] for each in self.answers(pool, model) if each["correct"]}
        found = []
        for control in filter(None, named.split(",")):
            rows = self.answers(pool, model, f"{protocol}/{control}")
            done = {each["question"]: each["correct"] for each in rows if each["status"] == "done"}
            correct = {number for number, is_right in done.items() if is_right}
            plain, both = len(right & done.keys()), len(right & correct)
            # Without the question what is right is not its merit; in another order what is wrong.
            earned = plain - len(correct) if control == ANSWERS_ONLY else both
            found.append(
                {
                    "control": control,
                    "evaluated": len(done),
                    "correct": len(correct),
                    "correct_plain": plain,
                    "correct_both": both,
                    "earned": earned / len(done) if done else None,
                }
            )
        return found

    def answers(
        self, pool: PoolFacts, model: str, protocol: str | None = None
    ) -> list[dict[str, Any]]:
        """Return what became of each question asked of an entry; nothing if nobody tells."""
        named = {"Model": model, "Protocol": protocol or pool.text("protocol")}
        try:
            told: list[dict[str, Any]] = json.loads(
                self._ask(pool.dataset, "Get-Answers", named).data
            )
        except PoolError:  # a data set of one's own need not know the action
            return []
        return told

    def questions(self, pool: PoolFacts, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Return questions of a pool's data set by their numbers. Raises: PoolError."""
        wanted = {"Questions": ",".join(map(str, numbers))}
        told: list[dict[str, Any]] = json.loads(
            self._ask(pool.dataset, "Get-Questions", wanted).data
        )
        return told

    def samples(self, pool: PoolFacts, model: str, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Return what an entry was asked, and answered, at questions; nothing if nobody tells."""
        wanted = {"Model": model, "Questions": ",".join(map(str, numbers))}
        try:
            told: list[dict[str, Any]] = json.loads(
                self._ask(
                    pool.dataset, "Get-Samples", {**wanted, "Protocol": pool.text("protocol")}
                ).data
            )
        except PoolError:  # a data set of one's own need not know the action
            return []
        return told

    def chance(self, pool: PoolFacts) -> Fraction:
        """Return the score of a blind guess. Raises: PoolError if nobody tells."""
        return Fraction(pool.text("chance") or self.info(pool.dataset).get("Chance"))

    def info(self, process: str) -> Tags:
        """Return what a process says of itself. Raises: PoolError if it does not answer."""
        return self._ask(process, "Info").tags

    def next_ranking(self) -> int | None:
        """Return when the entries are ranked next, in milliseconds; None if no cron does it."""
        ticks = self._network.timeline.entries(self._network.resolve(self._benchmark))
        return min((ms for each, ms in ticks if each.tags.get("Action") == _RANKING), default=None)

    def first_protocol(self, dataset: str) -> str:
        """Return the protocol that a data set names first; empty if it names none.

        Raises: PoolError if it does not answer.
        """
        return self.info(dataset).get("Protocols").split(",")[0].strip()

    def _computing(self, model: str) -> dict[str, str]:
        """Return what the model process says it runs on, by precision; nothing if it is silent."""
        try:
            tags = self.info(model)
        except PoolError:
            return {}
        known = {name: tags.get(name) for name in ("Quantization", "Chat-Template")}
        return known | {name: value for name, value in tags if name.startswith("Runtime-")}

    def find(self, text: str) -> PoolFacts:
        """Find a pool by its id, the beginning of it, or its title.

        Raises: PoolError if there is none; AmbiguousId if several are meant.
        """
        pools = {pool.id: pool for pool in self.pools()}
        found = find_titled(text, {pool.id: pool.title for pool in pools.values()}, "pools")
        if found is None:
            raise PoolError(f"no pool {text[:60]!r}; see: benchpool pool list")
        return pools[found]

    def _ask(self, target: str, action: str, tags: TagsInput = ()) -> Outgoing:
        if self._watch is not None:
            name = self._network.name_of(target)
            self._watch.say(f"dry run: {action} → {name} {_tags_text(tags)}".rstrip())
        return ask(self._network, target, action, tags)

    # -- writing -----------------------------------------------------------------------------

    def create(
        self, *, token: str, quantity: int, terms: dict[str, str], funder: Wallet
    ) -> Message:
        """Fund a pool; return its `Pool-Created`. Raises: PoolError with the reason."""
        tags = {"Recipient": self._benchmark, "Quantity": str(quantity), **terms}
        sent = self._send(token, "Transfer", tags, "", funder)
        return _wanted(sent, "Pool-Created")

    def commit(self, made: str, *, owner: Wallet) -> int:
        """Send a commitment to weights; return when it was made, in milliseconds.

        Raises: PoolError with the reason.
        """
        sent = self._send(self._benchmark, "Commit-Entry", {"Commitment": made}, "", owner)
        return int(_wanted(sent, "Commit-Entry-Response").tags["Committed-At"])

    def join(
        self,
        pool: str,
        model: str,
        *,
        owner: Wallet,
        salt: str = "",
        bond: int = 0,
        token: str = "",
    ) -> Message:
        """Enter a model process; return its `Joined-Pool`.

        Args:
            pool: its id.
            model: the process.
            owner: whose it is; pays the bond, if there is one.
            salt: reveals a commitment to its weights.
            bond: what the pool asks for, in winston.
            token: takes the bond.

        Raises: PoolError with the reason.
        """
        if not bond:
            wish = {"dataset": pool, "model": model, **({"salt": salt} if salt else {})}
            sent = self._send(self._benchmark, "Join-Pool", {}, json.dumps(wish), owner)
            return _wanted(sent, "Joined-Pool")
        tags = {"Recipient": self._benchmark, "Quantity": str(bond)}
        tags |= {"X-Join-Pool": pool, "X-Model": model, **({"X-Salt": salt} if salt else {})}
        return _wanted(self._send(token, "Transfer", tags, "", owner), "Joined-Pool")

    def weights(self, model: str) -> str:
        """Return the data id of what a process has loaded, a model of this machine, or a file.

        Raises: PrerequisiteError, ConfigError if there is no such model.
        """
        try:
            process = self._network.info(model).id
        except UnknownProcess:
            return file_id(_model_file(model)[0])
        try:
            return self.info(process).get("Weights")
        except PoolError:  # it does not even say what it is
            return ""

    def reveal(self, pool: PoolFacts, data_id: str, salt: str, *, owner: Wallet) -> Message:
        """Have the data set load what was sealed; return its `Load-Data-Response`.

        Raises: PoolError with the reason.
        """
        tags = {"DataTxID": data_id, "Salt": salt}
        return _wanted(self._send(pool.dataset, "Load-Data", tags, "", owner), "Load-Data-Response")

    def worker(self, model: str, pool: PoolFacts, *, router: str | None, owner: Wallet) -> str:
        """Return the process of a model: one that is there, else a new LlamaWorker.

        Args:
            model: a process, a model of this machine, or a GGUF file.
            pool: where it will be entered.
            router: who may ask it; None takes the one that the pool's data set asks.
            owner: of a new worker.

        Raises: PrerequisiteError, ConfigError if there is no such model.
        """
        network = self._network
        try:
            return network.info(model).id
        except UnknownProcess:
            file, name = _model_file(model)
        router_id = network.resolve(router) if router else self._router_of(pool)
        tags = {"Router": router_id, "Model-Data": network.add_model(file), "Model-Name": name}
        for info in network.processes():
            same = all(info.tags.get(key) == value for key, value in tags.items())
            if same and info.owner == owner.address:
                return info.id
        if self._watch is not None:
            self._watch.say(f"spawn LlamaWorker {_tags_text(tags)}")
        given = None if name in network.names() or not _is_name(name) else name
        worker = self._writer.spawn("LlamaWorker", tags, name=given, sender=owner)
        if self._watch is not None:
            self._watch.sent(network.logs.sent(worker, worker, owner.address))
        return worker

    def _router_of(self, pool: PoolFacts) -> str:
        return self.info(pool.dataset).get("LlamaRouter") or self._network.resolve("LlamaRouter")

    def _send(
        self, target: str, action: str, tags: dict[str, str], data: str, sender: Wallet
    ) -> Sent:
        sent = send(self._writer, target, action, tags, data=data, sender=sender)
        if self._watch is not None:
            self._watch.sent(sent)
        return sent


def _is_name(text: str) -> bool:
    """Tell whether a process can have this name."""
    try:
        check_name(text)
    except ConfigError:
        return False
    return True


def _error(text: str) -> float | None:
    return float(text) if text else None


def _number(name: str, value: Any) -> Any:
    # A message writes fractions as decimal text, to the last digit; a script wants numbers.
    return float(value) if name in _FRACTIONS and isinstance(value, str) and value else value


def _wanted(sent: Sent, action: str) -> Message:
    """Return the reply of an action, or raise what came instead."""
    for message in sent.replies:
        if message.action == action:
            return message
    if sent.error:
        raise PoolError(sent.error)
    for message in sent.replies:
        reason = message.tags.get("X-Error") or message.tags.get("Error")
        if reason:
            raise PoolError(reason)
    said = [error for _, error in sent.trace.errors()]
    said += [node.result.output for node in sent.trace.walk() if node.result]
    raise PoolError(f"no {action} came: {'; '.join(filter(None, said)) or 'nobody said why'}")


def _model_file(model: str) -> tuple[Path, str]:
    path = Path(model).expanduser()
    if path.is_file():
        return path, path.stem
    if "/" in model or model.endswith(".gguf"):
        raise ConfigError(f"{model} is no file")
    return Catalogue().find(model), model


def _tags_text(tags: TagsInput) -> str:
    return " ".join(f"{name}={value}" for name, value in Tags(tags))
