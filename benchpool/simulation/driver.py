"""Driver: takes a plan's operations, as a careful client would, whatever happens to the program.

After a crash the home is opened again and the operation taken up: a client that got no answer looks
whether its message was accepted, and sends it again only if it was not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchpool.ao.clock import GENESIS_MS
from benchpool.ao.ids import encode_id, is_id
from benchpool.errors import HandlerError
from benchpool.network import Network
from benchpool.pools.commitment import commitment
from benchpool.process.registry import Registry
from benchpool.simulation.faults import Crash, CrashPoints, Faults
from benchpool.simulation.faulty_engines import FaultyEngines
from benchpool.simulation.faulty_modules import FaultyRegistry
from benchpool.simulation.plan import Operation, Plan, Say

MOST_INTERRUPTIONS: Final = 200
"""How often one operation may be interrupted before the driver gives it up as stuck."""


class Stuck(RuntimeError):
    """An operation that never came to an end."""


class Driver:
    """Runs one plan on one home.

    Args:
        plan: what to do.
        home: where; None keeps the network in memory, and then nothing is ever interrupted.
        modules: what the processes are made of; by default what is installed.
        interrupt: whether the plan's crashes and restarts take place.
        skip: operations, by their place in the plan, that are not taken.
    """

    def __init__(
        self,
        plan: Plan,
        home: Path | None,
        *,
        modules: Registry | None = None,
        interrupt: bool = True,
        skip: frozenset[int] = frozenset(),
    ) -> None:
        self.plan = plan
        self.home = home
        self.interrupt = interrupt and home is not None
        self.faults = Faults(str(plan.seed), plan.rates)
        self.points = CrashPoints()
        self.registry = FaultyRegistry(self.faults, modules)
        self.skip = skip
        self.given_up: set[int] = set()
        """Operations that a crash kept from being accepted, and that nobody sent again."""
        self.acknowledged: list[tuple[str, str]] = []
        """Process and id of each message whose sending returned."""
        self.counts: Counter[str] = Counter()
        self.crashes: dict[int, list[Crash]] = {}
        """By operation, what would leave the same files as each crash; see `last_commit`."""
        self._network: Network | None = None
        self._now: Callable[[], int] = lambda: GENESIS_MS
        self._engines = FaultyEngines(self.faults, self.points, self._time)
        self._started: tuple[int, Sequence[Any]] | None = None

    def run(self) -> Network:
        """Take every operation; return the network, open and at rest."""
        try:
            with self.points.watching():
                for place, operation in enumerate(self.plan.operations):
                    if place not in self.skip:
                        self._take(place, operation)
                return self._finish(self._opened())
        except BaseException:
            self.close()
            raise

    def _finish(self, network: Network) -> Network:
        return network

    def close(self) -> None:
        """Let go of the home as it is."""
        if self._network is not None:
            self._end(self._network, abort=True)

    # -- interruptions -----------------------------------------------------------------------

    def _take(self, place: int, operation: Operation) -> None:
        crashes = list(operation.crashes if self.interrupt else ())
        self._started = None
        for _ in range(MOST_INTERRUPTIONS):
            self.points.arm(crashes.pop(0) if crashes else None)
            try:
                self._perform(operation)
            except BaseException:
                if not self.points.tripped:
                    raise
                self.counts["interruptions"] += 1
                self._note_crash(place)
                self.close()
                if self._was_refused(operation):
                    self.given_up.add(place)
                    return
            else:
                self._note_crash(place)
                self.points.arm(None)
                self.counts["operations"] += 1
                return
        raise Stuck(f"never came to an end: {operation}")

    def _note_crash(self, place: int) -> None:
        crash = self.points.last_commit()
        if crash is not None:
            self.crashes.setdefault(place, []).append(crash)

    def _was_refused(self, operation: Operation) -> bool:
        """Tell whether an impatient client's messages are not in the log, so that it gives up."""
        if operation.patient or operation.kind != "send" or self._started is None:
            return False
        self.points.arm(None)
        return self._opened().dispatch.count == self._started[0]

    def _time(self) -> int:
        return self._now()  # of the network that is open at that moment

    def _opened(self) -> Network:
        if self._network is None:
            self._network = self._open()
            self._now = self._network.clock.now
            self.counts["openings"] += 1
            self.counts["resumed messages"] += self._network.resumed
        return self._network

    def _open(self, **settings: Any) -> Network:
        return Network(
            self.home,
            seed=self.plan.seed,
            registry=self.registry,
            engine_factory=self._engines,
            threads=self.plan.threads,
            signed=self.plan.signed,
            **settings,
        )

    # -- operations --------------------------------------------------------------------------

    def _perform(self, operation: Operation) -> None:
        network = self._opened()
        if network.pending:
            network.run()
        self._wait(network, GENESIS_MS + operation.at_ms)
        getattr(self, f"_do_{operation.kind}")(network, operation)

    def _wait(self, network: Network, until_ms: int) -> None:
        wait_ms = until_ms - network.clock.now()
        if wait_ms > 0:
            network.advance(wait_ms)

    def _run(self, network: Network) -> None:
        network.run()

    def _do_wait(self, _network: Network, _operation: Operation) -> None:
        """Time has passed already."""

    def _do_wallet(self, network: Network, operation: Operation) -> None:
        if operation.name not in network.names():
            network.new_wallet(operation.name)

    def _do_spawn(self, network: Network, operation: Operation) -> None:
        data_id = network.data.put(operation.data) if operation.data else ""
        if operation.name in network.names() or operation.sender not in network.names():
            return
        sent = network.dispatch.count
        if self._started is not None and self._started[0] < sent:
            return  # it was accepted and refused its tags
        self._started = (sent, ())
        tags = [
            (name, data_id if value == "%data" else self._resolve(network, value))
            for name, value in operation.tags
        ]
        try:
            self._spawn(network, operation, tags)
        except HandlerError:
            self.counts["refused spawns"] += 1

    def _spawn(self, network: Network, operation: Operation, tags: list[tuple[str, str]]) -> None:
        network.spawn(operation.module, tags, name=operation.name, sender=operation.sender)

    def _do_send(self, network: Network, operation: Operation) -> None:
        if self._started is None:
            # Once: what a name stands for may change while the operation goes on.
            says = [self._written(network, say) for say in operation.messages]
            self._started = (network.dispatch.count, [say for say in says if say is not None])
        before, accepted = self._started
        for sender, target, action, tags, data in accepted[network.dispatch.count - before :]:
            network.post(target, action, tags, data=data, sender=sender)
        self._run(network)
        self._acknowledge(network, {target for _, target, *_ in accepted}, len(accepted))

    def _acknowledge(self, network: Network, targets: set[str], count: int) -> None:
        last = network.dispatch.count
        anchors = {f"{number:032d}" for number in range(last - count + 1, last + 1)}
        for target in sorted(targets):
            for entry in network.store.entries(target):
                if entry.message.anchor in anchors:
                    self.acknowledged.append((target, entry.message.id))
        self.counts["messages sent"] += count

    def _do_assign(self, network: Network, operation: Operation) -> None:
        """Deliver a message of a process's log a second time, to everybody."""
        if operation.name not in network.names():
            return
        if self._started is None:
            process = network.resolve(operation.name)
            last = network.store.last_position(process)
            entries = network.store.entries(
                process, after=operation.number % (last + 1) - 1, limit=1
            )
            self._started = (0, [entry.message.id for entry in entries])
        everybody = [info.id for info in network.processes()]
        for message_id in self._started[1]:
            network.post_assignment(message_id, everybody)
            self._run(network)

    def _do_kill(self, _network: Network, operation: Operation) -> None:
        self._engines.kill(operation.name)

    def _do_revive(self, _network: Network, operation: Operation) -> None:
        self._engines.revive(operation.name)

    def _do_restart(self, network: Network, operation: Operation) -> None:
        if self.interrupt:
            self._end(network, abort=operation.name == "abort")
            self._opened()

    def _end(self, network: Network, *, abort: bool) -> None:
        self._network = None
        network.close(abort=abort)

    # -- names -------------------------------------------------------------------------------

    def _written(self, network: Network, say: Say) -> tuple[str, str, str, Any, str] | None:
        names = network.names()
        if say.sender not in names or say.target not in names:
            return None
        tags = [(name, self._resolve(network, value)) for name, value in say.tags]
        data = say.data
        if isinstance(data, dict):
            data = json.dumps({key: self._resolve(network, text) for key, text in data.items()})
        return say.sender, names[say.target], say.action, tags, data

    def _resolve(self, network: Network, text: str) -> str:
        if text.startswith("@"):
            return network.names().get(text[1:]) or _nobody(text)
        if text.startswith("%pool"):
            pools = self._pools(network)
            number = int(text.removeprefix("%pool"))
            return pools[number] if number < len(pools) else _nobody(text)
        if text.startswith("%weights "):
            return self._weights(network, text.removeprefix("%weights "))
        if text.startswith("%commitment "):
            _, person, model = text.split(" ")
            address = self._resolve(network, f"@{person}")
            return commitment(person, address, self._weights(network, model))
        return text

    @staticmethod
    def _weights(network: Network, model: str) -> str:
        known = model in network.names()
        return network.info(model).tags.get("Model-Data") if known else _nobody(model)

    @staticmethod
    def _pools(network: Network) -> list[str]:
        benchmark = network.names().get("Benchmark", "")
        return list(network.process(benchmark).state.pools) if is_id(benchmark) else []


def _nobody(text: str) -> str:
    return encode_id(text.encode().ljust(32, b"\0")[:32])
