"""Accuracy with an interval that knows of people, and a confusion that adds up."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics.classes import judge


def test_a_verdict_adds_up() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2])
    told = np.array([0, 0, 1, 1, 1, 0])
    verdict = judge(truth, told, list("abcdef"), 3)
    assert verdict.accuracy == pytest.approx(4 / 6)
    assert verdict.balanced == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert verdict.confusion.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert verdict.macro_f1 == pytest.approx((2 * 2 / 6 + 2 * 2 / 5 + 0) / 3)
    assert verdict.low < verdict.accuracy < verdict.high
    lines = verdict.lines(("x", "y", "z"))
    assert "6 samples" in lines[0] and lines[-1] == "| z | 1 | 0 | 0 |"


def test_many_samples_of_few_people_are_less_sure() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros(400, int)
    of_ten = np.repeat(rng.random(10) < 0.7, 40)
    told = np.where(of_ten, 0, 1)
    few = judge(truth, told, [str(i // 40) for i in range(400)], 2)
    many = judge(truth, told, [str(i) for i in range(400)], 2)
    assert few.high - few.low > 3 * (many.high - many.low)
