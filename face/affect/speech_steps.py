"""Sound of any rate, in blocks of any length, as the speech encoder's steps of 40 ms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from engine.types import F32, I16, AudioFrame
from media.mel import RATE_HZ

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
        self._waiting: list[I16] = []
        self._waited = 0
        self._samples = np.zeros(0, np.float32)
        self._arrived = 0
        self._steps = 0
        self._origin_ns: int | None = None

    def follows(self, frame: AudioFrame) -> bool:
        """Whether a block goes on where the one before it ended."""
        if self._origin_ns is None:
            return True
        if frame.rate_hz != self._rate_hz:
            return False
        return abs(self._origin(frame) - self._origin_ns) <= GAP_NS

    def __call__(self, frame: AudioFrame) -> Iterator[Step]:
        """The steps that became whole."""
        self._rate_hz = frame.rate_hz
        self._origin_ns = self._origin(frame)
        mono = frame.samples.mean(axis=1, dtype=np.float32)
        self._waiting.append(np.rint(mono).astype(np.int16))
        self._waited += len(mono)
        if len(self._samples) + self._waited * RATE_HZ / self._rate_hz < STEP_SAMPLES:
            return  # small blocks are brought to 16 kHz together: each would cost as much
        fresh = self._at_16_khz(np.concatenate(self._waiting))
        self._waiting, self._waited = [], 0
        self._arrived += len(fresh)
        self._samples = np.concatenate([self._samples, fresh])
        while len(self._samples) >= STEP_SAMPLES:
            sound, self._samples = self._samples[:STEP_SAMPLES], self._samples[STEP_SAMPLES:]
            yield Step(self._origin_ns + self._steps * STEP_NS, sound)
            self._steps += 1

    def rest(self) -> Iterator[Step]:
        """What is left at the end, with silence after it."""
        if self._waiting:
            fresh = self._at_16_khz(np.concatenate(self._waiting))
            self._waiting, self._waited = [], 0
            self._samples = np.concatenate([self._samples, fresh])
        if self._origin_ns is not None and len(self._samples):
            sound = np.zeros(STEP_SAMPLES, np.float32)
            sound[: len(self._samples)] = self._samples[:STEP_SAMPLES]
            self._samples = np.zeros(0, np.float32)
            yield Step(self._origin_ns + self._steps * STEP_NS, sound)
            self._steps += 1

    def _origin(self, frame: AudioFrame) -> int:
        """When the first sample of all was captured, by this block's stamp."""
        before_s = self._arrived / RATE_HZ + self._waited / self._rate_hz
        return frame.capture_ns - round(before_s * 1e9)

    def _at_16_khz(self, mono: I16) -> F32:
        import av

        if self._resampler is None:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        block = av.AudioFrame.from_ndarray(mono[None], format="s16", layout="mono")
        block.sample_rate = self._rate_hz
        parts = [out.to_ndarray()[0] for out in self._resampler.resample(block)]
        if not parts:
            return np.zeros(0, np.float32)
        return (np.concatenate(parts) / 32768).astype(np.float32)
