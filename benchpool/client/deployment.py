"""A ready network for pools: the processes that every pool needs, spawned and tied together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from benchpool.client.writer import Writer
from benchpool.errors import PrerequisiteError
from benchpool.network import Network, Party

HOURLY_EVALUATE = (("Cron-Interval", "1-hour"), ("Cron-Tag-Action", "Evaluate"))
DAILY_UPDATE = (("Cron-Interval", "24-hours"), ("Cron-Tag-Action", "Update-Leaderboard"))
DAILY_REWARDS = (("Cron-Interval", "24-hours"), ("Cron-Tag-Action", "Allocate-Rewards"))


@dataclass(frozen=True, slots=True)
class Deployment:
    """The ids of the processes, by the names under which the network knows them."""

    WrappedAR: str
    Benchmark: str
    LlamaRouter: str
    LlamaHerder: str
    SiqaDataset: str

    def names(self) -> dict[str, str]:
        """Return name -> process id."""
        return asdict(self)


def deploy(
    network: Network,
    *,
    writer: Writer | None = None,
    sender: Party | None = None,
    samples: bytes | None = None,
) -> Deployment:
    """Spawn WrappedAR, Benchmark, LlamaRouter, LlamaHerder and SiqaDataset.

    Those that the network has already, by name, are kept as they are, so an interrupted call can be
    made again.

    Args:
        network: where.
        writer: who spawns them; by default the network itself.
        sender: their owner; by default the default wallet.
        samples: the data set's questions, in any form that its loader reads; by default the sample
            that the project ships.

    Raises: PrerequisiteError if the shipped sample is missing.
    """
    writer = writer or network

    def once(module: str, tags: list[tuple[str, str]]) -> str:
        known = network.names().get(module)
        return known or writer.spawn(module, tags, name=module, sender=sender)

    token = once("WrappedAR", [])
    benchmark = once("Benchmark", [("WrappedAR", token), *DAILY_UPDATE, *DAILY_REWARDS])
    router = once("LlamaRouter", [])
    herder = once("LlamaHerder", [("WrappedAR", token)])
    data_id = network.data.put(sample_path().read_bytes() if samples is None else samples)
    dataset = once(
        "SiqaDataset",
        [
            ("DataTxID", data_id),
            ("LlamaRouter", router),
            ("WrappedAR", token),
            ("Benchmark", benchmark),
            *HOURLY_EVALUATE,
        ],
    )
    return Deployment(token, benchmark, router, herder, dataset)


def spawn_dataset(
    network: Network,
    path: Path,
    name: str,
    *,
    benchmark: Party = "Benchmark",
    writer: Writer | None = None,
    sender: Party | None = None,
) -> str:
    """Store a compiled data set, and spawn the process that asks and scores it, under its name.

    Args:
        network: where `deploy` was called before.
        path: the file.
        name: of the process.
        benchmark: for whose pools it is.
        writer: who spawns it; by default the network itself.
        sender: its owner; by default the default wallet.

    Returns: the id of the process.
    """
    tags = [
        ("DataTxID", network.data.put_file(path)),
        ("LlamaRouter", network.resolve("LlamaRouter")),
        ("WrappedAR", network.resolve("WrappedAR")),
        ("Benchmark", network.resolve(benchmark)),
        *HOURLY_EVALUATE,
    ]
    return (writer or network).spawn("CompiledDataset", tags, name=name, sender=sender)


def upload_model(
    network: Network,
    path: Path,
    name: str,
    *,
    router: Party = "LlamaRouter",
    sender: Party | None = None,
) -> str:
    """Store a GGUF file and spawn the worker that serves it, under the model's name.

    Returns: the id of the model process.

    Raises: InferenceError if the file is no usable model.
    """
    return network.spawn(
        "LlamaWorker",
        [
            ("Model-Data", network.add_model(path)),
            ("Model-Name", name),
            ("Router", network.resolve(router)),
        ],
        name=name,
        sender=sender,
    )


def sample_path() -> Path:
    """Return the file of sample questions that the project ships. Raises: PrerequisiteError."""
    here = Path(__file__).parents[1]
    for folder in (here / "data", here.parent / "datasets"):
        path = folder / "siqa-sample.jsonl"
        if path.exists():
            return path
    raise PrerequisiteError("the sample questions (siqa-sample.jsonl) were not installed")
