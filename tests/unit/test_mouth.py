"""A mouth that falls open: dark behind the lips, teeth where they were, nothing else touched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.types import F32, U8
from nodes.drive import LOWER_INNER, LOWER_LIP, UPPER_INNER, UPPER_LIP
from nodes.mouth import keep_mouth

SKIN, LIP, TOOTH = (120, 150, 190), (90, 90, 170), (225, 230, 235)
CENTRE, HALF_WIDTH, THICK = (140.0, 60.0), 50.0, 12.0


def mouth(above: float, below: float) -> F32:
    """Landmarks [478, 3] of lips that part by so much above and below the middle, px."""
    points = np.full((478, 3), CENTRE[0], np.float32)
    across = np.linspace(-1, 1, 11)
    for lip, inner, opening, side in (
        (UPPER_LIP, UPPER_INNER, above, -1),
        (LOWER_LIP, LOWER_INNER, below, 1),
    ):
        points[list(lip), 1] = CENTRE[1] + side * (opening + THICK / 2)
        arc = side * opening * (1 - across**2)
        points[list(inner), :2] = np.stack(
            [CENTRE[0] + HALF_WIDTH * across, CENTRE[1] + arc], axis=1
        )
    return points


def drawn(points: F32) -> U8:
    """These lips, and teeth between them."""
    picture = np.full((140, 280, 3), SKIN, np.uint8)
    ring = np.rint(points[[*UPPER_INNER, *LOWER_INNER[::-1]], :2]).astype(np.int32)
    cv2.polylines(picture, [ring], True, LIP, 2 * int(THICK))
    cv2.fillPoly(picture, [ring], TOOTH)
    return picture


def opened(before: F32, after: F32, share: float = 1.0) -> U8:
    picture = drawn(before)
    out = np.full_like(picture, 77)
    keep_mouth(out, picture, before, after[:, :2], share)
    return out


def test_behind_closed_lips_it_is_dark() -> None:
    out = opened(mouth(0, 0), mouth(0, 30))
    x, y = int(CENTRE[0]), int(CENTRE[1])
    assert out[y + 4 : y + 26, x].max() < 0.5 * max(LIP)
    assert out[y + 12, x, 2] > out[y + 12, x, :2].max()  # flesh in the dark


def test_teeth_stay_where_they_were() -> None:
    before = mouth(10, 10)
    out = opened(before, mouth(6, 34))
    x, y = int(CENTRE[0]), int(CENTRE[1])
    assert (out[y - 2 : y + 5, x] == TOOTH).all()
    assert out[y + 14 : y + 30, x].max() < 0.5 * max(LIP)
    assert (out[y - 12 : y - 8, x] == 77).all()  # the upper lip came down over them


def test_only_what_lies_between_the_lips_is_touched() -> None:
    before, after = mouth(2, 2), mouth(2, 30)
    out = opened(before, after)
    ring = np.rint(after[[*UPPER_INNER, *LOWER_INNER[::-1]], :2]).astype(np.int32)
    inside = cv2.fillPoly(np.zeros(out.shape[:2], np.uint8), [ring], 1)
    inside = cv2.dilate(inside, np.ones((5, 5), np.uint8))
    changed = (out != 77).any(axis=2)
    assert changed.any() and not (changed & (inside == 0)).any()


def test_a_part_of_it_is_laid_and_none_of_it() -> None:
    before, after = mouth(0, 0), mouth(0, 30)
    place = int(CENTRE[1]) + 12, int(CENTRE[0])
    whole, half = (opened(before, after, share)[place].astype(int) for share in (1, 0.5))
    assert half == pytest.approx((whole + 77) / 2, abs=1)
    assert (opened(before, after, 0) == 77).all()


def test_mouths_over_the_border_and_tiny_ones() -> None:
    before, after = mouth(0, 0), mouth(0, 30)
    picture = drawn(before)
    for shift in ((-120, 0), (0, -70), (0, 70), (130, 0), (400, 0), (0, -500)):
        out = np.full_like(picture, 77)
        moved = np.array([*shift, 0], np.float32)
        keep_mouth(out, picture, before + moved, (after + moved)[:, :2])
    out = np.full_like(picture, 77)
    keep_mouth(out, picture, before * 0.05, after[:, :2] * 0.05)
    assert (out == 77).all()
