"""What the handlers of a Benchmark share: its state, how a pool is found, how money goes out."""

from __future__ import annotations

from pydantic import Field

from benchpool.errors import PoolError
from benchpool.process import Message, Process, State
from benchpool.winston import Winston
from processes.pool.join_request import Join
from processes.pool.payments import Payment
from processes.pool.pool import Pool, Registration


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


class BenchmarkBase(Process):
    """A Benchmark without its handlers."""

    state: BenchmarkState

    def _from_token(self, message: Message) -> bool:
        if message.sender == self.state.token:
            return True
        self.log(f"Ignored {message.action} from {message.sender}, which is not the token")
        return False

    def _find_pool(self, message: Message, error: str) -> Pool | None:
        pool = self.state.pools.get(message.tags["Pool"])
        if pool is None:
            reason = f"there is no pool {message.tags['Pool'][:60]!r}"
            self.reply(message, error, {"Pool": message.tags["Pool"], "Error": reason})
        return pool

    def _open(self, pool_id: str, now_ms: int) -> Pool:
        pool = self.state.pools.get(pool_id)
        if pool is None:
            raise PoolError(f"there is no pool {pool_id[:60]!r}")
        if not pool.takes_part(now_ms):
            raise PoolError(f"pool {pool_id} has ended")
        return pool

    def _pay(self, payment: Payment) -> None:
        reference = self.next_reference
        self.state.payments[str(reference)] = payment
        self.send(self.state.token, "Transfer", payment.tags(reference))
