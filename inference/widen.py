"""An OpenVINO network of one call made one of several: shapes that were written down follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.errors import MienError


def widen(model: Any, shapes: Mapping[str, list[int]], batch: int) -> None:
    """Reshape ``model`` to ``shapes`` by input name. Raises MienError where that can't be done.

    Calls lie outermost, so what a Reshape leaves over is its first length: -1 there, the others as
    they were. Sizes of an Interpolate and of a Broadcast name the batch, too.
    """
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in ("Reshape", "Interpolate", "Broadcast"):
            continue
        constant = node.input_value(1).get_node()
        if constant.get_type_name() != "Constant":
            continue
        if kind == "Reshape":
            lengths = list(node.output(0).get_shape())
            if not lengths or node.input_value(0).get_node().get_type_name() == "Constant":
                continue
            pattern = np.array([-1, *lengths[1:]], np.int64)
            wide = ops.reshape(node.input_value(0), ops.constant(pattern), False)
            for taken in node.output(0).get_target_inputs():
                taken.replace_source_output(wide.output(0))
            continue
        sizes = np.array(constant.get_data())
        if sizes.dtype.kind == "i" and sizes.size and sizes[0] == 1:
            sizes[0] = batch
            node.input(1).replace_source_output(ops.constant(sizes).output(0))
    try:
        model.reshape(dict(shapes))
    except RuntimeError:
        raise MienError("its shapes hold for one call alone") from None
