"""Media files made in code: colour bars, numbered pictures, tones; in every odd shape needed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from engine.types import I16, U8

BARS_BGR = (
    (255, 255, 255), (16, 16, 16), (0, 255, 255), (255, 255, 0), (0, 255, 0), (255, 0, 255),
    (0, 0, 255), (255, 0, 0), (128, 128, 128), (90, 120, 200),
)  # fmt: skip
RATE_HZ = 48_000


def bars(width_px: int = 160, height_px: int = 96) -> U8:
    """Vertical bars in the colours of BARS_BGR: [H, W, 3]."""
    picture = np.zeros((height_px, width_px, 3), np.uint8)
    edges = np.linspace(0, width_px, len(BARS_BGR) + 1).astype(int)
    for colour, left, right in zip(BARS_BGR, edges, edges[1:], strict=False):
        picture[:, left:right] = colour
    return picture


def bar_errors(picture: U8) -> np.ndarray[Any, Any]:
    """How far the middle of each bar is from its colour: [bars, 3]."""
    edges = np.linspace(0, picture.shape[1], len(BARS_BGR) + 1)
    middles = ((edges[:-1] + edges[1:]) / 2).astype(int)
    found = picture[picture.shape[0] // 2, middles].astype(int)
    errors: np.ndarray[Any, Any] = np.abs(found - np.array(BARS_BGR))
    return errors


def numbered(number: int, width_px: int = 160, height_px: int = 96) -> U8:
    """Bars whose upper quarter is a grey that counts."""
    picture = bars(width_px, height_px)
    picture[: height_px // 4] = 20 + number * 6 % 220
    return picture


def number_in(picture: U8) -> int:
    """The number (0..36) that ``numbered`` drew."""
    return round((float(picture[: picture.shape[0] // 5].mean()) - 20) / 6)


def clicks(seconds: float, at_s: Sequence[float], rate_hz: int = RATE_HZ, channels: int = 1) -> I16:
    """Silence with a 20 ms burst of 1 kHz at each moment: [N, channels]."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = np.sin(2 * np.pi * 1000 * times) * 20_000
    on = np.zeros(len(times), bool)
    for moment in at_s:
        on |= (times >= moment) & (times < moment + 0.02)
    mono = (tone * on).astype(np.int16)
    return np.repeat(mono[:, None], channels, axis=1)


def clicks_in(samples: I16, rate_hz: int) -> list[float]:
    """When the bursts begin [s]."""
    loud = np.abs(samples[:, 0].astype(int)) > 6_000
    starts = np.flatnonzero(loud)
    return [
        float(at) / rate_hz for i, at in enumerate(starts) if not i or at - starts[i - 1] > 2000
    ]


def make_video(
    path: Path,
    pictures: Sequence[U8],
    *,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    sound: I16 | None = None,
    sound_rate_hz: int = RATE_HZ,
    encoder: str = "libx264",
    sound_encoder: str = "aac",
    pixel_format: str = "yuv420p",
    matrix: int = 5,
    full_range: bool = False,
    tag: int | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    container: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode pictures (BGR) and sound; ``matrix`` is swscale's, ``tag`` what the file says."""
    height_px, width_px = pictures[0].shape[:2]
    with av.open(str(path), "w", format=container) as output:
        options = options or ({"crf": "4", "preset": "ultrafast"} if encoder == "libx264" else {})
        rate = 1 / time_base if time_base >= Fraction(1, 100) else Fraction(25)
        stream: Any = output.add_stream(encoder, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, pixel_format
        stream.codec_context.time_base = stream.time_base = time_base
        if encoder in ("mpeg2video", "mpeg1video", "mpeg4"):
            stream.bit_rate = 4_000_000
        if tag is not None:
            stream.codec_context.colorspace = tag
            stream.codec_context.color_range = 2 if full_range else 1
        if rotation:
            stream.set_display_rotation(rotation)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        track: Any = None
        if sound is not None:
            layout = "mono" if sound.shape[1] == 1 else "stereo"
            track = output.add_stream(sound_encoder, rate=sound_rate_hz, layout=layout)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            if pixel_format not in ("bgr24", "rgb24", "rgb8", "pal8", "bgra", "rgba"):
                frame = frame.reformat(
                    format=pixel_format,
                    dst_colorspace=matrix,
                    src_color_range=2,
                    dst_color_range=2 if full_range else 1,
                    interpolation=2 | 262144 | 8192,
                )
            else:
                frame = frame.reformat(format=pixel_format)
            frame.pts, frame.time_base = (pts[index] if pts else index), time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sound).reshape(1, -1), format="s16", layout=layout
            )
            block.sample_rate, block.pts = sound_rate_hz, 0
            block.time_base = Fraction(1, sound_rate_hz)
            output.mux(track.encode(block))
            output.mux(track.encode(None))
    return path


def read_video(path: Path) -> tuple[list[U8], list[Fraction]]:
    """Pictures (BGR, as the file's tags say) and their times [s], by PyAV alone."""
    pictures, times = [], []
    with av.open(str(path)) as source:
        for frame in source.decode(video=0):
            pictures.append(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            assert frame.pts is not None and frame.time_base is not None
            times.append(frame.pts * frame.time_base)
    return pictures, times


def read_sound(path: Path) -> tuple[I16, int, float]:
    """All samples [N, channels], their rate, and the time [s] of the first."""
    blocks: list[I16] = []
    with av.open(str(path)) as source:
        stream = source.streams.audio[0]
        resampler = av.AudioResampler("s16", stream.codec_context.layout, stream.rate)
        first_s: float | None = None
        for frame in source.decode(stream):
            if first_s is None:
                first_s = float(frame.time or 0)
            for block in resampler.resample(frame):
                channels = block.layout.nb_channels
                blocks.append(np.asarray(block.to_ndarray(), np.int16).reshape(-1, channels))
        assert first_s is not None
        return np.concatenate(blocks), stream.rate, first_s
