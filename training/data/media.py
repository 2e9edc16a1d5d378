"""Recordings as pictures at 25 a second and sound at 16 kHz, as the live path's reader gives them.

Both begin where the recording does: what starts later is preceded by its first picture, or silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import MienError
from engine.types import F32, I16, U8, AudioFrame, VideoFrame
from media.mel import RATE_HZ
from media.reader import MediaReader
from media.sound_track import LAYOUTS, block_of, misplaced
from training.data.clip import STEP_NS


def pictures(file: Path) -> Iterator[U8]:
    """BGR pictures [H, W, 3] at 25 a second by their own times: repeated or left out to fit.

    Raises MienError.
    """
    step, last = 0, None
    for at_ns, frame in _read(file, wants_pictures=True):
        assert isinstance(frame, VideoFrame)
        last = frame.pixels if last is None else last
        while step < (at_ns + STEP_NS // 2) // STEP_NS:
            yield last
            step += 1
        last = frame.pixels
    if last is not None:
        yield last


def sound(file: Path) -> F32:
    """The sound [N] in -1..1, mixed to one channel at 16 kHz; empty where there is none.

    Raises MienError.
    """
    import av

    blocks: list[I16] = []
    done = 0
    kind, resampler = None, av.AudioResampler("s16", "mono", RATE_HZ)
    for at_ns, frame in _read(file, wants_pictures=False):
        assert isinstance(frame, AudioFrame)
        if kind != (kind := (frame.rate_hz, frame.samples.shape[1])):
            resampler = av.AudioResampler("s16", "mono", RATE_HZ)
        block = block_of(frame.samples, LAYOUTS[frame.samples.shape[1]], frame.rate_hz)
        samples = _flat(resampler.resample(block))
        missing = misplaced(round(at_ns * RATE_HZ / 1e9), done, RATE_HZ)
        samples = np.pad(samples, (missing, 0)) if missing > 0 else samples[-missing:]
        blocks.append(samples)
        done += len(samples)
    blocks.append(_flat(resampler.resample(None)) if done else np.zeros(0, np.int16))
    return (np.concatenate(blocks) / 32768).astype(np.float32)


def _flat(blocks: list[Any]) -> I16:
    parts = [block.to_ndarray()[0] for block in blocks]
    return np.concatenate([np.zeros(0, np.int16), *parts])


def _read(file: Path, wants_pictures: bool) -> Iterator[tuple[int, VideoFrame | AudioFrame]]:
    """Messages with their media time [ns]. Nothing is learned from what is damaged."""

    def refuse(name: str, number: int) -> None:
        raise MienError(f"{file.name} cannot be read: it is damaged")

    reader = MediaReader(str(file), pictures=wants_pictures, sound=not wants_pictures, count=refuse)
    try:
        for _, media_ns, make in reader:
            yield media_ns, make(media_ns)
    finally:
        reader.close()
