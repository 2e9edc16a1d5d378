"""`Model`: a weight's card and the best runtime that is here, called with tensors by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal

import numpy as np

from engine.errors import MienError, UsageError
from engine.types import F32
from inference.card import Card, read_card
from inference.runtimes import OnnxRuntime, OpenVinoRuntime, Runtime, fits, missing_package, zeros
from inference.shared import SharedRuntime
from inference.tensorrt import TensorRtRuntime, missing_tensorrt

Backend = Literal["auto", "tensorrt", "openvino", "onnxruntime"]
BACKENDS: Final = ("tensorrt", "openvino", "onnxruntime")
"""best first"""

Log = Callable[[str], None]
"""takes one line for a person"""


class Model:
    """A network, loaded and warm. Not thread-safe: each thread needs its own.

    >>> model = Model(Path("weights/speech"))        # doctest: +SKIP
    >>> state = model.begin()                        # doctest: +SKIP
    >>> out = model(sound=sound, **state)            # doctest: +SKIP
    >>> state = model.carry(out)                     # doctest: +SKIP
    """

    def __init__(
        self,
        folder: Path,
        *,
        backend: Backend = "auto",
        precision: str = "auto",
        threads: int = 2,
        require_gpu: bool = False,
        outputs: Iterable[str] = (),
        log: Log | None = None,
        shared: str = "",
    ) -> None:
        """Load the weight in ``folder``. Only ``outputs`` need to be computed; empty: all.

        ``backend`` auto: TensorRT, else OpenVINO, else ONNX Runtime, and ``log`` (standard error)
        is told which, and why not a better one. ``precision`` is OpenVINO's: auto is the card's.
        ``shared`` is the address of a process that runs it for many: what, is its choice.
        Raises MienError with one line: no card, a damaged file, a card that doesn't fit, a runtime
        that isn't there, no GPU where ``require_gpu`` asks for one.
        """
        self.card: Card = read_card(folder)
        asked, log = frozenset(outputs), log or _stderr
        self._runtime: Runtime
        if shared:
            self._runtime = SharedRuntime(self.card, shared, asked)
            log(f"{self.card.name} runs on {self._runtime.label}")
        else:
            self._runtime = _load(self.card, backend, precision, threads, require_gpu, asked, log)
        try:
            fits(self.card, self._runtime)
        except MienError:
            self._runtime.close()
            raise
        self._shapes = {tensor.name: tensor.shape for tensor in self.card.inputs}
        self.label = self._runtime.label
        self._runtime.run(zeros(self.card))

    def __call__(self, **tensors: F32) -> dict[str, F32]:
        """Every input of the card by name, float32 of its shape; the ``outputs`` by name."""
        if tensors.keys() != self._shapes.keys():
            raise ValueError(
                f"{self.card.name} takes {sorted(self._shapes)}, not {sorted(tensors)}"
            )
        ready = {}
        for name, value in tensors.items():
            if value.shape != self._shapes[name] or value.dtype != np.float32:
                raise ValueError(
                    f"{self.card.name}: {name} is float32 {self._shapes[name]}, "
                    f"not {value.dtype} {value.shape}"
                )
            ready[name] = np.ascontiguousarray(value)
        return self._runtime.run(ready)

    def begin(self) -> dict[str, F32]:
        """The state before the first step: what a stateful network's inputs are then."""
        return {name: np.zeros(self._shapes[name], np.float32) for name in self.card.state}

    def carry(self, outputs: dict[str, F32]) -> dict[str, F32]:
        """The state for the next step, from the outputs of the last."""
        return {taken: outputs[given] for taken, given in self.card.state.items()}

    def close(self) -> None:
        """Free the network."""
        self._runtime.close()


def missing(backend: str) -> str | None:
    """Why a backend cannot be used on this machine; None where it can."""
    return missing_tensorrt() if backend == "tensorrt" else missing_package(backend)


def _load(
    card: Card,
    backend: Backend,
    precision: str,
    threads: int,
    require_gpu: bool,
    outputs: frozenset[str],
    log: Log,
) -> Runtime:
    if backend not in ("auto", *BACKENDS):
        raise UsageError(f"a backend is auto, {', '.join(BACKENDS)}, not {backend}")
    if require_gpu:
        backend = "tensorrt"
    reasons = {name: missing(name) for name in (BACKENDS if backend == "auto" else (backend,))}
    chosen = next((name for name, reason in reasons.items() if reason is None), None)
    if chosen is None:
        why = "; ".join(str(reason) for reason in reasons.values())
        raise MienError(f"{card.name} cannot run: {why}")
    passed = [f"no {name}: {reason}" for name, reason in reasons.items() if reason is not None]
    better = passed if backend == "auto" else []
    runtime: Runtime
    if chosen == "tensorrt":
        runtime = TensorRtRuntime(card, log)
    elif chosen == "openvino":
        runtime = OpenVinoRuntime(
            card, card.openvino if precision == "auto" else precision, threads, outputs
        )
    else:
        runtime = OnnxRuntime(card, threads)
    log("; ".join([f"{card.name} runs on {runtime.label}", *better[:1]]))
    return runtime


def _stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
