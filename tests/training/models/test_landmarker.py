"""The landmarker in torch sees what the tracker's own sees, and passes gradients."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[train]'")
pytest.importorskip("tflite", reason="needs tflite: pip install -e '.[train]'")

from skimage import data  # noqa: E402

from engine.errors import MienError  # noqa: E402
from nodes.assets import FACE_LANDMARKER, locate  # noqa: E402
from nodes.landmarker import CROP_PX, Landmarker, region_of  # noqa: E402
from training.losses import faces  # noqa: E402
from training.models.landmarker import TorchLandmarker  # noqa: E402
from training.models.trunk import FaceTrunk  # noqa: E402


def test_it_sees_what_the_tracker_sees() -> None:
    picture = np.ascontiguousarray(data.astronaut()[..., ::-1])  # type: ignore[no-untyped-call]
    tracker = Landmarker(locate(FACE_LANDMARKER))
    region, _ = tracker.detect(picture)[0]
    region = region_of(tracker.landmarks(picture, region)[0])
    points, _ = tracker.landmarks(picture, region)
    step = region.side / CROP_PX
    cos, sin = math.cos(region.angle) * step, math.sin(region.angle) * step
    turn = np.array([[cos, -sin], [sin, cos]])
    offset = np.array([region.x, region.y]) - turn @ np.full(2, (CROP_PX - 1) / 2)
    place = torch.from_numpy(np.column_stack([turn, offset]).astype(np.float32))
    pixels = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1).float() / 255
    pictures = torch.stack([pixels, pixels]).requires_grad_()
    seen = TorchLandmarker()(pictures, torch.stack([place, place]))
    assert np.abs(seen.landmarks[1].detach().numpy() - points[:, :2]).max() < 0.1
    assert np.abs(seen.shapes[1].detach().numpy() - tracker.blendshapes(points)).max() < 0.01
    assert float(faces.opening(seen.landmarks.detach())[0]) == pytest.approx(
        np.linalg.norm(points[13, :2] - points[14, :2])
        / np.linalg.norm(points[33, :2] - points[263, :2]),
        abs=1e-3,
    )
    faces.control(seen.shapes, torch.zeros(2, 52)).backward()  # type: ignore[no-untyped-call]
    assert pictures.grad is not None
    assert float(pictures.grad.abs().sum()) > 0


def test_its_trunk_can_be_trained_further() -> None:
    """The trunk's last map, through the landmarker's own last layer, is its landmarks."""
    mesh = TorchLandmarker().mesh
    trunk = FaceTrunk().load_landmarker()
    picture = np.ascontiguousarray(data.astronaut()[:256, 96:352])  # type: ignore[no-untyped-call]
    pixels = torch.from_numpy(picture).permute(2, 0, 1).float()[None] / 255
    weight, bias = mesh.weights()[-1]
    with torch.no_grad():
        _, last = trunk(pixels)
        points = torch.nn.functional.conv2d(last, weight.permute(0, 3, 1, 2), bias).flatten()
        found = next(out for out in mesh(pixels.permute(0, 2, 3, 1)) if out.numel() == len(points))
    assert last.shape == (1, 128, 2, 2)
    assert float((points - found.flatten()).abs().max()) < 0.01
    assert all(parameter.requires_grad for parameter in trunk.parameters())


def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.task").write_bytes(b"no")
    for read in (TorchLandmarker, FaceTrunk().load_landmarker):
        with pytest.raises(MienError, match="not a face landmarker bundle"):
            read(tmp_path / "no.task")
