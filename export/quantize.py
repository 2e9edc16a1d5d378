"""OpenVINO in int8, calibrated on real calls (nncf), as the two files of its own format."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from engine.errors import MienError
from training.examples import Call

_LAYERS = ("Convolution", "GroupConvolution", "MatMul", "Parameter", "Constant")


def to_int8(data: bytes, calls: list[Call]) -> tuple[bytes, bytes]:
    """The .xml and the .bin of an ONNX network in int8. Raises MienError."""
    os.environ.setdefault("NNCF_CI", "1")  # it reports its use otherwise
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise MienError(f"int8 needs {error.name}: pip install openvino nncf") from None
    nncf.set_log_level(logging.ERROR)
    network = openvino.Core().read_model(data)
    silence = contextlib.redirect_stdout(io.StringIO())
    with warnings.catch_warnings(), silence, contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        quantized = nncf.quantize(
            network,
            nncf.Dataset(calls),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(calls),
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(names=_exact(network), validate=False),
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(quantized, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def _exact(network: Any) -> list[str]:
    """Nodes that stay in floating point: what comes after the last layers."""
    from_ = [result.input_value(0).get_node() for result in network.get_results()]
    names: set[str] = set()
    while from_:
        node = from_.pop()
        name = node.get_friendly_name()
        if name in names or node.get_type_name() in _LAYERS:
            continue
        names.add(name)
        from_ += [node.input_value(i).get_node() for i in range(node.get_input_size())]
    return sorted(names)
