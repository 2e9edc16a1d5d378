"""The z-buffer: coverage, order, weights, and what faces away."""

from __future__ import annotations

import numpy as np

from training.data.heads.raster import rasterise

QUAD = np.array([[2, 2, 5], [10, 2, 5], [10, 8, 5], [2, 8, 5]], np.float32)
FACING = np.array([[0, 3, 2], [0, 2, 1]], np.int32)


def test_a_square_covers_its_pixels_once() -> None:
    hits = rasterise(QUAD, FACING, 16, 12)
    rows, columns = np.divmod(hits.pixel, 16)
    assert len(hits.pixel) == 48 == len(set(hits.pixel.tolist()))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 7, 2, 9)
    places = hits.gather(QUAD, FACING)
    np.testing.assert_allclose(places[:, 0], columns + 0.5, atol=1e-4)
    np.testing.assert_allclose(places[:, 1], rows + 0.5, atol=1e-4)


def test_the_nearer_hides_and_the_back_is_not_seen() -> None:
    nearer = QUAD * [1, 1, 0.5]
    both = np.concatenate([QUAD, nearer]).astype(np.float32)
    hits = rasterise(both, np.concatenate([FACING, FACING + 4]), 16, 12)
    assert (hits.triangle >= 2).all() and (hits.depth == 2.5).all()
    assert not len(rasterise(QUAD, FACING[:, ::-1], 16, 12).pixel)
