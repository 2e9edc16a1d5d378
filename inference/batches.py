"""A network for many callers at once: batches of fixed sizes, or streams side by side.

Which of the two is cheaper is measured when the network is loaded, in processor time for each
answer, so that a busy machine doesn't decide it. A batch has to give each caller what it would
get alone.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np

from engine.errors import MienError
from engine.types import F32
from inference.card import Card
from inference.profiles import SIZES, batch_axis
from inference.runtimes import OpenVinoRuntime, on_cpu

TRIED: Final = 4
"""the size that is held against streams"""
RUNS: Final = 6
"""turns that each gets"""
PAYS: Final = 0.95
"""a batch's answer costs at most this share of a stream's"""
SAME: Final = 1e-3
"""the largest difference of a batch's answer, as a share of the largest value"""

Log = Callable[[str], None]
Call = Mapping[str, F32]


class Batches(Protocol):
    """``most`` calls go into one ``run``; ``streams`` runs may go on at once, in threads."""

    label: str
    streams: int

    @property
    def most(self) -> int: ...

    def run(self, calls: Sequence[Call]) -> list[dict[str, F32]]:
        """The answer to each call."""
        ...

    def grow(self) -> None:
        """Be ready for batches of the next size; it may take a while."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


def open_batches(card: Card, outputs: frozenset[str], log: Log, device: str = "cpu") -> Batches:
    """Batches on a ``gpu``; on the ``cpu`` the cheaper of batches and streams. Raises MienError."""
    if device == "gpu":
        from inference.tensorrt_batches import TensorRtBatches

        return TensorRtBatches(card, log)
    cores = len(os.sched_getaffinity(0))
    streams = Streams(card, outputs, cores)
    try:
        batched = OpenVinoBatches(card, outputs, (TRIED,))
        calls = [_drawn(card, seed) for seed in range(TRIED)]
        worst = _difference(batched.run(calls), streams.run_each(calls))
    except MienError as error:
        log(f"{card.name} runs in {streams.label}; it takes no batches ({error})")
        return streams
    one_ms, together_ms = _costs_ms(lambda: streams.run_each(calls), lambda: batched.run(calls))
    batched.close()
    figures = f"{together_ms:.2f} ms an answer in batches of {TRIED}, {one_ms:.2f} ms in streams"
    if worst > SAME or together_ms > PAYS * one_ms:
        differs = f", which differ by {100 * worst:.1f} %" if worst > SAME else ""
        log(f"{card.name} runs in {streams.label}: {figures}{differs}")
        return streams
    streams.close()
    whole = OpenVinoBatches(card, outputs, SIZES[:1])
    log(f"{card.name} runs in {whole.label}: {figures}")
    return whole


class Streams:
    """One call at a time in each of several requests, one thread each."""

    most = 1

    def __init__(self, card: Card, outputs: frozenset[str], streams: int) -> None:
        self.streams = streams
        self._free = [OpenVinoRuntime(card, card.openvino, 1, outputs)]
        self._free += [self._free[0].another() for _ in range(streams - 1)]
        alone = self._free[0].label.rpartition(", ")[0]
        self.label = f"{streams} stream{'s'[: streams != 1]} ({alone})"

    def run(self, calls: Sequence[Call]) -> list[dict[str, F32]]:
        request = self._free.pop()  # there are as many as streams
        try:
            return [request.run(calls[0])]
        finally:
            self._free.append(request)

    def run_each(self, calls: Sequence[Call]) -> list[dict[str, F32]]:
        """One after the other."""
        return [answer for call in calls for answer in self.run([call])]

    def grow(self) -> None:
        pass

    def close(self) -> None:
        for request in self._free:
            request.close()


class OpenVinoBatches:
    """A network compiled for each size of batch; a batch that isn't full is filled up."""

    streams = 1

    def __init__(self, card: Card, outputs: frozenset[str], sizes: Sequence[int]) -> None:
        """Raises MienError where the network can't be widened."""
        self._card, self._outputs = card, outputs
        self._axes = {one.name: batch_axis(one) for one in (*card.inputs, *card.outputs)}
        self._names = [tensor.name for tensor in card.inputs]
        self._growing = threading.Lock()
        self._requests: dict[int, OpenVinoRuntime] = {}
        for size in sizes:
            self._compile(size)
        version = importlib.metadata.version("openvino")
        self.label = (
            f"batches of up to {SIZES[-1]} (OpenVINO {version}, {card.openvino}, {on_cpu(1)})"
        )

    @property
    def most(self) -> int:
        return max(self._requests)

    def _compile(self, size: int) -> None:
        card = self._card
        compiled = OpenVinoRuntime(card, card.openvino, 1, self._outputs, batch=size)
        self._requests = {**self._requests, size: compiled}  # another thread may be reading it

    def grow(self) -> None:
        """Each size costs memory: it is compiled when calls are left behind without it."""
        with self._growing:
            if larger := [size for size in SIZES if size > self.most]:
                self._compile(larger[0])

    def run(self, calls: Sequence[Call]) -> list[dict[str, F32]]:
        size = min(size for size in self._requests if size >= len(calls))
        filled = [*calls, *(calls[-1] for _ in range(size - len(calls)))]
        answer = self._requests[size].run(
            {
                name: np.concatenate([call[name] for call in filled], axis=self._axes[name])
                for name in self._names
            }
        )
        return [
            {name: _slice(value, at, self._axes[name]) for name, value in answer.items()}
            for at in range(len(calls))
        ]

    def close(self) -> None:
        for request in self._requests.values():
            request.close()


def _slice(value: F32, at: int, axis: int) -> F32:
    if value.shape[axis] == 1:  # the same for everybody
        return value
    place = [slice(None)] * value.ndim
    place[axis] = slice(at, at + 1)
    return value[tuple(place)]


def _drawn(card: Card, seed: int) -> dict[str, F32]:
    """A call within what the card says of its inputs' values."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for tensor in card.inputs:
        low, high = max(tensor.low, -1.0), min(tensor.high, 1.0)
        drawn[tensor.name] = rng.uniform(low, high, tensor.shape).astype(np.float32)
    for name in card.state:
        drawn[name][:] = 0
    return drawn


def _difference(some: Sequence[Call], others: Sequence[Call]) -> float:
    return max(
        float(np.abs(one[name] - other[name]).max() / max(1e-6, np.abs(other[name]).max()))
        for one, other in zip(some, others, strict=True)
        for name in other
    )


def _costs_ms(*ways: Callable[[], Any]) -> list[float]:
    """Processor milliseconds of an answer of each: the least of several turns, since what else the
    process does meanwhile only adds to them."""
    for run in ways:
        run()
    least_s = [math.inf for _ in ways]
    for _ in range(RUNS):
        for number, run in enumerate(ways):
            began_s = time.process_time()
            run()
            least_s[number] = min(least_s[number], time.process_time() - began_s)
    return [one_s * 1000 / TRIED for one_s in least_s]
