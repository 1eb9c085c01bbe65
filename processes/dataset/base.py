"""What the handlers of a data set process share: its state, its tables, protocols and fees."""

from __future__ import annotations

import operator
from typing import Any, ClassVar

from pydantic import Field

from benchpool.ao.clock import HOUR_MS
from benchpool.ao.tags import Pair, Tags
from benchpool.errors import DatasetError, HandlerError
from benchpool.evaluation.controls import controlled
from benchpool.evaluation.protocol import PRECISIONS, STORED, Protocol
from benchpool.evaluation.sample import Sample, samples_hash, seal
from benchpool.extensions.database import Database
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.process import Message, State
from benchpool.winston import Winston
from processes.dataset.evaluations import Evaluations, ModelRow
from processes.dataset.parts import DatasetParts
from processes.dataset.statements import Statements, statements
from processes.guarded import Discreet
from processes.tag_values import DATASET


class Share(State):
    """What a pool has a right to of the inferences of a tick."""

    funds: Winston
    """Its weight against other pools."""
    samples: int
    """Its questions are those up to this number."""
    models: list[int]
    """The rows of its entries, in the order in which they came."""


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
    samples: dict[str, int] = Field(default_factory=dict, exclude_if=operator.not_)
    """SHA-256 of the questions there were to their number: a pool keeps those it was made with."""
    seal: str = Field(default="", exclude_if=operator.not_)
    """SHA-256 of salt and questions, if the questions were a secret before."""
    shares: dict[str, Share] = Field(default_factory=dict, exclude_if=operator.not_)
    """By pool; those of models that the owner has evaluated stand under no name."""
    runtimes: dict[str, str] = Field(default_factory=dict, exclude_if=operator.not_)
    """What models must be computed on, by model, where a pool that they are in names it."""


class DatasetBase(DatasetParts, Discreet):
    """A data set process without its handlers."""

    extensions: ClassVar[tuple[str, ...]] = ("Database", "WeaveDrive")
    roles: ClassVar[tuple[str, ...]] = (DATASET,)
    state: DatasetState
    database: Database
    weavedrive: WeaveDrive

    @property
    def system_prompt(self) -> str:  # type: ignore[override]
        """What SystemPrompt said last."""
        return self.state.system_prompt

    def _samples_hash(self) -> str:
        """Return the SHA-256 of all questions; the newest stands last."""
        return next(reversed(self.state.samples), samples_hash(()))

    def _is_told_all(self, message: Message) -> bool:
        """Tell whether a message may learn how far a model is now, and not only at the last board.

        Else whoever asks after each answer learns which are right. A dry run may claim any sender.
        """
        asker = message.sender in (self.state.benchmark, self.owner)
        return self.edition == 1 or (asker and not message.read_only)

    def _records(self) -> Evaluations:
        return Evaluations(self._statements(), self.database.session)

    def _questions_hash(self, data: bytes) -> str:  # noqa: ARG002
        """Return the SHA-256 that names all questions, of which the last came in `data`."""
        return samples_hash(sample for _, sample in self._records().samples())

    def _questions_seal(self, salt: str, data: bytes) -> str:  # noqa: ARG002
        """Return the SHA-256 that committed to the questions while they were a secret."""
        return seal(salt, (sample for _, sample in self._records().samples()))

    def _statements(self) -> Statements:
        return statements(self.card.choices)

    def _is_known(self) -> bool:
        """Tell whether pools can be made for it yet."""
        return True

    def _limits(self) -> dict[str, Any]:
        """Return what pools must know that they cannot ask of this data set."""
        return {}

    def _left_out(self) -> dict[str, int]:
        """Return how many questions of the data are none here, by reason."""
        return {}

    def _facts(self) -> dict[str, Any]:
        """Return what an Info says of this data set alone."""
        return {}

    def _protocols(self) -> str:
        """List every protocol: each method in each precision."""
        return ",".join(
            str(Protocol(method, precision))
            for precision in PRECISIONS
            for method in self.card.protocols
        )

    def _protocol(self, tags: Tags) -> Protocol:
        return self._protocol_of(tags.get("Protocol") or self.card.protocols[0])

    def _protocol_of(self, named: str) -> Protocol:
        protocol = Protocol.parse(named)
        if protocol.method not in self.card.protocols:
            raise HandlerError(
                f"{self.card.name} has no protocol {named[:40]!r}; there are {self._protocols()}"
            )
        return protocol

    def _asked_of(self, sample: Sample, protocol: Protocol) -> dict[str, Any]:
        """Return what a model is asked at a question."""
        request = self.build_request(controlled(sample, protocol.control), protocol.method)
        if protocol.precision != STORED:
            request["precision"] = protocol.precision
        return request

    def _known(self, message: Message, error: str) -> ModelRow | None:
        """Return the model that a message asks about; else reply with an error."""
        named = message.tags.get("Protocol") or self.card.protocols[0]
        try:
            protocol = str(Protocol.parse(named))
            model = self._records().find_model(message.tags["Model"], protocol)
            reason = f"model {message.tags['Model']} is not evaluated here by {protocol}"
        except DatasetError as wrong:
            model, reason = None, str(wrong)
        if model is None:
            self.reply(message, error, [*model_tags(message, named), ("Error", reason)])
        return model

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


def model_tags(message: Message, protocol: str) -> list[Pair]:
    """Return the tags that say which model an answer is about."""
    return [("Model", message.tags["Model"]), ("Protocol", protocol)]
