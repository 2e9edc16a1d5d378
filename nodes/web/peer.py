"""One WebRTC peer of the server: its connection, who vanished and when, closed exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from engine.errors import MienError
from nodes.web.dtls import accept_rsa
from nodes.web.private import get_private, private
from nodes.web.sdp import BadOfferError, Offer

logger = logging.getLogger(__name__)

SILENCE_S = 8.0  # a peer that sends nothing for so long is gone
CONNECT_S = 20.0
CLOSE_S = 5.0  # aiortc gets so long to say goodbye


class Peer:
    """Holds an RTCPeerConnection; ``on_gone(peer, why)`` is called once, when it is over."""

    def __init__(self, ice_servers: list[Any], on_gone: Callable[[Peer, str], None]) -> None:
        from aiortc import RTCConfiguration, RTCPeerConnection

        self.id = secrets.token_urlsafe(9)
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=ice_servers))
        accept_rsa(self.connection)
        self._connecting = track_connecting(self.connection)
        self.connected_s: float | None = None
        self.why = ""
        self.candidates = 0  # that came after the offer
        self._on_gone = on_gone
        self._closing: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.connection.on("connectionstatechange", self._state_changed)

    @property
    def state(self) -> str:
        return str(self.connection.connectionState)

    @property
    def closing(self) -> bool:
        """Its end has begun."""
        return self._closing is not None

    async def answer(self, offer: Offer) -> str:
        """Take the offer, gather, and return the answer's SDP. Raises BadOfferError."""
        from aiortc import RTCSessionDescription

        self.offer = offer
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(offer.text, "offer"))
            self.prepare()
            await self.connection.setLocalDescription(await self.connection.createAnswer())
        except BadOfferError:
            await self.close("broken offer")
            raise
        except Exception as error:  # what aiortc raises at an offer has no common base
            if self.closing:
                raise MienError("the connection was closed while it was made") from None
            logger.debug("an offer can't be answered", exc_info=True)
            await self.close("broken offer")
            raise BadOfferError(f"the offer can't be answered: {_one_line(error)}") from None
        if self.closing:
            raise MienError("the connection was closed while it was made; connect again")
        self._watch = asyncio.create_task(self._watch_over())
        return str(self.connection.localDescription.sdp)

    @property
    def remote_user(self) -> str:
        """The ICE user name that the offer gave."""
        for line in self.offer.text.splitlines():
            if line.startswith("a=ice-ufrag:"):
                return line.partition(":")[2].strip()
        return ""

    async def add_candidates(self, candidates: list[Any]) -> None:
        """More addresses to try the peer at. What isn't UDP over one component is of no use."""
        self.candidates += len(candidates)
        transceivers = self.connection.getTransceivers()
        for candidate in candidates:
            if candidate.protocol.lower() == "udp" and candidate.component == 1 and transceivers:
                candidate.sdpMid = transceivers[0].mid  # everything is bundled
                await self.connection.addIceCandidate(candidate)

    def prepare(self) -> None:
        """Called once the offer is known and before anything flows."""

    def established(self) -> None:
        """Called once, when it is connected."""

    def close_soon(self, why: str) -> None:
        """Begin to end the connection, where that hasn't begun."""
        if self._closing is None:
            self.why = why
            self._closing = asyncio.create_task(self._close())

    async def close(self, why: str = "closed") -> None:
        """End the connection; returns when everything of it has ended."""
        self.close_soon(why)
        assert self._closing is not None
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._watch is not None and self._watch is not asyncio.current_task():
            self._watch.cancel()
        try:
            await end(self.connection, self._connecting)
        finally:
            self._on_gone(self, self.why)

    def _state_changed(self) -> None:
        if self.state == "connected" and self.connected_s is None:
            self.connected_s = asyncio.get_running_loop().time()
            self.established()
        elif self.state in ("failed", "closed"):
            self.close_soon("the connection failed" if self.state == "failed" else "the peer left")

    def received_packets(self) -> int:
        """Packets that came over the connection so far, media and reports alike."""
        transceivers = self.connection.getTransceivers()
        if not transceivers:
            return 0
        transport = transceivers[0].receiver.transport
        return int(getattr(transport, "_RTCDtlsTransport__rx_packets", 0))

    async def _watch_over(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = last_s = loop.time()
        last = -1
        while not self.closing:
            await asyncio.sleep(1.0)
            packets = self.received_packets()
            if packets != last:
                last, last_s = packets, loop.time()
            if self.connected_s is None and loop.time() - began_s > CONNECT_S:
                self.close_soon("it never connected")
            elif self.connected_s is not None and loop.time() - last_s > SILENCE_S:
                self.close_soon("nothing came from the peer")


def make_room(peers: Collection[Peer], most: int) -> bool:
    """Whether one more peer has a place; who never connected gives way, the oldest first."""
    staying = [peer for peer in peers if not peer.closing]
    if len(staying) < most:
        return True
    waiting = [peer for peer in staying if peer.connected_s is None]
    if not waiting:
        return False
    waiting[0].close_soon("others connected before it")
    return True


def agree_on_video(transceiver: Any, preferred: str, offer: Offer) -> str:
    """Leave ``transceiver`` one codec, H264 or VP8, and what resends it; its name, "" for neither.

    ``preferred``, h264 or vp8, where the offer has it. The answer repeats the offer's parameters.
    """
    offered = [codec for codec in transceiver._codecs if codec.name in ("H264", "VP8")]
    if not offered:
        return ""
    first = next((codec for codec in offered if codec.name.lower() == preferred), offered[0])
    resend = [
        codec for codec in transceiver._codecs if codec.parameters.get("apt") == first.payloadType
    ]
    first.parameters = offer.h264.get(first.payloadType, first.parameters)
    transceiver._codecs = [first, *resend]
    return str(first.name)


def agree_on_extension(transceiver: Any, offer: str, uri: str) -> int | None:
    """Take an RTP header extension that the offer has for ``transceiver``; its number, or None."""
    from aiortc.sdp import SessionDescription

    for media in SessionDescription.parse(offer).media:
        if media.rtp.muxId != transceiver.mid:
            continue
        for extension in media.rtp.headerExtensions:
            if extension.uri == uri and extension.id <= 14:  # one-byte headers (RFC 8285, 4.2)
                transceiver._headerExtensions.append(extension)
                return int(extension.id)
    return None


def track_connecting(connection: Any) -> set[asyncio.Task[Any]]:
    """The tasks in which aiortc connects: closed in the middle, they would start what was stopped.

    aiortc starts them by itself and keeps no hold of them.
    """
    tasks: set[asyncio.Task[Any]] = set()
    name = private(connection, "connect")
    connect = getattr(connection, name)

    async def tracked() -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await connect()
        except Exception:  # the peer is closed as one that never connected
            logger.debug("a connection can't be made", exc_info=True)
        finally:
            tasks.discard(task)

    setattr(connection, name, tracked)
    return tasks


async def end(connection: Any, connecting: set[asyncio.Task[Any]]) -> None:
    """Close a connection so that no task or socket of it is left, whatever fails meanwhile."""
    tasks = list(connecting)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    try:
        async with asyncio.timeout(CLOSE_S):
            await connection.close()
        return
    except Exception:  # an offer can leave aiortc with parts that aren't whole
        logger.debug("a connection can't be closed", exc_info=True)
    # aiortc stopped at the first part that failed: the others are still there
    for transceiver in connection.getTransceivers():
        await _quietly(transceiver.receiver.stop())
        await _quietly(transceiver.sender.stop())
    for transport in [*get_private(connection, "dtlsTransports")]:
        await _quietly(transport.stop())
        await _quietly(transport.transport.stop())
        await _quietly(transport.transport._connection.close())  # where its stop was cut short
    connection.remove_all_listeners()
    closed = get_private(connection, "isClosed")
    if not closed.done():
        closed.set_result(True)  # who else waits for the end


async def _quietly(ending: Awaitable[None]) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await ending


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
