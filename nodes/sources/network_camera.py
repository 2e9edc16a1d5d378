"""NetworkCamera: pictures from an address (RTSP, HTTP, ...); it comes back by itself."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from engine.clock import Clock
from engine.errors import UsageError
from engine.node import Source
from engine.parameters import parameter
from engine.types import VideoFrame
from media.colours import PictureReader
from media.probing import video_stream
from nodes.sources import playlists
from nodes.sources.retries import Retries
from nodes.trust import authorities, reason, untrusted

SCHEMES: Final = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "tcp", "udp")
_TLS_PORTS: Final = {"rtsps": 322, "rtmps": 443, "https": 443}
_NS: Final = 1_000_000_000
_REOPEN_NS: Final = 2 * _NS
_TAKE_S: Final = 0.2
_AHEAD_NS: Final = _NS // 2
_DAMAGED_MOST: Final = 50
# An address may name others (a playlist does): never a file of this machine.
_ALLOWED: Final = "rtp,rtcp,srtp,tls,tcp,udp,crypto,httpproxy," + ",".join(SCHEMES)


class NetworkCamera(Source):
    """Read a camera of the network. -> video, in the size that it sends.

    The newest picture counts: what came before it and wasn't taken is dropped. Stamps say when a
    picture arrived. A camera that doesn't answer or goes silent is tried again every two seconds.
    A recording that lies at the address is played in its own time, over and over. One that speaks
    TLS has to prove who it is (`nodes.trust`).
    """

    outputs: ClassVar = {"video": VideoFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        address: str = parameter("", "such as rtsp://192.168.1.20/stream", live=False)
        answer_s: float = parameter(
            6.0, "how long an answer or a picture may take", low=0.2, high=60, unit="s", live=False
        )

    _reception: _Reception | None = None

    def setup(self) -> None:
        check_address(self.config.address)
        self._retries = Retries(self.context.clock, _REOPEN_NS)
        self._last_ns = 0
        self._pictures = PictureReader()
        self._shown = without_secrets(self.config.address)

    def read(self) -> VideoFrame | None:
        clock = self.context.clock
        if self._reception is None:
            if not self._retries.due():
                return None
            self._reception = _Reception(self.config.address, self.config.answer_s, clock)
            self._cut = True
        taken = self._reception.take(_TAKE_S)
        if taken is None:
            if self._reception.ended.is_set():
                self._lose(self._reception.problem)
            return None
        arrival_ns, frame = taken
        if self._cut:
            self.context.status("ok", "")
        capture_ns = self._last_ns = max(arrival_ns, self._last_ns + 1)
        cut, self._cut = self._cut, False
        pixels = self._pictures.read(frame)
        return VideoFrame(capture_ns=capture_ns, pixels=pixels, pts=capture_ns, cut=cut)

    def close(self) -> None:
        reception, self._reception = self._reception, None
        if reception is not None:
            reception.stop()

    def _lose(self, problem: str) -> None:
        self.close()
        self._retries.failed()
        if not self._cut:
            self.context.count("lost", 1)
        self.context.status("failed", f"camera {self._shown} {problem}; it is tried again")


class _Reception:
    """One connection, read in a thread of its own; keeps the newest picture alone.

    A library that waits for the network can't be interrupted, so nobody waits for that thread: once
    stopped it ends by itself, within ``answer_s``.
    """

    def __init__(self, address: str, answer_s: float, clock: Clock) -> None:
        self.problem = "sends no pictures"
        self.ended = threading.Event()
        self._address, self._answer_s, self._clock = address, answer_s, clock
        self._stopped = threading.Event()
        self._fresh = threading.Condition()
        self._newest: tuple[int, Any] | None = None
        self._delivered = False
        threading.Thread(target=self._run, name="network camera", daemon=True).start()

    def take(self, timeout_s: float) -> tuple[int, Any] | None:
        """(arrival_ns, picture as decoded) of the newest, once; None where there is no new one."""
        with self._fresh:
            self._fresh.wait_for(lambda: self._newest or self.ended.is_set(), timeout_s)
            newest, self._newest = self._newest, None
            return newest

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        import av

        try:
            self._receive()
        except (av.FFmpegError, OSError, ValueError) as error:
            # Each container has its own error for an end in its midst.
            silent = isinstance(error, av.ExitError | av.TimeoutError)
            if silent or not self._delivered:
                self.problem = "" if silent else self._mistrust(error)
                self.problem = self.problem or _reason(error)
        finally:
            with self._fresh:
                self.ended.set()
                self._fresh.notify()

    def _receive(self) -> None:
        import av

        with self._opened() as container:
            video = video_stream(container)
            if video is None:
                return
            video.thread_type = "SLICE"  # threads by frame would hold pictures back
            video.codec_context.flags |= av.codec.context.Flags.low_delay
            pace = _Pace(self._clock) if _is_recording(container) else None
            for frame in _decoded(container, video):
                if pace is not None and frame.pts is not None:
                    pace.wait(round(frame.pts * video.time_base * _NS), self._stopped)
                if self._stopped.is_set():
                    return
                self._delivered, self.problem = True, "has stopped"
                with self._fresh:
                    self._newest = (self._clock.now_ns(), frame)
                    self._fresh.notify()

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The address, from who proves to be there. Raises av.FFmpegError, OSError."""
        import av

        scheme = self._scheme()
        options = {"protocol_whitelist": _ALLOWED}
        if scheme.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # through routers, and without torn pictures
        more: dict[str, Any] = {"timeout": self._answer_s, "metadata_errors": "replace"}
        with authorities() as trusted:
            options |= {"tls_verify": "1", "ca_file": trusted}
            if scheme == "https":
                options |= playlists.REFUSED
            try:
                container = av.open(self._address, options=options, **more)
            except av.InvalidDataError:
                if scheme != "https":
                    raise
            else:
                with container:
                    yield container
                return
        with av.open(
            self._address,
            format=playlists.format_of(self._address),
            options=playlists.FETCHED,
            io_open=playlists.fetcher(self._address, self._answer_s),
            **more,
        ) as container:
            yield container

    def _mistrust(self, error: Exception) -> str:
        """Why its TLS can't be relied on, or ""; FFmpeg doesn't say."""
        if isinstance(error, HTTPError) or self._scheme() not in _TLS_PORTS:
            return ""
        if isinstance(error, URLError) and isinstance(error.reason, ssl.SSLError):
            why = reason(error.reason)
        else:
            parts = urlsplit(self._address)
            port = parts.port or _TLS_PORTS[self._scheme()]
            why = untrusted(parts.hostname or "", port, self._answer_s)
        return f"can't be relied on ({why})" if why else ""

    def _scheme(self) -> str:
        return self._address.partition("://")[0].lower()


class _Pace:
    """Lets pictures of a recording out in their own time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoch_ns: int | None = None

    def wait(self, media_ns: int, stopped: threading.Event) -> None:
        now_ns = self._clock.now_ns()
        ahead_ns = 0 if self._epoch_ns is None else self._epoch_ns + media_ns - now_ns
        if self._epoch_ns is None or abs(ahead_ns) > _AHEAD_NS:  # it begins, jumped or was late
            self._epoch_ns = now_ns - media_ns
        elif ahead_ns > 0:
            stopped.wait(ahead_ns / _NS)


def _is_recording(container: Any) -> bool:
    """Whether what is read has an end, or comes in pieces of seconds; else it comes as it is."""
    return container.duration is not None or container.format.name == "hls"


def _decoded(container: Any, video: Any) -> Iterator[Any]:
    """Pictures in order; damaged packets are skipped, unless nothing else comes."""
    import av

    damaged = 0
    for packet in container.demux(video):
        try:
            yield from packet.decode()
            damaged = 0
        except av.FFmpegError:
            damaged += 1
            if damaged > _DAMAGED_MOST:
                raise


def is_address(device: str) -> bool:
    """Whether ``device`` is an address rather than a camera of this machine or a file."""
    return "://" in device


def check_address(address: str) -> None:
    """Raises UsageError where this is no address of a kind that can be read."""
    try:
        parts = urlsplit(address)
        named = parts.hostname and (parts.port or True)
    except ValueError:  # a port that is no number, half a pair of brackets
        named = False
    scheme = address.partition("://")[0].lower()
    if scheme not in SCHEMES:
        known = " ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(f"a camera cannot be read by '{scheme}://'; what can be: {known}")
    if not named:
        raise UsageError(
            f"'{without_secrets(address)}' names no host, as {scheme}://192.168.1.20/stream does"
        )


def without_secrets(address: str) -> str:
    """The address as it may be shown: no name, no password, nothing that a query carries."""
    scheme, found, rest = address.partition("://")
    return scheme + found + re.split("[?#]", rest.rpartition("@")[2], maxsplit=1)[0]


def _reason(error: Exception) -> str:
    """What is wrong with a camera, in words that say what to do."""
    import av

    status = error.code if isinstance(error, HTTPError) else 0
    if status in (401, 403) or isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return "wants a name and a password: put them before its host, NAME:PASSWORD@"
    if status == 404 or isinstance(error, av.HTTPNotFoundError):
        return "has nothing at that path; see its manual for the stream's"
    if isinstance(error, av.ExitError | av.TimeoutError):
        return "does not answer; is it switched on, and in this network?"
    if isinstance(error, av.ConnectionRefusedError):
        return "refuses to talk at that port; see its manual for the stream's"
    if isinstance(error, av.InvalidDataError):
        return "sends what is no video"
    if isinstance(error, av.EOFError):
        return "sends nothing"
    text = getattr(error, "strerror", None) or str(error)
    return f"cannot be reached ({' '.join(str(text).split())}); check the address and the network"
