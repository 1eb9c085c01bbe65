"""Scenario: the form of a scenario file. See docs/scenarios.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from benchpool.ao.clock import parse_duration
from benchpool.ao.wallet import check_name
from benchpool.errors import ConfigError, InvalidQuantity, ScenarioError
from benchpool.tasks.yaml_source import YamlSource
from benchpool.units.cron import parse_interval
from benchpool.winston import parse_war

WRAPPED_AR = "WrappedAR"


def read_amount(text: str) -> int:
    """Read winston in digits, or an amount such as `1.5 wAR`. Raises: InvalidQuantity."""
    cleaned = text.strip()
    if cleaned.endswith(" wAR"):
        return parse_war(cleaned)
    if cleaned.isascii() and cleaned.isdigit():
        return int(cleaned)
    raise InvalidQuantity(f"an amount is winston in digits, or like '1.5 wAR', not {text!r}")


def _amount(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("not an amount: write it in quotes")  # noqa: TRY004 - for pydantic
    try:
        return read_amount(str(value))
    except InvalidQuantity as error:
        raise ValueError(str(error)) from None


def _text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        raise ValueError(f"write {value} in quotes: a tag is text")  # noqa: TRY004 - for pydantic
    return str(value) if isinstance(value, int) else value


def _duration(value: object) -> object:
    if value in ("0h", "0", 0):
        return 0
    try:
        return parse_duration(str(value))
    except ConfigError as error:
        raise ValueError(str(error)) from None


Amount = Annotated[int, BeforeValidator(_amount)]
TagText = Annotated[str, BeforeValidator(_text)]
DurationMs = Annotated[int, BeforeValidator(_duration)]
Texts = dict[str, TagText]


def _names(value: Any) -> Any:
    if not isinstance(value, dict):
        return value  # pydantic says what it should be
    for name in value:
        try:
            check_name(str(name))
        except ConfigError as error:
            raise ValueError(str(error)) from None
    return value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)


class WalletPart(_Part):
    """A wallet, and what the token's owner mints for it at the beginning."""

    mint: Amount = 0


class DataPart(_Part):
    """A file for the data store, its path relative to the scenario; `limit` cuts a data set."""

    file: str
    limit: int | None = Field(None, ge=1)


class CronPart(_Part):
    """One cron entry of a process."""

    every: str
    action: str
    tags: Texts = {}

    @field_validator("every")
    @classmethod
    def _readable(cls, value: str) -> str:
        try:
            parse_interval(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return value


class ProcessPart(_Part):
    """A process; its name in the network is its key."""

    module: str
    owner: str | None = None
    tags: Texts = {}
    cron: tuple[CronPart, ...] = ()
    data: str = ""


class ModelPart(_Part):
    """A model: answered by a script, or a GGUF file. It becomes a LlamaWorker named by its key."""

    correct: int | None = Field(None, ge=0)
    accuracy: float | None = Field(None, ge=0, le=1)
    answers: tuple[Annotated[int, Field(ge=1, le=3)], ...] | None = None
    gguf: str | None = None
    data: str | None = None
    owner: str | None = None
    router: str = "LlamaRouter"
    tags: Texts = {}

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [self.correct, self.accuracy, self.answers, self.gguf]
        if sum(each is not None for each in given) != 1:
            raise ValueError("a model has exactly one of: correct, accuracy, answers, gguf")
        return self


class SendPart(_Part):
    """A message."""

    target: str
    action: str = ""
    sender: str | None = Field(None, alias="from")
    tags: Texts = {}
    data: Any = ""


class MessagePart(_Part):
    """What a message must be like; only what is given is compared."""

    action: str | None = None
    sender: str | None = Field(None, alias="from")
    tags: Texts = {}
    data: Any = None


class InboxPart(MessagePart):
    """A message that a wallet must have received."""

    of: str
    count: int | None = Field(None, ge=0)


class BoardPart(_Part):
    """A pool's leaderboard: its rows in order, of each row what is given."""

    pool: str
    benchmark: str = "Benchmark"
    rows: tuple[dict[str, Any], ...]


class PoolPart(_Part):
    """Facts of a pool."""

    pool: str
    benchmark: str = "Benchmark"
    facts: dict[str, Any]


class ExpectPart(_Part):
    """What must hold after a step."""

    error: str | None = None
    reply: MessagePart | None = None
    inbox: InboxPart | tuple[InboxPart, ...] = ()
    balances: dict[str, Amount] = {}
    supply: Amount | None = None
    leaderboard: BoardPart | None = None
    pool: PoolPart | None = None
    token: str = WRAPPED_AR

    @property
    def inboxes(self) -> tuple[InboxPart, ...]:
        """The messages that wallets must have received."""
        return (self.inbox,) if isinstance(self.inbox, InboxPart) else self.inbox


class StepPart(_Part):
    """One step: at most one thing that happens, and what must hold then."""

    title: str = ""
    at: DurationMs | None = None
    send: SendPart | None = None
    advance: DurationMs | None = None
    worker_dies: str | None = Field(None, alias="worker-dies")
    worker_returns: str | None = Field(None, alias="worker-returns")
    save: dict[str, str] = {}
    expect: ExpectPart | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        things = [self.send, self.advance, self.worker_dies, self.worker_returns]
        count = sum(thing is not None for thing in things)
        if count > 1:
            raise ValueError("a step has one of: send, advance, worker-dies, worker-returns")
        if count == 0 and self.at is None and self.expect is None:
            raise ValueError("this step does nothing and expects nothing")
        if self.send is None:
            if self.save:
                raise ValueError("only a step that sends can save something of the reply")
            if self.expect and (self.expect.reply or self.expect.error is not None):
                raise ValueError("only a step that sends can expect a reply or an error")
        return self

    def describe(self) -> str:
        """Say in words what happens."""
        if self.title:
            return self.title
        if self.send is not None:
            who = self.send.sender or "default"
            return f"{who} sends {self.send.action or 'a message'} to {self.send.target}"
        if self.worker_dies is not None:
            return f"the engine of {self.worker_dies} dies"
        if self.worker_returns is not None:
            return f"the engine of {self.worker_returns} is back"
        return "time passes" if self.advance is not None or self.at is not None else "check"


class ScenarioFile(_Part):
    """A whole scenario file."""

    title: str = ""
    seed: TagText = "scenario"
    token: str = WRAPPED_AR
    wallets: Annotated[dict[str, WalletPart | None], BeforeValidator(_names)] = {}
    data: Annotated[dict[str, DataPart], BeforeValidator(_names)] = {}
    processes: Annotated[dict[str, ProcessPart], BeforeValidator(_names)] = {}
    models: Annotated[dict[str, ModelPart], BeforeValidator(_names)] = {}
    steps: tuple[StepPart, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [*self.wallets, *self.data, *self.processes, *self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names stand for one thing only: {', '.join(twice)}")
        if any(wallet and wallet.mint for wallet in self.wallets.values()) and (
            self.token not in self.processes
        ):
            raise ValueError(f"to mint there must be a process {self.token}")
        return self


class Scenario:
    """A checked scenario file that knows the lines of its parts."""

    def __init__(self, source: YamlSource, file: ScenarioFile) -> None:
        self._source = source
        self.file = file
        self.path = source.path
        self.title = file.title

    def line(self, *place: int | str) -> int:
        """Return the line of a part."""
        return self._source.line(place)

    def error(self, text: str, *place: int | str) -> ScenarioError:
        """Make the error that points at a part."""
        return ScenarioError(f"{self.path}:{self.line(*place)}: {text}")


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file. Raises: ScenarioError that points at the line."""
    source = YamlSource(path)
    if not isinstance(source.content, dict):
        raise ScenarioError(f"{path}:1: a scenario is a mapping with steps; see docs/scenarios.md")
    try:
        return Scenario(source, ScenarioFile.model_validate(source.content))
    except ValidationError as error:
        raise ScenarioError("\n".join(_problems(source, error))) from None


def _problems(source: YamlSource, error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        if problem["type"] == "too_short" and any(
            len(other["loc"]) > 1 and other["loc"][:1] == problem["loc"] for other in error.errors()
        ):
            continue  # its members are refused, each by a line of its own
        where = ".".join(str(step) for step in problem["loc"]) or "the file"
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = f"there is no {problem['loc'][-1]!r} here"
        lines.append(f"{source.path}:{source.line(problem['loc'])}: {where}: {text}")
    return lines
