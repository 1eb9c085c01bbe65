"""PoolClient: says the messages of docs/protocol.md to a Benchmark and reads its answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchpool.ao.wallet import check_name
from benchpool.cli import output, session, view
from benchpool.errors import ConfigError, PoolError, UnknownProcess

if TYPE_CHECKING:
    from benchpool.ao.message import Message, Outgoing
    from benchpool.ao.tags import TagsInput
    from benchpool.ao.wallet import Wallet
    from benchpool.network import Network, Sent

_TIMES = {"start_time", "end_time", "joined_at"}
_AMOUNTS = {"funds", "reward"}
_FRACTIONS = {"score", "accuracy", "standard_error", "progress"}
_LEAST_PREFIX = 4
_COUNTS = {
    "correct": "Correct",
    "correct_per_character": "Correct-Per-Character",
    "evaluated": "Evaluated",
    "unscored": "Unscored",
    "total": "Total",
}


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool as its Benchmark tells of it."""

    facts: dict[str, Any]

    def text(self, name: str) -> str:
        """Return a fact as text, empty if it is not known."""
        value = self.facts.get(name)
        return "" if value is None else str(value)

    def shown(self, name: str, name_of: Callable[[str], str]) -> str:
        """Return a fact as people read it: times, amounts and names."""
        value = self.facts.get(name)
        if name in _TIMES and isinstance(value, int):
            return view.moment(value)
        if name in _AMOUNTS and value is not None:
            return amount(value)
        return "" if value is None else name_of(str(value))

    @property
    def id(self) -> str:
        """Its id."""
        return self.text("id")

    @property
    def title(self) -> str:
        """Its title; it need not have one."""
        return self.text("title")

    @property
    def dataset(self) -> str:
        """The id of its dataset process."""
        return self.text("dataset")

    @property
    def funds(self) -> str:
        """What it pays out, in wAR."""
        return amount(self.facts.get("funds", 0))

    @property
    def end(self) -> str:
        """When it closes."""
        return self.shown("end_time", str)

    @property
    def entries(self) -> int:
        """How many models are in it."""
        entries = self.facts.get("entries", self.facts.get("models", ()))
        return entries if isinstance(entries, int) else len(entries)


class PoolClient:
    """Talks to one Benchmark. Looking uses dry runs, which leave no trace."""

    def __init__(self, network: Network, benchmark: str, *, verbose: bool = False) -> None:
        self._network = network
        self._benchmark = benchmark
        self._verbose = verbose

    # -- looking -----------------------------------------------------------------------------

    def pools(self) -> list[Pool]:
        """Return every pool."""
        return [Pool(facts) for facts in json.loads(self._ask(self._benchmark, "Get-Pools").data)]

    def get(self, pool: str) -> Pool:
        """Return one pool with all its facts. Raises: PoolError."""
        return Pool(json.loads(self._ask(self._benchmark, "Get-Pool", {"Pool": pool}).data))

    def leaderboard(self, pool: str) -> list[dict[str, Any]]:
        """Return a pool's ranked entries. Raises: PoolError."""
        rows: list[dict[str, Any]] = json.loads(
            self._ask(self._benchmark, "Leaderboard", {"Pool": pool}).data
        )
        return [{name: _number(name, value) for name, value in row.items()} for row in rows]

    def reports(self, pool: str) -> list[dict[str, Any]]:
        """Return what the data set reports of each entry, in the order of joining.

        Raises: PoolError.
        """
        found = self.get(pool)
        reports = []
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
                    "computing": self._computing(entry["model"]),
                }
            )
        return reports

    def first_protocol(self, dataset: str) -> str:
        """Return the protocol that a data set names first; empty if it names none.

        Raises: PoolError if it does not answer.
        """
        return self._ask(dataset, "Info").tags.get("Protocols").split(",")[0].strip()

    def _computing(self, model: str) -> dict[str, str]:
        """Return what the model process says it runs on, by precision; nothing if it is silent."""
        try:
            tags = self._ask(model, "Info").tags
        except PoolError:
            return {}
        known = {name: tags.get(name) for name in ("Quantization", "Chat-Template")}
        return known | {name: value for name, value in tags if name.startswith("Runtime-")}

    def find(self, text: str) -> Pool:
        """Find a pool by its id, the beginning of it, or its title.

        Raises: PoolError if none or several are meant.
        """
        pools = self.pools()
        for matches in (
            [pool for pool in pools if pool.id == text],
            [pool for pool in pools if pool.title == text],
            [pool for pool in pools if len(text) >= _LEAST_PREFIX and pool.id.startswith(text)],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                ids = ", ".join(pool.id for pool in matches)
                raise PoolError(f"{text!r} may mean {len(matches)} pools: {ids}")
        raise PoolError(f"no pool {text!r}; see: benchpool pool list")

    def _ask(self, target: str, action: str, tags: TagsInput = ()) -> Outgoing:
        network = self._network
        if self._verbose:
            output.note(
                f"dry run: {action} → {network.name_of(target)} {_tags_text(tags)}".rstrip()
            )
        asker = session.asker(network)
        result = network.dry_run(target, action, tags, sender=asker)
        answers = [out for out in result.messages if out.target == asker.address]
        if result.error or not answers:
            why = result.error or "no answer came"
            raise PoolError(f"{network.name_of(target)} did not answer {action}: {why}")
        answer = answers[0]
        if answer.tags.get("Action").endswith("-Error"):
            raise PoolError(f"{action}: {answer.tags.get('Error') or 'refused'}")
        return answer

    # -- writing -----------------------------------------------------------------------------

    def create(
        self, *, token: str, quantity: int, terms: dict[str, str], funder: Wallet
    ) -> Message:
        """Fund a pool; return its `Pool-Created`. Raises: PoolError with the reason."""
        tags = {"Recipient": self._benchmark, "Quantity": str(quantity), **terms}
        sent = self._send(token, "Transfer", tags, "", funder)
        return _wanted(sent, "Pool-Created")

    def join(self, pool: str, model: str, *, owner: Wallet) -> Message:
        """Enter a model process; return its `Joined-Pool`. Raises: PoolError with the reason."""
        data = json.dumps({"dataset": pool, "model": model})
        return _wanted(self._send(self._benchmark, "Join-Pool", {}, data, owner), "Joined-Pool")

    def worker(self, model: str, pool: Pool, *, router: str | None, owner: Wallet) -> str:
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
        if self._verbose:
            output.note(f"spawn LlamaWorker {_tags_text(tags)}")
        given = None if name in network.names() or not is_name(name) else name
        worker = network.spawn("LlamaWorker", tags, name=given, sender=owner)
        if self._verbose:
            self._show(spawned(network, worker, owner))
        return worker

    def _router_of(self, pool: Pool) -> str:
        return self._ask(pool.dataset, "Info").tags.get("LlamaRouter") or self._network.resolve(
            "LlamaRouter"
        )

    def _send(
        self, target: str, action: str, tags: dict[str, str], data: str, sender: Wallet
    ) -> Sent:
        sent = self._network.send(target, action, tags, data=data, sender=sender)
        if self._verbose:
            self._show(sent)
        return sent

    def _show(self, sent: Sent) -> None:
        with redirect_stdout(sys.stderr):
            view.print_tree(sent.trace, view.names(self._network))


def spawned(network: Network, process: str, owner: Wallet) -> Sent:
    """Look at a spawn as at a message: a process's first message bears its id."""
    return network.sent(process, process, owner.address)


def is_name(text: str) -> bool:
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
    from benchpool.inference.files.catalogue import Catalogue

    path = Path(model).expanduser()
    if path.is_file():
        return path, path.stem
    if "/" in model or model.endswith(".gguf"):
        raise ConfigError(f"{model} is no file")
    return Catalogue().find(model), model


def amount(value: object) -> str:
    """Write winston as wAR; what is no amount as it is."""
    from benchpool.winston import format_war

    try:
        return format_war(int(str(value)))
    except ValueError:
        return str(value)


def leaderboard_row(row: dict[str, Any], name_of: Callable[[str], str]) -> list[str]:
    """Write a row of a leaderboard for people."""

    def number(name: str) -> str:
        value = row.get(name)
        try:
            return "" if value is None or value == "" else f"{float(value):.4f}"
        except (TypeError, ValueError):
            return str(value)

    def text(name: str) -> str:
        value = row.get(name)
        return "" if value is None else str(value)

    reward = row.get("reward")
    return [
        text("rank"),
        text("name") or name_of(text("model")),
        name_of(text("participant")),
        number("score"),
        number("standard_error"),
        f"{text('evaluated')}/{text('total')}",
        "" if reward in (None, "") else amount(reward),
    ]


def _tags_text(tags: TagsInput) -> str:
    pairs = tags.items() if hasattr(tags, "items") else tags
    return " ".join(f"{name}={value}" for name, value in pairs)
