"""What face and voice felt over the time of a film, as a picture to look at."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine import files
from engine.draw import escape
from engine.errors import EndOfStream, MienError
from engine.parameters import build
from engine.types import U8, VideoFrame
from nodes.sources.media_file import MediaFile

LOOKS: Final = 10
"""pictures of the film above the curves"""
SOURCES: Final = (("emotion", "face", "#5b4bb5"), ("voice", "voice", "#b3560f"))
"""key of a frame, what it is called, and its colour, as on the page"""
CURVES: Final = (("intensity", 0.0, 1.0), ("valence", -1.0, 1.0), ("arousal", -1.0, 1.0))
MOODS: Final = {
    "neutral": "#cbd5e1", "angry": "#e2756b", "contempt": "#c58bb5", "disgusted": "#9bbf6a",
    "fear": "#a48bd6", "happy": "#f0c04f", "sad": "#7ea6dc", "surprised": "#62c4bd",
}  # fmt: skip

_LEFT, _WIDTH, _PAD = 90, 1000, 16
_CURVE_H, _BAND_H = 120, 22

Frame = dict[str, Any]


def write_plot(path: Path, rows: Path, before: Path, after: Path) -> None:
    """Draw the report's frames under pictures of both films. Raises MienError."""
    frames: list[Frame] = json.loads(rows.read_text(encoding="utf-8"))["frames"]
    if not frames:
        raise MienError("there is no frame to draw a plot of")
    pictures = [_looks(film, len(frames)) for film in (before, after)]
    with files.atomic_write(path) as part:
        part.write_text(draw(frames, pictures, before.name), encoding="utf-8")


def draw(frames: Sequence[Frame], pictures: Sequence[Sequence[U8]], title: str) -> str:
    """An SVG: rows of ``pictures`` [H, W, 3] BGR, emotions as bands, three curves."""
    times = np.array([frame["time_s"] for frame in frames])
    span = max(float(times[-1] - times[0]), 1e-3)

    def x_of(seconds: float) -> float:
        return float(_LEFT + (seconds - times[0]) / span * _WIDTH)

    parts: list[str] = []
    top = 44.0
    for label, row in zip(("before", "after"), pictures, strict=False):
        part, height = _film(row, top, label)
        parts.append(part)
        top += height + 4
    top += _PAD
    told = [source for source in SOURCES if any(_felt(frame, source[0]) for frame in frames)]
    if not told:
        parts.append(_text(_LEFT, top, "nothing was read: no face, no voice, or no network for it"))
    for key, label, _ in told:
        parts.append(_bands(frames, key, label, x_of, top))
        top += _BAND_H + 4
    for name, low, high in CURVES:
        top += _PAD
        parts.append(_axis(name, low, high, top))
        for key, _, colour in told:
            parts.extend(_lines(frames, key, name, (low, high), colour, x_of, top))
        top += _CURVE_H
    parts.append(_seconds(span, x_of, float(times[0]), top))
    width, height = _LEFT + _WIDTH + 2 * _PAD, top + 40
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}"'
            f' font-family="system-ui, sans-serif" font-size="12" fill="#334155" role="img"'
            f' aria-label="feelings in {escape(title)}">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            _text(_PAD, 26, f"What was felt in {title}", 'font-size="16" font-weight="600"'),
            _legend(told),
            *parts,
            "</svg>\n",
        ]
    )


def _looks(film: Path, count: int) -> list[U8]:
    """Pictures spread over a film of ``count`` frames."""
    wanted = set(np.linspace(0, count - 1, min(LOOKS, count)).round().astype(int).tolist())
    node = MediaFile(build(MediaFile.Config, {"path": str(film), "sound": False}))
    node.setup()
    found: list[U8] = []
    try:
        for number in range(count):
            frame = (node.read() or {}).get("video")
            if number in wanted and isinstance(frame, VideoFrame):
                found.append(frame.pixels.copy())
    except EndOfStream:
        pass
    finally:
        node.close()
    return found


def _film(pictures: Sequence[U8], top: float, label: str) -> tuple[str, float]:
    """A row of pictures, and its height."""
    import cv2

    each = _WIDTH / max(len(pictures), 1)
    parts, height = [], 0.0
    for place, pixels in enumerate(pictures):
        tall, wide = pixels.shape[:2]
        scale = (each - 4) / wide
        size = (max(1, round(2 * wide * scale)), max(1, round(2 * tall * scale)))
        _, jpeg = cv2.imencode(".jpg", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
        data = base64.b64encode(jpeg.tobytes()).decode()
        height = tall * scale
        parts.append(
            f'<image x="{_LEFT + place * each:.1f}" y="{top:.1f}" width="{each - 4:.1f}"'
            f' height="{height:.1f}" href="data:image/jpeg;base64,{data}"/>'
        )
    parts.append(_text(_LEFT - 8, top + 14, label, 'text-anchor="end"'))
    return "\n".join(parts), height


def _bands(
    frames: Sequence[Frame], key: str, label: str, x_of: Callable[[float], float], top: float
) -> str:
    """Which emotion was the likeliest, and how long."""
    parts = [_text(_LEFT - 8, top + 15, label, 'text-anchor="end"')]
    ends = [*(frame["time_s"] for frame in frames[1:]), frames[-1]["time_s"]]
    rows = [
        (_felt(frame, key), frame["time_s"], end) for frame, end in zip(frames, ends, strict=True)
    ]
    for name, group in groupby(rows, key=lambda row: row[0].get("name") if row[0] else None):
        held = list(group)
        if name is None:
            continue
        left, right = x_of(held[0][1]), x_of(held[-1][2])
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0.5):.1f}"'
            f' height="{_BAND_H}" fill="{MOODS[name]}"><title>{name}</title></rect>'
        )
        if right - left > 7 * len(name) + 8:
            middle = (left + right) / 2
            parts.append(_text(middle, top + 15, name, 'text-anchor="middle" fill="#1e1b26"'))
    return "\n".join(parts)


def _axis(name: str, low: float, high: float, top: float) -> str:
    bottom = top + _CURVE_H
    lines = [
        _text(_LEFT - 8, top + _CURVE_H / 2 + 4, name, 'text-anchor="end"'),
        f'<rect x="{_LEFT}" y="{top:.1f}" width="{_WIDTH}" height="{_CURVE_H}" fill="#f8fafc"/>',
    ]
    for value in (low, (low + high) / 2, high):
        y = bottom - (value - low) / (high - low) * _CURVE_H
        lines.append(
            f'<path d="M{_LEFT} {y:.1f}h{_WIDTH}" stroke="#e2e8f0"/>'
            + _text(_LEFT + _WIDTH + 6, y + 4, f"{value:g}", 'fill="#94a3b8"')
        )
    return "\n".join(lines)


def _lines(
    frames: Sequence[Frame],
    key: str,
    name: str,
    limits: tuple[float, float],
    colour: str,
    x_of: Callable[[float], float],
    top: float,
) -> Iterator[str]:
    """A curve, broken where nothing was read."""
    low, high = limits
    for known, group in groupby(frames, key=lambda frame: bool(_felt(frame, key))):
        if not known:
            continue
        points = " ".join(
            f"{x_of(frame['time_s']):.1f},"
            f"{top + (high - np.clip(frame[key][name], low, high)) / (high - low) * _CURVE_H:.1f}"
            for frame in group
        )
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>'


def _seconds(span: float, x_of: Callable[[float], float], first: float, top: float) -> str:
    steps = (0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)
    step = next((step for step in steps if span / step <= 12), steps[-1])
    marks = np.arange(0, span + 1e-9, step)
    return "\n".join(
        _text(x_of(first + mark), top + 18, f"{mark:g} s", 'text-anchor="middle" fill="#94a3b8"')
        for mark in marks
    )


def _legend(told: Sequence[tuple[str, str, str]]) -> str:
    parts, right = [], _LEFT + _WIDTH
    for _, label, colour in reversed(told):
        parts.append(_text(right, 26, label, f'text-anchor="end" fill="{colour}"'))
        right -= 7 * len(label) + 16
    return "\n".join(parts)


def _felt(frame: Frame, key: str) -> dict[str, Any]:
    """What was read of a frame; empty where nothing was."""
    felt: dict[str, Any] = frame.get(key) or {}
    return felt if felt.get("name") else {}


def _text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'
