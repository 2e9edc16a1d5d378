"""The face landmarker in torch: the live path's own eyes, through which a loss can look.

The networks are read out of the bundle that the tracker uses, so what is learned is judged as it
will be measured. Only the operations that they are made of are known here.
Legend: B batch, C channels, H height, W width, N points, S shapes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import MienError
from nodes.assets import FACE_LANDMARKER, locate
from nodes.landmarker import BLENDSHAPE_POINTS, CROP_PX, LANDMARKS

_SAME: Final = 0
_ACTIVATIONS: Final[dict[int, Callable[[Tensor], Tensor]]] = {
    0: lambda x: x,
    1: F.relu,
    3: F.relu6,
}


class Seen(NamedTuple):
    """``landmarks`` [B, 478, 2] in pixels of the picture; ``shapes`` [B, 52] in 0..1."""

    landmarks: Tensor
    shapes: Tensor


class TorchLandmarker(nn.Module):
    """pictures [B, 3, H, W] RGB in 0..1 and regions [B, 2, 3], which take a point of the 256-pixel
    region to the picture (px), -> Seen. Nothing in it is trained."""

    def __init__(self, task: Path | None = None) -> None:
        """``task`` is the bundle; None: the cache. Raises MienError where it is none."""
        super().__init__()
        path = locate(FACE_LANDMARKER) if task is None else task
        try:
            with zipfile.ZipFile(path) as archive:
                self.mesh = TfliteNet(archive.read("face_landmarks_detector.tflite"))
                self.shapes = TfliteNet(archive.read("face_blendshapes.tflite"))
        except (OSError, zipfile.BadZipFile, KeyError) as error:
            raise MienError(f"{path} is not a face landmarker bundle: {error}") from None
        self.register_buffer("points", torch.from_numpy(BLENDSHAPE_POINTS), persistent=False)
        self.eval().requires_grad_(False)

    points: Tensor

    def forward(self, pictures_BCHW: Tensor, regions_B23: Tensor) -> Seen:
        height, width = pictures_BCHW.shape[2:]
        at = torch.arange(CROP_PX, device=pictures_BCHW.device, dtype=torch.float32)
        y, x = torch.meshgrid(at, at, indexing="ij")
        places = torch.stack([x, y, torch.ones_like(x)], dim=-1)
        grid = torch.einsum("hwk,bck->bhwc", places, regions_B23)
        side = grid.new_tensor([width, height])
        looked = F.grid_sample(
            pictures_BCHW, (grid + 0.5) * 2 / side - 1, "bilinear", "zeros", align_corners=False
        )
        mesh = self.mesh(looked.permute(0, 2, 3, 1))
        found = next(out for out in mesh if out[0].numel() == LANDMARKS * 3)
        points = F.pad(found.reshape(-1, LANDMARKS, 3)[..., :2], (0, 1), value=1.0)
        landmarks = torch.einsum("bnk,bck->bnc", points, regions_B23)
        return Seen(landmarks, self.read(landmarks))

    def read(self, landmarks_BN2: Tensor) -> Tensor:
        """The shapes [B, 52] of landmarks [B, 478, 2]."""
        shapes: Tensor = self.shapes(landmarks_BN2[:, self.points])[0]
        return shapes


class TfliteNet(nn.Module):
    """A network out of a .tflite file, floating point only; tensors are channels-last as there."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        import tflite

        model = tflite.Model.GetRootAs(content, 0)
        graph = model.Subgraphs(0)
        names = {value: name for name, value in vars(tflite.BuiltinOperator).items()}
        self._inputs = [int(i) for i in graph.InputsAsNumpy()]
        self._outputs = [int(i) for i in graph.OutputsAsNumpy()]
        self._steps: list[tuple[str, list[int], int, Any]] = []
        self._plain: dict[int, Any] = {}
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            data = model.Buffers(tensor.Buffer()).DataAsNumpy()
            if isinstance(data, np.ndarray):
                dtype = {0: np.float32, 1: np.float16, 2: np.int32}[tensor.Type()]
                shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()
                value = data.view(dtype).reshape(shape)
                if dtype is np.int32:
                    self._plain[index] = value.tolist()
                else:
                    held = torch.from_numpy(value.astype(np.float32))
                    self.register_buffer(f"constant_{index}", held, persistent=False)
        for number in range(graph.OperatorsLength()):
            operator = graph.Operators(number)
            name = names[model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()]
            if name not in _OPERATIONS:
                raise MienError(f"a .tflite network does {name}, which is not known here")
            places = [int(i) for i in operator.InputsAsNumpy()]
            target = int(operator.Outputs(0))
            if name == "DEQUANTIZE":  # half floats, kept as floats
                held = getattr(self, f"constant_{places[0]}")
                self.register_buffer(f"constant_{target}", held, persistent=False)
                continue
            self._steps.append((name, places, target, _options(tflite, name, operator)))

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        values: dict[int, Any] = dict(zip(self._inputs, inputs, strict=True))
        for name, places, target, options in self._steps:
            arguments = [self._value(values, place) for place in places]
            values[target] = _OPERATIONS[name](options, *arguments)
        return [values[index] for index in self._outputs]

    def weights(self) -> list[list[Tensor]]:
        """Of each convolution and PReLU in order: its weights as they are stored, then its bias."""
        learned = ("CONV_2D", "DEPTHWISE_CONV_2D", "PRELU")
        return [
            [self._value({}, place) for place in places[1:]]
            for name, places, _, _ in self._steps
            if name in learned
        ]

    def _value(self, values: dict[int, Any], place: int) -> Any:
        if place in values:
            return values[place]
        if place in self._plain:
            return self._plain[place]
        return getattr(self, f"constant_{place}") if place >= 0 else None


def _options(tflite: Any, name: str, operator: Any) -> Any:
    kinds = {
        "CONV_2D": "Conv2DOptions",
        "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
        "MAX_POOL_2D": "Pool2DOptions",
        "ADD": "AddOptions",
        "MUL": "MulOptions",
        "SUB": "SubOptions",
        "DIV": "DivOptions",
        "MEAN": "ReducerOptions",
        "SUM": "ReducerOptions",
        "STRIDED_SLICE": "StridedSliceOptions",
        "CONCATENATION": "ConcatenationOptions",
    }
    table = operator.BuiltinOptions()
    if name not in kinds or table is None:
        return None
    options = getattr(tflite, kinds[name])()
    options.Init(table.Bytes, table.Pos)
    return options


def _activated(options: Any, x: Tensor) -> Tensor:
    return _ACTIVATIONS[options.FusedActivationFunction() if options is not None else 0](x)


def _padded(x_BCHW: Tensor, size: tuple[int, int], options: Any, value: float = 0.0) -> Tensor:
    """TensorFlow's "same": whatever is odd goes to the right and below."""
    if options.Padding() != _SAME:
        return x_BCHW
    margins: list[int] = []
    strides = (options.StrideH(), options.StrideW())
    for length, kernel, stride in zip(x_BCHW.shape[:1:-1], size[::-1], strides[::-1], strict=True):
        lacking = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        margins += [lacking // 2, lacking - lacking // 2]
    return F.pad(x_BCHW, margins, value=value) if any(margins) else x_BCHW


def _convolved(options: Any, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    picture = _padded(x.permute(0, 3, 1, 2), (weight.shape[2], weight.shape[3]), options)
    stride = (options.StrideH(), options.StrideW())
    out = F.conv2d(picture, weight, bias, stride, groups=groups)
    return _activated(options, out.permute(0, 2, 3, 1))


def _conv(options: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _convolved(options, x, weight.permute(0, 3, 1, 2), bias, 1)


def _depthwise(options: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _convolved(options, x, weight.permute(3, 0, 1, 2), bias, x.shape[-1])


def _pooled(options: Any, x: Tensor) -> Tensor:
    size = (options.FilterHeight(), options.FilterWidth())
    picture = _padded(x.permute(0, 3, 1, 2), size, options, float("-inf"))
    stride = (options.StrideH(), options.StrideW())
    return _activated(options, F.max_pool2d(picture, size, stride).permute(0, 2, 3, 1))


def _sliced(_: Any, x: Tensor, begin: list[int], end: list[int], strides: list[int]) -> Tensor:
    # An end of 0 is "all of it" in these networks; the first axis is the batch, whatever they say.
    rows = list(zip(begin, end, strides, strict=True))[1:]
    return x[(slice(None), *(slice(first, last or None, step) for first, last, step in rows))]


def _joined(options: Any, *xs: Tensor) -> Tensor:
    batch = max(len(x) for x in xs)
    return torch.cat([x.expand(batch, *x.shape[1:]) for x in xs], dim=options.Axis())


def _pad(_: Any, x: Tensor, margins: list[list[int]]) -> Tensor:
    return F.pad(x, [side for pair in reversed(margins) for side in pair])


_OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "DEQUANTIZE": lambda _, x: x,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "MAX_POOL_2D": _pooled,
    "PRELU": lambda _, x, slope: F.prelu(x.permute(0, 3, 1, 2), slope.flatten()).permute(
        0, 2, 3, 1
    ),
    "ADD": lambda options, a, b: _activated(options, a + b),
    "MUL": lambda options, a, b: _activated(options, a * b),
    "SUB": lambda options, a, b: _activated(options, a - b),
    "DIV": lambda options, a, b: _activated(options, a / b),
    "NEG": lambda _, x: -x,
    "SQRT": lambda _, x: x.clamp(min=1e-12).sqrt(),
    "RSQRT": lambda _, x: x.rsqrt(),
    "SQUARED_DIFFERENCE": lambda _, a, b: (a - b).square(),
    "MEAN": lambda options, x, axes: x.mean(dim=axes, keepdim=options.KeepDims()),
    "SUM": lambda options, x, axes: x.sum(dim=axes, keepdim=options.KeepDims()),
    "TRANSPOSE": lambda _, x, order: x.permute(order),
    "RESHAPE": lambda _, x, shape: x.reshape([x.shape[0], *shape[1:]] if len(shape) > 1 else shape),
    "LOGISTIC": lambda _, x: torch.sigmoid(x),
    "CONCATENATION": _joined,
    "PAD": _pad,
    "STRIDED_SLICE": _sliced,
}
