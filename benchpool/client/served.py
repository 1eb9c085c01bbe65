"""A home that a server runs on: other commands write through the server."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from benchpool import errors
from benchpool.ao.ids import is_id
from benchpool.ao.message import Data, Message
from benchpool.ao.tags import Tags, TagsInput
from benchpool.ao.wallet import ED25519, Wallet
from benchpool.client.writer import Writer, signing
from benchpool.errors import (
    BenchpoolError,
    ConfigError,
    PushLimitExceeded,
    Unavailable,
)
from benchpool.extensions.llama import InferenceProgress
from benchpool.network import Network, Party, Sent
from benchpool.store.server_file import ServerFile, find_server
from benchpool.store.shelf import AddedModule, AddedPackage
from benchpool.units.limits import Limits, check_text
from benchpool.units.pushing import root_of

LOOK_S: Final = 0.5
"""How often a command that waits asks how far the models are."""


@contextmanager
def open_to_write(folder: Path, limits: Limits | None = None) -> Iterator[tuple[Network, Writer]]:
    """Open a home, or make one; while a server runs on it, the server does what is to be written.

    Args:
        folder: the home.
        limits: in place of the home's own.

    Returns: the network to look at, and who writes to it.

    Raises: HomeLocked, StoreError.
    """
    server = find_server(folder)
    with Network(folder, read_only=server is not None, limits=limits) as network:
        yield network, network if server is None else ServedWriter(network, server)


class ServedWriter:
    """Has the server of a home write; see `Writer`.

    Args:
        network: the home, opened to look. It shows what was written as soon as it is.
        server: who runs on it.
    """

    def __init__(self, network: Network, server: ServerFile) -> None:
        self._network = network
        self._server = server
        self._posted: list[str] = []
        self._listeners: list[InferenceProgress] = []
        self._batches: dict[str, list[int]] = {}

    @property
    def accepted(self) -> str:
        """The newest message whose end was not waited for; empty if there is none."""
        return self._posted[-1] if self._posted else ""

    def new_wallet(self, name: str, kind: str = ED25519) -> Wallet:
        """See `Writer`."""
        self._ask("wallets", {"name": name, "kind": kind})
        self._network.refresh()
        return self._network.wallet(name)

    def add_wallet(self, wallet: Wallet) -> Wallet:
        """See `Writer`."""
        self._ask("wallets", {"name": wallet.name, "jwk": wallet.jwk()})
        self._network.refresh()
        return self._network.wallet(wallet.name)

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
        """See `Writer`."""
        owner = signing(self._network, self, sender)
        said = _said(owner, tags, data) | {"module": module, "name": name, "given_id": given_id}
        process: str = self._ask("processes", said)["id"]
        self._network.refresh()
        return process

    def add_module(
        self,
        module: Path | str | bytes,
        *,
        name: str,
        ids: Sequence[str] = (),
        compute_limit: int | None = None,
        memory_limit: int | None = None,
    ) -> AddedModule:
        """See `Writer`. The server reads the bytes from the data of the home."""
        network = self._network
        if isinstance(module, bytes):
            network.modules.check_size(len(module))
            data_id = network.data.put(module)
        elif isinstance(module, str) and is_id(module):
            data_id = module
        else:
            network.modules.check_size(Path(module).stat().st_size)
            data_id = network.data.put_file(Path(module))
        said = {"data": data_id, "name": name, "ids": list(ids)}
        bounds = {"compute_limit": compute_limit, "memory_limit": memory_limit}
        added = self._ask("modules", said | bounds)
        network.refresh()
        return msgspec.convert(added, AddedModule)

    def add_package(self, name: str, source: str) -> AddedPackage:
        """See `Writer`."""
        added = self._ask("packages", {"name": name, "source": source})
        self._network.refresh()
        return msgspec.convert(added, AddedPackage)

    def post(
        self,
        target: Party,
        action: str = "",
        tags: TagsInput = (),
        *,
        data: Data = "",
        sender: Party | None = None,
    ) -> Sent:
        """See `Writer`. What it leads to is under way when this returns."""
        said = _said(signing(self._network, self, sender), tags, data)
        target_id = self._network.resolve(target)
        given = self._ask("messages", said | {"target": target_id, "action": action})
        self._posted.append(given["id"])
        self._network.refresh()
        return self._network.logs.sent(given["id"], given["process"], given["sender"])

    def post_assignment(
        self, message_id: str, processes: list[str], *, exclude: Sequence[str] = ()
    ) -> list[Message]:
        """See `Writer`."""
        targets = [self._network.info(process).id for process in processes]
        said = {"message": message_id, "processes": targets, "exclude": list(exclude)}
        self._ask("assignments", {"sender": "", **said})
        self._network.refresh()
        placed = self._network.logs.copies(message_id, targets)
        self._posted.extend(filter(None, {root_of(message): None for message in placed}))
        return placed

    def run(self) -> None:
        """Wait until all that came of what was posted here is done.

        Raises:
            PushLimitExceeded: one of the chains had to be stopped.
            Unavailable: the server ended meanwhile; what it accepted goes on when it runs again.
        """
        stopped = ""
        while self._posted:
            try:
                told = self._ask(f"finished/{self._posted[-1]}?seconds={LOOK_S}")
            except Unavailable as error:
                raise Unavailable(
                    f"{error}; message {self.accepted} was accepted, and goes on as soon as a"
                    " server or another command that writes opens this home"
                ) from None
            self._show(told["inference"])
            if told["finished"]:
                self._posted.pop()
                stopped = told["stopped"] or stopped
        self._show({})
        self._network.refresh()
        if stopped:
            raise PushLimitExceeded(stopped)

    def on_inference(self, listener: InferenceProgress) -> Callable[[], None]:
        """See `Writer`. What all models of the server are at is told, while `run` waits."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def _show(self, batches: dict[str, list[int]]) -> None:
        """Tell how far the models are; a batch of which the server is silent is done."""
        ended = {each: [asked, asked] for each, (_, asked) in self._batches.items()}
        for process, (answered, asked) in (ended | batches).items():
            for listener in tuple(self._listeners):
                listener(process, answered, asked)
        self._batches = batches

    def _ask(self, what: str, said: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the server. Raises: what the server raised; Unavailable if it is gone."""
        request = urllib.request.Request(  # noqa: S310 - our own server's address
            f"{self._server.url}/api/{what}",
            None if said is None else msgspec.json.encode(said),
            {"Authorization": f"Bearer {self._server.token}", "Content-Type": "application/json"},
        )
        try:
            with _direct.open(request) as response:
                answer: dict[str, Any] = msgspec.json.decode(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise _error(error.headers.get("X-Error-Kind"), error.read()) from None
        except OSError as error:
            raise Unavailable(
                f"the server of this home, process {self._server.pid}, does not answer: {error}"
            ) from None
        return answer


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""No proxy stands between two programs of one machine."""


def _said(sender: Wallet, tags: TagsInput, data: Data) -> dict[str, Any]:
    if isinstance(data, str):
        check_text(data)
        content: dict[str, str] = {"text": data}
    else:
        content = {"base64": base64.b64encode(data).decode()}
    return {"sender": sender.address, "tags": Tags(tags).pairs, **content}


def _error(kind: str | None, body: bytes) -> BenchpoolError:
    try:
        text = str(msgspec.json.decode(body)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        text = body[:200].decode(errors="replace")
    found = getattr(errors, kind or "", None)
    if isinstance(found, type) and issubclass(found, BenchpoolError):
        return found(text)
    return ConfigError(f"the server says: {text}")
