"""Names that people write in place of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchpool.network import Network


def named_ids(network: Network, tags: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Put ids in place of tag values like `@alice`; `@@alice` is the text `@alice`.

    In `Recipient` a bare name does as well: tokens sent to the text "alice" would be lost.

    Raises: UnknownProcess.
    """
    known = network.names()

    def identify(name: str, value: str) -> str:
        if value.startswith("@@"):
            return value[1:]
        if value.startswith("@"):
            return network.resolve(value[1:])
        return known.get(value, value) if name.lower() == "recipient" else value

    return [(name, identify(name, value)) for name, value in tags]
