"""Batches of fixed sizes under TensorRT: one engine, one profile and one context for each size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import MienError
from engine.types import F32
from inference.card import Card
from inference.cuda import find_cuda
from inference.profiles import SIZES, batch_axis, wide
from inference.tensorrt import engine_key, load_tensorrt, new_context, obtain_engine


class TensorRtBatches:
    """A network on the NVIDIA card for batches of up to 16; one that isn't full is filled up."""

    most = SIZES[-1]
    streams = 1

    def __init__(self, card: Card, log: Callable[[str], None]) -> None:
        """Raises MienError where there is no card, or the network takes no batches."""
        cuda = find_cuda()
        if isinstance(cuda, str):
            raise MienError(f"{card.name} cannot run on TensorRT: {cuda}")
        trt = load_tensorrt()
        cuda.use()
        path = obtain_engine(card, cuda.capability, log, trt=trt, sizes=SIZES)
        runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise MienError(f"TensorRT refuses the engine of {card.name}; remove {path}")
        self._cuda = cuda
        self._card = card
        self._engine: Any = engine
        self._stream = cuda.stream()
        self._axes = {one.name: batch_axis(one) for one in (*card.inputs, *card.outputs)}
        self._at = {
            tensor.name: cuda.allocate(4 * int(np.prod(wide(tensor, self.most))))
            for tensor in (*card.inputs, *card.outputs)
        }
        self._contexts: dict[int, Any] = {}
        for profile, size in enumerate(SIZES):
            context = self._contexts[size] = new_context(trt, engine)
            context.set_optimization_profile_async(profile, self._stream)
            for tensor in card.inputs:
                context.set_input_shape(tensor.name, tuple(wide(tensor, size)))
            for name, address in self._at.items():
                context.set_tensor_address(name, address)
        key = engine_key(card, trt, cuda.capability, SIZES)
        self.label = f"batches of up to {self.most} ({key.tensorrt}, {key.precision}, {cuda.name})"
        log(f"{card.name} runs in {self.label}")

    def run(self, calls: Sequence[Mapping[str, F32]]) -> list[dict[str, F32]]:
        """The answer to each call."""
        self._cuda.use()  # whichever thread this is
        size = next(size for size in SIZES if size >= len(calls))
        filled = [*calls, *(calls[-1] for _ in range(size - len(calls)))]
        for tensor in self._card.inputs:
            parts = [call[tensor.name] for call in filled]
            stacked = np.ascontiguousarray(np.concatenate(parts, self._axes[tensor.name]))
            self._cuda.upload(self._at[tensor.name], stacked, self._stream)
        if not self._contexts[size].execute_async_v3(self._stream):
            raise MienError("TensorRT could not run the network; use --device cpu")
        answers = {}
        for tensor in self._card.outputs:
            answers[tensor.name] = np.empty(wide(tensor, size), np.float32)
            self._cuda.download(answers[tensor.name], self._at[tensor.name], self._stream)
        self._cuda.wait(self._stream)
        return [
            {name: value.take([at], self._axes[name]) for name, value in answers.items()}
            for at in range(len(calls))
        ]

    def grow(self) -> None:
        """The engine has all sizes."""

    def close(self) -> None:
        """Free the device's memory."""
        self._contexts.clear()
        self._engine = None
        for address in self._at.values():
            self._cuda.free(address)
        self._at.clear()
        self._cuda.end_stream(self._stream)
