"""The command line: numbers within bounds, versions, graphs as JSON, what was written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from commands.bench import models as bench_models
from commands.paths import GRAPHS, WEIGHTS
from engine import __version__
from run_engine import main


@pytest.mark.parametrize(
    "arguments",
    [
        ["live", "--seconds", "nan"],
        ["live", "--seconds", "-1"],
        ["live", "--port", "70000"],
        ["bench", "file", "--intensity", "nan"],
        ["graph", "g.toml", "--seconds", "inf"],
        ["doctor", "--port", "0"],
        ["bench", "models", "--seconds", "nan"],
        ["bench", "models", "--threads", "0"],
        ["bench", "live", "--fps", "0"],
        ["bench", "hop", "--rate", "nan"],
    ],
    ids=" ".join,
)
def test_a_number_out_of_bounds_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert f"'{arguments[-1]}' is not a" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"mien {__version__}\n"


@pytest.mark.parametrize("arguments", [["graph", "none.toml"], ["file", "none.mp4", "out.mp4"]])
def test_a_file_that_is_not_there_is_one_code(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert "no such" in capsys.readouterr().err


def test_a_graph_is_drawn_and_described_whatever_it_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "[").mkdir()
    graph, drawn = tmp_path / "[" / "x].toml", tmp_path / "[" / "x].svg"
    shutil.copy(GRAPHS / "live.toml", graph)
    assert main(["graph", str(graph), "--draw", str(drawn), "--json"]) == 0
    told = capsys.readouterr()
    assert f"drawn: {drawn}\n" in told.err and drawn.is_file()
    assert json.loads(told.out)["nodes"]["tracker"]["process"] == "face"


def test_what_a_cpu_lacks_has_no_row_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(card: Any, backend: str, precision: str, *_: Any) -> dict[str, Any]:
        label = f"OpenVINO, {'f32' if precision == 'bf16' else precision}, CPU"
        figures = dict.fromkeys(["min_ms", "p50_ms", "p95_ms", "cold_ms"], 1.0)
        return {
            "network": card.name,
            "runtime": label,
            "cores_busy": 1,
            "gflop_per_s": 1,
            **figures,
        }

    monkeypatch.setenv("MIEN_WEIGHTS", "")
    monkeypatch.setattr(bench_models, "measure", measure)
    monkeypatch.setattr(bench_models, "WAYS", (("openvino", "bf16"), ("openvino", "f32")))
    kept = tmp_path / "models.json"
    asked = ["--weights", str(WEIGHTS), "--only", "intensity", "--json", str(kept)]
    assert main(["bench", "models", *asked]) == 0
    found = json.loads(kept.read_text())
    assert [row["runtime"] for row in found["networks"]] == ["OpenVINO, f32, CPU"]
    assert found["left_out"] == {"openvino in bf16": "this CPU lacks it"}
    assert "no openvino in bf16: this CPU lacks it" in capsys.readouterr().out
