"""Benchmark: pools of money for the models that do best on a data set.

A pool is made by a transfer, joined by a message, ranked daily and settled after its end. Money
moves by three rules: it comes in only by a Credit-Notice of the token; what cannot be used goes
back; and a settled pool pays out exactly what came in.
"""

from __future__ import annotations

from benchpool.ao.tags import Pair
from benchpool.errors import BenchpoolError
from benchpool.process import Message, handler
from benchpool.winston import parse_quantity
from processes.pool.joining import Joining
from processes.pool.payments import Payment
from processes.pool.pool import Pool, read_registration, read_terms
from processes.pool.settling import Settling
from processes.tag_values import check_address


class Benchmark(Settling, Joining):
    """Holds pools."""

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

    @handler("Allocate-Rewards", owner_only=True)
    def allocate_rewards(self, message: Message) -> None:
        """Begin to settle pools past their end, and take up again what is not finished."""
        self._pay_due()
        self._end_silent_joins(message.timestamp)
        self._settle_ended(message.timestamp)

    # -- notes -------------------------------------------------------------------------------

    @handler("Benchmark-Response")
    def take_note(self, message: Message) -> None:
        """Take what needs no answer; else it would fill the inbox."""

    # -- money -------------------------------------------------------------------------------

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
