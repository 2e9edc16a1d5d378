"""MediaFile: pictures and sound from a file, as fast as possible or in its own time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from engine.errors import EndOfStream, MienError
from engine.node import Source
from engine.parameters import parameter
from engine.types import U8, AudioFrame, VideoFrame
from nodes.colours import PictureReader
from nodes.image_file import is_picture, read_moving
from nodes.media import (
    audio_stream,
    decoder_of,
    nominal_rate,
    open_media,
    video_stream,
)
from nodes.timeline import Timeline

_NS = 1_000_000_000
_LOOKAHEAD_VIDEO, _LOOKAHEAD_AUDIO = 8, 96

_Item = tuple[str, int, Callable[[int], VideoFrame | AudioFrame]]
"""port, media time [ns], capture_ns -> message"""


class MediaFile(Source):
    """Play a file. -> video (upright BGR), audio (int16).

    Every picture that decodes comes out once, with its own time (pts from the file's start; a clock
    that is set back within the file goes on, see ``nodes.timeline``).
    ``capture_ns`` is the start of playing plus media time, in both paces, so that whatever
    smooths over time does the same at any speed. Damaged packets are skipped and counted.
    """

    outputs: ClassVar = {"video": VideoFrame, "audio": AudioFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter("", "the file to play", live=False)
        paced: bool = parameter(False, "in its own time, as a camera would; else at full speed")
        loop: bool = parameter(False, "start over at the end")
        sound: bool = parameter(True, "emit the sound too, where there is any", live=False)

    _container: Any = None
    _messages: Iterator[_Item] = iter(())
    _pending: _Item | None = None

    def setup(self) -> None:
        self._epoch_ns: int | None = None
        self._end_s = Fraction(0)
        self._open()
        self._pending = next(self._messages, None)
        self.context.gauge("ready_ns", self.context.clock.now_ns())
        if self._pending is None:
            self.close()
            raise MienError(
                f"not one picture of {self.config.path} can be decoded; the file is damaged"
            )

    def read(self) -> dict[str, VideoFrame | AudioFrame] | None:
        if self._pending is None:
            self._pending = self._next()
        port, media_ns, make = self._pending
        now_ns = self.context.clock.now_ns()
        if self._epoch_ns is None:
            self._epoch_ns = now_ns - media_ns
        if self.config.paced:
            due_ns = self._epoch_ns + media_ns
            if now_ns - due_ns > _NS // 2:  # the machine slept: go on from here, in no hurry
                self._epoch_ns += now_ns - due_ns
            elif due_ns - now_ns > _NS // 2:
                self.context.clock.wait_until(now_ns + _NS // 2)
                return None
            else:
                self.context.clock.wait_until(due_ns)
        self._pending = None
        return {port: make(self._epoch_ns + media_ns)}

    def close(self) -> None:
        self._messages = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None

    def _next(self) -> _Item:
        began_ns = self.context.clock.now_ns()
        item = next(self._messages, None)
        if item is None and self.config.loop:
            self.close()
            self._open()
            item = next(self._messages, None)
        if item is None:
            raise EndOfStream
        self.context.observe("decode", (self.context.clock.now_ns() - began_ns) / 1e6)
        return item

    def _open(self) -> None:
        """Begin at the beginning; what comes is placed after what has been."""
        path = Path(self.config.path)
        if is_picture(path):
            self._messages = self._stills(path)
            return
        self._container = open_media(self.config.path)
        video = video_stream(self._container)
        sound = audio_stream(self._container) if self.config.sound else None
        assert video is not None
        video.thread_type = "AUTO"
        self._messages = self._interleave(self._decode(video, sound), sound is not None)

    def _stills(self, path: Path) -> Iterator[_Item]:
        base = Fraction(1, 1000)
        at = start = round(self._end_s / base)
        for pixels, stays_ms in read_moving(path):
            self._end_s = (at + stays_ms) * base
            make = _picture(pixels, at, base, cut=at == start)
            yield "video", _to_ns(at, base), make
            at += stays_ms

    def _decode(self, video: Any, sound: Any | None) -> Iterator[_Item]:
        """Everything that decodes, in the file's order."""
        import av

        streams = [video] if sound is None else [video, sound]
        timeline = Timeline(self._container, self._end_s)
        made: dict[int, tuple[Any, _Pictures | _Sounds]] = {
            video.index: (decoder_of(video), _Pictures(self, video))
        }
        if sound is not None:
            made[sound.index] = (decoder_of(sound), _Sounds(self, sound))
        failures = 0
        while True:
            try:
                for packet in self._container.demux(streams):
                    timeline.place(packet)
                    decode, messages = made[packet.stream_index]
                    try:
                        frames = decode(packet)
                    except av.FFmpegError:
                        self.context.count("damaged_packets", 1)
                        continue
                    for frame in frames:
                        failures = 0
                        yield from messages.take(frame)
                return
            except av.EOFError:
                return
            except (av.FFmpegError, OSError):
                self.context.count("damaged_packets", 1)
                failures += 1
                if failures > 50:
                    return

    @staticmethod
    def _interleave(items: Iterator[_Item], sound: bool) -> Iterator[_Item]:
        """By media time, across streams that a file stores far apart; holds a bounded few."""
        video: deque[_Item] = deque()
        audio: deque[_Item] = deque()
        for item in items:
            if not sound:
                yield item
                continue
            (video if item[0] == "video" else audio).append(item)
            while video and audio:
                yield (video if video[0][1] <= audio[0][1] else audio).popleft()
            if len(video) > _LOOKAHEAD_VIDEO:
                yield video.popleft()
            if len(audio) > _LOOKAHEAD_AUDIO:
                yield audio.popleft()
        yield from sorted([*video, *audio], key=lambda item: item[1])


class _Stamps:
    """Stamps of one stream's messages: growing, without holes in what has none."""

    def __init__(self, owner: MediaFile, stream: Any, nominal_s: Fraction) -> None:
        self.base = Fraction(stream.time_base)
        self._owner = owner
        self._nominal = max(1, round(nominal_s / self.base))
        self._next = round(owner._end_s / self.base)
        self._last = self._next - 1 if owner._end_s else None

    def place(self, pts: int | None, duration: int | None) -> int:
        """The stamp in ticks of ``base`` for a message that the timeline puts at ``pts``."""
        at: int = self._next if pts is None else pts
        if self._last is not None:
            at = max(at, self._last + 1)
        self._last = at
        self._next = at + (duration or self._nominal)
        self._owner._end_s = max(self._owner._end_s, self._next * self.base)
        return at


class _Pictures:
    def __init__(self, owner: MediaFile, stream: Any) -> None:
        self._reader = PictureReader()
        self._stamps = _Stamps(owner, stream, 1 / nominal_rate(stream))
        self._first = True
        self._owner = owner

    def take(self, frame: Any) -> Iterator[_Item]:
        if frame.is_corrupt:
            self._owner.context.count("damaged_frames", 1)
        base = self._stamps.base
        pts = self._stamps.place(frame.pts, frame.duration)
        cut, self._first = self._first, False
        pixels = self._reader.read(frame)
        yield "video", _to_ns(pts, base), _picture(pixels, pts, base, cut)


class _Sounds:
    def __init__(self, owner: MediaFile, stream: Any) -> None:
        self._stamps = _Stamps(owner, stream, Fraction(1024, 48_000))
        self._resampler: Any = None
        self._signature: tuple[Any, ...] = ()

    def take(self, frame: Any) -> Iterator[_Item]:
        import av
        import numpy as np

        if not frame.samples:
            return
        channels = frame.layout.nb_channels
        signature = (frame.format.name, frame.layout.name, frame.sample_rate)
        if signature != self._signature:
            layout = frame.layout.name if channels in (1, 2, 6, 8) else "stereo"
            self._resampler = av.AudioResampler("s16", layout, frame.sample_rate)
            self._signature = signature
        rate_hz, base = frame.sample_rate, self._stamps.base
        duration = round(Fraction(frame.samples, rate_hz) / base)
        pts = self._stamps.place(frame.pts, duration)
        frame.pts = None
        blocks = [block.to_ndarray() for block in self._resampler.resample(frame)]
        if not blocks:
            return
        count = self._resampler.layout.nb_channels
        samples = np.concatenate(blocks, axis=1).reshape(-1, count)
        samples.flags.writeable = False

        def make(capture_ns: int) -> AudioFrame:
            return AudioFrame(
                capture_ns=capture_ns, samples=samples, rate_hz=rate_hz, pts=pts, time_base=base
            )

        yield "audio", _to_ns(pts, base), make


def _picture(pixels: U8, pts: int, base: Fraction, cut: bool) -> Callable[[int], VideoFrame]:
    def make(capture_ns: int) -> VideoFrame:
        return VideoFrame(capture_ns=capture_ns, pixels=pixels, pts=pts, time_base=base, cut=cut)

    return make


def _to_ns(pts: int, base: Fraction) -> int:
    return pts * base.numerator * _NS // base.denominator
