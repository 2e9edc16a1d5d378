"""Do the runtimes agree? Every backend's answers against torch's, on the same calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from export.networks import Network
from inference.model import Backend, Model, missing
from training.examples import Call

INT8_AGREEMENT: Final = 0.98


@dataclass(frozen=True)
class Parity:
    """One runtime against torch: over all calls the largest and the mean difference of each output,
    how often the same emotion is named, and the quickest call."""

    label: str
    largest: dict[str, float]
    mean: dict[str, float]
    agreement: float | None
    best_ms: float

    def row(self) -> dict[str, Any]:
        """As it goes into a card."""
        row: dict[str, Any] = {"runtime": self.label, "best_ms": round(self.best_ms, 3)}
        row |= {f"largest_{name}": round(value, 7) for name, value in self.largest.items()}
        if self.agreement is not None:
            row["same_emotion"] = round(self.agreement, 4)
        return row

    def good_enough(self) -> bool:
        """Whether int8 may stand in for float32."""
        return self.agreement is None or self.agreement >= INT8_AGREEMENT


def compare(network: Network, calls: list[Call], run: Callable[[Call], Call], label: str) -> Parity:
    """A runtime's answers to calls against torch's own."""
    largest: dict[str, float] = {}
    mean: dict[str, list[float]] = {}
    same, took_s = [], []
    for call in calls:
        truth = network(call)
        began_s = time.perf_counter()
        answer = run(call)
        took_s.append(time.perf_counter() - began_s)
        for name, value in truth.items():
            off = np.abs(answer[name].astype(np.float64) - value)
            largest[name] = max(largest.get(name, 0.0), float(off.max()))
            mean.setdefault(name, []).append(float(off.mean()))
            if name == "emotion":
                same.append(float(answer[name].argmax() == value.argmax()))
    return Parity(
        label,
        largest,
        {name: float(np.mean(values)) for name, values in mean.items()},
        float(np.mean(same)) if same else None,
        1000 * min(took_s),
    )


def table(network: Network, folder: Path, calls: list[Call]) -> dict[str, Parity]:
    """Every runtime that is here against torch, by backend and precision."""
    wanted: list[tuple[str, Backend, str]] = [
        ("onnxruntime", "onnxruntime", "auto"),
        ("openvino_f32", "openvino", "f32"),
        ("openvino_bf16", "openvino", "bf16"),
        ("openvino_int8", "openvino", "int8"),
        ("tensorrt", "tensorrt", "auto"),
    ]
    rows = {}
    for key, backend, precision in wanted:
        if missing(backend) is not None:
            continue
        if precision == "int8" and not (folder / "int8.xml").is_file():
            continue
        model = Model(folder, backend=backend, precision=precision, log=_nothing)
        try:
            rows[key] = compare(network, calls, partial(_call, model), model.label)
        finally:
            model.close()
    if (half := folder / "f16.onnx").is_file() and missing("onnxruntime") is None:
        label, run = _half(half)
        rows["f16"] = compare(network, calls, run, label)
    return rows


def _half(path: Path) -> tuple[str, Callable[[Call], Call]]:
    """The file for GPUs, run by ONNX Runtime: slow, but its numbers are those of float16."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(
        path.read_bytes(), providers=["CPUExecutionProvider"]
    )
    names = [port.name for port in session.get_outputs()]
    label = f"ONNX Runtime {onnxruntime.__version__}, f16 of the GPU, CPU"
    return label, lambda call: dict(zip(names, session.run(names, call), strict=True))


def _call(model: Model, call: Call) -> Call:
    return model(**call)


def _nothing(line: str) -> None:
    pass
