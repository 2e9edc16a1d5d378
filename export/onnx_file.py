"""torch -> ONNX with fixed shapes and named tensors; the same in float16 for GPUs."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch

from engine.errors import MienError
from export.networks import Network

OPSET: Final = 18
_LARGE: Final = 1 << 16


def to_onnx(network: Network) -> bytes:
    """The network in float32, batch norms folded."""
    given = tuple(torch.from_numpy(value) for value in network.zeros().values())
    with _quiet():
        program: Any = torch.onnx.export(
            network.module,
            given,
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.name for spec in network.inputs],
            output_names=[spec.name for spec in network.outputs],
            external_data=False,
            verbose=False,
            optimize=True,
        )
    model = program.model_proto
    for node in model.graph.node:  # where in whose files each was made
        del node.metadata_props[:]
        node.doc_string = ""
    if network.origins:
        _halve(model)
    model.producer_name, model.producer_version, model.doc_string = "mien", "", network.task
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _halve(model: Any) -> None:
    """Large weights that half a float holds exactly are kept as such, and cast when loaded."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        half = values.astype(np.float16) if values.size >= _LARGE else values
        if half is values or values.dtype != np.float32 or (half != values).any():
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(half, f"{name}_as_float16"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def to_float16(data: bytes) -> bytes:
    """The same with float16 inside and float32 at its ports."""
    import onnx

    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError:
        raise MienError("float16 needs ONNX Runtime: pip install onnxruntime") from None
    model = onnx.load_from_string(data)
    with _quiet():
        half = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=False)
    _single(half)
    out: bytes = half.SerializeToString(deterministic=True)
    return out


def _single(model: Any) -> None:
    """Drop repeated casts of one value, and put the nodes in an order in which they can be run."""
    graph = model.graph
    known = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    left, made = [], set()
    for node in graph.node:
        if node.op_type != "Cast" or node.output[0] not in made:
            left.append(node)
            made |= set(node.output)
    ordered: list[Any] = []
    while left:
        ready = [node for node in left if known.issuperset(node.input)]
        if not ready:
            raise MienError("the network in float16 has a value that nothing makes")
        ordered += ready
        known |= {output for node in ready for output in node.output}
        placed = {id(node) for node in ready}
        left = [node for node in left if id(node) not in placed]
    copies = [type(node).FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters talk; what matters is said by the comparison afterwards."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
