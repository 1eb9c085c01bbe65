"""Finished runs in home folders, made once and copied for each test."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from serving import Client, Running

from benchpool.client.deployment import deploy, upload_model
from benchpool.evaluation.controls import CONTROLS, controlled
from benchpool.evaluation.sample import Sample, to_json
from benchpool.network import Network
from benchpool.simulation.scripted_engine import ScriptedEngines, write_script

WAR = 10**12
SAMPLES = [
    Sample(f"Kim met friend {n}.", "How would Kim feel?", ("glad", "sad", "calm"), n % 3 + 1)
    for n in range(6)
]
RIGHT = [sample.gold for sample in SAMPLES]
"""The answers of the better model."""
WORSE = [RIGHT[0], *(gold % 3 + 1 for gold in RIGHT[1:])]


class Pools:
    """A network with a funder, and models of participants that answer as they are told to."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self._folder = folder
        network.new_wallet("funder")
        self.ids = deploy(network, samples=to_json(SAMPLES).encode())
        grant = {"Quantity": str(10 * WAR), "Recipient": network.resolve("funder")}
        network.send("WrappedAR", "Mint", grant)

    def fund(self, quantity: int, **tags: str) -> str:
        given = {
            "X-Dataset": self.ids.SiqaDataset,
            "X-Allocation": "ArithmeticDecrease",
            "X-Eligible": "all",  # six questions tell nobody from a guesser
            **tags,
        }
        sent = self.transfer(quantity, **given)
        return sent.trace.replies(self.network.resolve("funder"))[-1].tags["Pool"]

    def transfer(self, quantity: int, **tags: str) -> Any:
        given = {"Recipient": self.ids.Benchmark, "Quantity": str(quantity), **tags}
        return self.network.send("WrappedAR", "Transfer", given, sender="funder")

    def join_guesser(self, pool: str, who: str) -> None:
        """Join with a model that knows the answers, and says A to what it does not know."""
        asked = [controlled(each, control) for control in CONTROLS for each in SAMPLES]
        self.join(pool, who, [*RIGHT, *[1] * len(asked)], [*SAMPLES, *asked])

    def join(
        self, pool: str, who: str, answers: list[int], samples: Sequence[Sample] = SAMPLES
    ) -> None:
        if who not in self.network.names():
            self.network.new_wallet(who)
            path = self._folder / f"{who}.gguf"
            path.write_bytes(write_script(f"model-{who}", samples, answers))
            upload_model(self.network, path, f"model-{who}", sender=who)
        model = self.network.resolve(f"model-{who}")
        data = json.dumps({"dataset": pool, "model": model})
        self.network.send("Benchmark", "Join-Pool", data=data, sender=who).reply("Joined-Pool")


def finish(folder: Path, **options: Any) -> Path:
    """Run four pools to their end: paid and topped up, tied, refunded, open."""
    engines = ScriptedEngines()
    with Network(folder / "home", seed=1, engine_factory=engines, **options) as network:
        pools = Pools(network, folder)
        happy = pools.fund(WAR + 1, **{"X-Title": "happy", "X-Duration": "3d"})
        tie = pools.fund(WAR + 1, **{"X-Title": "tie", "X-Duration": "2d"})
        pools.fund(7, **{"X-Title": "empty", "X-Duration": "1d"})
        pools.fund(9, **{"X-Title": "open", "X-Duration": "90d"})
        pools.join(happy, "ana", RIGHT)
        pools.join(happy, "ben", WORSE)
        pools.join(tie, "ana", RIGHT)
        pools.join(tie, "cleo", RIGHT[::-1][::-1])
        network.advance("1d")
        pools.transfer(5, **{"X-Pool": happy})
        pools.transfer(3, **{"X-Pool": "nowhere"})
        network.advance("4d")
    return folder / "home"


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def finished(_finished: Path, tmp_path: Path) -> Path:
    """A home with a paid pool that was topped up, a tie, a refunded pool and an open one."""
    return Path(shutil.copytree(_finished, tmp_path / "finished"))


@pytest.fixture
def open_pools(tmp_path: Path) -> Iterator[Callable[[], Pools]]:
    """Open pools in memory."""
    opened: list[Network] = []

    def make() -> Pools:
        opened.append(Network(seed=1, engine_factory=ScriptedEngines()))
        return Pools(opened[-1], tmp_path)

    yield make
    for network in opened:
        network.close()


@pytest.fixture(scope="session")
def signed_and_finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in a network that signs everything."""
    return finish(tmp_path_factory.mktemp("signed"), signed=True)


@pytest.fixture(autouse=True)
def _close_clients() -> Iterator[None]:
    yield
    while Client.opened:
        Client.opened.pop().close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder that will be a home."""
    return tmp_path / "home"


@pytest.fixture
def serve(home: Path) -> Iterator[Callable[..., Running]]:
    """Start servers of one home in threads; all are stopped at the end."""
    running: list[Running] = []

    def start(**settings: Any) -> Running:
        running.append(Running(home, **settings))
        return running[-1]

    yield start
    for each in running:
        each.stop()
