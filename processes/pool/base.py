"""What the handlers of a Benchmark share: its state, how a pool is found, how money goes out."""

from __future__ import annotations

import operator
from typing import ClassVar

from pydantic import Field

from benchpool.errors import HandlerError, PoolError
from benchpool.extensions.modules import Modules
from benchpool.process import Message, State
from benchpool.winston import Winston
from processes.guarded import Guarded
from processes.pool.join_request import Join
from processes.pool.payments import Payment
from processes.pool.pool import Pool, Since
from processes.pool.terms import Registration


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
    dataset_modules: list[str] = Field(default_factory=list, exclude_if=operator.not_)
    """Modules whose processes may be data sets and their routers, beside the installed routers;
    without any, those installed as data sets."""
    commitments: dict[str, Since] = Field(default_factory=dict, exclude_if=operator.not_)
    """To weights; by their hash, when they were made."""


class BenchmarkBase(Guarded):
    """A Benchmark without its handlers."""

    extensions: ClassVar[tuple[str, ...]] = ("Modules",)
    state: BenchmarkState
    modules: Modules

    def _from_token(self, message: Message) -> bool:
        if message.sender == self.state.token:
            return True
        self.log(f"Ignored {message.action} from {message.sender}, which is not the token")
        return False

    def _find_pool(self, message: Message, error: str) -> Pool | None:
        named = message.tags.get("Pool") or (message.text.strip() if self.edition > 1 else "")
        if not named:
            raise HandlerError("Pool is required!")
        pool = self.state.pools.get(named)
        if pool is None:
            reason = f"there is no pool {named[:60]!r}"
            self.reply(message, error, {"Pool": named, "Error": reason})
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
