"""Sound of any rate, in blocks of any length, as the speech encoder's steps of 40 ms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from engine.types import F32, AudioFrame
from nodes.mel import RATE_HZ

STEP_SAMPLES: Final = 640
STEP_NS: Final = STEP_SAMPLES * 1_000_000_000 // RATE_HZ
GAP_NS: Final = 200_000_000
"""a leap of the stamps by more than this is another recording"""


class Step(NamedTuple):
    """``sound`` [640] in -1..1 from the moment ``capture_ns`` on."""

    capture_ns: int
    sound: F32


class SpeechSteps:
    """Blocks in, steps out. Holds what is left of a block for the next."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another recording."""
        self._resampler: Any = None
        self._rate_hz = 0
        self._samples = np.zeros(0, np.float32)
        self._arrived = 0
        self._steps = 0
        self._origin_ns: int | None = None

    def follows(self, frame: AudioFrame) -> bool:
        """Whether a block goes on where the one before it ended."""
        if self._origin_ns is None:
            return True
        leap_ns = self._origin(frame) - self._origin_ns
        return frame.rate_hz == self._rate_hz and abs(leap_ns) <= GAP_NS

    def __call__(self, frame: AudioFrame) -> Iterator[Step]:
        """The steps that became whole."""
        self._origin_ns = self._origin(frame)
        fresh = self._at_16_khz(frame)
        self._arrived += len(fresh)
        self._samples = np.concatenate([self._samples, fresh])
        while len(self._samples) >= STEP_SAMPLES:
            sound, self._samples = self._samples[:STEP_SAMPLES], self._samples[STEP_SAMPLES:]
            yield Step(self._origin_ns + self._steps * STEP_NS, sound)
            self._steps += 1

    def _origin(self, frame: AudioFrame) -> int:
        """When the first sample of all was captured, by this block's stamp."""
        return frame.capture_ns - self._arrived * 1_000_000_000 // RATE_HZ

    def _at_16_khz(self, frame: AudioFrame) -> F32:
        import av

        if self._resampler is None:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
            self._rate_hz = frame.rate_hz
        mono = np.rint(frame.samples.astype(np.float32).mean(axis=1)).astype(np.int16)
        block = av.AudioFrame.from_ndarray(mono[None], format="s16", layout="mono")
        block.sample_rate = frame.rate_hz
        parts = [out.to_ndarray()[0] for out in self._resampler.resample(block)]
        if not parts:
            return np.zeros(0, np.float32)
        return (np.concatenate(parts) / 32768).astype(np.float32)
