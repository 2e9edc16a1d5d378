"""The voice moves a face while the camera shows none, and gives it back without a jump."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from engine.clock import FakeClock
from engine.node import Context
from engine.types import F32
from face.emotions import shapes_of
from face.rotations import from_angles, quaternion
from face.types import BLENDSHAPES, EMOTIONS, FaceRig
from nodes.face.face_or_voice import FaceOrVoice, between
from tests.unit.nodes.test_voice_face import blocks, hum

JAW = BLENDSHAPES.index("jawOpen")
STEP_NS = 40_000_000
AFTER_MS, HAND_OVER_MS = 700, 300


def seen(found: bool = True) -> FaceRig:
    """A camera's: turned by 25 degrees, jaw wide open, happy."""
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = from_angles(25, 0)
    pose[:3, 3] = 4, 2, -40
    expression = np.zeros(len(EMOTIONS), np.float32)
    expression[EMOTIONS.index("happy")] = 1
    shapes = shapes_of({"jawOpen": 0.9})
    if not found:
        return FaceRig(capture_ns=0, found=False, blendshapes=0 * shapes, pose=0 * pose)
    return FaceRig(
        capture_ns=0, found=True, blendshapes=shapes, pose=pose, expression=expression,
        spoken=shapes,
    )  # fmt: skip


@pytest.fixture
def node() -> Iterator[FaceOrVoice]:
    config = FaceOrVoice.Config(after_ms=AFTER_MS, hand_over_ms=HAND_OVER_MS)
    made = FaceOrVoice(config, Context(clock=FakeClock(0)))
    made.setup()
    yield made
    made.close()


def run(node: FaceOrVoice, seconds: float, camera: FaceRig | None) -> list[FaceRig]:
    """What comes out while somebody speaks before a camera with this face, or none."""
    clock = node.context.clock
    assert isinstance(clock, FakeClock)
    out: list[FaceRig] = []
    for block in blocks(hum(seconds), 640):
        clock.advance(STEP_NS)
        if camera is not None and (rig := node.on_seen(camera)) is not None:
            out.append(rig)
        out += node.process(block)
    return out


def steps(rigs: list[FaceRig]) -> tuple[float, float]:
    """How far jaws and heads (degrees) move from a rig to the next, at most."""
    jaws = np.array([rig.blendshapes[JAW] for rig in rigs])
    turns: F32 = np.array([quaternion(rig.pose[:3, :3]) for rig in rigs])
    same = np.abs((turns[1:] * turns[:-1]).sum(axis=1)).clip(0, 1)
    return float(np.abs(np.diff(jaws)).max()), float(np.degrees(2 * np.arccos(same)).max())


def test_without_a_camera_the_voice_moves_it_from_the_start(node: FaceOrVoice) -> None:
    jaws = [rig.blendshapes[JAW] for rig in run(node, 2, None)]
    assert len(jaws) > 45 and np.ptp(jaws) > 0.05


@pytest.mark.parametrize("lost", [None, seen(found=False)], ids=["camera", "face"])
def test_the_voice_takes_over_and_gives_back_without_a_jump(
    node: FaceOrVoice, lost: FaceRig | None
) -> None:
    first = run(node, 1, seen())
    assert len(first) == 25 and all(rig.blendshapes[JAW] == np.float32(0.9) for rig in first)
    gone = run(node, 3, lost)
    held = len([rig for rig in gone if not rig.found])
    spoken = [rig for rig in gone if rig.found]
    waits = AFTER_MS * 1_000_000 // STEP_NS
    assert held == 0 if lost is None else waits <= held <= waits + 4  # a voice is late, too
    assert 75 - waits - 4 <= len(spoken) <= 75 - waits
    again = run(node, 1, seen())
    assert len(again) == 25
    way = [first[-1], *spoken, *again]
    jaw, turn = steps(way)
    assert jaw < 0.3 and turn < 8  # 0.9 and 25 degrees, if it leapt
    calm = [rig.blendshapes[JAW] for rig in spoken[10:]]
    assert 0.05 < np.ptp(calm) < 0.6
    assert np.allclose(spoken[10].pose[:3, 3], (0, 0, -60))
    assert np.array_equal(again[-1].pose, seen().pose)


def test_halfway_between_two_faces() -> None:
    still = FaceRig(
        capture_ns=7, found=True, blendshapes=np.zeros(len(BLENDSHAPES), np.float32),
        pose=np.eye(4, dtype=np.float32),
    )  # fmt: skip
    half = between(seen(), still, 0.5)
    assert half.capture_ns == 7 and half.blendshapes[JAW] == pytest.approx(0.45)
    assert half.expression.max() == half.expression[EMOTIONS.index("happy")] == 0.5
    assert half.pose[:3, 3].tolist() == [2, 1, -20]
    np.testing.assert_allclose(half.pose[:3, :3], from_angles(12.5, 0), atol=1e-6)
    for end, share in ((seen(), 0.0), (still, 1.0)):
        at = between(seen(), still, share)
        np.testing.assert_allclose(at.pose, end.pose, atol=1e-6)
        np.testing.assert_allclose(at.blendshapes, end.blendshapes)
