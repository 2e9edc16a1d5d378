"""Metrics against cases whose value is known."""

from __future__ import annotations

import numpy as np
import pytest

from engine.types import F32
from face.emotions import FEELING
from face.rig import load_rig
from face.topology import LIP_MIDDLES
from face.types import BLENDSHAPES
from training.metrics import faces, statistics


def heads(count: int) -> F32:
    mean = load_rig().mean * np.array([10, -10, -10], np.float32) + 200
    return np.repeat(mean[None], count, axis=0).astype(np.float32)


def test_feeling_energy_counts_feelings_alone() -> None:
    before = np.zeros((2, 52), np.float32)
    before[:, BLENDSHAPES.index("mouthSmileLeft")] = [2.0, 0.4]
    before[:, BLENDSHAPES.index("jawOpen")] = 9
    assert faces.feeling_energy(before) == pytest.approx([2.0, 0.4])
    names = [name for name, felt in zip(BLENDSHAPES, FEELING, strict=True) if felt]
    assert len(names) == 28 and "mouthShrugLower" in names and "mouthFunnel" not in names


def test_lips_are_told_from_the_head() -> None:
    truth = heads(3)
    moved: F32 = (truth * 1.2 + np.array([7, -3, 2])).astype(np.float32)
    assert faces.lip_error(truth, moved) == pytest.approx(0, abs=1e-3)
    moved = truth.copy()
    moved[1, LIP_MIDDLES[1], 1] += 8.9
    assert faces.lip_error(truth, moved) == pytest.approx(0.1 / 3, abs=1e-3)
    assert faces.mouth_opening_change(truth, moved) == pytest.approx(0.1 / 3, abs=2e-3)


def test_flicker_is_what_was_added() -> None:
    calm = np.full((6, 4, 4, 3), 100, np.float32)
    shaking = calm + np.array([0, 2] * 3, np.float32)[:, None, None, None]
    inside = np.ones((6, 4, 4), np.bool_)
    assert faces.flicker(calm, calm, inside) == 0
    assert faces.flicker(calm, shaking, inside) == pytest.approx(4)


def test_what_is_left_out_tells_how_sure_a_mean_is() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 1, (40, 1)), np.zeros((40, 1))

    def apart(one: statistics.Floats, other: statistics.Floats) -> float:
        return float(one.mean() - other.mean())

    people = [str(number) for number in range(40)]
    wide = statistics.left_out_error(apart, (first, second), (people, people))
    assert wide == pytest.approx(1.96 * first.std(ddof=1) / 40**0.5, rel=1e-6)
    alone = statistics.left_out_error(apart, (first, second), (["a"] * 40, people))
    assert np.isnan(alone)


def test_frechet_distance_of_known_gaussians() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(40000, 2))
    assert statistics.frechet_distance(first, first) == pytest.approx(0, abs=1e-8)
    second = rng.normal(size=(40000, 2)) * 3 + [1, 0]
    assert statistics.frechet_distance(first, second) == pytest.approx(1 + 2 * 4, rel=0.03)


def test_agreement() -> None:
    truth, told = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert statistics.accuracy(truth, told) == 0.75
    assert statistics.macro_f1(truth, told) == pytest.approx((2 / 3 + 4 / 5) / 2)
    curve = np.sin(np.arange(50) / 5)
    assert statistics.concordance(curve, curve) == pytest.approx(1)
    assert statistics.concordance(curve, -curve) < -0.8
    assert statistics.concordance(curve, curve + 3) < 0.2
    steps = np.arange(5, dtype=np.float32)
    assert statistics.concordance(steps, steps + 2) == pytest.approx(2 * 2 / (2 + 2 + 4))
    assert statistics.cosine(np.eye(3), np.eye(3)) == 1
    shapes = np.zeros((2, 52), np.float32)
    assert faces.blendshape_error(shapes, shapes) == 0


def test_intervals_hold_what_is_true_and_grow_narrow_with_people() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = (rng.normal(0.5, 0.2, n) for n in (12, 600))
    ends = [statistics.ratio_interval(x, np.ones(len(x))) for x in (wide, narrow)]
    assert all(low < 0.5 < high for low, high in ends)
    assert ends[1][1] - ends[1][0] < 0.3 * (ends[0][1] - ends[0][0])
    # One person's many readings are one person's.
    one = statistics.ratio_interval(np.array([0, 30]), np.array([30, 30]))
    assert one == (0.0, 1.0)


def test_intervals_of_f1_and_concordance_hold_the_figure_itself() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, (40, 10))
    told = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 3, truth.shape))
    confusions = np.zeros((40, 3, 3), np.int64)
    np.add.at(confusions, (np.arange(40)[:, None], truth, told), 1)
    low, high = statistics.f1_interval(confusions)
    assert 0.5 < low < statistics.macro_f1(truth.ravel(), told.ravel()) < high < 0.95
    curves = [rng.normal(0, 1, 20) for _ in range(30)]
    guesses = [curve + rng.normal(0, 0.5, 20) for curve in curves]
    people = [f"p{i // 2}" for i in range(30)]
    low, high = statistics.concordance_interval(curves, guesses, people)
    figure = statistics.concordance(np.concatenate(curves), np.concatenate(guesses))
    assert low < figure < high and high - low < 0.2


def test_a_distance_of_few_faces_in_many_dimensions_is_marked() -> None:
    from training.evaluation import report
    from training.evaluation.protocols import Row
    from training.evaluation.tally import Figures, frechet

    rng = np.random.default_rng(0)
    few, many = (rng.normal(0, 1, (n, 8)).astype(np.float32) for n in (6, 40))
    assert frechet("fd_dlib", few[:1], many) == {}
    cells = []
    for made in (few, many):
        figures: Figures = {"takes": 3, "people": 3} | frechet("fd_dlib", made, many + 1)
        text = report.as_text(report.tables([Row("wear", "warp", "sad", figures)])[0])
        cells.append(text.splitlines()[-1])
    assert "†6/8" in cells[0] and "†" not in cells[1]
    assert "†n/d" in report.rests_on([], {}, {})
