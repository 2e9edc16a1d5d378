"""What the generator is told: flows that move what they should, lines in their place, a feeling."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.types import BLENDSHAPES, F32
from nodes.conditions import (
    FULL_FEELING,
    HALF_PX,
    LIPS_OUTER,
    TELLING,
    edit_flow,
    feeling,
    line_map,
    region_mask,
)
from nodes.emotions import prototype
from nodes.rig import load_rig


@pytest.fixture
def face() -> F32:
    """The rig's mean face in the middle of a crop [478, 3]."""
    mean = load_rig().mean
    return (mean * [11, -11, -11] + [128, 95, 0]).astype(np.float32)


def test_a_face_that_moves_as_a_whole_has_one_flow(face: F32) -> None:
    flow = edit_flow(face, face + np.array([6, -4, 0], np.float32), load_rig().triangles)
    x, y = ((face[1, :2] - 0.5) / 2).astype(int)
    assert flow.shape == (2, HALF_PX, HALF_PX)
    assert np.allclose(flow[:, y, x], [-6, 4], atol=0.2)
    assert np.abs(flow[:, :2, :2]).max() < 0.5


def test_a_face_that_stays_has_none(face: F32) -> None:
    assert not edit_flow(face, face, load_rig().triangles).any()


def test_the_flow_at_a_moved_lip_points_back_to_where_it_was(face: F32) -> None:
    rig = load_rig()
    change = np.zeros(len(BLENDSHAPES), np.float32)
    change[BLENDSHAPES.index("jawOpen")] = 0.6
    after = face.copy()
    after[:, :2] += rig.displace(change, rig.place(face))
    flow = edit_flow(face, after, rig.triangles)
    for point in (17, 84, 314):
        x, y = ((after[point, :2] - 0.5) / 2).tolist()
        there = [cv2.getRectSubPix(axis, (1, 1), (x, y)).item() for axis in flow]
        assert np.allclose(there, (face - after)[point, :2], atol=1.0)


def test_lines_are_drawn_where_the_face_is(face: F32) -> None:
    lines = line_map(face)
    assert lines.shape == (HALF_PX, HALF_PX) and lines.dtype == np.float32
    assert lines.min() >= 0 and lines.max() == 1
    corner = ((face[61, :2] - 0.5) / 2).round().astype(int)
    assert lines[corner[1] - 1 : corner[1] + 2, corner[0] - 1 : corner[0] + 2].max() > 0.5
    moved = line_map(face + np.array([20, 0, 0], np.float32))
    assert np.allclose(moved[:, 10:], lines[:, :-10], atol=1 / 255)


def test_a_full_emotion_has_an_intensity_of_about_one() -> None:
    sizes = []
    for emotion in ("angry", "disgusted", "fear", "happy", "sad", "surprised"):
        direction, alpha = feeling(prototype(emotion))
        half, half_alpha = feeling(0.5 * prototype(emotion))
        assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-5)
        assert np.allclose(direction, half, atol=1e-5)
        assert half_alpha == pytest.approx(alpha / 2)
        sizes.append(alpha)
    assert 0.8 < np.mean(sizes) < 1.2 and FULL_FEELING > 0


def test_speech_is_no_feeling() -> None:
    shapes = np.zeros(len(BLENDSHAPES), np.float32)
    shapes[[BLENDSHAPES.index(name) for name in ("jawOpen", "eyeBlinkLeft", "mouthPucker")]] = 1
    direction, alpha = feeling(shapes)
    assert alpha == 0 and not direction.any()


def test_regions_grow_around_their_points(face: F32) -> None:
    lips = region_mask(face, (LIPS_OUTER,))
    wider = region_mask(face, (LIPS_OUTER,), 4)
    x, y = face[LIPS_OUTER, :2].mean(axis=0).astype(int)
    assert lips[y, x] == 1 and lips.sum() < wider.sum() < region_mask(face, TELLING, 4).sum()
