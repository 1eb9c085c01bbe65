"""How a pool is ranked and settled: scores are asked for, funds divided, payments confirmed."""

from __future__ import annotations

from benchpool.errors import PoolError
from benchpool.process import Message, handler
from processes.counts import Counts, read_counts
from processes.pool.base import BenchmarkBase
from processes.pool.payments import Payment, reference_of
from processes.pool.pool import MOST_FINAL_ASKS, Entry, Pool


class Settling(BenchmarkBase):
    """Asks for scores, and pays what they make of the funds."""

    @handler("Update-Leaderboard", owner_only=True)
    def update_leaderboard(self, message: Message) -> None:
        """Ask for the scores of the entries of open pools."""
        self.state.board_asks = {}
        for pool_id in self.state.running:
            pool = self.state.pools[pool_id]
            if pool.takes_part(message.timestamp):
                for entry in pool.models.values():
                    self._ask_score(pool, entry, self.state.board_asks)

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

    def _settle_ended(self, now_ms: int) -> None:
        self.state.final_asks = {}
        for pool_id in list(self.state.running):
            pool = self.state.pools[pool_id]
            if pool.end_time > now_ms:
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

    def _ask_score(self, pool: Pool, entry: Entry, asks: dict[str, tuple[str, str]]) -> None:
        named = {"Model": entry.model, "Protocol": pool.protocol}
        entry.asked = str(self.send(pool.dataset, "Score", named))
        asks[entry.asked] = (pool.id, entry.model)

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

    def _pay_due(self) -> None:
        due, self.state.due = list(self.state.due), []
        for reference in due:
            payment = self.state.payments[reference]
            # A Debit-Notice may have come after all.
            if payment.status == "due":
                payment.status = "resent"
                self._pay(Payment(**{**dict(payment), "status": "sent"}))
