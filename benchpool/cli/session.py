"""Opening the network of a home for one command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchpool.cli import output
from benchpool.errors import BenchpoolError, UnknownProcess

if TYPE_CHECKING:
    from benchpool.ao.wallet import Wallet
    from benchpool.client.writer import Writer
    from benchpool.network import Network
    from benchpool.units.limits import Limits

DEFAULT_WALLET = "default"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after which it was said what became of the home."""


@contextmanager
def reading(home: Path | None) -> Iterator[Network]:
    """Open a home to look at. Another command may be writing to it at the same time.

    Raises: StoreError if there is none.
    """
    from benchpool.network import Network
    from benchpool.store.home import find_home

    with Network(find_home(home), read_only=True) as network:
        yield network


@contextmanager
def writing(
    home: Path | None,
    advise: Callable[[], str | None] | None = None,
    *,
    new: bool = False,
    limits: Limits | None = None,
) -> Iterator[tuple[Network, Writer]]:
    """Open a home, and first finish what an interrupted run left.

    While a server runs on the home, the server does what is to be written.

    Args:
        home: the folder, if one was named.
        advise: says after Ctrl-C, when the home is closed again, how to go on; None is to run the
            same command again.
        new: make a network if there is none, and say so: for commands that a network begins with.
        limits: in place of the home's own.

    Returns: the network to look at, and who writes to it.

    Raises: HomeLocked; StoreError, also if there is no network.
    """
    from benchpool.client.served import open_to_write
    from benchpool.store.home import Home, find_home

    folder = find_home(home)
    fresh = not Home(folder).exists()
    if not new:
        Home(folder).require()
    writer: Writer | None = None
    try:
        # An exception, Ctrl-C too, closes it with abort: the home stays as it was committed.
        with open_to_write(folder, limits) as (network, writer):
            if fresh:
                output.note(f"a new network begins in {folder}")
            if network.resumed:
                pending = output.count(network.resumed, "message")
                output.note(f"resuming {pending} of an interrupted run")
                with working(network):
                    network.run()
            yield network, writer
            for process, why in network.messenger.stranded.reasons().items():
                name, then = network.name_of(process), "the next command goes on with them"
                output.note(f"messages of {name} wait: {why or then}")
    except KeyboardInterrupt:
        output.note(f"interrupted; {_left_to_server(writer) or _left_at_home(advise)}")
        raise Interrupted from None


def _left_to_server(writer: Writer | None) -> str:
    from benchpool.client.served import ServedWriter

    if not isinstance(writer, ServedWriter):
        return ""
    if not writer.accepted:
        return "the server goes on with what it has accepted"
    return (
        f"message {writer.accepted} was accepted, and the server goes on with it; see:"
        f" benchpool result {writer.accepted}"
    )


def _left_at_home(advise: Callable[[], str | None] | None) -> str:
    advice = None
    with suppress(BenchpoolError):  # there may be no home yet
        advice = advise() if advise is not None else None
    return f"the home is as of the last commit; {advice or 'run the same command again to go on'}"


@contextmanager
def working(network: Network, writer: Writer | None = None) -> Iterator[output.Report]:
    """Show inference while the block runs.

    Args:
        network: names the models.
        writer: who has them asked; by default the network itself.
    """
    writer = writer or network
    with output.progress() as report:
        overall = _Overall()

        def show(process: str, done: int, total: int) -> None:
            report(done, total, f"questions to {network.name_of(process)[:20]}")
            if overall.add(process, done, total) > 1:
                report(*overall.sums(), "questions to all models")

        unlisten = writer.on_inference(show)
        try:
            yield report
        finally:
            unlisten()


class _Overall:
    """Adds up the batches of all models; those that ended count on."""

    def __init__(self) -> None:
        self._batches: dict[str, tuple[int, int]] = {}
        self._ended = 0

    def add(self, process: str, done: int, total: int) -> int:
        """Note how a batch goes on; return how many models were asked so far."""
        before = self._batches.get(process, (0, 0))
        if done < before[0]:
            self._ended += before[0]
        self._batches[process] = (done, total)
        return len(self._batches)

    def sums(self) -> tuple[int, int]:
        """(answered, asked), of all batches that were begun."""
        batches = list(self._batches.values())
        answered, asked = (sum(column) for column in zip(*batches, strict=True))
        return self._ended + answered, self._ended + asked


def signer(network: Network, writer: Writer, name: str | None) -> Wallet:
    """Return the wallet that signs. Raises: UnknownProcess that says how to make it."""
    from benchpool.client.writer import signing

    try:
        return signing(network, writer, name)
    except UnknownProcess as error:
        raise UnknownProcess(f"{error}; make it with: benchpool wallet new {name}") from None


def asker(network: Network, name: str | None = None) -> Wallet:
    """Return a wallet for a dry run: the one named, else the default one, else the first."""
    wallets = {wallet.name: wallet for wallet in network.wallets()}
    if not wallets:
        raise UnknownProcess(
            "this home has no wallet yet; make one with: benchpool wallet new NAME"
        )
    if name is None and DEFAULT_WALLET not in wallets:
        return next(iter(wallets.values()))
    return signer(network, network, name)
