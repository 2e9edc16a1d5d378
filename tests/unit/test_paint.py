"""A crop's flow, cover and light in the whole picture."""

from __future__ import annotations

import numpy as np

from nodes.paint import cover, lighten, move, shade
from tests.faces import astronaut


def test_a_flow_of_nothing_is_the_picture() -> None:
    transform = np.array([[0.9, 0, -60], [0, 0.9, -20]], np.float32)
    still = np.zeros((128, 128, 2), np.float32)
    assert np.array_equal(move(astronaut(), transform, still), astronaut())
    away = transform + np.array([[0, 0, 5000], [0, 0, 0]], np.float32)
    assert np.array_equal(move(astronaut(), away, still + 5), astronaut())


def test_a_flow_moves_by_the_crops_pixels() -> None:
    """A flow of 8 px of a crop at half the scale is 16 px of the picture."""
    transform = np.array([[0.5, 0, 0], [0, 0.5, 0]], np.float32)
    shift = np.zeros((128, 128, 2), np.float32)
    shift[..., 0] = 8
    moved = move(astronaut(), transform, shift)
    assert np.abs(moved[100:400, 100:400].astype(int) - astronaut()[100:400, 116:416]).max() <= 2


def test_light_and_cover_lie_where_they_should() -> None:
    transform = np.array([[0.5, 0, 10], [0, 0.5, 0]], np.float32)
    away = transform + np.array([[0, 0, 0], [0, 0, 9000]], np.float32)
    light, mask = np.zeros((2, 256, 256), np.float32)
    light[40:60, 60:90], light[40:60, 100:130], mask[40:60, 60:90] = 0.2, -0.2, 1
    patch = np.full((256, 256, 3), (200, 0, 0), np.uint8)
    near, still = np.ones((128, 128), np.float32), np.zeros((128, 128, 2), np.float32)
    inside = np.s_[84:116, 104:156]  # x = (60 - 10) / 0.5, y = 40 / 0.5
    grey = np.full((400, 400, 3), 100, np.uint8)

    picture = grey.copy()
    lighten(picture, transform, near, light)
    assert (picture[inside] == 151).all() and (picture[84:116, 184:236] == 49).all()
    covered = grey.copy()
    cover(covered, transform, patch, still, near, mask)
    assert (covered[inside] == (200, 0, 0)).all()
    for changed, last in ((picture != grey, 242), (covered != grey, 162)):
        y, x = np.nonzero(changed.any(axis=2))
        assert x.min() >= 97 and x.max() <= last and y.min() >= 77 and y.max() <= 122
    for place, much in ((away, near), (transform, 0 * near)):
        untouched = grey.copy()
        lighten(untouched, place, much, light)
        cover(untouched, place, patch, still, much, mask)
        assert np.array_equal(untouched, grey)


def test_shade_multiplies_where_it_lies() -> None:
    transform = np.array([[0.5, 0, 10], [0, 0.5, 0]], np.float32)
    folds = np.zeros((128, 128), np.float32)
    folds[20:30, 30:45], folds[20:30, 50:65] = np.log(0.7), np.log(1.2)  # half the crop's side
    picture = np.full((400, 400, 3), (50, 100, 200), np.uint8)
    shaded, tint = picture.copy(), np.array([2.0, 1.0, 0.5], np.float32)
    shade(shaded, transform, folds, tint)
    assert (shaded[86:114, 108:152] == (24, 70, 167)).all()  # 0.49, 0.7 and 0.84 of it
    assert (shaded[86:114, 188:232] == (72, 120, 219)).all()
    y, x = np.nonzero((shaded != picture).any(axis=2))
    assert x.min() >= 93 and x.max() <= 246 and y.min() >= 73 and y.max() <= 126
    away = transform + np.array([[0, 0, 0], [0, 0, 9000]], np.float32)
    for place, much in ((away, folds), (transform, 0 * folds)):
        untouched = picture.copy()
        shade(untouched, place, much, tint)
        assert np.array_equal(untouched, picture)
