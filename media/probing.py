"""What a media file holds: opened with one clear line where it can't be, described for others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from engine.errors import MienError
from media.colours import Colour, colour_of, colour_of_rgb
from media.image_file import LARGEST_PX, is_picture, read_moving
from media.local_file import open_alone
from media.orientation import of_frame
from media.timeline import Timeline

_KEPT_TAGS: Final = ("title", "artist", "album", "date", "creation_time", "comment", "copyright")
_DEFAULT: Final = 0x1
_COVER: Final = 0x400
_VPX: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
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
    video = video_stream(container)
    if video is None:
        container.close()
        raise MienError(f"{path} has no video; a video or a picture is needed")
    pixels = video.codec_context.width * video.codec_context.height
    if pixels > LARGEST_PX:
        container.close()
        raise MienError(
            f"{path} has {pixels / 1e6:.0f} megapixels; the most is {LARGEST_PX / 1e6:.0f}, "
            "make it smaller first"
        )
    return container


def video_stream(container: Any) -> Any | None:
    """The moving pictures to take, of those that can be decoded; cover art doesn't count."""
    return _chosen(
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not is_cover(stream)
    )


def is_cover(stream: Any) -> bool:
    """Whether a video stream is a picture that stands for the file, not of it."""
    return bool(int(stream.disposition) & _COVER)


def audio_stream(container: Any) -> Any | None:
    """The sound to take, of those that can be decoded."""
    return _chosen(
        stream
        for stream in container.streams.audio
        if stream.codec_context is not None and stream.codec_context.sample_rate
    )


def _chosen(streams: Iterable[Any]) -> Any | None:
    """What players take unasked: the first that is marked as the default, else the first."""
    found = list(streams)
    marked = [stream for stream in found if int(stream.disposition) & _DEFAULT]
    return next(iter(marked or found), None)


def decoder_of(stream: Any) -> Callable[[Any], Sequence[Any]]:
    """What turns the packets of a stream into frames.

    Of VP8 and VP9 the usual decoders leave transparency out; libvpx reads it.
    """
    import av

    vpx = _VPX.get(stream.codec_context.codec.canonical_name)
    if vpx is None or stream.metadata.get("alpha_mode") != "1":
        return lambda packet: packet.decode()
    context: Any = av.CodecContext.create(vpx, "r")
    context.extradata = stream.codec_context.extradata
    return lambda packet: context.decode(packet if packet.size else None)


def nominal_rate(stream: Any) -> Fraction:
    """Frames a second, as far as the file says: its average, or what its clock suggests."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 1 <= rate <= 1000:
            return Fraction(rate)
    return Fraction(25)


def probe(path: str) -> MediaInfo:
    """Describe a file, from its head and its first picture. Raises MienError."""
    import av

    if is_picture(Path(path)):
        return _still(path)
    container = open_media(path)
    try:
        stream, sound = video_stream(container), audio_stream(container)
        assert stream is not None
        frame = first_picture(container, stream)
        if frame is None:
            raise MienError(f"not one picture of {path} can be decoded; the file is damaged")
        turned = of_frame(frame).swaps
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


def _still(path: str) -> MediaInfo:
    """A picture, or an animation that FFmpeg can't play, as a video."""
    shapes, stays_ms = [], 0
    for pixels, stay_ms in read_moving(Path(path)):
        shapes.append(pixels.shape)
        stays_ms += stay_ms
    height_px, width_px = shapes[0][:2]
    return MediaInfo(
        width_px=width_px,
        height_px=height_px,
        rate_hz=min(max(Fraction(len(shapes) * 1000, stays_ms), Fraction(1)), Fraction(1000)),
        frames=len(shapes),
        duration_s=stays_ms / 1000,
        promised_s=0.0,
        colour=colour_of_rgb(height_px),
        sample_aspect=Fraction(1),
    )


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

    if is_picture(Path(path)):
        still = _still(path)
        return Extent(frames=still.frames, video_s=still.duration_s, audio_s=0.0)
    container = open_media(path)
    try:
        video, sound = video_stream(container), audio_stream(container)
        timeline, spans = Timeline(container), dict[int, _Span]()
        # What came before the damage counts.
        with contextlib.suppress(av.FFmpegError, OSError):
            for packet in container.demux([one for one in (video, sound) if one is not None]):
                stamped = packet.pts is not None or packet.dts is not None
                if packet.is_discard or not packet.size or not stamped:
                    continue
                timeline.place(packet)
                spans.setdefault(packet.stream_index, _Span()).add(packet)
        pictures = spans.get(video.index, _Span()) if video else _Span()
        sounds = spans.get(sound.index, _Span()) if sound else _Span()
        return Extent(
            frames=pictures.packets,
            video_s=pictures.length_s(1 / nominal_rate(video)),
            audio_s=sounds.length_s(Fraction(0)),
        )
    finally:
        container.close()


@dataclass(slots=True)
class _Span:
    """From the earliest to the latest of a stream's packets."""

    packets: int = 0
    start_s: Fraction = Fraction(0)
    latest_s: Fraction = Fraction(0)
    last_s: Fraction = Fraction(0)
    """how long the last one in the file's order stays: of the others, durations are steps in the
    order of decoding, which says nothing where a pause comes between"""

    def add(self, packet: Any) -> None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        at_s = stamp * Fraction(packet.time_base)
        self.start_s = min(self.start_s, at_s) if self.packets else at_s
        self.latest_s = max(self.latest_s, at_s) if self.packets else at_s
        self.last_s = (packet.duration or 0) * Fraction(packet.time_base)
        self.packets += 1

    def length_s(self, step_s: Fraction) -> float:
        """``step_s``: how long the last stays where the file doesn't say."""
        stays_s = self.last_s or step_s
        return float(self.latest_s - self.start_s + stays_s) if self.packets else 0.0


def first_picture(container: Any, stream: Any) -> Any | None:
    """The first that decodes, an av.VideoFrame."""
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
