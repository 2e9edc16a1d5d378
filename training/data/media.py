"""Recordings as pictures at 25 a second and sound at 16 kHz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.errors import MienError
from engine.types import F32, U8
from nodes.mel import RATE_HZ
from training.data.clip import FPS


def pictures(file: Path) -> Iterator[U8]:
    """BGR pictures [H, W, 3] at 25 a second by their own times: repeated or left out to fit."""
    import av

    try:
        with av.open(str(file)) as container:
            if not container.streams.video:
                return
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            start_s: float | None = None
            step, last = 0, None
            for frame in container.decode(stream):
                time_s = float(frame.time or 0.0)
                start_s = time_s if start_s is None else start_s
                due = int((time_s - start_s) * FPS + 0.5)
                while last is not None and step < due:
                    yield last
                    step += 1
                last = frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
            if last is not None:
                yield last
    except (av.FFmpegError, ValueError) as error:
        raise MienError(f"{file.name}: the pictures cannot be read: {_line(error)}") from None


def sound(file: Path) -> F32:
    """The sound [N] in -1..1, mixed to one channel at 16 kHz; empty where there is none."""
    import av

    try:
        with av.open(str(file)) as container:
            if not container.streams.audio:
                return np.zeros(0, np.float32)
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
            blocks = []
            for frame in container.decode(container.streams.audio[0]):
                blocks += [block.to_ndarray()[0] for block in resampler.resample(frame)]
            blocks += [block.to_ndarray()[0] for block in resampler.resample(None)]
    except (av.FFmpegError, ValueError) as error:
        raise MienError(f"{file.name}: the sound cannot be read: {_line(error)}") from None
    if not blocks:
        return np.zeros(0, np.float32)
    return (np.concatenate(blocks) / 32768).astype(np.float32)


def _line(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:120]
