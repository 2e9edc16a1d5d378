"""One WebRTC peer of the server: its connection, who vanished and when, closed exactly once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from engine.errors import MienError
from nodes.web.dtls import accept_rsa
from nodes.web.private import private
from nodes.web.sdp import BadOfferError, Offer

SILENCE_S = 8.0  # a peer that sends nothing for so long is gone
CONNECT_S = 20.0


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

    async def answer(self, offer: Offer) -> str:
        """Take the offer, gather, and return the answer's SDP. Raises BadOfferError."""
        from aiortc import RTCSessionDescription
        from aiortc.exceptions import InternalError, InvalidStateError, OperationError

        self.offer = offer
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(offer.text, "offer"))
            self.prepare()
            await self.connection.setLocalDescription(await self.connection.createAnswer())
        except (
            ValueError, KeyError, IndexError, AttributeError, AssertionError, TypeError,
            InternalError, InvalidStateError, OperationError,
        ) as error:  # fmt: skip
            await self.close("broken offer")
            raise BadOfferError(f"the offer can't be answered: {_one_line(error)}") from None
        except BadOfferError:
            await self.close("broken offer")
            raise
        if self._closing is not None:
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

    async def close(self, why: str = "closed") -> None:
        """End the connection; returns when everything of it has ended."""
        if self._closing is None:
            self.why = why
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._watch is not None and self._watch is not asyncio.current_task():
            self._watch.cancel()
        await end(self.connection, self._connecting)
        self._on_gone(self, self.why)

    def _state_changed(self) -> None:
        loop = asyncio.get_running_loop()
        if self.state == "connected":
            self.connected_s = loop.time()
        elif self.state in ("failed", "closed") and self._closing is None:
            self.why = "the connection failed" if self.state == "failed" else "the peer left"
            self._closing = asyncio.create_task(self._close())

    def received_packets(self) -> int:
        """Packets that came over the connection so far, media and reports alike."""
        transceivers = self.connection.getTransceivers()
        if not transceivers:
            return 0
        transport = transceivers[0].receiver.transport
        return int(getattr(transport, "_RTCDtlsTransport__rx_packets", 0))

    async def _watch_over(self) -> None:
        loop = asyncio.get_running_loop()
        last, last_s = -1, loop.time()
        while True:
            await asyncio.sleep(1.0)
            packets = self.received_packets()
            if packets != last:
                last, last_s = packets, loop.time()
            limit_s = CONNECT_S if self.connected_s is None else SILENCE_S
            if loop.time() - last_s > limit_s and self._closing is None:
                self.why = "nothing came from the peer"
                self._closing = asyncio.create_task(self._close())
                return


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
        finally:
            tasks.discard(task)

    setattr(connection, name, tracked)
    return tasks


async def end(connection: Any, connecting: set[asyncio.Task[Any]]) -> None:
    """Close a connection so that no task of it is left."""
    tasks = list(connecting)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await connection.close()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
