"""Publish: the stream to a broadcasting server, again and again until it is taken."""

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
from nodes.web.security import is_loopback

if TYPE_CHECKING:
    from av import FFmpegError

    from nodes.sinks.tunnel import Tunnel
    from nodes.sinks.whip import WhipStream

KEY: Final = "MIEN_PUBLISH_KEY"
"""the variable that holds the stream's key, which is no parameter: those are shown"""
KEY_MOST: Final = 1024
PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
RTMPS_PORT: Final = 443


class Publish(Node):
    """Broadcast by RTMP (YouTube, Twitch, nginx ...) or WHIP. video, audio -> the network.

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
            "",
            "the server: rtmp://HOST/APP, rtmps://... or, for WHIP, https://...; without key",
            live=False,
        )
        sound: bool = parameter(True, "send sound, silence where there is none", live=False)
        bitrate_kbps: int = parameter(
            0, "picture bitrate by RTMP; 0: by its size", low=0, high=50_000, unit="kbit/s"
        )

    config: Config
    _stream: FlvStream | WhipStream | None = None
    _tunnel: Tunnel | None = None

    def setup(self) -> None:
        """Raises MienError where the address or the key can't be used."""
        self._host = check_address(self.config.url)
        take_key()
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
        except (av.FFmpegError, MienError) as error:
            return self._broken(error)
        now_ns = clock.now_ns()
        self.context.observe("capture_to_send", (now_ns - message.capture_ns) / 1e6)
        bitrate_bps = self._stream.follow(now_ns, self._wish_bps(message.pixels))
        self.context.gauge("bitrate_kbps", bitrate_bps // 1000)

    def on_audio(self, message: AudioFrame) -> None:
        import av

        if self._stream is not None:
            try:
                self._stream.sound(message)
            except (av.FFmpegError, MienError) as error:
                self._broken(error)

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.close()

    def _connected(self, pixels: U8) -> FlvStream | WhipStream:
        """A stream of pictures like this one. Raises av.FFmpegError, MienError."""
        url, key, sound = self.config.url, os.environ[KEY], self.config.sound
        if not self._tries:  # else it stands why it isn't there
            self.context.status("waiting", f"connecting to {self._host}")
        stream: FlvStream | WhipStream
        if url.startswith("http"):
            from nodes.sinks.whip import WhipStream

            stream = WhipStream(url, key, sound)
        else:
            height, width = (side & ~1 for side in pixels.shape[:2])
            wish_bps = self._wish_bps(pixels)
            address = self._plainly(url).rstrip("/")
            stream = FlvStream(f"{address}/{key}", width, height, wish_bps, sound)
        self._tries = 0
        self.context.status("ok", "")
        self.context.gauge("backend", f"publishes to {self._host}")
        return stream

    def _plainly(self, url: str) -> str:
        """Where RTMP goes without TLS: to a tunnel, where the address asks for it. Raises
        MienError."""
        parts = urlsplit(url)
        if parts.scheme != "rtmps":
            return url
        from nodes.sinks.tunnel import Tunnel

        assert parts.hostname
        self._tunnel = Tunnel(parts.hostname, parts.port or RTMPS_PORT, without=KEY)
        return f"rtmp://127.0.0.1:{self._tunnel.port}{parts.path}"

    def _broken(self, error: FFmpegError | MienError) -> None:
        """Say why, as the system has it: the error's own text would show the key."""
        self.close()
        pause_s = PAUSES_S[min(self._tries, len(PAUSES_S) - 1)]
        self._tries += 1
        self._due_ns = self.context.clock.now_ns() + int(pause_s * 1e9)
        said = str(error) if isinstance(error, MienError) else (error.strerror or "").lower()
        reason = said or "the connection broke"
        self.context.status(
            "degraded", f"{self._host} takes no stream ({reason}); it is tried again"
        )
        self.context.count("publish_failures", 1)

    def _wish_bps(self, pixels: U8) -> int:
        return self.config.bitrate_kbps * 1000 or start_bitrate_bps(
            pixels.shape[1], pixels.shape[0]
        )


def check_address(url: str) -> str:
    """The host that an address means. Raises UsageError where it can't be published to."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("rtmp", "rtmps", "https", "http"):
        raise UsageError(
            "--publish takes rtmp://HOST/APP, rtmps://HOST/APP or WHIP's https://..., "
            f"not {_plain(url)}"
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError("--publish: http:// would show the key to the network; take https://")
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
