"""States: what a process shows at its URLs, behind any slot.

    now/balances/ADDRESS      as it stands
    compute=7/balances        behind slot 7
    compute=7/results/raw     what the evaluation of slot 7 gave

A Python process shows its state, and over it what it patched. A process of any other kind shows
what it patched.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import Request

from benchpool.ao.message import Message, ProcessInfo
from benchpool.errors import ProcessBusy, Unavailable
from benchpool.process import Process
from benchpool.server.answers import RefusedRequest
from benchpool.server.compute import LONGEST_WAIT_S, awaiting, past_only
from benchpool.server.context import Context
from benchpool.server.hyperbeam.patches import Patches
from benchpool.server.hyperbeam.paths import Asked
from benchpool.server.hyperbeam.slots import info_of, message_at, results_json
from benchpool.server.hyperbeam.values import find, has, plain, scalars_of
from benchpool.server.lookups import View


class _Place(NamedTuple):
    """A process behind one message of its log."""

    info: ProcessInfo
    message: Message
    own: Any
    """What is looked for of its own state as JSON; None if that is not there."""


class States:
    """Looks at the states of one server's processes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._patches = Patches()
        self._wait = awaiting(context)

    async def results(self, process: str, said: str) -> dict[str, Any]:
        """Return what the evaluation of a slot, or of a message by its id, gave.

        Raises: UnknownProcess; RefusedRequest; Unavailable if it takes too long.
        """
        network = self._context.network
        message = await self._context.bus.read(lambda: message_at(network, process, said))
        result, info = await self._wait(message.id, process, LONGEST_WAIT_S)
        if result is None:
            raise Unavailable(f"Evaluation of process {process} is in progress; ask again.")
        return results_json(result, info)

    async def look(self, request: Request, asked: Asked, *, scalars: bool) -> Any:
        """Return a part of a state as JSON holds it.

        Args:
            request: who asks.
            asked: `now` or `compute`, and keys.
            scalars: of a whole map, these alone are wanted.

        Raises: UnknownProcess; RefusedRequest; LimitExceeded for a time that is too far back;
            Unavailable.
        """
        first, *rest = asked.steps
        slot = first.get("compute") or first.get("slot") or request.query_params.get("slot")
        keys = [each.key for each in rest]
        if keys[:1] == ["results"]:
            said = rest[0].get("results") or slot or await self._newest(asked.process)
            return find(await self.results(asked.process, said), keys[1:])
        wanted = _Wanted(asked.process, slot, keys, scalars)
        place = await self._context.bus.read(lambda: self._at(wanted))
        if keys and keys[0] in _OF_PLACE:
            return find(_of(place), keys)

        def work(view: View) -> Any:
            patched = self._patches.at(view, place.info, place.message.position)
            return _shown(place, patched, wanted)

        return await self._context.lookups.fold(request, work)

    async def _newest(self, process: str) -> str:
        network = self._context.network

        def work() -> str:
            info_of(network, process)
            position = network.compute.instance(process).position
            return str(network.logs.entry_at(process, position).nonce)

        return await self._context.bus.read(work)

    def _at(self, wanted: _Wanted) -> _Place:
        """Look at a process's own state; the bus's thread calls this."""
        network, process = self._context.network, wanted.process
        info = info_of(network, process)
        stands = network.compute.instance(process).position
        if wanted.slot is None:
            message = network.logs.entry_at(process, stands)
        else:
            message = message_at(network, process, wanted.slot)
            if message.position > stands:
                raise Unavailable(f"slot {wanted.slot} of process {process} is not evaluated yet")
        if not isinstance(network.process(process), Process) or _OF_PLACE.intersection(
            wanted.keys[:1]
        ):
            return _Place(info, message, None)
        try:
            network.live.check_idle(process)
        except ProcessBusy as error:
            raise Unavailable(str(error)) from None
        position = past_only(network, message.position, process)
        if position is None:
            found = network.process(process)
        else:
            found = network.compute.past(process, position).process
        return _Place(info, message, _part(found.state, wanted))


class _Wanted(NamedTuple):
    process: str
    slot: str | None
    """None: as it stands."""
    keys: list[str]
    scalars: bool
    """Of a whole map, these alone."""


def _of(place: _Place) -> dict[str, Any]:
    """Return what every process shows, and nothing overrides."""
    return {"device": "process@1.0", "at-slot": place.message.nonce, "process": place.info.id}


_OF_PLACE = frozenset({"device", "at-slot", "process"})


def _part(state: Any, wanted: _Wanted) -> Any:
    """Return what is looked for as JSON: nobody else may touch the state of a process."""
    try:
        found = find(state, wanted.keys)
    except RefusedRequest:
        return None
    return plain(scalars_of(found) if wanted.scalars else found)


def _shown(place: _Place, patched: dict[str, Any], wanted: _Wanted) -> Any:
    keys = wanted.keys
    if not keys:
        whole = {**(place.own or {}), **patched, **_of(place)}
        return plain(scalars_of(whole) if wanted.scalars else whole)
    if has(patched, keys[0]) or place.own is None:
        found = find(patched, keys)
        return plain(scalars_of(found) if wanted.scalars else found)
    return place.own
