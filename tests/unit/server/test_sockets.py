"""The sockets that a server listens on."""

from __future__ import annotations

import asyncio
import socket

import pytest

from benchpool.server.sockets import Options, close_all, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_no_answer_waits_until_the_part_before_it_was_acknowledged(host: str) -> None:
    """Clients that keep a connection would wait 40 ms for each answer."""

    async def option() -> int:
        sockets = listen(Options(host=host, port=0))
        try:
            found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

            def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                taken = writer.get_extra_info("socket")
                found.set_result(taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                writer.close()

            async with await asyncio.start_server(connected, sock=sockets["all"]):
                _, writer = await asyncio.open_connection(*sockets["all"].getsockname()[:2])
                writer.close()
                await writer.wait_closed()
                return await found
        finally:
            close_all(sockets)

    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    assert asyncio.run(option()) == 1
