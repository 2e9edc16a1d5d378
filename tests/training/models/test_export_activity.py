"""The network of others that tells who speaks: taken as it is, under the project's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import onnx

from export.activity import main
from inference.model import Model
from training.recipes.activity import Activity


def network(path: Path, names: Mapping[str, str]) -> Path:
    """One with the ports of Silero's, which passes its state on; ``names`` are changed."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ports = {"input": (1, 576), "state": (2, 1, 128), "output": (1, 1), "stateN": (2, 1, 128)}
    given = [
        helper.make_tensor_value_info(names.get(name, name), kind, shape)
        for name, shape in ports.items()
    ]
    sound, state, spoken, later = (port.name for port in given)
    nodes = [
        helper.make_node("ReduceMax", [sound], [spoken], axes=[1], keepdims=1),
        helper.make_node("Identity", [state], [later]),
    ]
    graph = helper.make_graph(nodes, "made", given[:2], given[2:])
    opset = [helper.make_opsetid("", 16)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_it_gets_the_names_that_nodes_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SILERO", str(network(tmp_path / "vad.onnx", {})))
    assert main(["--out", str(tmp_path / "weights")]) == 0
    model = Model(tmp_path / "weights" / "activity", backend="openvino", log=lambda line: None)
    assert [spec.name for spec in model.card.inputs] == [spec.name for spec in Activity.ports[0]]
    assert [spec.name for spec in model.card.outputs] == [spec.name for spec in Activity.ports[1]]
    assert model.card.text["nc"] == "no"
    assert "Silero" in model.card.text["data"]["weights_of_others"][0]
    answer = model(sound=np.full((1, 576), 0.25, np.float32), **model.begin())
    assert answer["spoken"].item() == 0.25 and model.carry(answer)["state"].shape == (2, 1, 128)
    model.close()


@pytest.mark.parametrize("what", ["another", "noise", "nothing"])
def test_another_file_is_one_line(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "vad.onnx"
    if what == "another":
        network(file, {"input": "mel"})
    elif what == "noise":
        file.write_bytes(b"\x00no network\xff" * 9)
    monkeypatch.setenv("MIEN_SILERO", str(file))
    assert main(["--out", str(tmp_path / "weights")]) == 1
    said = capsys.readouterr().err.strip()
    assert "vad.onnx" in said and "\n" not in said
    assert not (tmp_path / "weights").exists()
