"""Writer: what writes to a network. A network itself is one, and so is the server of a home."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from benchpool.ao.message import Data, Message
from benchpool.ao.tags import TagsInput
from benchpool.ao.wallet import ED25519, Wallet
from benchpool.extensions.llama import InferenceProgress
from benchpool.network import DEFAULT_WALLET, Network, Party, Sent
from benchpool.store.shelf import AddedModule, AddedPackage


class Writer(Protocol):
    """Writes as `Network` does; what its methods do is said there."""

    def new_wallet(self, name: str, kind: str = ED25519) -> Wallet:
        """Make a wallet."""

    def add_wallet(self, wallet: Wallet) -> Wallet:
        """Take a wallet in."""

    def spawn(
        self,
        module: str,
        tags: TagsInput = (),
        *,
        name: str | None = None,
        data: Data = "",
        sender: Party | None = None,
        given_id: str | None = None,
    ) -> str:
        """Create a process."""

    def add_module(
        self,
        module: Path | str | bytes,
        *,
        name: str,
        ids: Sequence[str] = (),
        compute_limit: int | None = None,
        memory_limit: int | None = None,
    ) -> AddedModule:
        """Take a WASM module in."""

    def add_package(self, name: str, source: str) -> AddedPackage:
        """Keep a Lua package."""

    def post(
        self,
        target: Party,
        action: str = "",
        tags: TagsInput = (),
        *,
        data: Data = "",
        sender: Party | None = None,
    ) -> Sent:
        """Schedule a message."""

    def post_assignment(
        self, message_id: str, processes: list[str], *, exclude: Sequence[str] = ()
    ) -> list[Message]:
        """Assign a message to further processes."""

    def run(self) -> None:
        """Go on until nothing is pending."""

    def on_inference(self, listener: InferenceProgress) -> Callable[[], None]:
        """Tell a listener how inference goes on; return what ends that."""


def send(
    writer: Writer,
    target: Party,
    action: str,
    tags: TagsInput = (),
    *,
    data: Data = "",
    sender: Party | None = None,
) -> Sent:
    """Post a message, and return when nothing is pending; see `Network.send`."""
    sent = writer.post(target, action, tags, data=data, sender=sender)
    writer.run()
    return sent


def signing(network: Network, writer: Writer, sender: Party | None = None) -> Wallet:
    """Return the wallet that signs; the default one is made when first asked for.

    Raises: UnknownProcess if there is none.
    """
    party = sender or DEFAULT_WALLET
    if party == DEFAULT_WALLET and DEFAULT_WALLET not in network.names():
        return writer.new_wallet(DEFAULT_WALLET)
    return network.wallet(party)
