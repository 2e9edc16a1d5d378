"""What a media file holds: opened with one clear line where it can't be, described for others."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from engine.errors import MienError
from nodes.colours import Colour, colour_of
from nodes.local_file import open_alone

_KEPT_TAGS: Final = ("title", "artist", "album", "date", "creation_time", "comment", "copyright")
_WITH_LENGTH: Final = ("mov", "matroska", "avi")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """A media file as a player shows it: width and height after rotation."""

    width_px: int
    height_px: int
    rate_hz: Fraction
    frames: int
    duration_s: float
    promised_s: float
    """what the file's head says, where that can be relied on; else 0"""
    colour: Colour
    sample_aspect: Fraction
    audio_codec: str = ""
    audio_rate_hz: int = 0
    audio_channels: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    """title and the like"""


def open_media(path: str) -> Any:
    """An av input container with a video stream. Raises MienError with one line."""
    if not path:
        raise MienError("no media file is named; set its path")
    container = open_alone(Path(path))
    if video_stream(container) is None:
        container.close()
        raise MienError(f"{path} has no video; a video or a picture is needed")
    return container


def video_stream(container: Any) -> Any | None:
    """The first stream of moving pictures that can be decoded; cover art doesn't count."""
    for stream in container.streams.video:
        cover = bool(int(stream.disposition) & 0x400)
        if stream.codec_context is not None and not cover:
            return stream
    return None


def audio_stream(container: Any) -> Any | None:
    """The first stream of sound that can be decoded."""
    for stream in container.streams.audio:
        if stream.codec_context is not None and stream.codec_context.sample_rate:
            return stream
    return None


def nominal_rate(stream: Any) -> Fraction:
    """Frames a second, as far as the file says: its average, or what its clock suggests."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 1 <= rate <= 1000:
            return Fraction(rate)
    return Fraction(25)


def probe(path: str) -> MediaInfo:
    """Describe a file, from its head and its first picture. Raises MienError."""
    import av

    container = open_media(path)
    try:
        stream, sound = video_stream(container), audio_stream(container)
        assert stream is not None
        frame = _first_picture(container, stream)
        if frame is None:
            raise MienError(f"not one picture of {path} can be decoded; the file is damaged")
        turned = frame.rotation % 180 != 0
        width_px, height_px = (frame.width, frame.height)[:: -1 if turned else 1]
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        rate_hz = nominal_rate(stream)
        if stream.duration:
            duration_s = float(stream.duration * stream.time_base)
        else:
            duration_s = (container.duration or 0) / av.time_base
        return MediaInfo(
            width_px=width_px,
            height_px=height_px,
            rate_hz=rate_hz,
            frames=stream.frames or round(duration_s * float(rate_hz)),
            duration_s=duration_s,
            promised_s=duration_s if container.format.name.startswith(_WITH_LENGTH) else 0.0,
            colour=colour_of(frame),
            sample_aspect=1 / aspect if turned and aspect else aspect or Fraction(1),
            audio_codec=sound.codec_context.name if sound else "",
            audio_rate_hz=sound.codec_context.sample_rate if sound else 0,
            audio_channels=sound.codec_context.layout.nb_channels if sound else 0,
            tags={key: text for key, text in container.metadata.items() if key in _KEPT_TAGS},
        )
    finally:
        container.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How long the streams of a file really are, from their packets."""

    frames: int
    video_s: float
    audio_s: float
    """0 where there is no sound"""


def extent(path: str) -> Extent:
    """Measure a file by walking through its packets; a damaged end doesn't count."""
    import av

    container = open_media(path)
    try:
        video, sound = video_stream(container), audio_stream(container)
        streams = [stream for stream in (video, sound) if stream is not None]
        spans: dict[int, tuple[Fraction, Fraction]] = {}
        frames, step = 0, 1 / nominal_rate(video)
        # What came before the damage counts.
        with contextlib.suppress(av.FFmpegError, OSError):
            for packet in container.demux(streams):
                if packet.is_discard or not packet.size:
                    continue
                if packet.pts is None and packet.dts is None:
                    continue
                at = (packet.pts if packet.pts is not None else packet.dts) * packet.time_base
                is_video = packet.stream is video
                frames += is_video
                length = (packet.duration or 0) * packet.time_base or (step if is_video else 0)
                start, end = spans.get(packet.stream_index, (at, at))
                spans[packet.stream_index] = min(start, at), max(end, at + length)
        lengths = []
        for stream in (video, sound):
            start, end = spans.get(stream.index, (Fraction(0),) * 2) if stream else (0, 0)
            lengths.append(float(end - start))
        return Extent(frames=frames, video_s=lengths[0], audio_s=lengths[1])
    finally:
        container.close()


def _first_picture(container: Any, stream: Any) -> Any | None:
    import av

    try:
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    return frame
            except av.FFmpegError:
                continue
    except (av.FFmpegError, OSError):
        return None
    return None
