"""A face as numbers in a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from face.rotations import from_angles
from face.types import BLENDSHAPES, FaceRig
from nodes.sinks.rig_writer import LIVE_LINK, NAMES, RigWriter, timecode


def rigs() -> list[FaceRig]:
    """Three moments; each shape has a value of its own."""
    made = []
    for step in range(3):
        pose = np.eye(4, dtype=np.float32)
        pose[:3, :3] = from_angles(10 * step, 5, -3)
        values = (np.arange(len(BLENDSHAPES)) / 100 + 0.1 * step).astype(np.float32)
        made.append(
            FaceRig(capture_ns=40_000_000 * step, found=True, blendshapes=values, pose=pose)
        )
    return made


def written(path: Path) -> None:
    node = RigWriter(RigWriter.Config(path=str(path)))
    node.setup()
    for rig in rigs():
        node.process(rig)
    assert not path.exists()
    node.finish()
    node.close()


def test_json_has_names_and_weights(tmp_path: Path) -> None:
    written(tmp_path / "face.json")
    told = json.loads((tmp_path / "face.json").read_text())
    assert told["fps"] == 25 and len(told["names"]) == 52
    assert np.shape(told["weights"]) == (3, 52) and np.shape(told["head_degrees"]) == (3, 3)
    jaw = told["names"].index("jawOpen")
    assert told["weights"][1][jaw] == pytest.approx(BLENDSHAPES.index("jawOpen") / 100 + 0.1)
    assert told["head_degrees"][2] == pytest.approx([20, 5, -3], abs=0.2)


def test_csv_is_that_of_live_link_face(tmp_path: Path) -> None:
    written(tmp_path / "face.csv")
    head, *rows = list(csv.reader((tmp_path / "face.csv").read_text().splitlines()))
    assert head[:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"]
    assert len(head) == 2 + 52 + 9 and {len(row) for row in rows} == {len(head)}
    assert {name.lower() for name in LIVE_LINK} == {name.lower() for name in NAMES}
    jaw = head.index("JawOpen")
    assert float(rows[0][jaw]) == pytest.approx(BLENDSHAPES.index("jawOpen") / 100)
    assert [row[1] for row in rows] == ["52"] * 3
    assert timecode(25 * 3661 + 7, 25) == "01:01:01:07.000"


def test_what_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    node = RigWriter(RigWriter.Config(path=str(tmp_path / "face.csv")))
    node.setup()
    node.process(rigs()[0])
    node.close()
    assert list(tmp_path.iterdir()) == []


def test_of_no_rig_nothing_is_written(tmp_path: Path) -> None:
    node = RigWriter(RigWriter.Config(path=str(tmp_path / "face.json")))
    node.setup()
    node.finish()
    node.close()
    assert list(tmp_path.iterdir()) == []
