"""What a real viewer is told over the wire: how long to hold pictures, when media was captured."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import numpy as np
import pytest
from aiortc.rtp import RtcpSrPacket, unpack_header_extensions

from engine import operations as ops
from engine.types import VideoFrame
from nodes.web.playback import SOUND_LEAD_NS, UNHELD_NS, URI
from tests.loopback.conftest import Start
from tests.loopback.rig import Client, Pictures, Tone, until

NUMBER = 9
EXTENSION = f"a=extmap:{NUMBER} {URI}"
NTP_EPOCH_S = 2_208_988_800


def limits(client: Client) -> list[bytes]:
    """Collects what comes in the extension."""
    seen: list[bytes] = []
    extensions: Any = client.connection.getReceivers()[0].transport._rtp_header_extensions_map
    read = extensions.get

    def get(profile: int, value: bytes) -> Any:
        seen.extend(x for number, x in unpack_header_extensions(profile, value) if number == NUMBER)
        return read(profile, value)

    extensions.get = get
    return seen


class Stream:
    """What comes in at one of a client's receivers: packets with their arrival, and reports."""

    def __init__(self, receiver: Any) -> None:
        self.packets: deque[tuple[float, int]] = deque(maxlen=30)
        self.reports: list[RtcpSrPacket] = []
        self._rtp, self._rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet
        receiver._handle_rtp_packet, receiver._handle_rtcp_packet = self._media, self._report

    async def _media(self, packet: Any, **how: Any) -> None:
        self.packets.append((time.time(), packet.timestamp))
        await self._rtp(packet, **how)

    async def _report(self, packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            self.reports.append(packet)
        await self._rtcp(packet)

    def age_ms(self, rate_hz: int) -> float:
        """From the capture, as the last report places it, to the arrival."""
        said = self.reports[-1].sender_info
        said_s = said.ntp_timestamp / 2**32 - NTP_EPOCH_S
        ages = []
        for at_s, timestamp in self.packets:
            ahead = (timestamp - said.rtp_timestamp + (1 << 31)) % (1 << 32) - (1 << 31)
            ages.append(1000 * (at_s - said_s - ahead / rate_hz))
        return float(np.median(ages))


async def test_viewers_hear_how_long_they_may_hold_pictures(web: Start) -> None:
    pair = await web()
    await pair.client().publish("/session", Pictures())
    viewer = pair.client()
    viewer.video_line = EXTENSION
    await viewer.view()
    assert EXTENSION in viewer.connection.remoteDescription.sdp
    seen = limits(viewer)
    await until(lambda: seen and len(viewer.pictures) > 10, "the extension, and pictures")
    assert set(seen) == {b"\0\0\1"}  # at least 0, at most once 10 ms
    await pair.engine.dispatcher.call(ops.Set("out", "playout_delay_ms", 500))
    await until(lambda: seen[-1] == b"\0\0\x32", "the new limit")


async def test_a_viewer_that_doesnt_know_the_limit_gets_none(web: Start) -> None:
    pair = await web()
    viewer = await pair.client().view(kinds=("video",))
    assert URI not in viewer.connection.remoteDescription.sdp
    await until(lambda: len(viewer.pictures) > 3, "pictures")


async def test_reports_place_sound_and_picture_on_the_capture_clock(web: Start) -> None:
    pair = await web(straight=False)
    loop = asyncio.get_running_loop()

    def after_work(message: VideoFrame) -> None:
        loop.call_later(0.25, pair.out.on_video, message)

    pair.engine.wire("browser.video", after_work)
    await pair.client().publish("/session", Pictures(), Tone())
    plain = await pair.client().view()
    limited = pair.client()
    limited.video_line = EXTENSION
    await limited.view(kinds=("video",))
    picture, sound = (Stream(receiver) for receiver in plain.connection.getReceivers())
    (unheld,) = (Stream(receiver) for receiver in limited.connection.getReceivers())
    streams = (picture, sound, unheld)
    observed = pair.engine.observed["out"]
    await until(lambda: len(observed["capture_to_send"]) > 90, "steady state")
    for stream in streams:
        stream.reports.clear()
    await until(lambda: all(stream.reports for stream in streams), "reports of all")
    picture_ms, sound_ms = picture.age_ms(90_000), sound.age_ms(48_000)
    left_after_ms = (pair.out.sync.picture.ns or 0) / 1e6
    assert left_after_ms > 250
    assert picture_ms == pytest.approx(left_after_ms, abs=40)
    assert sound_ms == pytest.approx(left_after_ms - SOUND_LEAD_NS / 1e6, abs=40)
    assert picture_ms - unheld.age_ms(90_000) == pytest.approx(UNHELD_NS / 1e6, abs=15)
