"""A ready network for pools: the processes that every pool needs, spawned and tied together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from benchpool.ao.ids import encode_id
from benchpool.ao.wallet import check_name
from benchpool.client.writer import Writer
from benchpool.errors import ConfigError, DatasetError, PrerequisiteError
from benchpool.evaluation.compiled import is_compiled
from benchpool.evaluation.compiled_scores import read_for_pools
from benchpool.evaluation.files import read_file
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


def find_compiled(network: Network, path: Path) -> tuple[str, str | None]:
    """Read a compiled data set, and look for a process that has loaded it.

    Args:
        network: where it may be.
        path: the file.

    Returns: the name that a process of it has, and the process if there is one.

    Raises:
        DatasetError: the file is none that pools can ask.
        ConfigError: its name is none for a process, or that of another one.
    """
    data = read_file(path)
    if not is_compiled(data):
        raise DatasetError(
            "is no compiled data set; make one of it: benchpool dataset new, or dataset compile",
            path=path,
        )
    name = read_for_pools(data, str(path)).header.name
    advice = f"compile {path} again with --name, or spawn a CompiledDataset under another name"
    try:
        check_name(name)
    except ConfigError as error:
        raise ConfigError(f"{error}: {advice}") from None
    known = network.names().get(name)
    if known is None:
        return name, None
    info = network.store.process(known)
    if info is None or info.tags.get("DataTxID") != encode_id(sha256(data).digest()):
        raise ConfigError(f"{name} is the name of something else here: {advice}")
    return name, known


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
