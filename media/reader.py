"""What a media file holds, by media time: pictures upright, sound in int16, on one timeline."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.types import U8, AudioFrame, VideoFrame
from media.colours import PictureReader
from media.image_file import is_picture, read_moving
from media.local_file import open_alone
from media.probing import audio_stream, decoder_of, nominal_rate, open_media, video_stream
from media.timeline import Timeline

_NS = 1_000_000_000
_LOOKAHEAD_VIDEO, _LOOKAHEAD_AUDIO = 8, 96

Item = tuple[str, int, Callable[[int], VideoFrame | AudioFrame]]
"""port, media time [ns], capture_ns -> message"""


class MediaReader:
    """Reads a file once. Every picture that decodes comes, with its own time from ``begin_s`` on.

    A clock that is set back within the file goes on (``media.timeline``), and what isn't wanted
    counts for it all the same, so pictures and sound fit together however they are asked for.
    ``count`` hears of damaged packets and frames, by the name of a counter; they are skipped.
    """

    def __init__(
        self,
        path: str,
        *,
        pictures: bool = True,
        sound: bool = True,
        begin_s: Fraction = Fraction(0),
        count: Callable[[str, int], None] = lambda name, number: None,
    ) -> None:
        """Raises MienError where nothing of what is wanted can be opened; sound may be missing."""
        self.end_s = begin_s
        """where the latest of what has come ends"""
        self._count = count
        self._container: Any = None
        if pictures and is_picture(Path(path)):
            self._items = self._stills(Path(path))
            return
        self._container = open_media(path) if pictures else open_alone(Path(path))
        self._items = self._interleave(self._decode(pictures, sound), pictures and sound)

    def __iter__(self) -> Iterator[Item]:
        return self._items

    def close(self) -> None:
        """Give the file back; nothing more comes."""
        self._items = iter(())
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _stills(self, path: Path) -> Iterator[Item]:
        base = Fraction(1, 1000)
        at = start = round(self.end_s / base)
        for pixels, stays_ms in read_moving(path):
            self.end_s = (at + stays_ms) * base
            make = _picture(pixels, at, base, cut=at == start)
            yield "video", _to_ns(at, base), make
            at += stays_ms

    def _decode(self, pictures: bool, sound: bool) -> Iterator[Item]:
        """Everything that decodes, in the file's order."""
        import av

        video, audio = video_stream(self._container), audio_stream(self._container)
        timeline = Timeline(self._container, self.end_s)
        made: dict[int, tuple[Any, _Pictures | _Sounds]] = {}
        if pictures and video is not None:
            video.thread_type = "AUTO"
            made[video.index] = (decoder_of(video), _Pictures(self, video))
        if sound and audio is not None:
            made[audio.index] = (decoder_of(audio), _Sounds(self, audio))
        streams = [stream for stream in (video, audio) if stream is not None]
        failures = 0
        while True:
            try:
                for packet in self._container.demux(streams):
                    timeline.place(packet)
                    if packet.stream_index not in made:
                        continue
                    decode, messages = made[packet.stream_index]
                    try:
                        frames = decode(packet)
                    except av.FFmpegError:
                        self._count("damaged_packets", 1)
                        continue
                    for frame in frames:
                        failures = 0
                        yield from messages.take(frame)
                return
            except av.EOFError:
                return
            except (av.FFmpegError, OSError):
                self._count("damaged_packets", 1)
                failures += 1
                if failures > 50:
                    return

    @staticmethod
    def _interleave(items: Iterator[Item], both: bool) -> Iterator[Item]:
        """By media time, across streams that a file stores far apart; holds a bounded few."""
        video: deque[Item] = deque()
        audio: deque[Item] = deque()
        for item in items:
            if not both:
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

    def __init__(self, owner: MediaReader, stream: Any, nominal_s: Fraction) -> None:
        self.base = Fraction(stream.time_base)
        self._owner = owner
        self._nominal = max(1, round(nominal_s / self.base))
        self._next = round(owner.end_s / self.base)
        self._last = self._next - 1 if owner.end_s else None

    def place(self, pts: int | None, duration: int | None) -> int:
        """The stamp in ticks of ``base`` for a message that the timeline puts at ``pts``."""
        at: int = self._next if pts is None else pts
        if self._last is not None:
            at = max(at, self._last + 1)
        self._last = at
        self._next = at + (duration or self._nominal)
        self._owner.end_s = max(self._owner.end_s, self._next * self.base)
        return at


class _Pictures:
    def __init__(self, owner: MediaReader, stream: Any) -> None:
        self._reader = PictureReader()
        self._stamps = _Stamps(owner, stream, 1 / nominal_rate(stream))
        self._first = True
        self._owner = owner

    def take(self, frame: Any) -> Iterator[Item]:
        if frame.is_corrupt:
            self._owner._count("damaged_frames", 1)
        base = self._stamps.base
        pts = self._stamps.place(frame.pts, frame.duration)
        cut, self._first = self._first, False
        pixels = self._reader.read(frame)
        yield "video", _to_ns(pts, base), _picture(pixels, pts, base, cut)


class _Sounds:
    def __init__(self, owner: MediaReader, stream: Any) -> None:
        self._stamps = _Stamps(owner, stream, Fraction(1024, 48_000))
        self._resampler: Any = None
        self._signature: tuple[Any, ...] = ()

    def take(self, frame: Any) -> Iterator[Item]:
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
