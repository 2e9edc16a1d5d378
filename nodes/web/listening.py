"""A server's address: bound, refused in words, and as a person opens it."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

from nodes.web.gate import HEADER_S, Connection
from nodes.web.security import Guard, bracketed


def page_url(guard: Guard, port: int) -> str:
    """What a person opens; with the token where one is needed."""
    host = _own_address() if guard.host in ("0.0.0.0", "::") else guard.host
    query = f"/?token={guard.token}" if guard.token else ""
    if guard.proxy.public:
        return guard.proxy.public + query
    return f"{guard.scheme}://{bracketed(host)}:{port}{query}"


async def listen(
    connection: Callable[[], Connection], host: str, port: int, tls: ssl.SSLContext | None = None
) -> asyncio.Server:
    """``::`` is every address, those of IPv4 too, as its printed address promises."""
    loop = asyncio.get_running_loop()
    within_s = HEADER_S if tls else None
    if host == "::" and socket.has_dualstack_ipv6():
        everywhere = socket.create_server(
            ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64
        )
        return await loop.create_server(
            connection, sock=everywhere, ssl=tls, ssl_handshake_timeout=within_s, backlog=64
        )
    return await loop.create_server(
        connection, host, port, ssl=tls, ssl_handshake_timeout=within_s, backlog=64
    )


def why_not_bound(host: str, port: int, error: OSError) -> str:
    """One line for an operating system's refusal of an address."""
    where = f"{bracketed(host)}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights; choose one above 1023 with --port"
    return f"the server can't be bound to {where} ({error.strerror}); choose another --address"


def _own_address() -> str:
    """This machine's address in its network, as a browser elsewhere would name it."""
    import ifaddr

    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            if address.is_IPv4 and not str(address.ip).startswith("127."):
                return str(address.ip)
    return "127.0.0.1"
