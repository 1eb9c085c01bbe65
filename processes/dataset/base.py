"""Dataset: the base of the processes that hold a data set and evaluate models on it.

A data set of your own overrides what differs of six parts; see `processes.dataset.parts` and
docs/build-a-dataset.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, ClassVar, Final

import msgspec
from pydantic import Field

from benchpool.ao.clock import HOUR_MS
from benchpool.ao.ids import encode_id
from benchpool.ao.tags import Pair, Tags
from benchpool.errors import BenchpoolError, DatasetError, HandlerError, NotAuthorized
from benchpool.evaluation.protocol import PRECISIONS, STORED, Protocol
from benchpool.evaluation.sample import Sample
from benchpool.extensions.database import Database
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.process import Message, Process, State, handler
from benchpool.winston import Winston, parse_quantity
from processes.dataset.counts import write_counts
from processes.dataset.evaluations import Evaluations, Model, Task, statements
from processes.dataset.parts import DatasetParts
from processes.dataset.reports import report
from processes.dataset.tables import tables
from processes.tag_values import duration_ms

PER_TICK: Final = 1000
"""Inferences that one Evaluate asks for at most, across all models."""


class DatasetState(State):
    """What a data set process keeps beside its tables."""

    router: str = ""
    herder: bool = False
    """Whether the router is a herder, who is paid for each inference."""
    token: str = ""
    benchmark: str = ""
    system_prompt: str = ""
    lease_ms: int = 2 * HOUR_MS
    data_tx_id: str = ""
    loaded: dict[str, int] = Field(default_factory=dict)
    """Ids of the data that was loaded, with the number of samples."""
    fees_asked: str = ""
    """Reference of the last Info that was sent to the herder."""
    base_fee: Winston | None = None
    token_fee: Winston = 0


class Dataset(DatasetParts, Process):
    """Loads questions, asks models, keeps scores. Its six parts are those of `DatasetParts`."""

    extensions: ClassVar[tuple[str, ...]] = ("Database", "WeaveDrive")
    state: DatasetState
    database: Database
    weavedrive: WeaveDrive

    @property
    def system_prompt(self) -> str:  # type: ignore[override]
        """What SystemPrompt said last."""
        return self.state.system_prompt

    # -- handlers ----------------------------------------------------------------------------

    def on_spawn(self, message: Message) -> None:
        """Make the tables and read the spawn tags."""
        self.database.create(tables(self.card.choices).metadata)
        self._configure(message.tags)

    @handler("Init", owner_only=True)
    def init(self, message: Message) -> None:
        """Read the same tags again; those that are missing stay as they are."""
        self.database.create(tables(self.card.choices).metadata)
        self._configure(message.tags)
        self.reply(message, "Init-Response", {"Samples": self._records().sample_count()})

    @handler("Load-Data", owner_only=True)
    def load_data(self, message: Message) -> None:
        """Append questions, from Data or from a data transaction; all of them or none."""
        data_id = message.tags.get("DataTxID")
        if data_id:
            count = self._load(data_id, self.weavedrive.read(data_id))
            self.state.data_tx_id = data_id
        else:
            data = message.data.encode() if isinstance(message.data, str) else message.data
            count = self._load(encode_id(sha256(data).digest()), data, name="Data")
        self._announce()
        total = self._records().sample_count()
        self.reply(message, "Load-Data-Response", {"Samples": count, "Total": total})

    @handler("Info")
    def describe_to(self, message: Message) -> None:
        """Describe the data set; or take the fees from the herder's answer to our own Info."""
        if self.state.router and message.sender == self.state.router:
            # Never answered: two processes that describe themselves to each other would not end.
            self._take_fees(message)
            return
        self.reply(
            message,
            "Info",
            {
                "Name": self.card.name,
                "Samples": self._records().sample_count(),
                "Chance": self.card.chance,
                "Protocols": self._protocols(),
                "LlamaRouter": self.state.router,
                "DataTxID": self.state.data_tx_id,
                "Models": len(self._records().models()),
            },
        )

    @handler("Get-Models")
    def get_models(self, message: Message) -> None:
        """List the models and how far they are."""
        rows = self._records()
        listed = []
        for model in rows.models():
            counts = rows.counts(model)
            shown = model._asdict()
            del shown["id"]
            shown |= {
                "evaluated": counts.evaluated,
                "unscored": counts.unscored,
                "total": counts.total,
                "correct": counts.correct,
            }
            listed.append(shown)
        self.reply(message, "Get-Models-Response", data=listed)

    @handler("Benchmark", requires=("Model",))
    def benchmark(self, message: Message) -> None:
        """Take a model up; again, its rows that were given up get another chance."""
        if message.sender not in (self.state.benchmark, self.owner):
            raise NotAuthorized(
                f"Benchmark is for the owner and for the Benchmark process, not {message.sender}"
            )
        tags = message.tags
        protocol = str(self._protocol(tags))
        rows = self._records()
        model = rows.find_model(tags["Model"], protocol)
        if model is None:
            name = tags.get("Name") or tags["Model"]
            model = rows.add_model(name, tags["Model"], tags.get("Weights"), protocol)
            self._add_rows(model, rows.samples())
        else:
            if tags.get("Weights") not in ("", model.data_tx):
                raise HandlerError(f"model {model.inference_process} has other weights here")
            rows.revive(model)
        total = rows.counts(model).total
        self.reply(
            message,
            "Benchmark-Response",
            {"Model": model.inference_process, "Protocol": protocol, "Total": total},
        )

    @handler("Evaluate", owner_only=True)
    def evaluate(self, message: Message) -> None:
        """Ask for the next inferences: at most `PER_TICK`, oldest first."""
        if not self.state.router:
            raise HandlerError("there is no LlamaRouter to ask; name one with Init")
        rows = self._records()
        expired = rows.expire(message.timestamp - self.state.lease_ms)
        if expired:
            self.log(f"{expired} inferences were not answered in time and are pending again")
        if self.state.herder and self.state.base_fee is None:
            self._ask_fees()
            self.log("The herder has not told its fees yet; nothing was asked")
            return
        ask = self._buy if self.state.herder else self._ask
        rows.start([ask(task) for task in rows.take_pending(PER_TICK)], message.timestamp)

    @handler("Inference-Response")
    def inference_response(self, message: Message) -> None:
        """Judge an answer. One that nobody waits for, such as a second one, changes nothing."""
        task = self._answered(message)
        if task is None:
            return
        if message.tags.get("Weights") not in ("", task.weights) and task.weights:
            self._records().fail(task, f"answered by other weights: {message.tags['Weights']}")
            return
        try:
            answer = message.json()
            if not isinstance(answer, dict):
                raise HandlerError("the answer is not a JSON object")
            protocol = Protocol.parse(task.protocol)
            if answer.get("precision", STORED) != protocol.precision:
                raise HandlerError(f"it was not computed in {protocol.precision}")
            seen = self.retrieve(answer, task.sample, protocol.method)
        except BenchpoolError as error:
            self._records().fail(task, f"the answer cannot be read: {error}"[:500])
            return
        values: dict[str, Any] = {
            "prediction": seen.choice,
            "correct": self.is_correct(task.sample, seen.choice),
            "prediction_per_character": seen.per_character,
            "correct_per_character": None,
            "margin_nats": seen.margin_nats,
            "answer": answer,
        }
        if seen.per_character is not None:
            values["correct_per_character"] = self.is_correct(task.sample, seen.per_character)
        self._records().finish(task, values, message.timestamp)

    @handler("Inference-Error")
    def inference_error(self, message: Message) -> None:
        """Count a failure of the model."""
        task = self._answered(message)
        if task is not None:
            self._records().fail(task, message.tags.get("Error", "no reason given")[:500])

    @handler("Score", requires=("Model",))
    def score(self, message: Message) -> None:
        """Report how far a model is."""
        model = self._known(message, "Score-Error")
        if model is not None:
            counts = self._records().counts(model)
            numbers = write_counts(counts, self.calculate_score(counts))
            self.reply(message, "Score-Response", [*_named(message, model.protocol), *numbers])

    @handler("Get-Report", requires=("Model",))
    def get_report(self, message: Message) -> None:
        """Report what a model's answers show beside their score."""
        model = self._known(message, "Get-Report-Error")
        if model is not None:
            rows = self._records()
            counts = rows.counts(model)
            numbers = write_counts(counts, self.calculate_score(counts))
            shown = report(rows.outcomes(model), self.card.choices)
            tags = [*_named(message, model.protocol), ("Weights", model.data_tx), *numbers]
            self.reply(message, "Get-Report-Response", tags, shown)

    @handler("Transfer-Error", name="LlamaHerder.Transfer-Error")
    def transfer_error(self, message: Message) -> None:
        """Put a row back that could not be paid for."""
        if message.sender != self.state.token:
            self.log(f"Ignored: Transfer-Error from {message.sender}, which is not the token")
            return
        task = self._records().find_started(message.tags.get("X-Reference"))
        if task is not None:
            self._records().put_back(task, message.tags.get("Error", "the transfer failed")[:500])

    @handler("Credit-Notice")
    def credit_notice(self, message: Message) -> None:
        """Take a refund of the herder: its row is pending again, at the price the herder names."""
        tags = message.tags
        if message.sender != self.state.token:
            self.log(f"Ignored: Credit-Notice from {message.sender}, which is not the token")
            return
        if "X-Error" not in tags or tags.get("Sender") != self.state.router:
            return
        task = self._records().find_started(tags.get("X-Reference"))
        if task is None:
            return
        needed = parse_quantity(tags["X-Needed"]) if "X-Needed" in tags else 0
        if needed > (task.price or 0):
            self._records().put_back(task, tags["X-Error"][:500], price=needed)
        else:
            # It was paid enough, so it came back because it could not be answered.
            self._records().fail(task, tags["X-Error"][:500])

    @handler("Debit-Notice", "Register-Dataset-Response")
    def take_note(self, message: Message) -> None:
        """Take what needs no answer; else it would fill the inbox."""

    # -- set-up ------------------------------------------------------------------------------

    def _configure(self, tags: Tags) -> None:
        state = self.state
        if "LlamaRouter" in tags:
            state.router = tags["LlamaRouter"]
            state.base_fee = None
        if "Herder" in tags:
            state.herder = tags["Herder"].lower() == "true"
        state.token = tags.get("WrappedAR", state.token)
        state.benchmark = tags.get("Benchmark", state.benchmark)
        state.system_prompt = tags.get("SystemPrompt", state.system_prompt)
        state.lease_ms = duration_ms(tags, "Lease", default=state.lease_ms)
        if state.herder and not state.token:
            raise HandlerError("a herder is paid in wrapped AR: name the token with tag WrappedAR")
        data_id = tags.get("DataTxID")
        if data_id and data_id not in state.loaded:
            self._load(data_id, self.weavedrive.read(data_id))
            state.data_tx_id = data_id
        if state.herder and state.router and state.base_fee is None:
            self._ask_fees()
        self._announce()

    def _announce(self) -> None:
        if self.state.benchmark:
            self.send(
                self.state.benchmark,
                "Register-Dataset",
                {
                    "Name": self.card.name,
                    "Samples": self._records().sample_count(),
                    "Chance": self.card.chance,
                    "Protocols": self._protocols(),
                    "LlamaRouter": self.state.router,
                },
            )

    def _load(self, data_id: str, data: bytes, *, name: str = "") -> int:
        if data_id in self.state.loaded:
            raise HandlerError(f"{name or data_id} is loaded already")
        samples = self.load_samples(data, name or data_id)
        for number, sample in enumerate(samples, start=1):
            if len(sample.choices) != self.card.choices:
                raise HandlerError(
                    f"{name or data_id}, item {number}: has {len(sample.choices)} choices, not"
                    f" {self.card.choices}"
                )
        rows = self._records()
        numbered = rows.add_samples(samples)
        for model in rows.models():
            self._add_rows(model, numbered)
        self.state.loaded[data_id] = len(samples)
        return len(samples)

    def _add_rows(self, model: Model, questions: Sequence[tuple[int, Sample]]) -> None:
        method = Protocol.parse(model.protocol).method
        prompts = [self.build_request(sample, method)["prompt"] for _, sample in questions]
        self._records().add_rows(model, questions, prompts)

    def _protocols(self) -> str:
        """List every protocol: each method in each precision."""
        return ",".join(
            str(Protocol(method, precision))
            for precision in PRECISIONS
            for method in self.card.protocols
        )

    def _protocol(self, tags: Tags) -> Protocol:
        named = tags.get("Protocol") or self.card.protocols[0]
        protocol = Protocol.parse(named)
        if protocol.method not in self.card.protocols:
            raise HandlerError(
                f"{self.card.name} has no protocol {named[:40]!r}; there are {self._protocols()}"
            )
        return protocol

    def _known(self, message: Message, error: str) -> Model | None:
        """Return the model that a message asks about; else reply with an error."""
        named = message.tags.get("Protocol") or self.card.protocols[0]
        try:
            protocol = str(Protocol.parse(named))
            model = self._records().find_model(message.tags["Model"], protocol)
            reason = f"model {message.tags['Model']} is not evaluated here by {protocol}"
        except DatasetError as wrong:
            model, reason = None, str(wrong)
        if model is None:
            self.reply(message, error, [*_named(message, named), ("Error", reason)])
        return model

    # -- asking ------------------------------------------------------------------------------

    def _request(self, task: Task) -> dict[str, Any]:
        protocol = Protocol.parse(task.protocol)
        request = self.build_request(task.sample, protocol.method)
        if protocol.precision != STORED:
            request["precision"] = protocol.precision
        return request

    def _ask(self, task: Task) -> tuple[Task, int, int | None]:
        request = self._request(task)
        tags = {"Model": task.model, "X-Reference": self.next_reference}
        return task, self.send(self.state.router, "Inference", tags, request), None

    def _buy(self, task: Task) -> tuple[Task, int, int | None]:
        request = self._request(task)
        price = max(task.price or 0, self._price(request))
        reference = self.send(
            self.state.token,
            "Transfer",
            {
                "Recipient": self.state.router,
                "Quantity": price,
                "X-Model": task.model,
                "X-Request": msgspec.json.encode(request).decode(),
                "X-Reference": self.next_reference,
            },
        )
        return task, reference, price

    def _price(self, request: dict[str, Any]) -> int:
        """Compute what the herder asks; if this is too little, its refund names the price."""
        choices = request.get("choices", [])
        words = sum(len(text.split()) for text in [request["prompt"], *choices])
        tokens = 0 if choices else request.get("max_tokens", 0)
        return (self.state.base_fee or 0) + self.state.token_fee * (words + tokens)

    def _ask_fees(self) -> None:
        self.state.fees_asked = str(self.send(self.state.router, "Info"))

    def _take_fees(self, message: Message) -> None:
        tags = message.tags
        if not self.state.fees_asked or tags.get("X-Reference") != self.state.fees_asked:
            return
        fees = [tags.get("Base-Fee"), tags.get("Token-Fee")]
        if not all(fee.isascii() and fee.isdecimal() for fee in fees):
            raise HandlerError(f"{message.sender} names no Base-Fee and Token-Fee: is it a herder?")
        self.state.base_fee, self.state.token_fee = map(int, fees)
        self.state.fees_asked = ""

    def _answered(self, message: Message) -> Task | None:
        if not self.state.router or message.sender != self.state.router:
            self.log(f"Ignored: {message.action} from {message.sender}, which was not asked")
            return None
        task = self._records().find_started(message.tags.get("X-Reference"))
        if task is None:
            self.log(f"Ignored: {message.action} that no evaluation waits for")
        elif message.tags.get("Model") not in ("", task.model):
            self.log(f"Ignored: {message.action} of another model, {message.tags['Model']}")
            return None
        return task

    def _records(self) -> Evaluations:
        return Evaluations(statements(self.card.choices), self.database.session)


def _named(message: Message, protocol: str) -> list[Pair]:
    return [("Model", message.tags["Model"]), ("Protocol", protocol)]
