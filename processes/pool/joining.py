"""How a model joins a pool: its data set's router is asked for it, and the answer decides."""

from __future__ import annotations

import re
from typing import Final

from benchpool.errors import BenchpoolError, HandlerError, PoolError
from benchpool.evaluation.protocol import Protocol
from benchpool.pools.commitment import commitment
from benchpool.process import Message, handler
from processes.pool.base import BenchmarkBase
from processes.pool.join_request import Join, Wish, read_join, read_paid_join
from processes.pool.payments import Payment
from processes.pool.pool import REMOTE_ALLOWED, Entry, Pool, Since
from processes.pool.terms import LONGEST_TITLE
from processes.tag_values import ROUTER, is_module

_OF_LIKELIHOODS: Final = ("cloze", "likelihood")
"""Protocols' methods that ask how likely a model finds a text."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Joining(BenchmarkBase):
    """Lets models join."""

    @handler("Commit-Entry", requires=("Commitment",))
    def commit_entry(self, message: Message) -> None:
        """Note when somebody committed to weights that nobody has seen; the first time counts."""
        made = message.tags["Commitment"].lower()
        if not _SHA256.fullmatch(made):
            raise HandlerError(
                "Commitment must be the SHA-256 of salt, participant and weights id, 64"
                " hexadecimal digits"
            )
        now = Since(message.timestamp, message.nonce)
        since = self.state.commitments.setdefault(made, now)
        facts = {"Commitment": made, "Committed-At": str(since.time)}
        self.reply(message, "Commit-Entry-Response", facts)

    @handler("Join-Pool")
    def join_pool(self, message: Message) -> None:
        """Ask the data set's router for the model; the answer decides."""
        wish = Wish("", "")
        try:
            wish = read_join(message)
            router = self._check_join(wish, "", message.timestamp, bond=0)
        except BenchpoolError as error:
            named = {"Pool": wish.pool, "Model": wish.model, "Error": str(error)}
            self.reply(message, "Join-Pool-Error", named)
            return
        reference = self.send(router, "Get-Model", {"Model": wish.model})
        self.state.joins[str(reference)] = Join.of(message, wish, router)

    def _join_paid(self, notice: Message, bond: int) -> None:
        """Do the same for a wish that came with money. Raises: BenchpoolError."""
        wish = read_paid_join(notice.tags)
        router = self._check_join(wish, "", notice.timestamp, bond=bond)
        reference = self.send(router, "Get-Model", {"Model": wish.model})
        self.state.joins[str(reference)] = Join.paid(notice, wish, router, bond)

    @handler("Get-Model-Response", "Get-Model-Error")
    def model_described(self, message: Message) -> None:
        """Let the model join, if nothing has come between since it was asked for."""
        reference, tags = message.tags.get("X-Reference"), message.tags
        join = self.state.joins.get(reference)
        if join is None or (join.router, join.model) != (message.sender, tags.get("Model")):
            self.log(f"Ignored {message.action} from {message.sender}: nobody waits for it")
            return
        del self.state.joins[reference]
        wish, weights = Wish(join.pool, join.model, join.salt), tags.get("Weights")
        try:
            if message.action.lower() == "get-model-error":
                raise PoolError(f"unknown model: {tags.get('Error') or 'the router knows it not'}")
            committed = self._committed(join, weights)
            held = committed.nonce if committed else message.nonce
            self._check_join(wish, weights, message.timestamp, bond=join.bond, held=held)
            self._check_owner(join, tags.get("Owner"))
            self._check_remote(join, tags.get("Remote"))
            self._check_runtime(join, tags.get("Runtime"), remote=bool(tags.get("Remote")))
            self._check_router(message)
        except BenchpoolError as error:
            self._refuse_join(join, str(error))
            return
        pool = self.state.pools[join.pool]
        entry = Entry(
            model=join.model,
            participant=join.participant,
            name=(tags.get("Name") or join.model)[: None if pool.first else LONGEST_TITLE],
            weights=weights,
            joined_at=message.timestamp,
            order=len(pool.models),
            committed_at=committed.time if committed else 0,
            held=0 if pool.first else held,
            bond=join.bond,
            runtime="" if pool.first or tags.get("Remote") else tags.get("Runtime"),
        )
        pool.models[entry.model] = entry
        if entry.weights:
            pool.weights[entry.weights] = entry.model
        self.send(join.reply_to, "Joined-Pool", join.answer_tags("Name", entry.name))
        if not pool.is_sealed:
            self._evaluate(pool, entry)

    def _evaluate(self, pool: Pool, entry: Entry) -> None:
        """Have the data set evaluate an entry."""
        facts = {
            "Model": entry.model,
            "Name": entry.name,
            "Weights": entry.weights,
            "Protocol": pool.protocol,
        }
        if not pool.first:
            facts |= {
                "Pool": pool.id,
                "Funds": str(pool.funds),
                "Samples-SHA-256": pool.samples_hash,
            }
            if pool.runtime and entry.runtime:
                facts["Runtime"] = pool.runtime
        self.send(pool.dataset, "Benchmark", facts)
        for control in pool.controls:
            self.send(
                pool.dataset, "Benchmark", {**facts, "Protocol": f"{pool.protocol}/{control}"}
            )

    def _check_join(
        self, wish: Wish, weights: str, now_ms: int, *, bond: int, held: int | None = None
    ) -> str:
        """Return the router to ask. Raises: PoolError if this model may not join."""
        pool = self._open(wish.pool, now_ms)
        if not pool.admits(now_ms):
            raise PoolError(f"pool {pool.id} takes no more entries")
        if pool.is_full:
            raise PoolError(f"pool {pool.id} is full")
        if wish.model in pool.models:
            raise PoolError(f"model {wish.model} is in the pool already")
        if bond != pool.bond:
            raise PoolError(_bond_error(pool, bond))
        holder = pool.models.get(pool.weights.get(weights, "")) if weights else None
        if holder is not None and (held is None or holder.held <= held):
            raise PoolError(f"the same weights are in the pool as model {holder.model}")
        router = pool.router or self.state.datasets[pool.dataset].router
        if not router:
            raise PoolError("the pool's data set has no router that knows any model")
        return router

    def _committed(self, join: Join, weights: str) -> Since | None:
        """Return when the commitment that a salt reveals was made; None without a salt.

        Raises: PoolError if there is no such commitment.
        """
        if not join.salt or self.edition == 1:
            return None
        made = commitment(join.salt, join.participant, weights)
        since = self.state.commitments.get(made)
        if since is None:
            raise PoolError(
                f"nobody has committed to weights {weights} for {join.participant} with this salt"
            )
        return since

    def _check_owner(self, join: Join, owner: str) -> None:
        """Check that a model is entered by its owner. Raises: PoolError."""
        if self.edition > 1 and owner != join.participant:
            said = f"belongs to {owner}" if owner else "has an owner whom the router does not name"
            raise PoolError(
                f"model {join.model} {said}, and only its owner can enter it, not"
                f" {join.participant}"
            )

    def _check_remote(self, join: Join, remote: str) -> None:
        """Check that a model that a server runs may enter. Raises: PoolError."""
        pool = self.state.pools[join.pool]
        if not remote:
            return
        if not pool.remote:
            raise PoolError(
                f"model {join.model} is run by a model server, whose answers nobody can recompute,"
                f" and pool {pool.id} was not made with X-Remote={REMOTE_ALLOWED}"
            )
        if remote != "choices" and Protocol.parse(pool.protocol).method in _OF_LIKELIHOODS:
            raise PoolError(
                f"model {join.model} is run by a model server that gives no likelihoods of choices,"
                f" and pool {pool.id} asks {pool.protocol}"
            )

    def _check_runtime(self, join: Join, runtime: str, *, remote: bool) -> None:
        """Check that a model is computed where the others are. Raises: PoolError."""
        pool = self.state.pools[join.pool]
        admitted = pool.admitted_runtime
        if pool.first or remote or runtime == admitted:
            return
        if not runtime and pool.runtime:
            raise PoolError(
                f"model {join.model} does not say on which runtime it is computed, and pool"
                f" {pool.id} was made with X-Runtime={pool.runtime}"
            )
        if runtime and admitted:
            whose = "its X-Runtime" if pool.runtime else "that of the model that joined first"
            raise PoolError(
                f"model {join.model} is computed on runtime {runtime}, and pool {pool.id} admits"
                f" {admitted} alone, {whose}"
            )

    def _check_router(self, message: Message) -> None:
        """Check that a model is described by a process whose code its owner cannot change.

        A router says what a model answered: another one could say what is right. Raises: PoolError.
        """
        module = message.from_module
        if self.edition == 1 or is_module(module, self.state.dataset_modules):
            return
        if not (module and self.modules.serves(module, ROUTER)):
            raise PoolError(
                f"the pool's router {message.sender} is no process of a router's module that is"
                " installed here"
            )

    def _refuse_join(self, join: Join, reason: str) -> None:
        self.send(join.reply_to, "Join-Pool-Error", join.answer_tags("Error", reason))
        if join.bond:
            back = {"recipient": join.participant, "quantity": join.bond, "echo": join.reference}
            self._pay(Payment(**back, reason=reason[:500]))

    def _end_silent_joins(self, now_ms: int) -> None:
        silent = [key for key, join in self.state.joins.items() if join.is_silent(now_ms)]
        for key in silent:
            self._refuse_join(self.state.joins.pop(key), "the router did not answer")


def _bond_error(pool: Pool, bond: int) -> str:
    if not pool.bond:
        return f"pool {pool.id} asks no bond: join it with Join-Pool"
    if not bond:
        return (
            f"pool {pool.id} asks a bond: join it by a Transfer of {pool.bond} winston to the"
            " Benchmark with X-Join-Pool and X-Model"
        )
    return f"the bond of pool {pool.id} is {pool.bond} winston, not {bond}"
