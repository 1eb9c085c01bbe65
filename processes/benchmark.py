"""Benchmark: pools of money for the models that do best on a data set.

A pool is made by a transfer, joined by a message, ranked daily and settled after its end. Money
moves by three rules: it comes in only by a Credit-Notice of the token; what cannot be used goes
back; and a settled pool pays out exactly what came in.
"""

from __future__ import annotations

from pydantic import Field

from benchpool.ao.tags import Pair
from benchpool.errors import BenchpoolError, PoolError
from benchpool.process import Message, Process, State, handler
from benchpool.winston import Winston, parse_quantity
from processes.counts import Counts, read_counts
from processes.pool.joining import Join, read_join
from processes.pool.payments import Payment, reference_of
from processes.pool.pool import (
    MOST_FINAL_ASKS,
    Entry,
    Pool,
    Registration,
    read_registration,
    read_terms,
)
from processes.tag_values import check_address


class BenchmarkState(State):
    """Pools are never taken out: what is over is only no longer among `running`."""

    token: str = ""
    datasets: dict[str, Registration] = Field(default_factory=dict)
    pools: dict[str, Pool] = Field(default_factory=dict)
    running: dict[str, bool] = Field(default_factory=dict)
    """Pools that are open or wait for final scores: all that a tick looks at."""
    joins: dict[str, Join] = Field(default_factory=dict)
    """By the reference of the Get-Model."""
    board_asks: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """Reference of a Score to pool and model, since the last Update-Leaderboard."""
    final_asks: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """The same since the last Allocate-Rewards."""
    payments: dict[str, Payment] = Field(default_factory=dict)
    """By the reference of the Transfer."""
    due: list[str] = Field(default_factory=list)
    """References of payments that the token refused."""
    kept: Winston = 0
    """What came in as a refund, which is never sent back."""


class Benchmark(Process):
    """Holds pools."""

    state: BenchmarkState

    def on_spawn(self, message: Message) -> None:
        """Take the token, the only one whose notices count. Raises: HandlerError without one."""
        self.state.token = check_address(message.tags.get("WrappedAR"), "WrappedAR")

    # -- data sets and pools -----------------------------------------------------------------

    @handler("Register-Dataset")
    def register_dataset(self, message: Message) -> None:
        """Let pools be made for the sender; again, its facts are new for pools to come."""
        registration = read_registration(message.tags)
        self.state.datasets[message.sender] = registration
        self.reply(message, "Register-Dataset-Response", {"Name": registration.name})

    @handler("Credit-Notice", name="Create-Pool")
    def create_pool(self, message: Message) -> None:
        """Make a pool of the money, or add it to one; or send it back with the reason."""
        tags = message.tags
        if not self._from_token(message):
            return
        sender = check_address(tags.get("Sender"), "Sender")
        quantity = parse_quantity(tags.get("Quantity"))
        if "X-Error" in tags or "X-Refund" in tags or sender in (self.id, self.state.token):
            # Else two processes that refund what they cannot use would pay each other for ever.
            self.state.kept += quantity
            self.log(f"Kept {quantity} from {sender}: it is a refund")
            return
        try:
            if "X-Pool" in tags:
                self._top_up(message, sender, quantity)
            else:
                self._open_pool(message, sender, quantity)
        except BenchpoolError as error:
            self._pay(
                Payment(
                    recipient=sender,
                    quantity=quantity,
                    reason=str(error)[:500],
                    echo=tags.get("X-Reference"),
                )
            )

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

    # -- looking -----------------------------------------------------------------------------

    @handler("Get-Pools")
    def get_pools(self, message: Message) -> None:
        """List all pools in the order in which they were made."""
        now_ms = message.timestamp
        listed = [pool.summary(now_ms) for pool in self.state.pools.values()]
        self.reply(message, "Get-Pools-Response", data=listed)

    @handler("Get-Pool", requires=("Pool",))
    def get_pool(self, message: Message) -> None:
        """Describe a pool with its entries."""
        pool = self._find_pool(message, "Get-Pool-Error")
        if pool is not None:
            self.reply(message, "Get-Pool-Response", data=pool.view(message.timestamp))

    @handler("Leaderboard", requires=("Pool",))
    def leaderboard(self, message: Message) -> None:
        """Rank a pool's entries by the numbers that came last."""
        pool = self._find_pool(message, "Leaderboard-Error")
        if pool is not None:
            self.reply(message, "Leaderboard-Response", data=pool.leaderboard())

    # -- ticks -------------------------------------------------------------------------------

    @handler("Update-Leaderboard", owner_only=True)
    def update_leaderboard(self, message: Message) -> None:
        """Ask for the scores of the entries of open pools."""
        self.state.board_asks = {}
        for pool_id in self.state.running:
            pool = self.state.pools[pool_id]
            if pool.takes_part(message.timestamp):
                for entry in pool.models.values():
                    self._ask_score(pool, entry, self.state.board_asks)

    @handler("Allocate-Rewards", owner_only=True)
    def allocate_rewards(self, message: Message) -> None:
        """Begin to settle pools past their end, and take up again what is not finished."""
        self._pay_due()
        self._end_silent_joins(message.timestamp)
        self.state.final_asks = {}
        for pool_id in list(self.state.running):
            pool = self.state.pools[pool_id]
            if pool.end_time > message.timestamp:
                continue
            if pool.status == "open":
                pool.status = "settling"
                pool.awaited = len(pool.models)
            if pool.awaited and pool.final_asks >= MOST_FINAL_ASKS:
                pool.give_up_waiting()
            pool.final_asks += 1
            for entry in pool.models.values():
                if not entry.final:
                    self._ask_score(pool, entry, self.state.final_asks)
            if not pool.awaited:
                self._settle(pool)

    @handler("Score-Response", "Score-Error")
    def scored(self, message: Message) -> None:
        """Take an entry's numbers; the last ones of a settling pool settle it."""
        state, tags = self.state, message.tags
        reference = tags.get("X-Reference")
        pool_id, model = state.final_asks.get(reference) or state.board_asks.get(
            reference, ("", "")
        )
        pool = state.pools.get(pool_id)
        if pool is None or message.sender != pool.dataset or tags.get("Model") != model:
            self.log(f"Ignored {message.action} from {message.sender}: it was not asked for")
            return
        entry = pool.models[model]
        if entry.asked != reference or tags.get("Protocol", pool.protocol) != pool.protocol:
            self.log(f"Ignored {message.action} with reference {reference}: it is out of date")
            return
        # A data set that does not know the model will not know it tomorrow.
        known = message.action.lower() == "score-response"
        counts = read_counts(tags) if known else Counts(0, 0, 0, entry.total)
        entry.take(counts, tags.get("Standard-Error") if known else "")
        entry.asked = ""
        if pool.status == "settling":
            entry.final = True
            pool.awaited -= 1
            if not pool.awaited:
                self._settle(pool)

    @handler("Debit-Notice")
    def paid(self, message: Message) -> None:
        """Mark a payment as paid, and its pool when that was the last one."""
        reference = reference_of(message.tags)
        payment = self.state.payments.get(reference)
        if not self._from_token(message):
            return
        if payment is None or not payment.confirmed_by(message.tags):
            self.log(f"Ignored Debit-Notice with reference {reference}: no payment of ours")
            return
        if payment.status in ("paid", "resent"):
            self.log(f"Ignored Debit-Notice of payment {reference}, which is {payment.status}")
            return
        payment.status = "paid"
        if not payment.pool:
            return
        pool = self.state.pools[payment.pool]
        if payment.model:
            pool.models[payment.model].paid = True
        pool.unpaid -= 1
        if not pool.unpaid:
            pool.status = "paid" if payment.model else "refunded"

    @handler("Transfer-Error")
    def not_paid(self, message: Message) -> None:
        """Keep a payment that the token refused for the next tick."""
        if not self._from_token(message):
            return
        reference = reference_of(message.tags)
        payment = self.state.payments.get(reference)
        if payment is None or payment.status != "sent":
            self.log(f"Ignored Transfer-Error with reference {reference}: nothing is under way")
            return
        payment.status = "due"
        self.state.due.append(reference)
        self.log(f"Payment {reference} failed, due again: {message.tags.get('Error')}")

    @handler("Benchmark-Response")
    def take_note(self, message: Message) -> None:
        """Take what needs no answer; else it would fill the inbox."""

    # -- money -------------------------------------------------------------------------------

    def _from_token(self, message: Message) -> bool:
        if message.sender == self.state.token:
            return True
        self.log(f"Ignored {message.action} from {message.sender}, which is not the token")
        return False

    def _open_pool(self, notice: Message, funder: str, quantity: int) -> None:
        terms = read_terms(notice.tags, self.state.datasets, notice.timestamp)
        pool = Pool(
            id=notice.id,
            funder=funder,
            funds=quantity,
            contributions={funder: quantity},
            chance=self.state.datasets[terms.dataset].chance,
            **terms._asdict(),
        )
        self.state.pools[pool.id] = pool
        self.state.running[pool.id] = True
        facts = [
            ("Allocation", pool.allocation),
            ("Dataset", pool.dataset),
            ("Start-Time", str(pool.start_time)),
            ("End-Time", str(pool.end_time)),
        ]
        self._confirm(notice, "Pool-Created", pool, facts)

    def _top_up(self, notice: Message, sender: str, quantity: int) -> None:
        pool = self._open(notice.tags["X-Pool"], notice.timestamp)
        pool.funds += quantity
        pool.contributions[sender] = pool.contributions.get(sender, 0) + quantity
        self._confirm(notice, "Pool-Funded", pool, [])

    def _confirm(self, notice: Message, action: str, pool: Pool, facts: list[Pair]) -> None:
        tags = [("Pool", pool.id), ("Funds", str(pool.funds)), *facts]
        if "X-Reference" in notice.tags:
            tags.append(("X-Reference", notice.tags["X-Reference"]))
        self.send(notice.tags["Sender"], action, tags)

    def _settle(self, pool: Pool) -> None:
        """Divide the funds and send them; nobody to pay, each contributor gets its own back."""
        del self.state.running[pool.id]
        ranked = pool.ranked()
        for place in ranked:
            pool.models[place.entry].rank = place.rank
        payments = []
        for payout in pool.payouts(ranked):
            entry = pool.models[payout.entry]
            entry.reward = payout.winston
            payments.append(
                Payment(
                    recipient=entry.participant,
                    quantity=payout.winston,
                    pool=pool.id,
                    model=entry.model,
                    rank=payout.rank,
                )
            )
        payments = payments or [
            Payment(
                recipient=giver,
                quantity=amount,
                pool=pool.id,
                reason="no model in the pool can be paid",
            )
            for giver, amount in pool.contributions.items()
        ]
        if sum(payment.quantity for payment in payments) != pool.funds:
            raise PoolError(f"the payments of pool {pool.id} are not its funds")
        pool.unpaid = len(payments)
        for payment in payments:
            self._pay(payment)

    def _pay(self, payment: Payment) -> None:
        reference = self.next_reference
        self.state.payments[str(reference)] = payment
        self.send(self.state.token, "Transfer", payment.tags(reference))

    def _pay_due(self) -> None:
        due, self.state.due = list(self.state.due), []
        for reference in due:
            payment = self.state.payments[reference]
            # A Debit-Notice may have come after all.
            if payment.status == "due":
                payment.status = "resent"
                self._pay(Payment(**{**dict(payment), "status": "sent"}))

    # -- entries -----------------------------------------------------------------------------

    def _open(self, pool_id: str, now_ms: int) -> Pool:
        pool = self.state.pools.get(pool_id)
        if pool is None:
            raise PoolError(f"there is no pool {pool_id[:60]!r}")
        if not pool.takes_part(now_ms):
            raise PoolError(f"pool {pool_id} has ended")
        return pool

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

    def _refuse_join(self, join: Join, reason: str) -> None:
        self.send(join.reply_to, "Join-Pool-Error", join.answer_tags("Error", reason))

    def _end_silent_joins(self, now_ms: int) -> None:
        silent = [key for key, join in self.state.joins.items() if join.is_silent(now_ms)]
        for key in silent:
            self._refuse_join(self.state.joins.pop(key), "the router did not answer")

    def _ask_score(self, pool: Pool, entry: Entry, asks: dict[str, tuple[str, str]]) -> None:
        named = {"Model": entry.model, "Protocol": pool.protocol}
        entry.asked = str(self.send(pool.dataset, "Score", named))
        asks[entry.asked] = (pool.id, entry.model)

    def _find_pool(self, message: Message, error: str) -> Pool | None:
        pool = self.state.pools.get(message.tags["Pool"])
        if pool is None:
            reason = f"there is no pool {message.tags['Pool'][:60]!r}"
            self.reply(message, error, {"Pool": message.tags["Pool"], "Error": reason})
        return pool
