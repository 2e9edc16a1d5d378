"""The person's voice on its way out: delayed to match the picture, one Opus packet per 10 ms."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from engine.clock import Clock
from engine.types import F32, I16, AudioFrame
from media.av_sync import BLOCK, RATE_HZ, AvSync

PERIOD_NS = 10_000_000
BEHIND_NS = 200_000_000
IDLE_S = 0.05  # how often it is asked whether somebody wants to hear
RAMP: F32 = np.linspace(0, 1, BLOCK, dtype=np.float32)[:, None]


class Opus:
    """libopus for the voice, 10 ms a packet."""

    def __init__(self) -> None:
        import av

        codec = av.CodecContext.create("libopus", "w")
        codec.sample_rate = RATE_HZ
        codec.format = "s16"
        codec.layout = "stereo"
        codec.bit_rate = 64_000
        codec.time_base = Fraction(1, RATE_HZ)
        codec.options = {
            "application": "lowdelay",
            "frame_duration": "10",
            "compression_level": "5",
        }
        self._codec = codec
        self._pts = 0

    def encode(self, block: I16) -> bytes:
        """``block`` int16 [480, 2]."""
        import av

        frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = RATE_HZ
        frame.pts = self._pts
        self._pts += BLOCK
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))


class Voice:
    """Takes the voice as it comes, gives packets at ``start + n * 10 ms`` to ``send``.

    ``send`` takes a packet, its RTP time and when it was captured in monotonic ns.
    """

    def __init__(self, clock: Clock, sync: AvSync, send: Callable[[bytes, int, int], None]) -> None:
        self.muted = False
        self._clock = clock
        self._sync = sync
        self._send = send
        self._volume = 1.0
        self._fresh: asyncio.Future[None] | None = None
        self._resampler: Any = None
        self._input: tuple[int, int] = (0, 0)

    def push(self, message: AudioFrame) -> None:
        """Sound of any rate and number of channels."""
        samples = message.samples
        if message.rate_hz != RATE_HZ:
            samples = self._at_48k(samples, message.rate_hz)
        if len(samples):
            base = message.time_base
            media_ns = message.pts * base.numerator * 1_000_000_000 // base.denominator
            self._sync.push(
                samples, message.capture_ns, self._clock.now_ns(), media_ns if media_ns else None
            )
            self._stop_waiting()

    async def run(self, wanted: Callable[[], bool]) -> None:
        """Send for as long as the task lives; idle while ``wanted()`` is False."""
        opus: Opus | None = None
        start_ns, number = self._clock.now_ns(), 0
        while True:
            number += 1
            wait_ns = start_ns + number * PERIOD_NS - self._clock.now_ns()
            if wait_ns > 0:
                await asyncio.sleep(wait_ns / 1e9)
            elif wait_ns < -BEHIND_NS:
                number += -wait_ns // PERIOD_NS  # those are too late to be sent
            if not wanted():
                if opus is not None:
                    opus = None
                    self._sync.reset()
                await asyncio.sleep(IDLE_S)
                number = (self._clock.now_ns() - start_ns) // PERIOD_NS
                continue
            if opus is None:
                opus = Opus()
            due_ns = start_ns + number * PERIOD_NS
            while (block := self._sync.pull(due_ns, self._clock.now_ns())) is None:
                await self._sound_or(0.005)
            if packet := opus.encode(self._with_volume(block)):
                self._send(packet, number * BLOCK, self._sync.captured_ns)

    async def _sound_or(self, seconds: float) -> None:
        """Until the next ``push``, at most so long."""
        loop = asyncio.get_running_loop()
        fresh = self._fresh = loop.create_future()
        timer = loop.call_later(seconds, self._stop_waiting)
        await fresh
        timer.cancel()

    def _stop_waiting(self) -> None:
        if self._fresh is not None and not self._fresh.done():
            self._fresh.set_result(None)

    def _with_volume(self, block: I16) -> I16:
        goal = 0.0 if self.muted else 1.0
        if goal == self._volume == 1.0:
            return block
        gain = self._volume + (goal - self._volume) * RAMP
        self._volume = goal
        result: I16 = (block * gain).astype(np.int16)
        return result

    def _at_48k(self, samples: I16, rate_hz: int) -> I16:
        import av

        shape = (rate_hz, samples.shape[1])
        if self._resampler is None or self._input != shape:
            self._resampler = av.AudioResampler(format="s16", layout="stereo", rate=RATE_HZ)
            self._input = shape
        if samples.shape[1] > 2:
            samples = samples[:, :2]
        layout = "mono" if samples.shape[1] == 1 else "stereo"
        flat = np.ascontiguousarray(samples).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(flat, format="s16", layout=layout)
        frame.sample_rate = rate_hz
        parts = [part.to_ndarray().reshape(-1, 2) for part in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros((0, 2), np.int16)
