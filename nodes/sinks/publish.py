"""Publish: the stream to a broadcasting server by RTMP, again and again until it is taken."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import urlsplit

from engine.errors import MienError, UsageError
from engine.files import check_source
from engine.node import Node
from engine.parameters import parameter
from engine.types import U8, AudioFrame, Fifo, Input, Latest, VideoFrame
from nodes.sinks.flv import FlvStream
from nodes.web.encode import start_bitrate_bps

if TYPE_CHECKING:
    from av import FFmpegError

KEY: Final = "MIEN_PUBLISH_KEY"
"""the variable that holds the stream's key, which is no parameter: those are shown"""
KEY_MOST: Final = 1024
PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
LEAST_BPS: Final = 300_000
LOOK_NS: Final = 2_000_000_000
"""how often the bit rate is thought over"""
SLOW, QUICK = 0.3, 0.03
"""shares of the time that the network is waited for: above it sends less, below it more"""


class Publish(Node):
    """Broadcast to an RTMP server (YouTube, Twitch, nginx ...). video, audio -> the network.

    A server that can't be reached, or goes away, is tried again; the bit rate follows the network.
    One that neither takes anything nor goes holds this node's step: it belongs in a process of its
    own, which is then started again.
    """

    inputs: ClassVar[dict[str, Input]] = {
        "video": Latest(VideoFrame),
        "audio": Fifo(AudioFrame, optional=True),
    }
    runs = "thread"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        url: str = parameter(
            "", "the server, rtmp://HOST/APP or rtmps://..., without the key", live=False
        )
        sound: bool = parameter(True, "send sound, silence where there is none", live=False)
        bitrate_kbps: int = parameter(
            0, "picture bitrate; 0: by its size", low=0, high=50_000, unit="kbit/s"
        )

    config: Config
    _stream: FlvStream | None = None

    def setup(self) -> None:
        """Raises MienError where the address or the key can't be used."""
        self._host = check_address(self.config.url)
        take_key()
        self._address = f"{self.config.url.rstrip('/')}/{os.environ[KEY]}"
        self._tries = 0
        self._due_ns = 0

    def on_video(self, message: VideoFrame) -> None:
        import av

        clock = self.context.clock
        try:
            if self._stream is None:
                if clock.now_ns() < self._due_ns:
                    return
                self._stream = self._connected(message.pixels)
            self._stream.picture(message.pixels, message.capture_ns)
        except av.FFmpegError as error:
            return self._broken(error)
        now_ns = clock.now_ns()
        self.context.observe("capture_to_send", (now_ns - message.capture_ns) / 1e6)
        self._rate.wish_bps = self._wish_bps(message.pixels)
        self._stream.bitrate_bps = self._rate.follow(now_ns, self._stream.blocked_s)
        self.context.gauge("bitrate_kbps", self._stream.bitrate_bps // 1000)

    def on_audio(self, message: AudioFrame) -> None:
        import av

        if self._stream is not None:
            try:
                self._stream.sound(message)
            except av.FFmpegError as error:
                self._broken(error)

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _connected(self, pixels: U8) -> FlvStream:
        """A stream of pictures like this one. Raises av.FFmpegError."""
        height, width = (side & ~1 for side in pixels.shape[:2])
        wish_bps = self._wish_bps(pixels)
        self.context.status("waiting", f"connecting to {self._host}")
        stream = FlvStream(self._address, width, height, wish_bps, self.config.sound)
        self._rate = BitRate(wish_bps, self.context.clock.now_ns())
        self._tries = 0
        self.context.status("ok", "")
        self.context.gauge("backend", f"publishes to {self._host}")
        return stream

    def _broken(self, error: FFmpegError) -> None:
        """Say why, as the system has it: the error's own text would show the key."""
        self.close()
        pause_s = PAUSES_S[min(self._tries, len(PAUSES_S) - 1)]
        self._tries += 1
        self._due_ns = self.context.clock.now_ns() + int(pause_s * 1e9)
        reason = (error.strerror or "the connection broke").lower()
        self.context.status(
            "waiting", f"{self._host} takes no stream ({reason}); it is tried again"
        )
        self.context.count("publish_failures", 1)

    def _wish_bps(self, pixels: U8) -> int:
        return self.config.bitrate_kbps * 1000 or start_bitrate_bps(
            pixels.shape[1], pixels.shape[0]
        )


class BitRate:
    """What the network takes, by how long it is waited for."""

    def __init__(self, wish_bps: int, now_ns: int) -> None:
        self.wish_bps = wish_bps
        self._now_bps = wish_bps
        self._looked_ns, self._blocked_s = now_ns, 0.0

    def follow(self, now_ns: int, blocked_s: float) -> int:
        """Bits a second from now on; ``blocked_s`` is how long was waited, ever."""
        passed_ns = now_ns - self._looked_ns
        if passed_ns >= LOOK_NS:
            share = (blocked_s - self._blocked_s) / (passed_ns / 1e9)
            if share > SLOW:
                self._now_bps = max(int(self._now_bps * 0.7), LEAST_BPS)
            elif share < QUICK:
                self._now_bps = int(self._now_bps * 1.1)
            self._looked_ns, self._blocked_s = now_ns, blocked_s
        self._now_bps = min(self._now_bps, self.wish_bps)
        return self._now_bps


def check_address(url: str) -> str:
    """The host that an address means. Raises UsageError where it can't be published to."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("rtmp", "rtmps"):
        raise UsageError(f"--publish takes rtmp://HOST/APP or rtmps://HOST/APP, not {_plain(url)}")
    if parts.query or parts.username or parts.password:
        raise UsageError(f"--publish: what is secret belongs in {KEY}, not in the address")
    return host if port is None else f"{host}:{port}"


def take_key(file: str | None = None) -> None:
    """See that there is a key: a file's goes where every process of this run finds it. Raises
    MienError."""
    if file is not None:
        os.environ[KEY] = _read_key(file)
    if not os.environ.get(KEY):
        raise MienError(f"publishing needs the stream's key in {KEY}, or in --publish-key FILE")


def _read_key(file: str) -> str:
    path = Path(file)
    check_source(path)
    try:
        with path.open(encoding="utf-8") as opened:
            key = opened.read(KEY_MOST + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise MienError(f"--publish-key {file} can't be read: {reason}") from None
    if not key or len(key) > KEY_MOST or any(letter.isspace() for letter in key):
        raise MienError(f"--publish-key {file} holds no key: one line without spaces")
    return key


def _plain(url: str) -> str:
    """An address that may be shown: without what comes after its host."""
    return f"'{url.partition('://')[0][:20]}:...'" if "://" in url else "that"
