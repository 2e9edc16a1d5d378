"""The trunk of the face landmarker in torch sees what the tracker's own network sees."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[train]'")
pytest.importorskip("tflite", reason="needs tflite: pip install -e '.[train]'")

from engine.errors import MienError  # noqa: E402
from face.landmarker import MESH_PX, Region  # noqa: E402
from inference.assets import FACE_LANDMARKER, locate  # noqa: E402
from tests.faces import astronaut, landmarker  # noqa: E402
from training.models.tflite_weights import read_weights  # noqa: E402
from training.models.trunk import FaceTrunk  # noqa: E402


def test_its_last_map_through_the_landmarkers_last_layer_is_its_landmarks() -> None:
    picture = np.ascontiguousarray(astronaut()[:MESH_PX, 96 : 96 + MESH_PX])
    with zipfile.ZipFile(locate(FACE_LANDMARKER)) as archive:
        weight, bias = read_weights(archive.read("face_landmarks_detector.tflite"))[-1]
    trunk = FaceTrunk().load_landmarker()
    pixels = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1).float()[None] / 255
    with torch.no_grad():
        _, last = trunk(pixels)
        points = torch.nn.functional.conv2d(last, weight.permute(0, 3, 1, 2), bias).reshape(-1, 3)
    whole = Region((MESH_PX - 1) / 2, (MESH_PX - 1) / 2, MESH_PX, 0.0)
    seen, _ = landmarker().landmarks(picture, whole)
    assert last.shape == (1, 128, 2, 2)
    assert np.abs(points[:, :2].numpy() - seen[:, :2]).max() < 0.1
    assert all(parameter.requires_grad for parameter in trunk.parameters())


def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.task").write_bytes(b"no")
    with pytest.raises(MienError, match="not a face landmarker bundle"):
        FaceTrunk().load_landmarker(tmp_path / "no.task")
