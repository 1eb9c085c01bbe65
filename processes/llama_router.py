"""LlamaRouter: passes inferences on to the workers of a model and the answers back; free."""

from __future__ import annotations

from typing import ClassVar, Final

from benchpool.process import Message, handler
from processes.workers.roster import Work, Worker
from processes.workers.workforce import Workforce

UNBOUNDED: Final = 1_000_000
"""A worker takes what is pending all at once, so nothing is gained by holding work back."""


class LlamaRouter(Workforce):
    """Hands each inference to the least busy worker of its model."""

    default_capacity: ClassVar[int] = UNBOUNDED

    @handler("Inference", requires=("Model",))
    def inference(self, message: Message) -> None:
        """Pass a request on to a worker of the model, or let it wait for one."""
        tags = message.tags
        carried = tags.extras()
        if message.reference and "X-Reference" not in tags:
            carried.append(("X-Reference", message.reference))
        work = Work(
            id=message.id,
            # Not Reply-To: it would let anybody have answers sent to a data set that asked nothing.
            requester=message.sender,
            tags=carried,
            model=tags["Model"],
            request=message.text,
            arrived=message.nonce,
        )
        model = self.state.models.get(work.model)
        if model is None or not model.workers:
            work.error = "no worker serves this model"
            self.give_up(work)
            return
        self.take(work, message)

    @handler("Info")
    def show_info(self, message: Message) -> None:
        """Say how much there is to do."""
        tags = {
            "Workers": len(self.state.workers),
            "Open": self.open_count(),
            "Queue-Length": self.queue_length(),
        }
        self.reply(message, "Info", tags)

    def deliver(self, work: Work, worker: Worker, answer: Message) -> None:
        """Pass the answer on, with the requester's reference and X- tags."""
        tags = [
            ("Model", work.model),
            ("Weights", worker.weights),
            ("Worker", worker.id),
            *work.tags,
        ]
        self.send(work.requester, "Inference-Response", tags, answer.data)

    def give_up(self, work: Work) -> None:
        """Pass the failure on, with the requester's reference and X- tags."""
        tags = [("Model", work.model), ("Error", work.error), *work.tags]
        self.send(work.requester, "Inference-Error", tags)
