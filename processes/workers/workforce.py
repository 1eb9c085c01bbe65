"""Workforce: what a router and a herder have in common: workers, models, and work handed out.

A worker serves one model; a model may have many workers. Work goes to the worker of its model that
has the least to do, in the order of registration where several have; while all are at their
capacity it waits in the model's queue. A failure goes to another worker before it goes to whoever
asked. A worker that is silent for longer than a lease is taken off the list.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import ClassVar, Final

from benchpool.errors import HandlerError, NotAuthorized
from benchpool.process import Message, handler
from benchpool.process.handlers import Verdict
from processes.guarded import Discreet
from processes.tag_values import (
    ROUTER,
    check_address,
    duration_ms,
    is_module,
    module_names,
    whole_number,
)
from processes.workers.roster import Offer, Roster, ServedModel, Work, Worker, has_hope, rank

WORKER_MODULE: Final = "LlamaWorker"
"""The module whose processes may work, if `Worker-Modules` names no others: its code answers with
what its model says, and nobody, its owner included, can change that."""


def _every_message(_: Message) -> Verdict:
    return Verdict.CONTINUE


class Workforce(Discreet):
    """Base of the modules that hand inferences out to workers."""

    roles: ClassVar[tuple[str, ...]] = (ROUTER,)
    state: Roster

    default_capacity: ClassVar[int]
    """Inferences that a worker has at a time, if it does not say."""
    default_lease_ms: ClassVar[int] = 0
    """How long a worker may take, if the spawn tags do not say; 0 is as long as it likes."""

    def on_spawn(self, message: Message) -> None:
        """Take `Lease` and `Worker-Modules`. Raises: HandlerError if the lease is no duration."""
        self.state.lease_ms = duration_ms(message.tags, "Lease", default=self.default_lease_ms)
        if self.edition > 1:
            named = module_names(message.tags, "Worker-Modules", default=WORKER_MODULE)
            self.state.worker_modules = named

    # -- what a module defines ---------------------------------------------------------------

    def deliver(self, work: Work, worker: Worker, answer: Message) -> None:
        """Hand an answer to whoever asked."""
        raise NotImplementedError

    def give_up(self, work: Work) -> None:
        """Tell whoever asked that nobody could answer; `work.error` says why."""
        raise NotImplementedError

    def watch(self, message: Message) -> None:
        """Do what has fallen due, before the message is handled."""
        if self.state.lease_ms:
            self._end_leases(message)

    # -- handlers ----------------------------------------------------------------------------

    @handler(_every_message, name="Watch")
    def each_message(self, message: Message) -> None:
        """A process has no clock but its messages: whichever comes tells it the time."""
        if not message.read_only:
            self.watch(message)

    @handler("Register-Worker", requires=("Weights",))
    def register_worker(self, message: Message) -> None:
        """Take a worker on; a second time, update its capacity.

        A helper works for another process's model once both have said so: the helper what it has
        loaded, the model that it vouches for it.
        """
        tags, sender, state = message.tags, message.sender, self.state
        worker_id = check_address(tags.get("Worker") or sender, "Worker")
        model_id = check_address(tags.get("Model") or worker_id, "Model")
        weights, name = tags["Weights"], tags.get("Name") or model_id
        capacity = whole_number(tags, "Capacity", default=self.default_capacity, least=1)
        self._check_registrar(message, worker_id, model_id)
        worker = state.workers.get(worker_id)
        if worker is not None and worker.model != model_id:
            raise HandlerError(f"{worker_id} works for model {worker.model}; unregister it first")
        model = state.models.get(model_id)
        if model is not None and model.weights != weights:
            raise HandlerError(
                f"model {model_id} has the weights {model.weights}, not {weights}; other weights"
                " are another model, with a process of its own"
            )
        answer = {"Worker": worker_id, "Model": model_id}
        if self.edition > 1 and worker_id != model_id:
            if not self._agreed(
                message,
                worker_id,
                model_id,
                Offer(
                    model=model_id, weights=weights, capacity=capacity, runtime=tags.get("Runtime")
                ),
            ):
                missing = "the helper registers" if sender == model_id else "its model vouches"
                self.reply(message, "Register-Worker-Response", {**answer, "Waits-For": missing})
                return
            capacity = state.offers.pop(worker_id).capacity
        if model is None:
            owner = check_address(tags.get("Owner"), "Owner") if self.edition > 1 else ""
            remote, runtime = tags.get("Remote"), tags.get("Runtime")
            state.models[model_id] = ServedModel(
                name=name, weights=weights, owner=owner, remote=remote, runtime=runtime
            )
        if worker is None:
            state.workers[worker_id] = Worker(
                id=worker_id, model=model_id, name=name, weights=weights, capacity=capacity
            )
            state.models[model_id].workers.append(worker_id)
        else:
            worker.capacity = capacity
        self.reply(message, "Register-Worker-Response", answer)
        self._feed(state.workers[worker_id], message)

    @handler("Unregister-Worker")
    def unregister_worker(self, message: Message) -> None:
        """Let a worker go; what it had goes to others or waits."""
        known = self.state.workers.get(message.tags.get("Worker"))
        worker_id = self._worker_meant(message, known.model if known else "")
        worker = self.state.workers.get(worker_id)
        if worker is None:
            raise HandlerError(f"{worker_id} is no worker here")
        self.reply(
            message, "Unregister-Worker-Response", {"Worker": worker.id, "Model": worker.model}
        )
        self._dismiss(worker, message)

    @handler("Inference-Response", "Inference-Error")
    def answered(self, message: Message) -> None:
        """Take the answer of the worker that was asked; anybody else's is reported only."""
        reference = message.tags.get("X-Reference")
        worker = self.state.workers.get(message.sender)
        work = None if worker is None else worker.open.pop(reference, None)
        if worker is None or work is None:
            self.log(
                f"Ignored {message.action} from {message.sender}: it was not asked anything with"
                f" reference {reference or '(none)'}"
            )
            return
        error = _failure(message, worker)
        if error:
            work.failed.append(worker.id)
            work.error = error
            self._place(work, message)
        else:
            self.deliver(work, worker, message)
        self._feed(worker, message)

    @handler("Get-Model", requires=("Model",))
    def get_model(self, message: Message) -> None:
        """Describe a model."""
        model_id = message.tags["Model"]
        model = self.state.models.get(model_id)
        if model is None:
            self.reply(
                message,
                "Get-Model-Error",
                {"Model": model_id, "Error": "no worker was ever registered for this model"},
            )
            return
        tags = {
            "Model": model_id,
            "Name": model.name,
            "Weights": model.weights,
            "Workers": len(model.workers),
        }
        if model.owner:
            tags["Owner"] = model.owner
        if model.remote:
            tags["Remote"] = model.remote
        if model.runtime:
            tags["Runtime"] = model.runtime
        self.reply(message, "Get-Model-Response", tags)

    @handler("Get-Workers")
    def get_workers(self, message: Message) -> None:
        """List the workers in the order of registration."""
        listed = [
            {
                "worker": worker.id,
                "model": worker.model,
                "name": worker.name,
                "weights": worker.weights,
                "open": len(worker.open),
                "capacity": worker.capacity,
            }
            for worker in self.state.workers.values()
        ]
        self.reply(message, "Get-Workers-Response", data=listed)

    # -- work --------------------------------------------------------------------------------

    def take(self, work: Work, message: Message) -> None:
        """Accept work for a model that has a worker."""
        self._place(work, message)

    def queue_length(self) -> int:
        """Count what waits for a worker."""
        return sum(len(model.queue) for model in self.state.models.values())

    def open_count(self) -> int:
        """Count what workers have not answered yet."""
        return sum(len(worker.open) for worker in self.state.workers.values())

    def started(self, work: Work) -> None:
        """Work was given to a worker."""

    def _place(self, work: Work, message: Message) -> None:
        model = self.state.models[work.model]
        worker = self._least_busy(model, work)
        if worker is not None:
            self._hand_out(work, worker, message)
        elif has_hope(work, model):
            index = bisect_right(model.queue, rank(work), key=rank)
            if index == len(model.queue):
                model.queue.append(work)
            else:
                model.queue.insert(index, work)
        else:
            self.give_up(work)

    def _least_busy(self, model: ServedModel, work: Work) -> Worker | None:
        best: Worker | None = None
        for worker_id in model.workers:
            worker = self.state.workers[worker_id]
            busy = len(worker.open)
            if (
                busy < worker.capacity
                and (best is None or busy < len(best.open))
                and worker_id not in work.failed
            ):
                best = worker
        return best

    def _hand_out(self, work: Work, worker: Worker, message: Message) -> None:
        if self.state.lease_ms:
            work.due_ms = message.timestamp + self.state.lease_ms
        # Without the X- tags of whoever asked: the answer must bear the reference of this message.
        reference = self.send(worker.id, "Inference", {"Model": work.model}, work.request)
        worker.open[str(reference)] = work
        self.started(work)

    def _feed(self, worker: Worker, message: Message) -> None:
        queue = self.state.models[worker.model].queue
        while len(worker.open) < worker.capacity:
            index = next((i for i, work in enumerate(queue) if worker.id not in work.failed), None)
            if index is None:
                return
            self._hand_out(queue.pop(index), worker, message)

    def _dismiss(self, worker: Worker, message: Message) -> None:
        del self.state.workers[worker.id]
        model = self.state.models[worker.model]
        model.workers.remove(worker.id)
        if not model.workers:
            model.deserted_ms = message.timestamp
        for work in list(worker.open.values()):
            self._place(work, message)
        hopeless = [work for work in model.queue if not has_hope(work, model)]
        if hopeless:
            model.queue = [work for work in model.queue if has_hope(work, model)]
        for work in hopeless:
            self.give_up(work)

    def _end_leases(self, message: Message) -> None:
        now_ms, lease_ms = message.timestamp, self.state.lease_ms
        # A copy: workers leave while this goes on.
        for worker in list(self.state.workers.values()):
            oldest = next(iter(worker.open.values()), None)
            if oldest is None or oldest.due_ms > now_ms or worker.id == message.sender:
                continue  # who speaks is not silent, and may just be late
            self.log(f"Worker {worker.id} was silent for more than {lease_ms} ms: unregistered")
            self._dismiss(worker, message)
        for model in self.state.models.values():
            if model.queue and not model.workers and now_ms >= model.deserted_ms + lease_ms:
                waiting, model.queue = list(model.queue), []
                for work in waiting:
                    work.error = work.error or "the model has no worker any more"
                    self.give_up(work)

    def _check_registrar(self, message: Message, worker_id: str, model_id: str) -> None:
        """Check that a worker is registered by whoever may say it. Raises: NotAuthorized."""
        sender = message.sender
        if self.edition == 1:
            self._worker_meant(message, message.tags.get("Model"))
            if model_id not in (worker_id, sender) and sender != self.owner:
                raise NotAuthorized(
                    f"a further worker of model {model_id} is registered by that model or by the"
                    f" owner of this process, and {sender} is neither"
                )
            return
        if not is_module(message.from_module, self.state.worker_modules):
            raise NotAuthorized(
                f"only processes of {', '.join(self.state.worker_modules)} work here, and"
                f" {sender} is none"
            )
        if sender not in (worker_id, model_id):
            raise NotAuthorized(
                f"a worker is registered by itself, and vouched for by its model: {sender} is"
                f" neither {worker_id} nor {model_id}"
            )

    def _agreed(self, message: Message, worker_id: str, model_id: str, offer: Offer) -> bool:
        """Note what a helper or its model says; tell whether both have said the same.

        Raises: HandlerError if a model that is not known vouches, or for other weights.
        """
        state, model = self.state, self.state.models.get(model_id)
        if message.sender == worker_id:
            state.offers[worker_id] = offer
        elif model is None:
            raise HandlerError(f"model {model_id} must register itself before it vouches")
        elif worker_id not in model.vouched:
            model.vouched.append(worker_id)
        said = state.offers.get(worker_id)
        if model is None or said is None or worker_id not in model.vouched:
            return False
        if said.weights != model.weights:
            raise HandlerError(
                f"{worker_id} has the weights {said.weights}, and model {model_id} {model.weights}"
            )
        if said.runtime and model.runtime and said.runtime != model.runtime:
            raise HandlerError(
                f"{worker_id} computes on runtime {said.runtime}, and model {model_id} on"
                f" {model.runtime}: it is not used for it"
            )
        return said.model == model_id

    def _worker_meant(self, message: Message, model_id: str) -> str:
        """Return whom a message is about: only the worker and its model may say it.

        In the first edition the owner of this process may too. Raises: NotAuthorized.
        """
        worker = message.tags.get("Worker") or message.sender
        if message.sender not in (worker, model_id):
            if self.edition > 1:
                raise NotAuthorized(
                    f"{message.action} is for the worker itself and for its model only, and"
                    f" {message.sender} is neither"
                )
            self.require_owner(message)
        return check_address(worker, "Worker")


def _failure(answer: Message, worker: Worker) -> str:
    if answer.action.lower() == "inference-error":
        return answer.tags.get("Error") or "the worker gave no reason"
    weights = answer.tags.get("Weights", worker.weights)
    if weights != worker.weights:
        return f"worker {worker.id} answered with other weights than it registered: {weights}"
    return ""
