"""LlamaWorker: a model process. It loads one GGUF model by its data id and answers inferences."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
from pydantic import Field

from benchpool.ao.ids import is_id
from benchpool.ao.tags import Tags
from benchpool.errors import HandlerError, InferenceError, NotAuthorized, StoreError
from benchpool.extensions.llama import Llama
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.inference.engine import (
    Answer,
    ChoicesAnswer,
    Generation,
    Precision,
    Request,
    Runtime,
    Unanswered,
    machine_id,
)
from benchpool.process import Message, State, handler
from processes.guarded import Discreet
from processes.tag_values import check_address, whole_number
from processes.workers.inference_request import DEFAULT_MAX_TOKENS, MOST_TOKENS, read_request


class Computing(State):
    """What beside model and request decides the bits of an answer; see `Runtime`."""

    id: str
    """16 hexadecimal digits of its SHA-256: equal ids give equal bits."""
    build: str
    cpu: str
    layout: str

    @property
    def machine(self) -> str:
        """See `machine_id`."""
        return machine_id(self.build, self.cpu)


class WorkerState(State):
    """The model in use and how it is asked."""

    router: str = ""
    """Who may ask it beside its owner."""
    model: str = ""
    """The model process that this worker helps; usually itself."""
    helpers: dict[str, bool] = Field(default_factory=dict)
    """Workers that this model process vouches for at its router."""
    weights: str = ""
    """The data id of the model's file; empty until one is loaded."""
    name: str = ""
    architecture: str = ""
    parameters: int = 0
    quantization: str = ""
    context: int = 0
    """Tokens."""
    max_tokens: int = DEFAULT_MAX_TOKENS
    system_prompt: str = ""
    chat_template: str = ""
    """SHA-256 of the file's chat template in hexadecimal digits; empty if it has none."""
    runtimes: dict[str, Computing] = Field(default_factory=dict)
    """By precision, from the first request in it on."""
    remote: str = Field(default="", exclude_if=operator.not_)
    """What its model server can be asked for, "choices" or "text"; empty if none runs it."""
    machine: str = Field(default="", exclude_if=operator.not_)
    """What it was loaded on, see `machine_id`; empty in the first edition, and of a server."""


class LlamaWorker(Discreet):
    """Runs a model for its owner and its router."""

    extensions: ClassVar[tuple[str, ...]] = ("WeaveDrive", "Llama")
    heavy: ClassVar[bool] = True

    state: WorkerState
    llama: Llama
    weavedrive: WeaveDrive

    def on_spawn(self, message: Message) -> None:
        """Take the settings and load `Model-Data`, if given. Raises: HandlerError."""
        state, tags = self.state, message.tags
        state.router = tags.get("Router") and check_address(tags.get("Router"), "Router")
        state.model = check_address(tags.get("Model") or self.id, "Model")
        state.max_tokens = _max_tokens(tags)
        state.system_prompt = tags.get("System-Prompt")
        if tags.get("Model-Data"):
            self._load(tags["Model-Data"], tags.get("Model-Name"))

    def prepare(self, batch: Sequence[Message]) -> None:
        """Ask for all pending inferences at once: a batch takes far less time than its parts."""
        requests: dict[Precision, list[Request]] = {}
        for message in batch:
            if message.action.lower() == "inference" and self._may_ask(message):
                try:
                    request, precision = self._read(message)
                except HandlerError:
                    continue  # its handler says what is wrong with it
                requests.setdefault(precision, []).append(request)
        if self.state.weights:
            for precision, asked in requests.items():
                known = self._known(precision)
                self.llama.prepare(self.state.weights, asked, precision, runtime=known)

    @handler("loadModel", "Load-Model")
    def load_model(self, message: Message) -> None:
        """Load a model and register it with the router."""
        self._require_asker(message)
        tags = message.tags
        self._load(tags.get("Data-Id") or message.text.strip(), tags.get("Model-Name"), message)

    @handler("setMaxTokens", "Set-Max-Tokens")
    def set_max_tokens(self, message: Message) -> None:
        """Set how many tokens are generated where a request does not say."""
        self._require_asker(message)
        given = message.tags.get("Max-Tokens") or message.text.strip()
        if not given:
            raise HandlerError("Max-Tokens is required!")
        self.state.max_tokens = _max_tokens(Tags({"Max-Tokens": given}))
        self.reply(message, "Set-Max-Tokens-Response", {"Max-Tokens": self.state.max_tokens})

    @handler("setSystemPrompt", "Set-System-Prompt")
    def set_system_prompt(self, message: Message) -> None:
        """Set the system prompt of requests that bring none; an empty one takes it away."""
        self._require_asker(message)
        self.state.system_prompt = message.tags.get("System-Prompt") or message.text
        self.reply(message, "Set-System-Prompt-Response")

    @handler("Set-Router", owner_only=True, requires=("Router",))
    def set_router(self, message: Message) -> None:
        """Work for another router."""
        state = self.state
        router = check_address(message.tags["Router"], "Router")
        if state.weights and state.router not in ("", router):
            # Else the old one would go on asking, and wait for answers that it is refused.
            self.send(state.router, "Unregister-Worker")
        state.router = router
        self.reply(message, "Set-Router-Response", {"Router": router})
        self._register()

    @handler("Add-Worker", owner_only=True, requires=("Worker",))
    def add_worker(self, message: Message) -> None:
        """Have a further worker of this model registered, which loaded the same weights."""
        worker = check_address(message.tags["Worker"], "Worker")
        if not (self.state.router and self.state.weights):
            raise HandlerError("this model process has no router, or no model yet")
        self.state.helpers[worker] = True
        self.reply(message, "Add-Worker-Response", {"Worker": worker})
        self._register(worker)

    @handler("Inference")
    def inference(self, message: Message) -> None:
        """Answer a request, or say why this model cannot."""
        self._require_asker(message)
        weights = self.state.weights
        try:
            request, precision = self._read(message)
            computed = self.llama.compute(
                self._weights(), request, precision, runtime=self._known(precision)
            )
            answer = _written(computed.answer)
            if computed.runtime is not None:  # what is said of an answer is true of it
                self.state.runtimes[precision] = _computing(computed.runtime)
            computing = self._computing(precision)
            facts = {"precision": precision, "layout": computing.layout, "runtime": computing.id}
            if self.state.machine and computing.machine != self.state.machine:
                facts["machine"] = computing.machine
            data = msgspec.json.encode(answer | facts).decode()
        except (HandlerError, InferenceError, StoreError) as error:
            self.reply(message, "Inference-Error", {"Error": str(error), "Weights": weights})
            return
        self.reply(message, "Inference-Response", {"Weights": weights}, data)

    @handler("Register-Worker-Response", "Unregister-Worker-Response")
    def registered(self, message: Message) -> None:
        """The router's answer needs none."""
        self.log(f"{message.action} from {message.sender}")

    @handler("Info")
    def show_info(self, message: Message) -> None:
        """Say what is loaded."""
        state = self.state
        tags = {
            **self._card(),
            "Max-Tokens": state.max_tokens,
            "Loaded": "true" if state.weights else "false",
        }
        self.reply(message, "Info", tags)

    def _load(self, data_id: str, name: str, request: Message | None = None) -> None:
        if not is_id(data_id):
            raise HandlerError(f"not the data id of a model: {data_id[:60]!a}")
        card = self.llama.load(data_id)
        state = self.state
        state.runtimes, state.remote, state.machine = {}, "", ""
        if card.runtime is not None:
            state.runtimes["stored"] = _computing(card.runtime)
            state.remote = card.runtime.remote
            if self.edition > 1 and not state.remote:
                state.machine = card.runtime.machine
        state.chat_template = card.chat_template_sha256 or ""
        state.weights = card.weights or data_id
        state.name = name or card.name
        state.architecture = card.architecture
        state.parameters = card.parameters
        state.quantization = card.quantization
        state.context = card.context_tokens
        if request is not None:
            self.reply(request, "Load-Model-Response", self._card())
        self._register()

    def _register(self, helper: str = "") -> None:
        """Register this worker, or one that helps it.

        A worker of another model process works once that one has vouched for it: a router takes
        nobody's word for whose model he serves.
        """
        state = self.state
        if not (state.router and state.weights):
            return
        tags = {"Model": self.id, "Weights": state.weights, "Name": state.name}
        if state.remote:
            tags["Remote"] = state.remote
        if state.machine:
            tags["Runtime"] = state.machine
        owner = {"Owner": self.owner} if self.edition > 1 else {}
        if helper:
            self.send(state.router, "Register-Worker", tags | {"Worker": helper})
        elif state.model == self.id:
            self.send(state.router, "Register-Worker", tags | owner)
            for known in state.helpers:
                self._register(known)
        elif self.edition > 1:
            self.send(state.router, "Register-Worker", tags | owner | {"Model": state.model})

    def _card(self) -> dict[str, Any]:
        state = self.state
        return {
            "Model": state.model or self.id,
            "Weights": state.weights,
            "Name": state.name,
            "Architecture": state.architecture,
            "Parameters": state.parameters,
            "Quantization": state.quantization,
            "Context": state.context,
            "Chat-Template": state.chat_template,
            **({"Remote": state.remote} if state.remote else {}),
            **({"Runtime": state.machine} if state.machine else {}),
            **{
                f"Runtime-{precision}": f"{each.id}: {each.build}; {each.layout}; {each.cpu}"
                for precision, each in state.runtimes.items()
            },
        }

    def _weights(self) -> str:
        if not self.state.weights:
            raise HandlerError("no model is loaded")
        return self.state.weights

    def _known(self, precision: Precision) -> str:
        """Return the id of the runtime that is known; the first edition takes whatever there is."""
        known = self.state.runtimes.get(precision)
        return known.id if known is not None and self.edition > 1 else ""

    def _computing(self, precision: Precision) -> Computing:
        known = self.state.runtimes.get(precision)
        if known is None:
            runtime = self.llama.load(self.state.weights, precision).runtime
            if runtime is None:
                raise InferenceError(f"the engine does not say how it computes in {precision}")
            known = self.state.runtimes[precision] = _computing(runtime)
        return known

    def _read(self, message: Message) -> tuple[Request, Precision]:
        asked = read_request(message.text)
        request = asked.request(
            system_prompt=self.state.system_prompt, max_tokens=self.state.max_tokens
        )
        return request, asked.precision

    def _may_ask(self, message: Message) -> bool:
        return message.sender in (self.state.router, self.owner, self.id)

    def _require_asker(self, message: Message) -> None:
        if not self._may_ask(message):
            raise NotAuthorized(
                f"{message.action} is for this worker's router and owner only, and"
                f" {message.sender} is neither"
            )


def _max_tokens(tags: Tags) -> int:
    return whole_number(tags, "Max-Tokens", default=DEFAULT_MAX_TOKENS, least=1, most=MOST_TOKENS)


def _computing(runtime: Runtime) -> Computing:
    return Computing(id=runtime.id, build=runtime.build, cpu=runtime.cpu, layout=runtime.layout)


def _written(answer: Answer) -> dict[str, Any]:
    """Write an answer for its requester. Raises: InferenceError if it is no usable one."""
    if isinstance(answer, Unanswered):
        raise InferenceError(answer.reason)
    if isinstance(answer, Generation):
        return {
            "text": answer.text,
            "tokens": answer.tokens,
            "prompt_tokens": answer.prompt_tokens,
            "finish": answer.finish,
        }
    return _written_likelihoods(answer)


def _written_likelihoods(answer: ChoicesAnswer) -> dict[str, Any]:
    if not all(math.isfinite(each.nats) for each in answer.log_likelihoods):
        raise InferenceError("a log-likelihood is not a finite number")
    return {
        "log_likelihoods": [msgspec.to_builtins(each) for each in answer.log_likelihoods],
        "prompt_tokens": answer.prompt_tokens,
    }
