"""Time warping finds a known stretch; pairs are one person's sentence in two emotions."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.align import frames_in_step, pairs, warp
from training.data.clip import ClipInfo

pytest.importorskip("librosa", reason="the extra 'train' isn't installed")


def test_a_known_stretch_is_found() -> None:
    rng = np.random.default_rng(0)
    slow = np.repeat(rng.normal(size=(25, 80)), 4, axis=0).astype(np.float32)
    stretch = np.round(np.linspace(0, 1, 130) ** 1.3 * 99).astype(int)
    other = slow[stretch] + 3.0  # louder, too
    path = warp(slow, other)
    assert tuple(path[0]) == (0, 0) and tuple(path[-1]) == (99, 129)
    assert (np.diff(path, axis=0) >= 0).all()
    assert np.abs(path[:, 0] // 4 - stretch[path[:, 1]] // 4).mean() < 0.1
    np.testing.assert_array_equal(frames_in_step(slow, slow, 25, 25), np.arange(25))
    met = frames_in_step(slow, other, 25, 33)
    assert (np.diff(met) >= 0).all() and met[0] <= 1 and met[-1] >= 31


@pytest.mark.parametrize(("rows", "others"), [(1, 30), (4, 9), (5, 300), (300, 5)])
def test_a_path_is_found_however_short_one_is(rows: int, others: int) -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.normal(size=(n, 80)).astype(np.float32) for n in (rows, others))
    path = warp(first, second)
    assert tuple(path[0]) == (0, 0) and tuple(path[-1]) == (rows - 1, others - 1)
    assert np.isin(np.diff(path, axis=0), (0, 1)).all()


def test_nothing_aligns_with_silence() -> None:
    empty = np.zeros((0, 80), np.float32)
    assert warp(empty, empty).shape == (0, 2) and not len(frames_in_step(empty, empty, 3, 3))


def test_pairs_share_all_but_the_emotion() -> None:
    rows = [
        ("a", "sad", "1", "front"),
        ("a", "happy", "1", "front"),
        ("a", "happy", "2", "front"),
        ("b", "sad", "1", "front"),
        ("a", "", "1", "front"),
        ("a", "angry", "1", "left_30"),
    ]
    infos = [
        ClipInfo(key=f"k{i}", subject=who, emotion=emotion, sentence=sentence, view=view)
        for i, (who, emotion, sentence, view) in enumerate(rows)
    ]
    assert pairs(infos) == [(0, 1)]
