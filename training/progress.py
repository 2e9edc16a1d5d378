"""What a training tells: a line now and then, TensorBoard, a profile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch import Tensor

from engine.errors import MienError
from training.recipe import Schedule

PROFILE: Final = "profile.json"
_ROWS: Final = 12

Log = Callable[[str], None]


class Progress:
    """Of the training ``name``, in the folder ``out`` (None: nothing is shown)."""

    def __init__(
        self, name: str, out: Path | None, schedule: Schedule, world: int, step: int, log: Log
    ) -> None:
        self._name, self._schedule, self._log = name, schedule, log
        self._samples = schedule.batch * schedule.accumulate * world
        self._board: Any = _board(out, log) if out else None
        self._shown = out is not None
        self._since, self._since_s = step, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """What a step came to; a line each ``log_every`` steps."""
        if not self._shown or step % self._schedule.log_every:
            return
        each_s = (time.monotonic() - self._since_s) / (step - self._since)
        self._since, self._since_s = step, time.monotonic()
        rate_hz = self._samples / each_s
        self._scalars(step, {**figures, "samples_per_s": rate_hz, "seconds_per_step": each_s})
        left_min = each_s * (self._schedule.steps - step) / 60
        self._log(
            f"{self._name} {step}/{self._schedule.steps}: {_listed(figures)} "
            f"({each_s:.2f} s a step, {rate_hz:.3g} samples/s, {left_min:.0f} min left)"
        )

    def validated(self, step: int, figures: Mapping[str, float]) -> None:
        """Losses of people held out."""
        self._scalars(step, figures)
        self._log(f"{self._name} {step}/{self._schedule.steps}: {_listed(figures)}")

    def images(self, step: int, pictures: Mapping[str, Tensor]) -> None:
        """Pictures [3, H, W] in 0..1."""
        for name, picture in pictures.items() if self._board is not None else ():
            self._board.add_image(name, picture.clamp(0, 1).cpu(), step)

    def _scalars(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items() if self._board is not None else ():
            self._board.add_scalar(name, value, step)


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())


def _board(out: Path, log: Log) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log("no TensorBoard (pip install tensorboard): only this log is kept")
        return None
    return SummaryWriter(str(out / "board"))


@contextlib.contextmanager
def profiled(out: Path, wanted: bool, log: Log) -> Iterator[Callable[[], None]]:
    """What is to be called after each step. Where it is ``wanted``, the second and third are timed:
    a table in the log, all of it in OUT/profile.json, which chrome://tracing and Perfetto show.
    Raises MienError where that can't be written."""
    if not wanted:
        yield lambda: None
        return

    def write(taken: Any) -> None:
        log(taken.key_averages().table(sort_by="self_cpu_time_total", row_limit=_ROWS))
        try:
            taken.export_chrome_trace(str(out / PROFILE))
        except OSError as error:
            raise MienError(f"{out / PROFILE} cannot be written ({error.strerror})") from None
        log(f"profiled: {out / PROFILE}")

    profiler = torch.profiler
    when = profiler.schedule(wait=0, warmup=1, active=2, repeat=1)
    with profiler.profile(schedule=when, on_trace_ready=write) as taken:
        yield taken.step
