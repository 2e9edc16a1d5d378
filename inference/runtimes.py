"""OpenVINO and ONNX Runtime behind one face: load a card's network, tensors in and out by name."""

from __future__ import annotations

import copy
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from engine.errors import MienError
from engine.program import tool
from engine.types import F32
from inference.card import Card
from inference.profiles import wide

Shapes = dict[str, tuple[int, ...]]


class Runtime(Protocol):
    """A loaded network. ``label`` says what runs it, at which precision, on what."""

    label: str
    inputs: Shapes
    outputs: Shapes

    def run(self, tensors: Mapping[str, F32]) -> dict[str, F32]:
        """One step; the arrays that come back are the caller's."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


def on_cpu(threads: int) -> str:
    """'CPU, 2 threads'."""
    return f"CPU, {threads} thread{'s'[: threads != 1]}"


def missing_package(package: str) -> str | None:
    """Why a runtime cannot be used, in a few words; None where it can."""
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed (pip install {package})"
    return None


class OpenVinoRuntime:
    """OpenVINO on the CPU. ``precision``: f32, bf16 or int8; bf16 only where the CPU has it."""

    def __init__(
        self,
        card: Card,
        precision: str,
        threads: int,
        outputs: frozenset[str] = frozenset(),
        batch: int = 1,
    ) -> None:
        """What only other ``outputs`` need isn't computed; empty: all are. ``batch`` calls go in
        together, along the first axis of length 1 of each tensor."""
        import openvino

        core: Any = openvino.Core()
        if precision == "bf16" and not _has_bf16(core):
            precision = "f32"
        if precision == "int8" and "openvino_int8" not in card.files:
            raise MienError(
                f"{card.name} has no int8 network; export it: "
                f"{tool('export')} {card.name} --to openvino --data FOLDER"
            )
        hint = "f32" if precision == "f32" or not _has_bf16(core) else "bf16"
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            network = core.read_model(*self._parts(card, precision))
            listed = {tensor.name for tensor in (*card.inputs, *card.outputs)}
            self.outputs = {_name(p, listed): tuple(p.get_shape()) for p in network.outputs}
            if outputs & self.outputs.keys():
                for port, result in zip(network.outputs, network.get_results(), strict=True):
                    if _name(port, listed) not in outputs:
                        network.remove_result(result)
            if batch > 1:
                from inference.widen import widen

                widen(network, {one.name: wide(one, batch) for one in card.inputs}, batch)
            self.compiled: Any = core.compile_model(network, "CPU", settings)
        except RuntimeError as error:
            raise _refused(card, "OpenVINO", error) from None
        self._request: Any = self.compiled.create_infer_request()
        self.inputs = {_name(p, listed): tuple(p.get_shape()) for p in self.compiled.inputs}
        self._ports = [(_name(p, listed), p) for p in self.compiled.outputs]
        version = importlib.metadata.version("openvino")
        also = f" and {hint}" if precision == "int8" else ""
        self.label = f"OpenVINO {version}, {precision}{also}, {on_cpu(threads)}"

    def run(self, tensors: Mapping[str, F32]) -> dict[str, F32]:
        """One step. Inputs are read where they lie, outputs are copies."""
        answer = self._request.infer(dict(tensors), share_inputs=True)
        return {name: answer[port] for name, port in self._ports}

    def another(self) -> OpenVinoRuntime:
        """The same network for another thread."""
        twin = copy.copy(self)
        twin._request = self.compiled.create_infer_request()
        return twin

    def close(self) -> None:
        """Free the network."""
        self._request = self.compiled = None

    @staticmethod
    def _parts(card: Card, precision: str) -> tuple[Any, ...]:
        if precision != "int8":
            return (card.files["onnx"].read(),)
        file = card.files["openvino_int8"]
        return file.read(), file.read_extra()


class OnnxRuntime:
    """ONNX Runtime on the CPU in float32: the reference that the others are compared with."""

    def __init__(self, card: Card, threads: int) -> None:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                card.files["onnx"].read(), settings, providers=["CPUExecutionProvider"]
            )
        except MienError:
            raise
        except Exception as error:  # its errors have no common base but this one
            raise _refused(card, "ONNX Runtime", error) from None
        self.inputs = {port.name: tuple(port.shape) for port in self._session.get_inputs()}
        self.outputs = {port.name: tuple(port.shape) for port in self._session.get_outputs()}
        self.label = f"ONNX Runtime {onnxruntime.__version__}, f32, {on_cpu(threads)}"

    def run(self, tensors: Mapping[str, F32]) -> dict[str, F32]:
        """One step."""
        names = list(self.outputs)
        return dict(zip(names, self._session.run(names, dict(tensors)), strict=True))

    def close(self) -> None:
        """Free the network."""
        self._session = None


def fits(card: Card, runtime: Runtime) -> None:
    """Raises MienError where a network's tensors aren't those of its card."""
    for kind, own, expected in (
        ("input", runtime.inputs, card.inputs),
        ("output", runtime.outputs, card.outputs),
    ):
        listed = {tensor.name: tensor.shape for tensor in expected}
        for name in sorted(listed.keys() | own.keys()):
            if listed.get(name) != own.get(name):
                says, has = (
                    list(shapes[name]) if name in shapes else "nothing" for shapes in (listed, own)
                )
                raise MienError(
                    f"the card of {card.name} doesn't fit its network: {kind} {name} is {says} "
                    f"on the card and {has} in the network; export it again"
                )


def zeros(card: Card) -> dict[str, F32]:
    """A call's worth of zeros."""
    return {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in card.inputs}


def _has_bf16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _name(port: Any, listed: set[str]) -> str:
    """The name that the card knows a port by; it may have others from inside the network."""
    names = port.get_names()
    return str(min(names & listed or names))


def _refused(card: Card, runtime: str, error: Exception) -> MienError:
    line = " ".join(str(error).split())[:200]
    return MienError(f"{runtime} cannot load {card.name} ({line}); export it again")
