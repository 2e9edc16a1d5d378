"""A made picture source: gradients at a steady rate, for trying out and measuring graphs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from engine.errors import EndOfStream
from engine.node import Source
from engine.parameters import parameter
from engine.types import NANOSECONDS, U8, Outputs, VideoFrame

PICTURES = 4  # more than one, so that no cache holds them all


class Pattern(Source):
    """Emit pictures made once, in turn; ``pts`` is the CPU time of this process [ns].

    -> video: uint8 [height, width, 3], stamped right before it leaves.
    """

    outputs = {"video": VideoFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        width: int = parameter(1280, "of the picture", low=2, high=7680, unit="px", live=False)
        height: int = parameter(720, "of the picture", low=2, high=4320, unit="px", live=False)
        fps: float = parameter(30.0, "pictures per second; 0: as fast as possible", low=0)
        seconds: float = parameter(0.0, "end after so long; 0: no end", low=0, unit="s")

    config: Config

    def setup(self) -> None:
        self._pictures = make_pictures(self.config.height, self.config.width)
        self._number = 0
        self._start_ns = self._next_ns = self.context.clock.now_ns()

    def read(self) -> Outputs:
        now_ns = self.context.clock.now_ns()
        if self._number == 0:
            self._start_ns = self._next_ns = now_ns
        if self.config.seconds and now_ns - self._start_ns >= self.config.seconds * 1e9:
            raise EndOfStream
        if self.config.fps:
            self.context.clock.wait_until(self._next_ns)
            self._next_ns += int(1e9 / self.config.fps)
        picture = self._pictures[self._number % PICTURES]
        self._number += 1
        # A camera fills the memory that it is given; so does this.
        pixels = self.context.allocate("video", picture.shape)
        np.copyto(pixels, picture)
        cpu_ns = time.process_time_ns()
        return VideoFrame(
            capture_ns=self.context.clock.now_ns(),
            pixels=pixels,
            pts=cpu_ns,
            time_base=NANOSECONDS,
        )


def make_pictures(height_px: int, width_px: int) -> list[U8]:
    """PICTURES gradients, uint8 [H, W, 3], each moved on from the one before."""
    x = np.arange(width_px, dtype=np.uint16)[None, :, None]
    y = np.arange(height_px, dtype=np.uint16)[:, None, None]
    tint = np.array([0, 40, 80], np.uint16)
    return [
        np.ascontiguousarray((x + y + tint + 64 * step) % 256, np.uint8) for step in range(PICTURES)
    ]
