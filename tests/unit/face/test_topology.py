"""Landmarks by name: both sides of a face are the same, and lips lie above one another."""

from __future__ import annotations

import numpy as np

from face import topology
from face.rig import load_rig


def test_left_is_the_mirror_of_right() -> None:
    mirror = load_rig().mirror
    for name in ("EYE_CONTOURS", "BROWS", "LID_MIDDLES", "EYEBALLS", "EYE_REGIONS"):
        right, left = (np.hstack(side).tolist() for side in getattr(topology, name))
        assert sorted(mirror[right].tolist()) == sorted(left), name
    assert mirror[topology.MOUTH_CORNERS[0]] == topology.MOUTH_CORNERS[1]
    for part in (topology.INNER_LIPS, topology.UPPER_LIP, topology.LOWER_LIP, topology.OVAL):
        assert sorted(mirror[list(part)].tolist()) == sorted(part)


def test_each_lower_point_of_the_inner_lips_lies_under_its_upper_one() -> None:
    mean = load_rig().mean
    upper, lower = mean[list(topology.UPPER_INNER)], mean[list(topology.LOWER_INNER)]
    assert (np.diff(upper[:, 0]) > 0).all() and np.allclose(upper[:, 0], lower[:, 0], atol=0.15)
    assert (upper[1:-1, 1] >= lower[1:-1, 1]).all()
