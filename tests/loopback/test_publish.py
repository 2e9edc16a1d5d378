"""Broadcasting to real servers: picture and sound in time, tried again, the key unseen."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cluster.certificate import Certificate
from engine.errors import MienError, UsageError
from engine.node import Context
from engine.types import AudioFrame, VideoFrame
from nodes.sinks import flv, publish
from nodes.sinks.flv import BitRate
from nodes.sinks.publish import KEY, Publish, check_address
from nodes.sinks.tunnel import Tunnel
from nodes.sinks.whip import WhipStream
from tests.loopback.conftest import Start
from tests.loopback.rig import until
from tests.loopback.tls_front import behind_tls

SECRET = "s3cret-k3y"
WITHIN_S = 40.0


class Server:
    """ffmpeg as an RTMP server for one stream, which it writes to a file."""

    def __init__(self, port: int, file: Path) -> None:
        self.file = file
        address = f"rtmp://127.0.0.1:{port}/live/{SECRET}"
        self.process = subprocess.Popen(
            ["ffmpeg", "-loglevel", "error", "-listen", "1", "-i", address, "-c", "copy",
             "-flush_packets", "1", "-y", str(file)],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ended(self) -> None:
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Broadcast:
    """The node, fed with pictures and a tone that begin each second together."""

    def __init__(self, url: str) -> None:
        self.said: list[tuple[str, str]] = []
        self.gauges: dict[str, Any] = {}
        context = Context(
            name="publish",
            status=lambda condition, text: self.said.append((condition, text)),
            gauge=lambda name, value: self.gauges.__setitem__(name, value),
        )
        self.node = Publish(Publish.Config(url=url), context)
        self.node.setup()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        at_ns, turn = time.monotonic_ns(), 0
        while not self._ended.wait(max(0, at_ns - time.monotonic_ns()) / 1e9):
            bright = turn % 25 < 5
            pixels = np.full((121, 161, 3), 220 if bright else 30, np.uint8)
            self.node.on_video(VideoFrame(capture_ns=at_ns, pixels=pixels))
            wave = np.sin(np.arange(640) * 0.3) * (12_000 if bright else 0)
            samples = wave.astype(np.int16)[:, None]  # 16 kHz, one channel
            self.node.on_audio(AudioFrame(capture_ns=at_ns, samples=samples, rate_hz=16_000))
            at_ns += 40_000_000
            turn += 1

    def wait(self, holds: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline_s, self.said
            time.sleep(0.05)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self.node.close()


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="apt install ffmpeg")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def broadcast(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broadcast]:
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setattr(publish, "PAUSES_S", (0.2,))
    running = Broadcast(f"rtmp://127.0.0.1:{port}/live")
    yield running
    running.end()


def heard(file: Path) -> tuple[Any, Any]:
    """When it is bright and when it is loud, as times [s] and levels."""
    shown, sounds = [], []
    with av.open(str(file)) as opened:
        video, audio = opened.streams.video[0], opened.streams.audio[0]
        assert (video.codec_context.name, video.width, video.height) == ("h264", 160, 120)
        assert (audio.codec_context.name, audio.codec_context.sample_rate) == ("aac", 48_000)
        for frame in opened.decode(video, audio):
            if isinstance(frame, av.VideoFrame):
                shown.append((frame.time, float(frame.to_ndarray()[:100].mean())))
            elif isinstance(frame, av.AudioFrame):
                sounds.append((frame.time, float(np.abs(frame.to_ndarray()).mean())))
    return np.array(shown), np.array(sounds)


def rises(course: Any, level: float) -> Any:
    """Times at which it comes up."""
    high = course[:, 1] > level
    return course[1:][high[1:] & ~high[:-1], 0]


@needs_ffmpeg
def test_it_is_tried_until_taken_and_again(
    broadcast: Broadcast, port: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broadcast.wait(lambda: any("it is tried again" in text for _, text in broadcast.said))
    first, *others = broadcast.said  # it is said once, however often it is tried
    assert first[0] == "waiting" and {condition for condition, _ in others} == {"degraded"}
    assert "connection refused" in others[-1][1]
    server = Server(port, tmp_path / "one.flv")
    broadcast.wait(lambda: broadcast.said[-1] == ("ok", ""))
    broadcast.wait(lambda: server.file.exists() and server.file.stat().st_size > 20_000)
    server.process.kill()
    server.ended()
    broadcast.wait(lambda: broadcast.said[-1][0] == "degraded")

    server = Server(port, tmp_path / "two.flv")
    broadcast.wait(lambda: broadcast.said[-1] == ("ok", ""))
    since_s = time.monotonic()
    broadcast.wait(lambda: time.monotonic() - since_s > 4)
    broadcast.end()
    server.ended()
    shown, sounds = heard(server.file)
    assert len(shown) > 40 and np.diff(shown[:, 0]).min() > 0
    bright, loud = rises(shown, 120), rises(sounds, 0.02)
    assert len(bright) >= 3
    for at_s in bright[1:-1]:  # the encoder of the sound begins 1024 samples before its first one
        assert np.abs(loud - at_s).min() < 0.09
    out, err = capfd.readouterr()
    told = repr((broadcast.said, broadcast.gauges, out, err))
    assert SECRET not in told and "publishes to 127.0.0.1" in told


@needs_ffmpeg
def test_by_rtmps_to_who_proves_to_be_the_server_alone(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setattr(publish, "PAUSES_S", (0.2,))
    certificate = Certificate.made(tmp_path, "127.0.0.1")
    server = Server(port, tmp_path / "one.flv")
    untrusted = "its certificate isn't trusted: self-signed"
    with behind_tls(port, certificate) as front:
        with pytest.raises(MienError, match=untrusted):
            WhipStream(f"https://127.0.0.1:{front}/whip", SECRET, False)
        broadcast = Broadcast(f"rtmps://127.0.0.1:{front}/live")
        try:
            refused = f"127.0.0.1:{front} takes no stream ({untrusted}"
            broadcast.wait(lambda: any(refused in text for _, text in broadcast.said))
            assert not server.file.exists()
            monkeypatch.setenv("SSL_CERT_FILE", certificate.cert)
            broadcast.wait(lambda: broadcast.said[-1] == ("ok", ""))
            broadcast.wait(lambda: server.file.exists() and server.file.stat().st_size > 20_000)
        finally:
            broadcast.end()
        server.ended()
    shown, sounds = heard(server.file)
    assert len(shown) > 10 and sounds[:, 1].max() > 0.1
    assert SECRET not in repr((broadcast.said, broadcast.gauges))


def test_by_rtmps_to_who_speaks_no_tls_or_isnt_there(port: int) -> None:
    with pytest.raises(MienError, match="refused"):
        Tunnel("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)) as plain:

        def answer() -> None:
            with plain.accept()[0] as connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.0 400 what?\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(MienError, match=r"^it doesn't speak TLS$"):
            Tunnel("127.0.0.1", port)
        answering.join()


async def test_by_whip_to_our_own_server(web: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "another-wrong-key")
    monkeypatch.setattr(publish, "PAUSES_S", (0.2,))
    pair = await web(token=f"{SECRET}-of-the-server")
    broadcast = await asyncio.to_thread(Broadcast, pair.url + "/whip")
    try:
        refused = "(it doesn't know the key); it is tried again"
        await until(lambda: any(refused in text for _, text in list(broadcast.said)))
        monkeypatch.setenv(KEY, f"{SECRET}-of-the-server")
        await until(lambda: broadcast.said[-1] == ("ok", ""), str(broadcast.said))
        emitted: Any = pair.engine.emitted
        pictures, sounds = emitted["browser.video"], emitted["browser.audio"]
        await until(lambda: len(pictures) > 40 and len(sounds) > 40)
        assert pictures[-1].pixels.shape == (120, 160, 3)
        assert any(picture.pixels.mean() > 150 for picture in pictures)
        assert max(np.abs(block.samples).max() for block in sounds) > 3000
        assert broadcast.gauges["bitrate_kbps"] > 0
        (_, peer), *_ = pair.browser._server.peers.values()
        await peer.close("to see it come again")
        await until(lambda: any("it hung up" in text for _, text in list(broadcast.said)))
        await until(lambda: broadcast.said[-1] == ("ok", ""))
    finally:
        await asyncio.to_thread(broadcast.end)
    await until(lambda: not pair.browser._server.peers)  # it said goodbye
    assert SECRET not in repr((broadcast.said, broadcast.gauges))


def test_the_bit_rate_follows_the_network() -> None:
    rate, now_ns, blocked_s = BitRate(2_000_000, 0), 0, 0.0
    for _ in range(20):  # half of the time the network is waited for
        now_ns += 1_000_000_000
        blocked_s += 0.5
        slow = rate.follow(now_ns, blocked_s)
    assert slow == flv.LEAST_BPS
    for _ in range(100):
        now_ns += 1_000_000_000
        quick = rate.follow(now_ns, blocked_s)
    assert quick == 2_000_000


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("srt://example.org/app", "takes rtmp://HOST/APP, rtmps://HOST/APP or WHIP's https://"),
        ("http://example.org/whip", "would show the key"),
        ("rtmp://", "takes rtmp://HOST/APP"),
        ("rtmp://[x/y", "takes rtmp://HOST/APP"),
        ("rtmp://h:99999/y", "takes rtmp://HOST/APP"),
        ("s3cret", "takes rtmp://HOST/APP"),
        ("rtmp://me:s3cret@example.org/app", "what is secret belongs in MIEN_PUBLISH_KEY"),
        ("rtmp://example.org/app?key=s3cret", "what is secret belongs in MIEN_PUBLISH_KEY"),
    ],
)
def test_a_wrong_address_is_one_line(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        check_address(url)
    assert "\n" not in str(caught.value) and "s3cret" not in str(caught.value)


def test_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(MienError, match="needs the stream's key in MIEN_PUBLISH_KEY"):
        publish.take_key()
    for content in (b"", b"two words", b"\xff\xfe", b"x" * 5000):
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(MienError, match=r"--publish-key .* (holds no key|can't be read)"):
            publish.take_key(str(tmp_path / "key"))
    with pytest.raises(MienError, match="No such file"):
        publish.take_key(str(tmp_path / "none"))
    (tmp_path / "key").write_text(f"{SECRET}\n")
    monkeypatch.setenv(KEY, "")
    publish.take_key(str(tmp_path / "key"))
    assert os.environ[KEY] == SECRET
