"""Run a scenario: set the network up, take the steps, check what each expects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchpool.ao.clock import format_duration
from benchpool.errors import BenchpoolError, ConfigError, DatasetError, ScenarioError
from benchpool.evaluation.sample import Sample, load_samples, parse_samples, to_json
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network, Sent
from benchpool.process.registry import Registry
from benchpool.simulation.expectations import Expectations, Failure
from benchpool.simulation.scenario import (
    ExpectPart,
    ModelPart,
    ProcessPart,
    Scenario,
    SendPart,
    StepPart,
)
from benchpool.simulation.scripted_engine import ScriptedEngines, choose, write_script
from benchpool.store.home import Home

_SAVED = re.compile(r"\$\{([^}]*)\}")
_ONLY_CHECK = ExpectPart()


@dataclass(frozen=True, slots=True)
class ScenarioOutcome:
    """How a step went."""

    line: int
    title: str
    time: str
    """Since the beginning of the steps."""
    failures: tuple[Failure, ...]

    def view(self) -> dict[str, Any]:
        """Show it as JSON."""
        return {**asdict(self), "ok": not self.failures}


def run_scenario(
    scenario: Scenario, *, home: Path | None = None, registry: Registry | None = None
) -> Iterator[ScenarioOutcome]:
    """Run a scenario, one outcome a step; stops after the first step that fails.

    Args:
        scenario: what to run.
        home: where the network is kept; None keeps it in memory.
        registry: modules beside the installed ones.

    Raises: ScenarioError that points at the line if the network cannot be set up.
    """
    if home is not None and Home(home).exists():
        raise ConfigError(f"{home} holds a network already; a scenario needs a new home")
    engines = ScriptedEngines()
    with Network(
        home, seed=scenario.file.seed, registry=registry, engine_factory=engines
    ) as network:
        run = ScenarioRun(scenario, network, engines)
        run.set_up()
        for place in range(len(scenario.file.steps)):
            outcome = run.step(place)
            yield outcome
            if outcome.failures:
                return


class ScenarioRun:
    """A scenario on its network."""

    def __init__(self, scenario: Scenario, network: Network, engines: ScriptedEngines) -> None:
        self._scenario = scenario
        self._file = scenario.file
        self._network = network
        self._engines = engines
        self._ids: dict[str, str] = {}
        self._saved: dict[str, str] = {}
        self._samples: dict[str, list[Sample]] = {}
        self._start_ms = network.clock.now()
        self._expectations = Expectations(network, self._resolve)

    # -- setting up --------------------------------------------------------------------------

    def set_up(self) -> None:
        """Make wallets, data, processes and models in the order of the file."""
        for name in self._file.wallets:
            self._ids[name] = self._network.new_wallet(name).address
        for name in self._file.data:
            self._part("data", name, self._put_data)
        for name in self._file.processes:
            self._part("processes", name, self._spawn)
        for name, wallet in self._file.wallets.items():
            if wallet is not None and wallet.mint:
                self._part("wallets", name, self._mint)
        for name in self._file.models:
            self._part("models", name, self._add_model)
        self._start_ms = self._network.clock.now()

    def _part(self, section: str, name: str, make: Any) -> None:
        try:
            make(name)
        except ScenarioError:
            raise
        except BenchpoolError as error:
            raise self._scenario.error(str(error), section, name) from None

    def _put_data(self, name: str) -> None:
        part = self._file.data[name]
        path = self._scenario.path.parent / part.file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
        if part.limit is not None:
            samples = parse_samples(content, name=str(path))[: part.limit]
            content = to_json(samples).encode()
            self._samples[name] = samples
        else:
            try:
                self._samples[name] = load_samples(path)
            except DatasetError:
                self._samples[name] = []  # data of another kind, which no scripted model needs
        self._ids[name] = self._network.data.put(content)

    def _spawn(self, name: str) -> None:
        part: ProcessPart = self._file.processes[name]
        pairs = [(tag, self._resolve(value)) for tag, value in part.tags.items()]
        for cron in part.cron:
            pairs.append(("Cron-Interval", cron.every))
            pairs.append(("Cron-Tag-Action", cron.action))
            pairs += [(f"Cron-Tag-{tag}", self._resolve(v)) for tag, v in cron.tags.items()]
        self._ids[name] = self._network.spawn(
            part.module, pairs, name=name, data=self._resolve(part.data), sender=part.owner
        )

    def _mint(self, name: str) -> None:
        wallet = self._file.wallets[name]
        assert wallet is not None
        sent = self._network.send(
            self._file.token,
            "Mint",
            {"Quantity": str(wallet.mint), "Recipient": self._ids[name]},
            sender=self._file.processes[self._file.token].owner,
        )
        sent.reply("Mint-Confirmation")

    def _add_model(self, name: str) -> None:
        part = self._file.models[name]
        if part.gguf is not None:
            path = self._scenario.path.parent / part.gguf
            data_id = self._network.data.put_file(
                path if path.is_file() else Catalogue().find(part.gguf)
            )
        else:
            data_id = self._network.data.put(self._script(name, part))
        tags = {
            "Router": self._network.resolve(part.router),
            "Model-Data": data_id,
            "Model-Name": name,
            **{tag: self._resolve(value) for tag, value in part.tags.items()},
        }
        self._ids[name] = self._network.spawn("LlamaWorker", tags, name=name, sender=part.owner)

    def _script(self, name: str, part: ModelPart) -> bytes:
        source = part.data or next((each for each in self._samples if self._samples[each]), None)
        samples = self._samples.get(source or "", [])
        if not samples:
            raise ConfigError("a scripted model needs a data set under data:")
        if part.answers is not None:
            if len(part.answers) != len(samples):
                raise ConfigError(f"{len(part.answers)} answers to {len(samples)} questions")
            return write_script(name, samples, part.answers)
        correct = (
            round((part.accuracy or 0) * len(samples)) if part.correct is None else part.correct
        )
        if correct > len(samples):
            raise ConfigError(f"{correct} correct answers to {len(samples)} questions")
        seed = f"{self._file.seed} {name}"
        return write_script(name, samples, choose(samples, correct, seed=seed))

    # -- the steps ---------------------------------------------------------------------------

    def step(self, place: int) -> ScenarioOutcome:
        """Take a step and check what it expects."""
        step = self._file.steps[place]
        failures: list[Failure] = []
        try:
            sent = self._act(step)
            expect = step.expect or _ONLY_CHECK
            failures = [
                Failure(self._scenario.line("steps", place, "expect", *where), text)
                for where, text in self._expectations.problems(expect, sent)
            ]
            if sent is not None and not failures:
                self._save(step, sent)
        except BenchpoolError as error:
            failures.append(Failure(self._scenario.line("steps", place), str(error)))
        return ScenarioOutcome(
            self._scenario.line("steps", place),
            step.describe(),
            self._elapsed(),
            tuple(failures),
        )

    def _act(self, step: StepPart) -> Sent | None:
        network = self._network
        if step.at is not None:
            wait_ms = self._start_ms + step.at - network.clock.now()
            if wait_ms < 0:
                raise ConfigError(f"it is past {format_duration(step.at)} already")
            if wait_ms:
                network.advance(wait_ms)
        if step.advance is not None:
            network.advance(step.advance)
        if step.worker_dies is not None:
            self._engines.kill(self._model(step.worker_dies))
        if step.worker_returns is not None:
            self._engines.revive(self._model(step.worker_returns))
        return None if step.send is None else self._send(step.send)

    def _send(self, send: SendPart) -> Sent:
        tags = [(name, self._resolve(value)) for name, value in send.tags.items()]
        data = self._resolve(send.data)
        if not isinstance(data, str):
            data = json.dumps(data, ensure_ascii=False)
        target = self._resolve(send.target)
        return self._network.send(target, send.action, tags, data=data, sender=send.sender)

    def _save(self, step: StepPart, sent: Sent) -> None:
        for name, tag in step.save.items():
            values = [message.tags[tag] for message in sent.replies if tag in message.tags]
            if not values:
                raise ConfigError(f"no reply has a tag {tag} to save as {name}")
            self._saved[name] = values[0]

    def _model(self, name: str) -> str:
        if name not in self._file.models or self._file.models[name].gguf is not None:
            raise ConfigError(f"there is no scripted model {name!r}")
        return name

    def _elapsed(self) -> str:
        elapsed_ms = self._network.clock.now() - self._start_ms
        return format_duration(elapsed_ms) if elapsed_ms else "0h"

    def _resolve(self, value: Any) -> Any:
        """Put ids in place of `@Name` and saved values in place of `${name}`, at any depth."""
        if isinstance(value, dict):
            return {key: self._resolve(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._resolve(each) for each in value]
        if not isinstance(value, str):
            return value
        if value.startswith("@@"):
            return value[1:]
        if value.startswith("@"):
            return self._id(value[1:])
        return _SAVED.sub(lambda match: self._saved_or_id(match[1]), value)

    def _saved_or_id(self, name: str) -> str:
        return self._saved[name] if name in self._saved else self._id(name)

    def _id(self, name: str) -> str:
        if name in self._ids:
            return self._ids[name]
        known = ", ".join([*self._ids, *self._saved])
        raise ConfigError(f"nothing is named {name!r} yet; there are: {known}")
