"""The clip that a bench's browser sends: a moving face, numbered frames, a marked sound."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commands.bench.markers import (
    CHIRP_AMPLITUDE,
    CODES,
    RATE_HZ,
    chirp,
    draw_number,
    strip_height_px,
)
from engine.errors import MienError
from engine.program import extra
from engine.types import U8, VideoFrame
from media.reader import MediaReader

LOOP_S = CODES  # one marker code per second of the loop


@dataclass(frozen=True, slots=True)
class Clip:
    """Files for Chromium's fake camera and microphone; both loop after LOOP_S seconds."""

    video: Path
    sound: Path
    width_px: int
    height_px: int
    fps: int
    frames: int
    source: str


def make_clip(
    folder: Path, width_px: int, height_px: int, fps: int, source: Path | None = None
) -> Clip:
    """Write ``camera.y4m`` and ``microphone.wav``; the face is ``source``, or one made in code."""
    pictures = read_pictures(source, width_px, height_px) if source else None
    face = None if source else moving_face(width_px, height_px)
    count = LOOP_S * fps
    video = folder / "camera.y4m"
    with video.open("wb") as stream:
        stream.write(f"YUV4MPEG2 W{width_px} H{height_px} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(count):
            if face is not None:
                picture_HWC = face(number / count)
            else:
                assert pictures is not None
                picture_HWC = next(pictures)
            stream.write(b"FRAME\n")
            stream.write(_numbered_i420(picture_HWC, number))
    sound = folder / "microphone.wav"
    with wave.open(str(sound), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE_HZ)
        writer.writeframes(marked_sound().tobytes())
    name = str(source) if source else "scikit-image's astronaut, moved in code"
    return Clip(video, sound, width_px, height_px, fps, count, name)


def moving_face(width_px: int, height_px: int) -> Callable[[float], U8]:
    """A function from the share of the loop (0..1) to a BGR picture of a gently moving face."""
    import cv2

    try:
        from skimage import data
    except ImportError:
        raise MienError(
            f"the made clip needs scikit-image: {extra('bench')}, or give --input FILE"
        ) from None
    picture_of: Any = data.astronaut
    astronaut_HWC = np.ascontiguousarray(picture_of()[:, :, ::-1])
    centre_x, centre_y = 222.0, 118.0  # the face in that picture [px]
    scale = height_px / 270.0

    def picture(share: float) -> U8:
        turn = 2 * np.pi * share
        angle = np.radians(4.0 * np.sin(2 * turn))
        zoom = scale * (1 + 0.04 * np.sin(3 * turn))
        cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
        x = width_px / 2 + 0.04 * width_px * np.sin(turn)
        y = height_px * 0.52 + 0.02 * height_px * np.sin(2 * turn + 1)
        matrix = np.array(
            [
                [cos, -sin, x - cos * centre_x + sin * centre_y],
                [sin, cos, y - sin * centre_x - cos * centre_y],
            ]
        )
        return np.asarray(
            cv2.warpAffine(
                astronaut_HWC,
                matrix,
                (width_px, height_px),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT,
            ),
            np.uint8,
        )

    return picture


def read_pictures(source: Path, width_px: int, height_px: int) -> Iterator[U8]:
    """A file's pictures as BGR, fitted to the size over a grey ground, there and back forever."""
    import cv2

    held: list[U8] = []
    reader = MediaReader(str(source), sound=False)
    for _, media_ns, make in reader:
        frame = make(media_ns)
        assert isinstance(frame, VideoFrame)
        pixels = frame.pixels
        free_px = height_px - strip_height_px(height_px)
        factor = min(width_px / pixels.shape[1], free_px / pixels.shape[0])
        size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
        canvas = np.full((height_px, width_px, 3), 96, np.uint8)
        left = (width_px - size[0]) // 2
        top = height_px - size[1]
        canvas[top : top + size[1], left : left + size[0]] = cv2.resize(pixels, size)
        held.append(canvas)
        if len(held) >= 600:
            break
    reader.close()
    if not held:
        raise MienError(f"{source} holds no picture")
    while True:
        yield from held
        yield from held[-2:0:-1]


def _numbered_i420(picture_HWC: U8, number: int) -> bytes:
    """BGR -> planar YUV 4:2:0 with the number's strip, its colour taken out."""
    import cv2

    height, width = picture_HWC.shape[:2]
    planes = cv2.cvtColor(picture_HWC, cv2.COLOR_BGR2YUV_I420)
    luma: Any = planes[:height]
    draw_number(luma, number)
    rows = strip_height_px(height) // 2
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    chroma[:, :rows] = 128
    return bytes(planes.tobytes())


def marked_sound() -> NDArray[np.int16]:
    """One loop of sound, int16 [N]: a low hum, and marker ``k`` at second ``k`` + 0.25."""
    time_s = np.arange(LOOP_S * RATE_HZ) / RATE_HZ
    hum = 0.02 * np.sin(2 * np.pi * 200 * time_s) * (1 + 0.5 * np.sin(2 * np.pi * 3 * time_s))
    for code in range(CODES):
        start = int((code + 0.25) * RATE_HZ)
        marker = chirp(code)
        hum[start : start + marker.size] += CHIRP_AMPLITUDE * marker
    return np.asarray(np.round(hum * 32767), np.int16)
