"""Small nodes for tests of the engine: they count, add, fail and wait on request."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

import numpy as np

from engine.errors import EndOfStream, MienError
from engine.node import Node, Source
from engine.parameters import parameter
from engine.types import AudioFrame, Fifo, Latest, Outputs, VideoFrame


class Numbers(Source):
    """Pictures filled with 0, 1, 2 ... and a block of sound beside each."""

    outputs = {"video": VideoFrame, "audio": AudioFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        count: int = parameter(0, "how many; 0: no end", low=0)
        period_ms: float = parameter(0.0, "time between two", low=0)
        width: int = parameter(32, low=1)
        height: int = parameter(16, low=1)

    config: Config

    def setup(self) -> None:
        self._number = 0
        self._next_ns = self.context.clock.now_ns()

    def read(self) -> Outputs:
        if self.config.count and self._number >= self.config.count:
            raise EndOfStream
        self.context.clock.wait_until(self._next_ns)
        self._next_ns += int(self.config.period_ms * 1e6)
        now_ns = self.context.clock.now_ns()
        shape = (self.config.height, self.config.width, 3)
        pixels = np.full(shape, self._number % 251, np.uint8)
        samples = np.full((480, 1), self._number % 30000, np.int16)
        number = self._number
        self._number += 1
        return {
            "video": VideoFrame(capture_ns=now_ns, pixels=pixels, pts=number),
            "audio": AudioFrame(capture_ns=now_ns, samples=samples, rate_hz=48000, pts=number),
        }


class Add(Node):
    """Adds to every pixel."""

    inputs = {"frame": Latest(VideoFrame)}
    outputs = {"video": VideoFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        amount: int = parameter(1, "what is added", low=0, high=100)
        mode: Literal["add", "fail", "hang", "hold"] = parameter("add", "what happens")
        wait_ms: float = parameter(0.0, "how long it takes", low=0)

    config: Config

    def process(self, *, frame: VideoFrame) -> Outputs:
        if self.config.mode == "fail":
            raise MienError("asked to fail")
        if self.config.mode == "hold":
            ctypes.PyDLL(None).sleep(3600)  # with the interpreter's lock held
        time.sleep(3600 if self.config.mode == "hang" else self.config.wait_ms / 1000)
        return VideoFrame(
            capture_ns=frame.capture_ns, pixels=frame.pixels + self.config.amount, pts=frame.pts
        )


class Pair(Node):
    """Joins two pictures of one moment: the difference of their values as a picture."""

    inputs = {"left": Latest(VideoFrame), "right": Latest(VideoFrame)}
    outputs = {"video": VideoFrame}

    def process(self, *, left: VideoFrame, right: VideoFrame) -> Outputs:
        assert left.capture_ns == right.capture_ns
        difference = right.pixels - left.pixels
        return VideoFrame(capture_ns=left.capture_ns, pixels=difference, pts=left.pts)


class SlowPair(Pair):
    """The same, slower than the camera."""

    def process(self, *, left: VideoFrame, right: VideoFrame) -> Outputs:
        time.sleep(0.025)
        return super().process(left=left, right=right)


class Collect(Node):
    """Writes a line per picture and block of sound: kind, pts, value, pid."""

    inputs = {
        "video": Latest(VideoFrame, optional=True),
        "audio": Fifo(AudioFrame, optional=True),
    }

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter("", "the file", live=False)

    config: Config

    def setup(self) -> None:
        self._file: TextIO | None = None
        self._file = Path(self.config.path).open("a", buffering=1)  # noqa: SIM115 - open while it runs

    def on_video(self, frame: VideoFrame) -> None:
        self._write("video", frame.pts, int(frame.pixels[0, 0, 0]))

    def on_audio(self, frame: AudioFrame) -> None:
        self._write("audio", frame.pts, int(frame.samples[0, 0]))

    def _write(self, kind: str, pts: int, value: int) -> None:
        assert self._file is not None
        self._file.write(f"{kind} {pts} {value} {os.getpid()}\n")

    def finish(self) -> Outputs:
        self._write("end", 0, 0)
        return None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
