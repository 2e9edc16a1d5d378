"""What `doctor` says of each network: its task, what runs it here, whether its files are whole."""

from __future__ import annotations

from importlib import metadata

from engine.errors import MienError
from inference.card import Card, read_card
from inference.model import BACKENDS, missing
from inference.weight_sets import weight_folder


def describe(name: str) -> str:
    """Its task and what would run it; nothing is loaded.

    Raises MienError where it isn't there, a file isn't the one of its card, or nothing can run it.
    """
    card = read_card(weight_folder(name))
    for file in card.files.values():
        file.read()
        if file.extra is not None:
            file.read_extra()
    return f"{card.task}; on {_runtime(card)}"


def _runtime(card: Card) -> str:
    """What `Model` picks where it may choose."""
    reasons = {backend: missing(backend) for backend in BACKENDS}
    chosen = next((backend for backend, reason in reasons.items() if reason is None), None)
    if chosen == "tensorrt":
        return "TensorRT"
    if chosen == "openvino":
        precision = "bf16 (f32 where the CPU lacks it)" if card.openvino == "bf16" else ""
        return f"OpenVINO {metadata.version('openvino')}, {precision or card.openvino}, CPU"
    if chosen == "onnxruntime":
        return f"ONNX Runtime {metadata.version('onnxruntime')}, f32, CPU"
    raise MienError(f"nothing runs it here: {reasons['openvino']}")
