"""A sink that times arrivals: how long each message took to come here, kept for a file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.files import atomic_write
from engine.node import Node
from engine.parameters import parameter
from engine.types import Latest, VideoFrame

KEPT_MOST = 1_000_000


class Stopwatch(Node):
    """frame -> nothing; observes ``hop`` in ms and can write every arrival to a file.

    The file is .npy, int64 [N, 4]: capture_ns, arrival_ns, pts, CPU time of this process [ns].
    """

    inputs = {"frame": Latest(VideoFrame)}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter("", "where to write the arrivals at the end; empty: nowhere")

    config: Config

    def setup(self) -> None:
        self._rows: list[tuple[int, int, int, int]] = []

    def process(self, frame: VideoFrame) -> None:
        now_ns = self.context.clock.now_ns()
        self.context.observe("hop", (now_ns - frame.capture_ns) / 1e6)
        if self.config.path and len(self._rows) < KEPT_MOST:
            self._rows.append((frame.capture_ns, now_ns, frame.pts, time.process_time_ns()))

    def finish(self) -> None:
        if self.config.path:
            write_rows(Path(self.config.path), self._rows)


def write_rows(path: Path, rows: list[tuple[int, int, int, int]]) -> None:
    """Write all of them or none. Raises MienError."""
    with atomic_write(path) as part, part.open("wb") as file:
        np.save(file, np.array(rows, np.int64).reshape(-1, 4))
