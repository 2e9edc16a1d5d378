"""The learned weights of a .tflite network, in the order in which it uses them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

LEARNED: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "PRELU")


def read_weights(content: bytes) -> list[list[Tensor]]:
    """Of each convolution and PReLU of a file's ``content``: its weights as they are stored,
    channels last, then its bias."""
    import tflite

    model = tflite.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    names = {value: name for name, value in vars(tflite.BuiltinOperator).items()}
    held: dict[int, Tensor] = {}
    for index in range(graph.TensorsLength()):
        if (value := _value(model, graph.Tensors(index))) is not None:
            held[index] = value
    found = []
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        name = names[model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()]
        given = [int(index) for index in operator.InputsAsNumpy()]
        if name == "DEQUANTIZE" and given[0] in held:  # half floats, kept as floats
            held[int(operator.Outputs(0))] = held[given[0]]
        if name in LEARNED:
            found.append([held[index] for index in given[1:] if index >= 0])
    return found


def _value(model: Any, tensor: Any) -> Tensor | None:
    """What is stored of a tensor as float32; None where nothing is, or whole numbers are."""
    data = model.Buffers(tensor.Buffer()).DataAsNumpy()
    dtype = {0: np.float32, 1: np.float16}.get(tensor.Type())
    if not isinstance(data, np.ndarray) or dtype is None:
        return None
    shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()
    return torch.from_numpy(data.view(dtype).reshape(shape).astype(np.float32))
