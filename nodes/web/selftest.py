"""Is a connection possible, and if not, why: addresses, STUN, TLS, codecs, in words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Protocol

from nodes.web.options import Options
from nodes.web.sdp import parse_ice_servers
from nodes.web.security import Guard

STUN_S = 1.5


class Server(Protocol):
    """What is looked at."""

    @property
    def options(self) -> Options: ...

    @property
    def guard(self) -> Guard: ...

    @property
    def port(self) -> int: ...

    @property
    def nodes(self) -> Mapping[str, object]: ...

    def ice_servers(self) -> list[Any]: ...


async def selftest(server: Server) -> list[dict[str, Any]]:
    """A list of ``{"name", "ok", "text"}``; ``text`` says what is wrong and how to fix it."""
    items = [_bound(server), _secure(server), await _candidates(server)]
    servers = parse_ice_servers(server.options.ice_servers)
    if servers:
        items += await asyncio.gather(*(_stun(item["urls"]) for item in servers))
    else:
        items.append(_item(
            "STUN", True,
            "no STUN or TURN server is set: fine on this machine and in one network; for peers "
            "elsewhere name one, for example --ice stun:stun.example.org:3478",
        ))  # fmt: skip
    items.append(await asyncio.to_thread(_codecs))
    items.append(_sources(server))
    return items


def _item(name: str, ok: bool, text: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "text": text}


def _bound(server: Server) -> dict[str, Any]:
    where = f"{server.options.host}:{server.port}"
    if server.guard.loopback:
        return _item(
            "Address", True,
            f"bound to {where}: this machine only. Another device needs --address 0.0.0.0 "
            "and --cert, --key",
        )  # fmt: skip
    return _item("Address", True, f"bound to {where}; a token is asked of everyone")


def _secure(server: Server) -> dict[str, Any]:
    if server.guard.scheme == "https":
        return _item("TLS", True, "on: browsers on other machines may use their camera")
    if server.guard.loopback:
        return _item("TLS", True, "off, and not needed: browsers trust 127.0.0.1")
    return _item(
        "TLS", False,
        "off: browsers on other machines get no camera from a page without https; "
        "start with --cert CERT.pem --key KEY.pem",
    )  # fmt: skip


async def _candidates(server: Server) -> dict[str, Any]:
    from aiortc import RTCIceGatherer

    gatherer = RTCIceGatherer(server.ice_servers())
    try:
        await asyncio.wait_for(gatherer.gather(), 6.0)
        found = gatherer.getLocalCandidates()
    except (TimeoutError, OSError) as error:
        return _item("ICE candidates", False, f"addresses can't be gathered: {error or 'too slow'}")
    finally:
        await gatherer._connection.close()
    if not found:
        return _item(
            "ICE candidates", False,
            "this machine has no network address besides loopback, so media has no way: "
            "connect to a network",
        )  # fmt: skip
    listed = ", ".join(f"{item.ip} ({item.type})" for item in found[:6])
    return _item("ICE candidates", True, f"{len(found)}: {listed}; media uses free UDP ports")


async def _stun(url: str) -> dict[str, Any]:
    """Ask a STUN or TURN server for our address and wait a little for its answer."""
    from aioice import stun

    scheme, _, rest = url.partition(":")
    host, _, port = rest.partition("?")[0].rpartition(":")
    if not host or not port.isdigit():
        host, port = rest.partition("?")[0], "3478"
    name = f"{scheme.upper()} {host}:{port}"
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()

    class Asker(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            if not answered.done():
                answered.set_result(None)

        def error_received(self, error: Exception) -> None:
            if not answered.done():
                answered.set_exception(error)

    try:
        transport, _protocol = await asyncio.wait_for(
            loop.create_datagram_endpoint(Asker, remote_addr=(host, int(port))), STUN_S
        )
    except (OSError, TimeoutError):
        return _item(name, False, f"the name {host} isn't found; check --ice and DNS")
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    began_s = time.monotonic()
    try:
        transport.sendto(bytes(request))
        await asyncio.wait_for(answered, STUN_S)
    except (OSError, TimeoutError):
        return _item(
            name, False, "doesn't answer: UDP to it is blocked, or it is down; try another server"
        )
    finally:
        transport.close()
    return _item(name, True, f"answers within {(time.monotonic() - began_s) * 1000:.0f} ms")


def _codecs() -> dict[str, Any]:
    import av

    wanted = {"libx264": "H.264", "libvpx": "VP8", "libopus": "Opus"}
    missing = []
    for codec, words in wanted.items():
        try:
            av.Codec(codec, "w")
        except (av.codec.codec.UnknownCodecError, ValueError):
            missing.append(words)
    if missing:
        return _item(
            "Codecs", False,
            f"{' and '.join(missing)} can't be encoded: install av from PyPI (pip install av)",
        )  # fmt: skip
    return _item("Codecs", True, "H.264, VP8 and Opus can be encoded")


def _sources(server: Server) -> dict[str, Any]:
    takes = [path for path in ("/session", "/whip", "/whep") if path in server.nodes]
    return _item("Graph", bool(takes), f"it takes {', '.join(takes) or 'no peers at all'}")
