"""How a model joins a pool: its data set's router is asked for it, and the answer decides."""

from __future__ import annotations

from benchpool.errors import BenchpoolError, PoolError
from benchpool.process import Message, handler
from processes.pool.base import BenchmarkBase
from processes.pool.join_request import Join, read_join
from processes.pool.pool import Entry


class Joining(BenchmarkBase):
    """Lets models join."""

    @handler("Join-Pool")
    def join_pool(self, message: Message) -> None:
        """Ask the data set's router for the model; the answer decides."""
        pool_id, model = "", ""
        try:
            pool_id, model = read_join(message)
            router = self._check_join(pool_id, model, "", message.timestamp)
        except BenchpoolError as error:
            named = {"Pool": pool_id, "Model": model, "Error": str(error)}
            self.reply(message, "Join-Pool-Error", named)
            return
        reference = self.send(router, "Get-Model", {"Model": model})
        self.state.joins[str(reference)] = Join.of(message, pool_id, model, router)

    @handler("Get-Model-Response", "Get-Model-Error")
    def model_described(self, message: Message) -> None:
        """Let the model join, if nothing has come between since it was asked for."""
        reference, tags = message.tags.get("X-Reference"), message.tags
        join = self.state.joins.get(reference)
        if join is None or (join.router, join.model) != (message.sender, tags.get("Model")):
            self.log(f"Ignored {message.action} from {message.sender}: nobody waits for it")
            return
        del self.state.joins[reference]
        try:
            if message.action.lower() == "get-model-error":
                raise PoolError(f"unknown model: {tags.get('Error') or 'the router knows it not'}")
            self._check_join(join.pool, join.model, tags.get("Weights"), message.timestamp)
            self._check_owner(join, tags.get("Owner"))
        except BenchpoolError as error:
            self._refuse_join(join, str(error))
            return
        pool = self.state.pools[join.pool]
        entry = Entry(
            model=join.model,
            participant=join.participant,
            name=tags.get("Name") or join.model,
            weights=tags.get("Weights"),
            joined_at=message.timestamp,
            order=len(pool.models),
        )
        pool.models[entry.model] = entry
        if entry.weights:
            pool.weights[entry.weights] = entry.model
        self.send(join.reply_to, "Joined-Pool", join.answer_tags("Name", entry.name))
        self.send(
            pool.dataset,
            "Benchmark",
            {
                "Model": entry.model,
                "Name": entry.name,
                "Weights": entry.weights,
                "Protocol": pool.protocol,
            },
        )

    def _check_join(self, pool_id: str, model: str, weights: str, now_ms: int) -> str:
        """Return the router to ask. Raises: PoolError if this model may not join."""
        pool = self._open(pool_id, now_ms)
        if model in pool.models:
            raise PoolError(f"model {model} is in the pool already")
        if weights and weights in pool.weights:
            raise PoolError(f"the same weights are in the pool as model {pool.weights[weights]}")
        router = self.state.datasets[pool.dataset].router
        if not router:
            raise PoolError("the pool's data set has no router that knows any model")
        return router

    def _check_owner(self, join: Join, owner: str) -> None:
        """Check that a model is entered by its owner. Raises: PoolError."""
        if self.edition > 1 and owner != join.participant:
            said = f"belongs to {owner}" if owner else "has an owner whom the router does not name"
            raise PoolError(
                f"model {join.model} {said}, and only its owner can enter it, not"
                f" {join.participant}"
            )

    def _refuse_join(self, join: Join, reason: str) -> None:
        self.send(join.reply_to, "Join-Pool-Error", join.answer_tags("Error", reason))

    def _end_silent_joins(self, now_ms: int) -> None:
        silent = [key for key, join in self.state.joins.items() if join.is_silent(now_ms)]
        for key in silent:
            self._refuse_join(self.state.joins.pop(key), "the router did not answer")
