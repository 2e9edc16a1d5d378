"""The face laid flat, and back: what is unwrapped and laid over the same face is that face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from face.render.layer import Layer, Overlay, fits, light_gain
from face.render.repertoire import coarse
from face.render.surface import COARSE, HEIGHT, MOUTH_BOX, WIDTH, load_surface, vertices
from face.topology import INNER_LIPS
from tests.faces import Seen, seen_astronaut


@pytest.fixture(scope="module")
def seen() -> Seen:
    return seen_astronaut()


def test_a_texture_laid_over_its_own_face_is_that_face(seen: Seen) -> None:
    surface = load_surface()
    texture, known = surface.unwrap(seen.pixels, seen.landmarks)
    assert texture.shape == (HEIGHT, WIDTH, 3) and known.shape == (HEIGHT, WIDTH)
    alpha = (known / 255).astype(np.float32)
    drawn = Layer(surface).draw(
        seen.pixels, seen.landmarks, seen.landmarks, Overlay(texture, alpha, mouth=1.0)
    )
    off = np.abs(drawn.astype(int) - seen.pixels.astype(int))
    assert off.mean() < 0.6 and np.percentile(off, 99.5) < 30
    assert (drawn != seen.pixels).any()


def test_nothing_is_drawn_beside_the_face(seen: Seen) -> None:
    surface = load_surface()
    target = seen.landmarks.copy()
    target[:, 1] += np.float32(4)
    drawn = Layer(surface).draw(seen.pixels, seen.landmarks, target, Overlay())
    low, high = seen.landmarks[:, :2].min(axis=0), seen.landmarks[:, :2].max(axis=0)
    reach = 0.3 * float((high - low).max()) + 2
    y, x = np.nonzero((drawn != seen.pixels).any(axis=2))
    assert len(y) > 1000
    assert x.min() >= low[0] - reach and x.max() <= high[0] + reach
    assert y.min() >= low[1] - reach and y.max() <= high[1] + reach


def test_the_mouth_has_a_patch_of_its_own(seen: Seen) -> None:
    left, top, right, bottom = MOUTH_BOX
    _, known = load_surface().unwrap(seen.pixels, seen.landmarks)
    patch = known[top:bottom, left:right]
    assert patch[patch.shape[0] // 2, patch.shape[1] // 2] == 255
    assert not known[top, left : left + 8].any() and not known[bottom + 2 :, left:right].any()


def test_nothing_of_the_cameras_is_left_between_opened_lips(seen: Seen) -> None:
    target = seen.landmarks.copy()
    lower = [14, 87, 317, 178, 402, 88, 318, 95, 324]
    target[lower, 1] += np.float32(6)
    ring = np.rint(target[list(INNER_LIPS), :2]).astype(np.int32)
    inside = cv2.fillPoly(np.zeros(seen.pixels.shape[:2], np.uint8), [ring], 1) > 0
    inside &= cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    bright = seen.pixels.copy()
    bright[cv2.dilate(inside.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0] = 255
    dark = Overlay(np.zeros((HEIGHT, WIDTH, 3), np.uint8), mouth=1.0)
    drawn = Layer(load_surface()).draw(bright, seen.landmarks, target, dark)
    assert inside.sum() > 100 and drawn[inside].max() < 30


@pytest.mark.parametrize("crossed", [(0.6, -0.1), (-0.1, 0.6)])
def test_shut_lips_that_cross_stay_where_they_are(seen: Seen, crossed: tuple[float, float]) -> None:
    """A tracker's upper lip ends below the lower one now and then, by a part of a pixel."""
    upper, lower = (list(INNER_LIPS[1:10]), list(INNER_LIPS[:10:-1]))
    before, after = seen.landmarks.copy(), seen.landmarks.copy()
    middle = (before[upper] + before[lower]) / 2
    for points, by in zip((before, after), crossed, strict=True):
        points[upper], points[lower] = middle, middle
        points[upper, 1] += np.float32(by)
    drawn = Layer(load_surface()).draw(seen.pixels, before, after, Overlay())
    assert np.abs(drawn.astype(int) - seen.pixels).max() < 100
    assert np.abs(drawn.astype(int) - seen.pixels).mean() < 0.5


def test_eyes_slide_under_their_lids() -> None:
    points = np.random.default_rng(0).normal(size=(478, 3)).astype(np.float32)
    made = vertices(points)
    assert made.shape == (500, 3)
    assert np.array_equal(made[478:498], points[list(INNER_LIPS)])
    other = points.copy()
    other[468] += 5
    assert np.array_equal(vertices(other)[468], made[468])


def test_light_is_told_from_what_is_lit(seen: Seen) -> None:
    surface = load_surface()
    texture, known = surface.unwrap(seen.pixels, seen.landmarks)
    dim = (seen.pixels * np.array([0.5, 0.6, 0.7])).astype(np.uint8)
    here, how_well = surface.light(dim, seen.landmarks)
    gain = light_gain(here, how_well, *coarse(texture, known))
    assert gain.shape == (HEIGHT // COARSE, WIDTH // COARSE, 3)
    middle = gain[12:26, 14:34].reshape(-1, 3).mean(axis=0)
    assert np.allclose(middle, [0.5, 0.6, 0.7], atol=0.06)


def test_hair_in_a_remembered_face_is_no_shadow() -> None:
    grid = (HEIGHT // COARSE, WIDTH // COARSE)
    here = np.full((*grid, 3), 140, np.float32)
    there, seen = np.full((*grid, 3), 120, np.float32), np.ones(grid, np.float32)
    there[8:26, 30:36] = 30
    gain = light_gain(here, seen, there, seen)
    assert np.allclose(gain, 142 / 122, atol=0.02)  # nothing beside it becomes brighter
    laid = fits(here, there, gain, seen)
    assert laid[9:25, 31:35].max() == 0 and laid[:, :24].min() == 1
