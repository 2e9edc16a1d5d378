"""Graph models in TensorFlow.js's format, against the same network written out by hand."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the judges need torch (pip install -e '.[train]')")

import torch
from torch.nn import functional as F

from engine.errors import MienError
from training.metrics.tfjs import GraphModel


def text(value: str) -> dict[str, str]:
    return {"s": base64.b64encode(value.encode()).decode()}


def node(name: str, op: str, *inputs: str, **attr: Any) -> dict[str, Any]:
    return {"name": name, "op": op, "input": list(inputs), "attr": attr}


def strided(step: int) -> dict[str, Any]:
    return {"list": {"i": ["1", str(step), str(step), "1"]}}


def write(folder: Path, nodes: list[dict[str, Any]], weights: dict[str, np.ndarray]) -> Path:
    rows, data = [], b""
    for name, value in weights.items():
        row: dict[str, Any] = {"name": name, "shape": list(value.shape), "dtype": str(value.dtype)}
        if name == "packed":
            row["quantization"] = {"dtype": "uint8", "scale": 0.5, "min": -1.0}
            value = ((value + 1) / 0.5).astype(np.uint8)
        data += value.tobytes()
        rows.append(row)
    (folder / "net.bin").write_bytes(data)
    path = folder / "net.json"
    manifest = [{"paths": ["net.bin"], "weights": rows}]
    path.write_text(json.dumps({"modelTopology": {"node": nodes}, "weightsManifest": manifest}))
    return path


def test_a_small_network_agrees_with_torch(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)
    deep = rng.normal(size=(3, 3, 4, 1)).astype(np.float32)
    packed = np.array([[-1.0, 0.5], [2, 0], [1, 1], [0, -0.5]], np.float32)
    dims = [{"size": str(size)} for size in (1, 7, 6, 2)]
    shape = {"shape": {"dim": dims}}
    fused = {"list": {"s": [text("BiasAdd")["s"], text("Relu6")["s"]]}}
    nodes = [
        node("in", "Placeholder", shape=shape),
        *(node(name, "Const") for name in ("kernel", "bias", "deep", "packed", "axes")),
        node("a", "_FusedConv2D", "in", "kernel", "bias", strides=strided(2),
             padding=text("SAME"), fused_ops=fused),
        node("b", "DepthwiseConv2dNative", "a", "deep", strides=strided(1), padding=text("SAME")),
        node("c", "Mean", "b", "axes"),
        node("d", "MatMul", "c", "packed"),
        node("out", "Softmax", "d"),
    ]  # fmt: skip
    weights = {
        "kernel": kernel,
        "bias": np.arange(4, dtype=np.float32),
        "deep": deep,
        "packed": packed,
        "axes": np.array([1, 2], np.int32),
    }
    model = GraphModel(write(tmp_path, nodes, weights))
    assert model.input == "in" and model.outputs == ("out",)
    picture = rng.normal(size=(1, 7, 6, 2)).astype(np.float32)
    x = torch.from_numpy(picture).permute(0, 3, 1, 2)
    # "same" at stride 2: 7 rows need a row on either side, 6 columns one on the right.
    x = F.conv2d(F.pad(x, (0, 1, 1, 1)), torch.from_numpy(kernel).permute(3, 2, 0, 1), stride=2)
    x = F.relu6(x + torch.arange(4.0)[None, :, None, None])
    x = F.conv2d(x, torch.from_numpy(deep).permute(2, 3, 0, 1), padding=1, groups=4)
    x = torch.softmax(x.mean(dim=(2, 3)) @ torch.from_numpy(packed), dim=-1)
    said = model(picture, "d")
    assert np.allclose(said["out"], x.numpy(), atol=1e-5) and said["d"].shape == (1, 2)


def test_what_cannot_be_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"the network .*net.json is not there"):
        GraphModel(tmp_path / "net.json")
    nodes = [node("in", "Placeholder"), node("out", "Unheard", "in")]
    with pytest.raises(MienError, match="operations not known here: Unheard"):
        GraphModel(write(tmp_path, nodes, {}))
    (tmp_path / "net.json").write_text("{")
    with pytest.raises(MienError, match="cannot be read") as one:
        GraphModel(tmp_path / "net.json")
    assert "\n" not in str(one.value)
