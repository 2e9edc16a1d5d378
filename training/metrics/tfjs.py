"""Graph models in TensorFlow.js's format, run by torch: for judges that are packaged for npm.

A folder's `NAME.json` holds the graph (nodes in the manner of TensorFlow's GraphDef, attributes
as JSON) and a manifest of the weights, whose bytes lie in `NAME.bin` or in shards. What small
networks for pictures are made of is known here; another operation is named in the error.
Legend: B batch, H height, W width, C channels.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.errors import MienError
from engine.types import F32

Attributes = Mapping[str, Any]

_DTYPES: Final[dict[str, Any]] = {
    "float32": np.float32,
    "float16": np.float16,
    "int32": np.int32,
    "bool": np.bool_,
    "uint8": np.uint8,
    "uint16": np.uint16,
}


class GraphModel:
    """A network with one input. Not for training."""

    def __init__(self, path: Path) -> None:
        """Load ``path`` (NAME.json). Raises MienError with one line where it is damaged."""
        try:
            text = json.loads(path.read_text(encoding="utf-8"))
            weights = read_weights(path.parent, text["weightsManifest"])
            self._nodes = {node["name"]: node for node in text["modelTopology"]["node"]}
        except FileNotFoundError as error:
            raise MienError(f"the network {error.filename} is not there") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MienError(f"the network {path} cannot be read ({error})") from None
        self._constants = {name: torch.from_numpy(value) for name, value in weights.items()}
        unknown = {node["op"] for node in self._nodes.values()} - _OPERATIONS.keys() - _LEAVES
        if unknown:
            raise MienError(f"{path.name} has operations not known here: {', '.join(unknown)}")
        inputs = [node for node in self._nodes.values() if node["op"] == "Placeholder"]
        if len(inputs) != 1:
            raise MienError(f"{path.name} has {len(inputs)} inputs; one is known what to do with")
        self.input: str = inputs[0]["name"]
        used = {_bare(name) for node in self._nodes.values() for name in node.get("input", ())}
        self.outputs = tuple(
            name for name, node in self._nodes.items() if name not in used and node["op"] != "NoOp"
        )

    def __call__(self, picture_BHWC: F32, *wanted: str) -> dict[str, F32]:
        """The outputs by name, and any other node whose name is ``wanted``."""
        with torch.no_grad():
            known = {self.input: torch.from_numpy(np.ascontiguousarray(picture_BHWC))}
            return {
                name: self._value(name, known).numpy().copy() for name in (*self.outputs, *wanted)
            }

    def _value(self, name: str, known: dict[str, Tensor]) -> Tensor:
        waiting = [name]
        while waiting:
            node = self._nodes[waiting[-1]]
            if node["name"] in known:
                waiting.pop()
                continue
            if node["op"] == "Const":
                known[node["name"]] = self._constants[node["name"]]
                continue
            inputs = [_bare(one) for one in node.get("input", ()) if not one.startswith("^")]
            missing = [one for one in inputs if one not in known]
            if missing:
                waiting += missing
                continue
            operation = _OPERATIONS[node["op"]]
            known[node["name"]] = operation([known[one] for one in inputs], _attributes(node))
        return known[name]


def _bare(name: str) -> str:
    return name.removeprefix("^").split(":")[0]


def _attributes(node: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = node.get("attr", {})
    return found


def read_weights(folder: Path, manifest: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """Arrays by name, unpacked where they were stored in fewer bits."""
    out = {}
    for group in manifest:
        data = b"".join((folder / name).read_bytes() for name in group["paths"])
        place = 0
        for row in group["weights"]:
            packing = row.get("quantization", {})
            kind = np.dtype(_DTYPES[packing.get("dtype", row["dtype"])])
            size = math.prod(row["shape"]) * kind.itemsize
            values = np.frombuffer(data[place : place + size], kind).reshape(row["shape"])
            place += size
            if kind.kind == "u":
                values = values * np.float32(packing["scale"]) + np.float32(packing["min"])
            out[row["name"]] = values.astype(_DTYPES[row["dtype"]])
    return out


def _integers(attributes: Attributes, name: str, default: list[int]) -> list[int]:
    found = attributes.get(name, {}).get("list", {}).get("i")
    return [int(value) for value in found] if found else default


def _text(attributes: Attributes, name: str) -> str:
    return base64.b64decode(attributes.get(name, {}).get("s", "")).decode()


def _flag(attributes: Attributes, name: str) -> bool:
    return bool(attributes.get(name, {}).get("b", False))


def _padded(x_BCHW: Tensor, kernel: tuple[int, int], attributes: Attributes, fill: float) -> Tensor:
    """TensorFlow's "same" or explicit padding, done beforehand."""
    way = _text(attributes, "padding")
    if way == "EXPLICIT":
        top_left = _integers(attributes, "explicit_paddings", [0] * 8)
        return F.pad(x_BCHW, (*top_left[4:6], *top_left[2:4]), value=fill)
    if way != "SAME":
        return x_BCHW
    steps = _integers(attributes, "strides", [1, 1, 1, 1])[1:3]
    wide = _integers(attributes, "dilations", [1, 1, 1, 1])[1:3]
    room = []
    for size, side, step, spread in zip(x_BCHW.shape[2:], kernel, steps, wide, strict=True):
        reach = (side - 1) * spread + 1
        missing = max((math.ceil(size / step) - 1) * step + reach - size, 0)
        room.append((missing // 2, missing - missing // 2))
    return F.pad(x_BCHW, (*room[1], *room[0]), value=fill)


def _convolved(given: list[Tensor], attributes: Attributes, deep: bool) -> Tensor:
    x_BCHW, kernel = given[0].permute(0, 3, 1, 2), given[1]
    rows, columns, channels, made = kernel.shape
    if deep:
        filters = kernel.permute(2, 3, 0, 1).reshape(channels * made, 1, rows, columns)
    else:
        filters = kernel.permute(3, 2, 0, 1)
    out = F.conv2d(
        _padded(x_BCHW, (rows, columns), attributes, 0.0),
        filters,
        stride=_integers(attributes, "strides", [1, 1, 1, 1])[1:3],
        dilation=_integers(attributes, "dilations", [1, 1, 1, 1])[1:3],
        groups=channels if deep else 1,
    )
    return out.permute(0, 2, 3, 1)


def _pooled(given: list[Tensor], attributes: Attributes, largest: bool) -> Tensor:
    side = tuple(_integers(attributes, "ksize", [1, 1, 1, 1])[1:3])
    steps = _integers(attributes, "strides", [1, 1, 1, 1])[1:3]
    x_BCHW = given[0].permute(0, 3, 1, 2)
    if largest:
        filled = _padded(x_BCHW, (side[0], side[1]), attributes, -math.inf)
        return F.max_pool2d(filled, side, steps).permute(0, 2, 3, 1)
    total = F.avg_pool2d(_padded(x_BCHW, (side[0], side[1]), attributes, 0.0), side, steps)
    ones = _padded(torch.ones_like(x_BCHW), (side[0], side[1]), attributes, 0.0)
    return (total / F.avg_pool2d(ones, side, steps)).permute(0, 2, 3, 1)


def _fused(made: Tensor, given: list[Tensor], attributes: Attributes) -> Tensor:
    """What was folded into a convolution or product: bias, then the activation."""
    names = [
        base64.b64decode(name).decode()
        for name in attributes.get("fused_ops", {}).get("list", {}).get("s", ())
    ]
    rest = list(given[2:])
    for name in names:
        if name == "BiasAdd":
            made = made + rest.pop(0)
        elif name == "Prelu":
            made = _prelu(made, rest.pop(0))
        else:
            made = _OPERATIONS[name]([made], attributes)
    return made


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.clamp(x, min=0) + slope * torch.clamp(x, max=0)


def _product(given: list[Tensor], attributes: Attributes) -> Tensor:
    first, second = given[:2]
    first = first.mT if _flag(attributes, "transpose_a") else first
    second = second.mT if _flag(attributes, "transpose_b") else second
    return first @ second


def _normalized(given: list[Tensor], attributes: Attributes) -> Tensor:
    x, scale, offset, mean, variance = given[:5]
    epsilon = float(attributes.get("epsilon", {}).get("f", 1e-3))
    return (x - mean) * torch.rsqrt(variance + epsilon) * scale + offset


def _reduced(way: Callable[..., Tensor]) -> Callable[[list[Tensor], Attributes], Tensor]:
    def reduce(given: list[Tensor], attributes: Attributes) -> Tensor:
        return way(given[0], _numbers(given[1]), keepdim=_flag(attributes, "keep_dims"))

    return reduce


def _sliced(given: list[Tensor], attributes: Attributes) -> Tensor:
    """StridedSlice of a shape: whole numbers, one axis."""
    start, end, step = (int(part.reshape(-1)[0]) for part in given[1:4])
    begin_open = int(attributes.get("begin_mask", {}).get("i", 0)) & 1
    end_open = int(attributes.get("end_mask", {}).get("i", 0)) & 1
    if int(attributes.get("shrink_axis_mask", {}).get("i", 0)) & 1:
        return given[0][start]
    return given[0][None if begin_open else start : None if end_open else end : step]


def _squeezed(given: list[Tensor], attributes: Attributes) -> Tensor:
    axes = _integers(attributes, "squeeze_dims", [])
    return given[0].squeeze(tuple(axes)) if axes else given[0].squeeze()


def _pad(given: list[Tensor], _: Attributes) -> Tensor:
    room = [int(value) for pair in reversed(given[1].tolist()) for value in pair]
    return F.pad(given[0], room, value=float(given[2]) if len(given) > 2 else 0.0)


def _numbers(values: Tensor) -> list[int]:
    return [int(value) for value in values.reshape(-1)]


_LEAVES: Final = {"Const", "Placeholder", "NoOp"}
_OPERATIONS: Final[dict[str, Callable[[list[Tensor], Attributes], Tensor]]] = {
    "Identity": lambda given, _: given[0],
    "Conv2D": lambda given, how: _convolved(given, how, False),
    "_FusedConv2D": lambda given, how: _fused(_convolved(given, how, False), given, how),
    "DepthwiseConv2dNative": lambda given, how: _convolved(given, how, True),
    "FusedDepthwiseConv2dNative": lambda given, how: _fused(
        _convolved(given, how, True), given, how
    ),
    "MatMul": _product,
    "_FusedMatMul": lambda given, how: _fused(_product(given, how), given, how),
    "BiasAdd": lambda given, _: given[0] + given[1],
    "Add": lambda given, _: given[0] + given[1],
    "AddV2": lambda given, _: given[0] + given[1],
    "Sub": lambda given, _: given[0] - given[1],
    "Mul": lambda given, _: given[0] * given[1],
    "Minimum": lambda given, _: torch.minimum(given[0], given[1]),
    "Maximum": lambda given, _: torch.maximum(given[0], given[1]),
    "RealDiv": lambda given, _: given[0] / given[1],
    "Relu": lambda given, _: F.relu(given[0]),
    "Relu6": lambda given, _: F.relu6(given[0]),
    "Elu": lambda given, _: F.elu(given[0]),
    "LeakyRelu": lambda given, how: F.leaky_relu(given[0], float(how["alpha"]["f"])),
    "Prelu": lambda given, _: _prelu(given[0], given[1]),
    "Sigmoid": lambda given, _: torch.sigmoid(given[0]),
    "Tanh": lambda given, _: torch.tanh(given[0]),
    "Softmax": lambda given, _: torch.softmax(given[0], dim=-1),
    "Mean": _reduced(torch.mean),
    "Sum": _reduced(torch.sum),
    "Max": _reduced(torch.amax),
    "MaxPool": lambda given, how: _pooled(given, how, True),
    "AvgPool": lambda given, how: _pooled(given, how, False),
    "Pad": _pad,
    "PadV2": _pad,
    "FusedBatchNormV3": _normalized,
    "FusedBatchNorm": _normalized,
    "Reshape": lambda given, _: given[0].reshape(_numbers(given[1])),
    "Squeeze": _squeezed,
    "ExpandDims": lambda given, _: given[0].unsqueeze(int(given[1])),
    "ConcatV2": lambda given, _: torch.cat(given[:-1], dim=int(given[-1])),
    "Shape": lambda given, _: torch.tensor(given[0].shape, dtype=torch.int32),
    "StridedSlice": _sliced,
    "Pack": lambda given, how: torch.stack(given, dim=int(how.get("axis", {}).get("i", 0))),
    "Transpose": lambda given, _: given[0].permute(_numbers(given[1])),
}
