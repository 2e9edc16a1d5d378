"""The tracker on a real face: what it sees, how it loses it, how steadily it follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from engine.node import Context
from engine.parameters import build
from engine.types import U8
from face.topology import OUTER_EYE_LEFT, OUTER_EYE_RIGHT
from face.types import BLENDSHAPES, FaceTrack
from nodes.face.face_tracker import FaceTracker
from tests.faces import astronaut, frame


class Watch(Context):
    """Keeps what the node reports."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []
        self.status = lambda condition, text: self.said.append((condition, text))


@pytest.fixture(scope="module")
def shared() -> Iterator[FaceTracker]:
    node = make()
    yield node
    node.close()


@pytest.fixture
def tracker(shared: FaceTracker) -> FaceTracker:
    shared.reconfigure(build(FaceTracker.Config, {}))
    shared.reset()
    return shared


def make(**values: Any) -> FaceTracker:
    node = FaceTracker(build(FaceTracker.Config, values), Watch())
    node.setup()
    return node


def shape(face: FaceTrack, name: str) -> float:
    return float(face.blendshapes[BLENDSHAPES.index(name)])


def moved(pixels: U8, x_px: float, y_px: float, scale: float = 1.0, turn_deg: float = 0.0) -> U8:
    matrix = cv2.getRotationMatrix2D((225, 130), turn_deg, scale)
    matrix[:, 2] += np.array([x_px, y_px])
    height, width = pixels.shape[:2]
    warped = cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return warped.astype(np.uint8, copy=False)


def middle(face: FaceTrack) -> float:
    return float(face.landmarks[:, 0].mean())


def test_a_smiling_face_is_seen_smiling(tracker: FaceTracker) -> None:
    face = tracker.process(frame(astronaut()))
    assert face.found and face.confidence > 0.9 and face.faces == 1
    assert shape(face, "mouthSmileLeft") > 0.6 and shape(face, "mouthSmileRight") > 0.6
    assert shape(face, "mouthFrownLeft") < 0.1 and shape(face, "eyeBlinkLeft") < 0.4
    right, left = face.landmarks[OUTER_EYE_RIGHT], face.landmarks[OUTER_EYE_LEFT]
    assert 180 < right[0] < left[0] < 275 and 90 < right[1] < 115


def test_the_pose_is_a_turn_in_front_of_the_camera(tracker: FaceTracker) -> None:
    pose = tracker.process(frame(astronaut())).pose
    turn = pose[:3, :3]
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-4) and np.linalg.det(turn) > 0
    assert -150 < pose[2, 3] < -20 and turn[2, 2] > 0.9
    assert np.allclose(pose[3], [0, 0, 0, 1])


def test_the_pose_turns_with_the_picture(tracker: FaceTracker) -> None:
    upright = tracker.process(frame(astronaut(), cut=True)).pose
    turned = tracker.process(frame(moved(astronaut(), 0, 0, turn_deg=20), cut=True)).pose
    angles = [np.degrees(np.arctan2(pose[1, 0], pose[0, 0])) for pose in (upright, turned)]
    assert angles[1] - angles[0] == pytest.approx(20, abs=3)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.full((1, 1, 3), 200, np.uint8),
        np.full((2, 900, 3), 90, np.uint8),
        np.full((64, 64, 3), 127, np.uint8),
        np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8),
    ],
    ids=["black", "one pixel", "a strip", "64 px", "noise"],
)
def test_pictures_without_a_face_are_lost(tracker: FaceTracker, pixels: U8) -> None:
    face = tracker.process(frame(pixels))
    assert not face.found and not face.landmarks.any() and not face.blendshapes.any()
    assert face.landmarks.shape == (478, 3) and face.pose.shape == (4, 4)


def test_grey_small_and_large_pictures_have_their_face(tracker: FaceTracker) -> None:
    grey = cv2.cvtColor(cv2.cvtColor(astronaut(), cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    small = cv2.resize(astronaut()[40:210, 140:310], (64, 64), interpolation=cv2.INTER_AREA)
    large = cv2.resize(astronaut(), (1920, 1920))
    tall = np.zeros((1920, 1080, 3), np.uint8)
    tall[700:1212, 300:812] = astronaut()
    for pixels in (grey, small, large, tall):
        face = tracker.process(frame(pixels.astype(np.uint8, copy=False), cut=True))
        assert face.found and shape(face, "mouthSmileLeft") > 0.4


def test_a_face_at_the_border_is_followed_or_lost_without_a_fault(tracker: FaceTracker) -> None:
    found = []
    for index in range(30):
        face = tracker.process(frame(moved(astronaut(), -10.0 * index, 0), index))
        assert np.isfinite(face.landmarks).all()
        found.append(face.found)
    assert all(found[:10]) and not found[-1]


def test_a_lost_face_is_said_once_and_found_again() -> None:
    node = make()
    black = np.zeros_like(astronaut())
    pictures = [astronaut()] * 3 + [black] * 6 + [astronaut()] * 6
    faces = [node.process(frame(pixels, index)) for index, pixels in enumerate(pictures)]
    assert [face.found for face in faces[:9]] == [True] * 3 + [False] * 6
    assert faces[-1].found and sum(not face.found for face in faces[9:]) <= 2
    assert isinstance(node.context, Watch)
    assert [condition for condition, _ in node.context.said] == ["lost", "ok"]


def test_a_new_camera_ends_a_lost_face() -> None:
    node = make()
    node.process(frame(np.zeros_like(astronaut())))
    assert node.process(frame(astronaut(), 1, cut=True)).found
    assert isinstance(node.context, Watch)
    assert [condition for condition, _ in node.context.said] == ["lost", "ok"]


def test_searching_is_bounded_while_no_face_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    node = make(search_interval_ms=100)
    searched = []
    detect = node._landmarker.detect

    def counted(pixels: U8, min_score: float = 0.5) -> Any:
        searched.append(pixels.shape)
        return detect(pixels, min_score)

    monkeypatch.setattr(node._landmarker, "detect", counted)
    for index in range(30):
        node.process(frame(np.zeros((240, 320, 3), np.uint8), index))
    whole = [shape for shape in searched if shape == (240, 320, 3)]
    assert 8 <= len(whole) <= 11 and len(searched) == 4 * len(whole)


def test_a_cut_finds_the_new_face_at_once(tracker: FaceTracker) -> None:
    aside = moved(astronaut(), 150, 60)
    tracker.process(frame(astronaut(), 0))
    face = tracker.process(frame(aside, 1, cut=True))
    assert face.found and face.cut and middle(face) > 340


def test_of_two_faces_the_larger_is_followed_and_not_left() -> None:
    node = make()
    head = np.ascontiguousarray(astronaut()[:300, 75:375])
    both = np.full((300, 600, 3), 60, np.uint8)
    both[:, :300] = head
    both[40:260, 340:560] = cv2.resize(head, (220, 220), interpolation=cv2.INTER_AREA)
    faces = [node.process(frame(both, index)) for index in range(40)]
    assert all(face.found and face.landmarks[:, 0].max() < 300 for face in faces)
    assert faces[-1].faces == 2


def test_a_face_that_stays_larger_takes_over_once() -> None:
    node = make()
    head = np.ascontiguousarray(astronaut()[:300, 75:375])
    first = np.full((300, 600, 3), 60, np.uint8)
    first[40:240, 50:250] = cv2.resize(head, (200, 200), interpolation=cv2.INTER_AREA)
    rival = first.copy()
    rival[:, 300:] = head
    sides = []
    for index in range(90):
        face = node.process(frame(first if index < 3 else rival, index))
        sides.append(face.found and middle(face) > 300)
    changes = [index for index in range(1, 90) if sides[index] != sides[index - 1]]
    assert len(changes) == 1 and changes[0] > 20


def test_a_still_face_stands_still_and_a_moving_one_is_not_late() -> None:
    chance = np.random.default_rng(1)
    noise = [chance.normal(0, 6, astronaut().shape) for _ in range(4)]
    node, raw = make(), make(smoothing=0)
    jitter = []
    for tracked in (node, raw):
        points = []
        for index in range(16):
            noisy = np.clip(astronaut() + noise[index % 4], 0, 255).astype(np.uint8)
            points.append(tracked.process(frame(noisy, index)).landmarks[:, :2])
        jitter.append(float(np.abs(np.diff(points[4:], axis=0)).mean()))
    assert jitter[0] < 0.6 * jitter[1] and jitter[0] < 0.15

    node.reset()
    late = []
    for index in range(14):
        shift = 6.0 * index
        face = node.process(frame(moved(astronaut(), shift, 0), index))
        late.append(middle(face) - shift)
    assert max(late) - min(late) < 3.0


def test_growing_and_shifting_keeps_the_landmarks_on_the_face(tracker: FaceTracker) -> None:
    base = tracker.process(frame(astronaut(), cut=True)).landmarks[:, :2]
    for index in range(1, 12):
        scale, shift = 1 + 0.03 * index, 2.0 * index
        face = tracker.process(frame(moved(astronaut(), shift, shift, scale), index))
        wanted = (base - (225, 130)) * scale + (225, 130) + shift
        assert np.abs(face.landmarks[:, :2] - wanted).mean() < 3.0


def pair_of(left: float, right: float) -> U8:
    """A picture of 600 x 300 with a head of these sizes at either side."""
    both = np.full((300, 600, 3), 60, np.uint8)
    head = np.ascontiguousarray(astronaut()[:300, 75:375])
    for scale, start in ((left, 0), (right, 300)):
        side = round(300 * scale)
        low = (300 - side) // 2
        small = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
        both[low : low + side, start + low : start + low + side] = small
    return both


def at_the_right(node: FaceTracker, pixels: U8, pictures: int, start: int = 0) -> list[bool]:
    faces = [node.process(frame(pixels, start + index)) for index in range(pictures)]
    assert all(face.found for face in faces)
    return [middle(face) > 300 for face in faces]


@pytest.mark.parametrize(
    ("follow", "right"), [("largest", True), ("left", False), ("right", True), ("nearest", True)]
)
def test_which_of_two_faces_is_followed(tracker: FaceTracker, follow: str, right: bool) -> None:
    tracker.reconfigure(build(FaceTracker.Config, {"follow": follow}))
    assert at_the_right(tracker, pair_of(0.65, 1.0), 20) == [right] * 20


def test_another_face_is_chosen_while_it_runs(tracker: FaceTracker) -> None:
    both = pair_of(0.8, 1.0)
    assert all(at_the_right(tracker, both, 4))
    for number, (follow, right) in enumerate(
        [("left", False), ("nearest", False), ("right", True), ("left", False), ("largest", True)]
    ):
        tracker.reconfigure(build(FaceTracker.Config, {"follow": follow}))
        assert at_the_right(tracker, both, 30, start=4 + 30 * number) == [right] * 30


def test_a_new_face_further_out_takes_over_once(tracker: FaceTracker) -> None:
    tracker.reconfigure(build(FaceTracker.Config, {"follow": "left"}))
    alone = pair_of(0.8, 1.0)
    alone[:, :300] = 60
    assert all(at_the_right(tracker, alone, 3))
    sides = at_the_right(tracker, pair_of(0.8, 1.0), 70, start=3)
    changes = [index for index in range(1, 70) if sides[index] != sides[index - 1]]
    assert len(changes) == 1 and not sides[-1]


def test_the_one_before_is_found_again_where_it_was(tracker: FaceTracker) -> None:
    tracker.reconfigure(build(FaceTracker.Config, {"follow": "nearest"}))
    alone = pair_of(0.65, 1.0)
    alone[:, 300:] = 60
    assert not any(at_the_right(tracker, alone, 3))
    black = np.zeros_like(alone)
    assert not tracker.process(frame(black, 3)).found
    # Both are there again: the larger is at the other side.
    tracker.process(frame(black, 4))
    assert not any(at_the_right(tracker, pair_of(0.65, 1.0), 10, start=10))


def test_where_the_faces_are_is_told() -> None:
    node = make(follow="left")
    gauges: dict[str, Any] = {}
    counts: list[str] = []
    node.context.gauge = gauges.__setitem__
    node.context.count = lambda name, n: counts.append(name)
    at_the_right(node, pair_of(0.65, 1.0), 3)
    assert gauges["faces"] == 2 and counts.count("several_faces") == 3
    left, top, width, height = map(float, str(gauges["face_box"]).split())
    assert 0 < left < left + width < 0.5 and 0 < top < top + height < 1
    assert width * 600 == pytest.approx(height * 300, rel=0.02)  # a square
    (other,) = str(gauges["other_boxes"]).split("; ")
    assert 0.5 < float(other.split()[0]) < 1
    alone = pair_of(0.65, 1.0)
    alone[:, 300:] = 60
    at_the_right(node, alone, 30, start=3)
    assert (gauges["faces"], gauges["face_box"], gauges["other_boxes"]) == (1, "", "")
