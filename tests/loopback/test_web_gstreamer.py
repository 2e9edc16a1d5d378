"""Clients that know nothing of Mien: GStreamer's webrtcbin and simple-whip-client."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.types import AudioFrame, VideoFrame
from tests.loopback.conftest import Start, Web
from tests.loopback.rig import Pictures, Tone, until

PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("gst_peer.py")
NEEDED = "webrtcbin nicesrc dtlsenc srtpenc x264enc vp8enc opusenc avdec_h264 level"
FIND = f"""
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
print(*[name for name in "{NEEDED}".split() if not Gst.ElementFactory.find(name)])
"""
INSTALL = (
    "apt install python3-gi gir1.2-gst-plugins-bad-1.0 gstreamer1.0-plugins-bad "
    "gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly gstreamer1.0-nice gstreamer1.0-libav"
)


@cache
def why_no_gstreamer() -> str:
    try:
        found = subprocess.run([PYTHON, "-c", FIND], capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        return f"no {PYTHON} here"
    if found.returncode:
        return f"no GStreamer with webrtcbin here: {INSTALL}"
    return f"GStreamer lacks {found.stdout.strip()}: {INSTALL}" if found.stdout.strip() else ""


class Said:
    """What a program printed so far, as JSON lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def newest(self, key: str) -> Any:
        return next((line[key] for line in reversed(self.lines) if key in line), None)


@asynccontextmanager
async def gstreamer(kind: str, url: str, codec: str) -> AsyncIterator[Said]:
    """webrtcbin as a WHIP publisher or WHEP viewer, ended with the block."""
    if reason := why_no_gstreamer():
        pytest.skip(reason)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        PYTHON, str(SCRIPT), kind, f"{url}/{kind}", codec, stdin=pipe, stdout=pipe, limit=1 << 20
    )
    said = Said()

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            said.lines.append(json.loads(line))

    reader = asyncio.create_task(read())
    try:
        yield said
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        await reader


def blue(pair: Web) -> bool:
    """Whether the test picture of a publisher has come through."""
    pictures = [m for m in pair.engine.emitted["browser.video"] if isinstance(m, VideoFrame)]
    if len(pictures) < 20:
        return False
    b, g, r = pictures[-1].pixels[120, 160]
    return pictures[-1].pixels.shape == (240, 320, 3) and b > 200 and g < 60 and r < 60


def loudest_hz(pair: Web) -> float:
    sounds = [m for m in pair.engine.emitted["browser.audio"] if isinstance(m, AudioFrame)]
    heard = np.concatenate([each.samples[:, 0] for each in sounds[-25:]]).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    return float(np.argmax(spectrum) * 48_000 / len(heard))


@pytest.mark.parametrize("codec", ["vp8", "h264", "h264-bare"])
async def test_gstreamer_publishes(web: Start, codec: str) -> None:
    pair = await web()
    async with gstreamer("whip", pair.url, codec) as said:
        await until(lambda: blue(pair), "pictures")
        await until(lambda: len(pair.engine.emitted["browser.audio"]) > 50, "sound")
        assert loudest_hz(pair) == pytest.approx(440, abs=6)
        assert said.newest("state") == "connected"
        offered, answered = said.newest("offer"), said.newest("answer")
    if codec == "h264":
        assert "profile-level-id=64" in offered and "profile-level-id=64" in answered
    elif codec == "h264-bare":
        assert "a=fmtp:96" not in offered and "profile-level-id" not in answered


@pytest.mark.parametrize("codec", ["vp8", "h264", "h264-bare"])
async def test_gstreamer_views(web: Start, codec: str) -> None:
    pair = await web()
    await pair.client().publish("/session", Pictures(), Tone())

    def loud(said: Said) -> Callable[[], bool]:
        return lambda: (said.newest("level_db") or -99) > -30

    async with gstreamer("whep", pair.url, codec) as said:
        await until(lambda: (said.newest("pictures") or 0) > 20, "pictures at the viewer")
        await until(lambda: said.newest("size") == [320, 240], "the publisher's size")
        await until(loud(said), "sound at the viewer")
        assert pair.engine.gauges["out"]["codec"] == codec.removesuffix("-bare").upper()


# Debian's whip-client brings libsoup 2, libnice libsoup 3 for UPnP alone: no process takes both.
NO_UPNP = """
void *gupnp_simple_igd_thread_new(void) { return 0; }
unsigned long gupnp_simple_igd_get_type(void) { return 0; }
void gupnp_simple_igd_add_port(void) {}
void gupnp_simple_igd_remove_port_local(void) {}
"""
WHIP_CLIENT_SENDS = {
    "vp8": "vp8enc deadline=1 ! rtpvp8pay pt=96 ssrc=2 ! "
    "application/x-rtp,media=video,encoding-name=VP8,payload=96",
    "h264": "x264enc tune=zerolatency key-int-max=30 "
    "! rtph264pay pt=96 ssrc=2 config-interval=-1 ! "
    "application/x-rtp,media=video,encoding-name=H264,payload=96",
}


@pytest.fixture(scope="module")
def no_upnp(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which libnice finds no UPnP."""
    if not shutil.which("cc"):
        pytest.skip("no C compiler here: apt install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("no_upnp")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(folder / "libgupnp-igd-1.0.so.4")],
        input=NO_UPNP, text=True, check=True, timeout=60,
    )  # fmt: skip
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}


@pytest.mark.parametrize("codec", WHIP_CLIENT_SENDS)
async def test_simple_whip_client_publishes(
    web: Start, codec: str, no_upnp: dict[str, str]
) -> None:
    """It sends its candidates by PATCH, and DELETE when it is interrupted."""
    client = shutil.which("whip-client")
    if not client or why_no_gstreamer():
        pytest.skip(why_no_gstreamer() or "no simple-whip-client: apt install simple-whip-client")
    pair = await web()
    process = await asyncio.create_subprocess_exec(
        client, "-u", f"{pair.url}/whip", "-l", "7", "-o",
        "-A", "audiotestsrc is-live=true freq=440 ! opusenc ! rtpopuspay pt=97 ssrc=1 ! "
        "application/x-rtp,media=audio,encoding-name=OPUS,payload=97",
        "-V", "videotestsrc is-live=true pattern=blue ! "
        f"video/x-raw,width=320,height=240,framerate=30/1 ! {WHIP_CLIENT_SENDS[codec]}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=no_upnp,
    )  # fmt: skip
    said = asyncio.create_task(process.communicate())
    try:
        await until(lambda: blue(pair) or said.done(), "pictures")
        await until(lambda: len(pair.engine.emitted["browser.audio"]) > 50, "sound")
        assert loudest_hz(pair) == pytest.approx(440, abs=6)
        (peer,) = pair.browser._peers
        await until(lambda: peer.candidates > 0, "candidates by PATCH")
        process.send_signal(signal.SIGINT)
        await until(lambda: not pair.browser._peers, "its DELETE")
        assert peer.why == "ended by the peer"
    finally:
        if process.returncode is None and not said.done():
            await asyncio.wait([said], timeout=5)
        if process.returncode is None:
            process.kill()
        await said
