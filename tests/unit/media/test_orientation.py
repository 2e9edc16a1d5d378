"""Eight orientations, whoever names them: display matrices and Exif numbers."""

from __future__ import annotations

import numpy as np
import pytest

from media.orientation import UPRIGHT, of_exif, of_matrix
from tests import odd_media

ONE = 65536


@pytest.mark.parametrize(("matrix", "exif"), odd_media.MATRICES.items())
def test_all_eight(matrix: tuple[int, int, int, int], exif: int) -> None:
    stored = odd_media.corner()
    a, b, c, d = (ONE * part for part in matrix)
    by_matrix = of_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
    assert by_matrix == of_exif(exif)
    assert np.array_equal(by_matrix.upright(stored), odd_media.shown(stored, exif))
    assert by_matrix.swaps == (exif >= 5)


def test_a_slanted_one_is_the_nearest() -> None:
    cos, sin = round(ONE * 0.98), round(ONE * 0.17)
    assert of_matrix([cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30]) == UPRIGHT
    assert of_matrix([sin, cos, 0, -cos, sin, 0, 0, 0, 1 << 30]) == of_exif(6)


@pytest.mark.parametrize("number", [0, 1, 9, -3, "6", None, 6.0])
def test_what_exif_does_not_know_is_upright(number: object) -> None:
    assert of_exif(number) == UPRIGHT


def test_a_matrix_that_shows_nothing_is_upright() -> None:
    assert of_matrix([0] * 9) == UPRIGHT
