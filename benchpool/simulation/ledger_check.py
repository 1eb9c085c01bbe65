"""Money, computed a second time from the log alone and compared with what the processes hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from benchpool.ao.message import Message, Result
from benchpool.pools.allocation import allocate
from benchpool.pools.ranking import Standing, rank
from benchpool.simulation.record import Record

TOKEN = "WrappedAR"  # noqa: S105 - the name of a process
BENCHMARK = "Benchmark"


def actions_of(result: Result) -> dict[str, Any]:
    """Return the messages that a result puts out, the first of each action."""
    return {out.tags.get("Action"): out for out in reversed(result.messages)}


class Ledger:
    """Balances and payments as the token's log tells them."""

    def __init__(self, record: Record) -> None:
        self.balances: Counter[str] = Counter()
        self.supply = 0
        self.paid: defaultdict[str, list[tuple[str, str, int]]] = defaultdict(list)
        """Pool to (model, recipient, quantity) of each payment that went through."""
        self.refunds: Counter[tuple[str, int]] = Counter()
        """What Benchmark sent back outside of pools: (recipient, quantity)."""
        benchmark = record.names.get(BENCHMARK, "")
        for message, result in record.log(TOKEN):
            self._book(message, result, benchmark)

    def _book(self, message: Message, result: Result, benchmark: str) -> None:
        done, tags = actions_of(result), message.tags
        if result.error:
            return
        if "Mint-Confirmation" in done:
            quantity = int(message.get("Quantity"))
            self.supply += quantity
            self.balances[message.get("Recipient") or message.sender] += quantity
        elif "Burn-Confirmation" in done:
            self.supply -= int(message.get("Quantity"))
            self.balances[message.sender] -= int(message.get("Quantity"))
        elif message.action == "Transfer" and (
            "Debit-Notice" in done or ("Cast" in tags and "Transfer-Error" not in done)
        ):
            quantity = int(message.get("Quantity"))
            self.balances[message.sender] -= quantity
            recipient = message.get("Recipient")
            self.balances[recipient] += quantity
            if message.sender == benchmark and "X-Pool" in tags:
                payment = (tags.get("X-Model"), recipient, quantity)
                self.paid[tags["X-Pool"]].append(payment)
            elif message.sender == benchmark:
                self.refunds[recipient, quantity] += 1


class Income:
    """What came into Benchmark, as its log tells."""

    def __init__(self, record: Record) -> None:
        self.funds: Counter[str] = Counter()
        self.owed: Counter[tuple[str, int]] = Counter()
        self.kept = 0
        self.lost = 0
        """Of notices whose handler failed."""
        for message, result in record.log(BENCHMARK):
            if message.action == "Credit-Notice" and record.is_from(message, TOKEN):
                self._book(message, result)

    def _book(self, message: Message, result: Result) -> None:
        quantity, done = int(message.tags["Quantity"]), actions_of(result)
        if result.error:
            self.lost += quantity
        elif "Pool-Created" in done:
            self.funds[message.id] += quantity
        elif "Pool-Funded" in done:
            self.funds[done["Pool-Funded"].tags["Pool"]] += quantity
        elif "Transfer" in done:
            self.owed[message.tags["Sender"], quantity] += 1
        else:
            self.kept += quantity


def check_supply(record: Record) -> Iterator[str]:
    """Supply conserved, and equal to the sum of balances."""
    if TOKEN not in record.names:
        return
    state, ledger = record.state(TOKEN), Ledger(record)
    held = {account: amount for account, amount in state.balances.items() if amount}
    told = {account: amount for account, amount in ledger.balances.items() if amount}
    if state.supply != sum(held.values()):
        yield f"the supply is {state.supply}, and the balances sum to {sum(held.values())}"
    if state.supply != ledger.supply:
        yield f"the supply is {state.supply}, and the log tells of {ledger.supply}"
    if held != told:
        wrong = sorted(key for key in {*held, *told} if held.get(key) != told.get(key))
        yield f"the balance of {wrong[0]} is {held.get(wrong[0])}, not {told.get(wrong[0])}"
    if any(amount < 0 for amount in state.balances.values()):
        yield "a balance is below zero"


def check_payouts(record: Record) -> Iterator[str]:
    """Payouts and refunds are the funds, once."""
    if BENCHMARK not in record.names:
        return
    ledger, income = Ledger(record), Income(record)
    for pool_id, pool in record.state(BENCHMARK).pools.items():
        named = f"pool {pool_id[:8]} ({pool.status})"
        if pool.funds != income.funds[pool_id]:
            yield f"{named} holds {pool.funds}, and {income.funds[pool_id]} came in"
        payments = ledger.paid[pool_id]
        times = Counter((model, recipient) for model, recipient, _ in payments)
        for (_, recipient), count in times.items():
            if count > 1:
                yield f"{named}: {recipient[:8]} was paid {count} times"
        total = sum(quantity for _, _, quantity in payments)
        settled = pool.status in ("paid", "refunded")
        if total > pool.funds or (settled and total != pool.funds):
            yield f"{named}: {total} was paid of {pool.funds}"
        if pool.status == "open" and payments:
            yield f"{named} was paid before its end"
    for (recipient, quantity), count in ledger.refunds.items():
        if count > income.owed[recipient, quantity]:
            yield f"{quantity} was refunded to {recipient[:8]} {count} times"
    yield from _check_benchmark_balance(record, ledger, income)


def _check_benchmark_balance(record: Record, ledger: Ledger, income: Income) -> Iterator[str]:
    paid = sum(quantity for each in ledger.paid.values() for _, _, quantity in each)
    owed = sum(quantity * count for (_, quantity), count in income.owed.items())
    refunded = sum(quantity * count for (_, quantity), count in ledger.refunds.items())
    expected = sum(income.funds.values()) - paid + owed - refunded + income.kept + income.lost
    held = ledger.balances[record.names[BENCHMARK]]
    if held != expected:
        yield f"Benchmark holds {held}, and its log accounts for {expected}"


def check_settled(record: Record) -> Iterator[str]:
    """Every pool is settled some days after its end, if no handler failed on the way."""
    if BENCHMARK not in record.names:
        return
    for pool_id, pool in record.state(BENCHMARK).pools.items():
        if pool.status not in ("paid", "refunded"):
            yield f"pool {pool_id[:8]} is still {pool.status} after its end"


def check_ranks(record: Record) -> Iterator[str]:
    """Ranks and rewards of settled pools follow from the entries' numbers."""
    if BENCHMARK not in record.names:
        return
    for pool_id, pool in record.state(BENCHMARK).pools.items():
        if pool.status == "open" or pool.awaited:
            continue
        entries = pool.models.values()
        ranked = rank(
            [
                Standing(e.model, e.correct, e.evaluated, e.total, e.joined_at, e.order)
                for e in entries
            ]
        )
        rewards = {
            payout.entry: payout.winston
            for payout in allocate(
                pool.allocation, pool.funds, ranked, chance=Fraction(pool.chance)
            )
        }
        for place in ranked:
            entry = pool.models[place.entry]
            if (entry.rank, entry.reward) != (place.rank, rewards.get(entry.model, 0)):
                yield (
                    f"pool {pool_id[:8]}, {entry.name}: rank {entry.rank} and reward"
                    f" {entry.reward}, not {place.rank} and {rewards.get(entry.model, 0)}"
                )
