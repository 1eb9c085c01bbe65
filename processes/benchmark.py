"""Benchmark: pools of money for the models that do best on a data set.

A pool is made by a transfer, joined by a message, ranked daily and settled after its end. Money
moves by three rules: it comes in only by a Credit-Notice of the token; what cannot be used goes
back; and a settled pool pays out exactly what came in.
"""

from __future__ import annotations

from benchpool.ao.tags import Pair
from benchpool.errors import BenchpoolError, NotAuthorized
from benchpool.process import Message, handler
from benchpool.winston import parse_quantity
from processes.pool.joining import Joining
from processes.pool.payments import Payment
from processes.pool.pool import Pool
from processes.pool.settling import Settling
from processes.pool.terms import Registration, questions_of, read_registration, read_terms
from processes.tag_values import DATASET, check_address, is_module, module_names


class Benchmark(Settling, Joining):
    """Holds pools."""

    def on_spawn(self, message: Message) -> None:
        """Take the token, the only one whose notices count. Raises: HandlerError without one."""
        self.state.token = check_address(message.tags.get("WrappedAR"), "WrappedAR")
        if self.edition > 1:
            self.state.dataset_modules = module_names(message.tags, "Dataset-Modules", default="")

    # -- data sets and pools -----------------------------------------------------------------

    @handler("Register-Dataset")
    def register_dataset(self, message: Message) -> None:
        """Let pools be made for the sender; again, its facts are new for pools to come."""
        if self.edition > 1:
            self._check_dataset(message)
        registration = read_registration(message, first=self.edition == 1)
        self.state.datasets[message.sender] = registration
        self.reply(message, "Register-Dataset-Response", {"Name": registration.name})
        for pool_id in list(self.state.running):
            pool = self.state.pools[pool_id]
            if pool.is_sealed and pool.dataset == message.sender:
                self._reveal(pool, registration, message.timestamp)

    def _check_dataset(self, message: Message) -> None:
        """Let only processes in whose code nobody has a hand be data sets. Raises: NotAuthorized.

        The data set says who is right: a wallet, or code that its owner can change, could say so
        of anybody.
        """
        module, admitted = message.from_module, self.state.dataset_modules
        if admitted:
            known, named = is_module(module, admitted), ", ".join(admitted)
        else:
            known = bool(module) and self.modules.serves(module, DATASET)
            named = "a data set's module that is installed here"
        if not known:
            raise NotAuthorized(f"data sets are processes of {named}, and {message.sender} is none")

    def _reveal(self, pool: Pool, registration: Registration, now_ms: int) -> None:
        """Let the entries of a sealed pool be evaluated, if these are the questions it sealed."""
        if not registration.samples:
            return
        if now_ms < pool.join_until:
            self._give_back(pool, "the sealed questions were revealed while models could join")
        elif registration.seal != pool.sealed:
            self._give_back(pool, "the questions revealed are not those that were sealed")
        elif registration.router != pool.router:
            self._give_back(pool, "the data set asks another router than that of the pool")
        else:
            for name, value in questions_of(registration).items():
                setattr(pool, name, value)
            for entry in pool.models.values():
                self._evaluate(pool, entry)

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
            elif "X-Join-Pool" in tags and self.edition > 1:
                self._join_paid(message, quantity)
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

    @handler("Get-Pool")
    def get_pool(self, message: Message) -> None:
        """Describe a pool with its entries. The pool is named by a tag, or is the Data."""
        pool = self._find_pool(message, "Get-Pool-Error")
        if pool is not None:
            self.reply(message, "Get-Pool-Response", data=pool.view(message.timestamp))

    @handler("Leaderboard")
    def leaderboard(self, message: Message) -> None:
        """Rank a pool's entries by the numbers that came last; it is named as in Get-Pool."""
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
        terms = read_terms(
            notice.tags, self.state.datasets, notice.timestamp, first=self.edition == 1
        )._asdict()
        pool = Pool(
            id=notice.id,
            funder=funder,
            funds=quantity,
            contributions={funder: quantity},
            chance=self.state.datasets[terms["dataset"]].chance,
            **terms.pop("more"),
            **terms,
        )
        self.state.pools[pool.id] = pool
        self.state.running[pool.id] = True
        facts = [
            ("Allocation", pool.allocation),
            ("Dataset", pool.dataset),
            ("Start-Time", str(pool.start_time)),
            ("End-Time", str(pool.end_time)),
            *pool.binding().items(),
        ]
        self._confirm(notice, "Pool-Created", pool, facts)

    def _top_up(self, notice: Message, sender: str, quantity: int) -> None:
        pool = self._open(notice.tags["X-Pool"], notice.timestamp)
        pool.funds += quantity
        pool.contributions[sender] = pool.contributions.get(sender, 0) + quantity
        if not pool.first:
            self.send(pool.dataset, "Pool-Funds", {"Pool": pool.id, "Funds": str(pool.funds)})
        self._confirm(notice, "Pool-Funded", pool, [])

    def _confirm(self, notice: Message, action: str, pool: Pool, facts: list[Pair]) -> None:
        tags = [("Pool", pool.id), ("Funds", str(pool.funds)), *facts]
        if "X-Reference" in notice.tags:
            tags.append(("X-Reference", notice.tags["X-Reference"]))
        self.send(notice.tags["Sender"], action, tags)
