"""Eyes whose lids move: round irises, white where a lid uncovers, nothing else touched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.types import F32, U8
from face.render.eyes import EYES, keep_eyes

SKIN, WHITE, IRIS = (90, 120, 160), (235, 235, 235), (30, 20, 10)
CENTRES = ((80.0, 70.0), (200.0, 70.0))
HALF_WIDTH, RADIUS = 36.0, 15.0


def lids(opening: float, turn_deg: float = 0.0) -> F32:
    """Landmarks [478, 3] of two eyes whose lids are ``opening`` apart, px."""
    points = np.zeros((478, 3), np.float32)
    across = np.linspace(-1, 1, 9)
    for eye, centre in zip(EYES, CENTRES, strict=True):
        arc = opening / 2 * (1 - across**2)
        columns = centre[0] + HALF_WIDTH * across
        points[eye.upper, :2] = np.stack([columns, centre[1] - arc], axis=1)
        points[eye.lower, :2] = np.stack([columns, centre[1] + arc], axis=1)
        points[eye.iris, :2] = centre
    turn = cv2.getRotationMatrix2D((140, 70), turn_deg, 1)
    points[:, :2] = points[:, :2] @ turn[:, :2].T + turn[:, 2]
    return points


def drawn(points: F32) -> U8:
    """A face with these eyes; irises are discs that the lids may cover."""
    picture = np.full((140, 280, 3), SKIN, np.uint8)
    for eye in EYES:
        ball = np.full_like(picture, WHITE)
        centre = np.rint(16 * points[eye.iris, :2]).astype(int).tolist()
        cv2.circle(ball, centre, round(16 * RADIUS), IRIS, -1, cv2.LINE_AA, 4)
        ring = np.rint(points[np.r_[eye.upper, eye.lower[::-1]], :2]).astype(np.int32)
        inside = cv2.fillPoly(np.zeros(picture.shape[:2], np.uint8), [ring], 1)
        picture[inside > 0] = ball[inside > 0]
    return picture


def dark(picture: U8, centre: tuple[float, float]) -> tuple[int, int]:
    """Width and height of the iris around a place."""
    x, y = int(centre[0]), int(centre[1])
    seen = picture[:, :, 2] < 60
    return int(seen[y, x - 40 : x + 40].sum()), int(seen[y - 40 : y + 40, x].sum())


def test_an_iris_stays_round_as_the_eye_opens() -> None:
    shut, wide = lids(22), lids(44)
    picture = drawn(shut)
    out = np.full_like(picture, SKIN)
    keep_eyes(out, picture, shut, wide[:, :2])
    for centre in CENTRES:
        assert dark(picture, centre)[1] <= 23
        width, height = dark(out, centre)
        assert width == pytest.approx(2 * RADIUS, abs=2)
        assert height == pytest.approx(2 * RADIUS, abs=4)


def test_white_appears_above_it() -> None:
    shut, wide = lids(26), lids(56)
    picture = drawn(shut)
    out = np.full_like(picture, SKIN)
    keep_eyes(out, picture, shut, wide[:, :2])
    for x, y in CENTRES:
        assert out[int(y - RADIUS - 4), int(x)].min() > 180


def test_a_tilted_head_has_the_same_eyes() -> None:
    shut, wide = lids(22, 20), lids(44, 20)
    picture = drawn(shut)
    out = np.full_like(picture, SKIN)
    keep_eyes(out, picture, shut, wide[:, :2])
    for eye in EYES:
        centre = (float(shut[eye.iris, 0]), float(shut[eye.iris, 1]))
        assert min(dark(out, centre)) == pytest.approx(2 * RADIUS, abs=4)


@pytest.mark.parametrize(("before", "after"), [(20, 26), (30, 31), (3, 12)])
def test_small_moves_and_shut_eyes_are_left_alone(before: float, after: float) -> None:
    points = lids(before)
    picture = drawn(points)
    out = np.full_like(picture, 77)
    keep_eyes(out, picture, points, lids(after)[:, :2])
    assert (out == 77).all()


def test_what_lies_outside_of_the_lids_or_the_picture_is_left_alone() -> None:
    shut, wide = lids(22), lids(44)
    picture = drawn(shut)
    out = np.full_like(picture, 77)
    keep_eyes(out, picture, shut, wide[:, :2])
    changed = (out != 77).any(axis=2)
    allowed = np.zeros(changed.shape, np.uint8)
    for eye in EYES:
        ring = np.rint(wide[np.r_[eye.upper, eye.lower[::-1]], :2]).astype(np.int32)
        cv2.fillPoly(allowed, [ring], 1)
    assert changed.any() and not (changed & (allowed == 0)).any()
    for shift in ((-90, 0), (0, -75), (300, 0), (0, -500)):
        moved = shut + np.array([*shift, 0], np.float32)
        keep_eyes(out, picture, moved, wide[:, :2] + np.array(shift, np.float32))
