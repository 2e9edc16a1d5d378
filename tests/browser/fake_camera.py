"""A camera and a microphone made of files: a public-domain face, a sweeping mark, a tone."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.types import U8

WIDTH, HEIGHT, FPS = 640, 480, 15  # half of a camera's: half the work
FACE = (slice(110, 360), slice(220, 420))  # rows, columns: brows to chin
SCENERY = (slice(20, 300), slice(20, 150))  # wall beside the head
MARK_ROW = 470  # a bright block sweeps along the bottom


def write_video(path: Path) -> Path:
    """One second of YUV4MPEG2 that a browser loops: scikit-image's astronaut, holding still."""
    import cv2
    from skimage import data

    astronaut: Callable[[], U8] = data.astronaut
    picture = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR)
    head = picture[18:243, 76:376]
    frame = cv2.resize(head, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip C420jpeg\n".encode())
        for i in range(FPS):
            shown = frame.copy()
            left = i * (WIDTH - 40) // (FPS - 1)
            shown[MARK_ROW - 8 : MARK_ROW + 8] = 20
            shown[MARK_ROW - 8 : MARK_ROW + 8, left : left + 40] = 235
            file.write(b"FRAME\n" + cv2.cvtColor(shown, cv2.COLOR_BGR2YUV_I420).tobytes())
    return path


def write_sound(path: Path, seconds: float = 2.0, rate_hz: int = 48_000) -> Path:
    """A quiet tone that swells and fades."""
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * time_s / seconds)
    samples = (6000 * swell * np.sin(2 * np.pi * 220 * time_s)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())
    return path
