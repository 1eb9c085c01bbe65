"""The audit of a pool: begun here, done in the background, and told."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from benchpool.network import Network
from benchpool.server.dashboard.audits import Audit, Audits
from benchpool.server.dashboard.page import Asked, Page
from benchpool.server.dashboard.pages.finding import find_pool


class AuditView(msgspec.Struct):
    """What an audit says of a pool."""

    pool: str
    title: str
    audit: Audit
    since: int
    """How many messages the network has got since."""


def pages(audits: Audits) -> tuple[Page, ...]:
    """Make the page."""

    def view(network: Network, asked: Asked) -> AuditView:
        _, pool = find_pool(network, asked.parts["pool"])
        audit = audits.of(pool.id)
        return AuditView(pool.id, pool.title, audit, network.store.end() - audit.message)

    def follows(network: Network, asked: Asked) -> Hashable:
        audit = audits.of(asked.parts["pool"])
        return (audit.state, audit.message, network.store.end() > audit.message)

    return (Page("/pools/{pool}/audit", "audit.html", view, follows),)
