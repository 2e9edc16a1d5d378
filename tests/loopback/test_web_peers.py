"""Offers that are bad, or that come to nothing, take no place from anybody."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from nodes.web import peer
from nodes.web.publisher import PUBLISHERS_MOST
from tests.loopback.conftest import Start
from tests.loopback.rig import Pictures, Tone, offer_of, until

SDP = {"Content-Type": "application/sdp"}


def changed(offer: str, start: str, line: str) -> str:
    """The offer with ``line`` in the place of those that begin with ``start``."""
    lines = [line if old.startswith(start) else old for old in offer.splitlines()]
    return "\r\n".join(lines) + "\r\n"


async def bad_offers(direction: str) -> dict[str, str]:
    video = await offer_of("video", direction=direction)
    both = await offer_of("video", "audio", direction=direction)
    return {
        "a bundle of what isn't there": changed(both, "a=group:BUNDLE", "a=group:BUNDLE 9 0 1 2"),
        "a bundle led by a stranger": changed(video, "a=group:BUNDLE", "a=group:BUNDLE 9 0"),
        "a parameter that isn't one": changed(video, "a=fmtp:", "a=fmtp:55 x=1"),
        "a payload type beyond all": changed(video, "a=rtpmap:", "a=rtpmap:9999999999 VP8/90000"),
        "a clock of nothing": changed(video, "a=rtpmap:", "a=rtpmap:97 VP8/0"),
        "an unknown hash": changed(video, "a=fingerprint:", "a=fingerprint:sha-0 AA:BB"),
        "a role of its own": changed(video, "a=setup:", "a=setup:holdconn"),
        "the same section twice": video + video[video.index("m=video") :],
        "letters of another world": video.replace("mid:0", "mid:\ud7ff\U0010ffff"),
    }  # fmt: skip


async def post(session: aiohttp.ClientSession, url: str, offer: str) -> tuple[int, str]:
    async with session.post(url, data=offer.encode(), headers=SDP) as response:
        return response.status, await response.text()


@pytest.mark.parametrize(("path", "direction"), [("/whep", "recvonly"), ("/session", "sendonly")])
async def test_a_hundred_bad_offers_then_a_viewer_and_a_publisher(
    web: Start, path: str, direction: str, caplog: pytest.LogCaptureFixture
) -> None:
    pair = await web()
    bad = await bad_offers(direction)
    odd = {"an unknown hash", "letters of another world"}  # can be answered, and come to nothing
    async with aiohttp.ClientSession() as session:
        for number in range(100):
            name = list(bad)[number % len(bad)]
            status, text = await post(session, pair.url + path, bad[name])
            assert status == (201 if name in odd else 400), (name, text)
            assert name in odd or text.count("\n") == 1
    assert "Traceback" not in caplog.text
    await pair.client().view()
    await pair.client().publish("/session", Pictures(), Tone())
    await until(lambda: pair.out.info()["viewers"] == 1, "the viewer")
    await until(lambda: pair.browser.info()["state"] == "connected", "the publisher")
    await until(lambda: len(pair.browser._peers) == 1, "the end of those before it")


async def test_an_offer_that_never_connects_leaves_the_live_publisher(web: Start) -> None:
    pair = await web()
    live = await pair.client().publish("/session", Pictures())
    await until(lambda: pair.engine.emitted["browser.video"], "pictures")
    offer = await offer_of("video", direction="sendonly")
    async with aiohttp.ClientSession() as session:
        for _ in range(20):
            status, _ = await post(session, pair.url + "/session", offer)
            assert status == 201
    assert len([one for one in pair.browser._peers if not one.closing]) <= PUBLISHERS_MOST
    count = len(pair.engine.emitted["browser.video"])
    await until(lambda: len(pair.engine.emitted["browser.video"]) > count + 10, "pictures")
    assert live.connection.connectionState == "connected"
    assert pair.browser.info()["state"] == "connected"
    assert not pair.engine.counters["browser"]["takeovers"]


async def test_a_peer_that_never_connects_is_given_up(
    web: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "CONNECT_S", 0.5)
    pair = await web()
    async with aiohttp.ClientSession() as session:
        for path, direction in (("/session", "sendonly"), ("/whep", "recvonly")):
            offer = await offer_of("video", direction=direction)
            assert (await post(session, pair.url + path, offer))[0] == 201
    await until(lambda: not pair.browser._peers and not pair.out._viewers, "their end")
    assert not pair.out._server.peers
    assert pair.engine.status["browser"][0] == "waiting"


async def test_a_close_that_fails_or_hangs_still_frees_the_place(
    web: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "CLOSE_S", 0.1)
    pair = await web(max_viewers=2)

    async def hang() -> None:
        await asyncio.sleep(60)

    async def fail() -> None:
        raise RuntimeError("unforeseen")

    for stop in (hang, fail):
        await pair.client().view(kinds=("video",))
        await until(lambda: pair.out.info()["viewers"] == 1, "the viewer")
        viewer = pair.out._viewers[0]
        monkeypatch.setattr(viewer.connection.getTransceivers()[0], "stop", stop)
        await viewer.close()
        assert not pair.out._viewers
    await pair.client().view(kinds=("video",))
    await until(lambda: pair.out.info()["viewers"] == 1, "a viewer after them")
