"""How a pool is ranked and settled: scores are asked for, funds divided, payments confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchpool.errors import BenchpoolError, HandlerError, PoolError
from benchpool.pools.settlement import give_back
from benchpool.process import Message, handler
from processes.counts import Counts, read_answers, read_counts
from processes.pool.base import BenchmarkBase
from processes.pool.payments import Payment, reference_of
from processes.pool.pool import LARGEST_SIZE, Entry, Pool


class Settling(BenchmarkBase):
    """Asks for scores, and pays what they make of the funds."""

    @handler("Update-Leaderboard", owner_only=True)
    def update_leaderboard(self, message: Message) -> None:
        """Ask for the scores of the entries of open pools."""
        self.state.board_asks = {}
        running = map(self.state.pools.__getitem__, self.state.running)
        for pool in self._richest(pool for pool in running if pool.takes_part(message.timestamp)):
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
        if known and not pool.first and tags.get("Samples-SHA-256") != pool.samples_hash:
            self._give_back(pool, "the data set answered for other questions than the pool's")
            return
        counts = read_counts(tags) if known else Counts(0, 0, 0, entry.total)
        if not pool.first and counts.total > pool.samples:
            raise HandlerError(f"the pool has {pool.samples} questions, not {counts.total}")
        entry.take(counts, tags.get("Standard-Error") if known else "")
        entry.asked = ""
        if pool.status != "settling":
            return
        if known and not pool.first:
            read_answers(message.text)
            entry.answers = message.text
        if pool.first or not known or entry.is_evaluated:
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
        if payment.model and not payment.bond:
            pool.models[payment.model].paid = True
        pool.unpaid -= 1
        if not pool.unpaid:
            rewarded = any(entry.reward for entry in pool.models.values())
            pool.status = "paid" if rewarded else "refunded"

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
        running = map(self.state.pools.__getitem__, self.state.running)
        for pool in self._richest(pool for pool in running if pool.is_due(now_ms)):
            if pool.is_sealed:
                self._give_back(pool, "the sealed questions were not revealed before the end")
                continue
            if pool.status == "open":
                pool.status = "settling"
                pool.awaited = len(pool.models)
            if pool.awaited and pool.gives_up(now_ms):
                pool.give_up_waiting()
            pool.final_asks += 1
            for entry in pool.models.values():
                if not entry.final:
                    self._ask_score(pool, entry, self.state.final_asks)
            if not pool.awaited:
                self._settle(pool)

    def _richest(self, pools: Iterable[Pool]) -> list[Pool]:
        """Choose as many pools as one tick can look at, the richest first, in their own order.

        Without it, one who makes many pools of one winston could hold everybody's money up.
        """
        given = list(pools)
        if self.edition == 1:
            return given
        size, chosen = 0, set[str]()
        for pool in sorted(given, key=lambda each: -each.funds):
            size += pool.size
            if size > LARGEST_SIZE and chosen:
                break
            chosen.add(pool.id)
        return [pool for pool in given if pool.id in chosen]

    def _ask_score(self, pool: Pool, entry: Entry, asks: dict[str, tuple[str, str]]) -> None:
        named = {"Model": entry.model, "Protocol": pool.protocol}
        if not pool.first:
            named["Samples-SHA-256"] = pool.samples_hash
        if not pool.first and pool.status == "settling":
            named["Answers"] = "true"
        entry.asked = str(self.send(pool.dataset, "Score", named))
        asks[entry.asked] = (pool.id, entry.model)

    def _settle(self, pool: Pool) -> None:
        """Divide the funds and send them; what nobody is paid goes back to the contributors."""
        try:
            settlement = pool.settlement()
        except BenchpoolError as error:
            self._give_back(pool, f"the pool cannot be settled: {error}")
            return
        for place in pool.ranked():
            pool.models[place.entry].rank = place.rank
        payments = []
        for decision in settlement.decisions:
            entry = pool.models[decision.entry]
            entry.decide(decision, first=pool.first)
            if entry.reward:
                payments.append(
                    Payment(
                        recipient=entry.participant,
                        quantity=entry.reward,
                        pool=pool.id,
                        model=entry.model,
                        rank=decision.rank,
                    )
                )
        lost = sum(entry.bond for entry in pool.models.values() if entry.forfeits)
        parts = settlement.refunds, give_back(lost, pool.contributions)
        sums = {each: sum(part.get(each, 0) for part in parts) for each in pool.contributions}
        refunds = {giver: amount for giver, amount in sums.items() if amount}
        reason = "what is left of the pool" if payments else "no model in the pool can be paid"
        self._end(pool, payments, refunds, reason)

    def _give_back(self, pool: Pool, reason: str) -> None:
        """Refund a pool, whatever its entries have answered."""
        pool.reason = reason
        pool.awaited = 0
        for entry in pool.models.values():
            entry.final, entry.asked, entry.answers = True, "", ""
        pool.status = "settling"
        self._end(pool, [], dict(pool.contributions), reason)

    def _end(
        self, pool: Pool, payments: list[Payment], refunds: Mapping[str, int], reason: str
    ) -> None:
        """Send what a pool owes, bonds too, and have the data set ask for it no more."""
        del self.state.running[pool.id]
        back = [
            Payment(recipient=giver, quantity=amount, pool=pool.id, reason=reason)
            for giver, amount in refunds.items()
        ]
        bonds = [
            Payment(
                recipient=entry.participant,
                quantity=entry.bond,
                pool=pool.id,
                model=entry.model,
                bond=True,
            )
            for entry in pool.models.values()
            if entry.bond and not entry.forfeits
        ]
        owed = pool.funds + sum(entry.bond for entry in pool.models.values())
        payments = [*payments, *back, *bonds]
        if sum(payment.quantity for payment in payments) != owed:
            raise PoolError(f"the payments of pool {pool.id} are not its funds")
        pool.unpaid = len(payments)
        for payment in payments:
            self._pay(payment)
        if not pool.first:
            self.send(pool.dataset, "Pool-Funds", {"Pool": pool.id, "Funds": "0"})

    def _pay_due(self) -> None:
        due, self.state.due = list(self.state.due), []
        for reference in due:
            payment = self.state.payments[reference]
            # A Debit-Notice may have come after all.
            if payment.status == "due":
                payment.status = "resent"
                self._pay(Payment(**{**dict(payment), "status": "sent"}))
