"""Temperature and bias are found again, and confidence is held against what was right."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from training.metrics.calibration import applied, calibrate, expected_error, held_out


def answers(bias: tuple[float, ...], temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too sure and lean to a class, and what was true."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (4000, 3))
    shares = applied(honest, np.zeros(3), 1.0)
    truth = (shares.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    return (honest - np.array(bias)) * temperature, truth


def test_what_was_wrong_is_found_and_mended() -> None:
    logits, truth = answers((1.0, -0.5, -0.5), 3.0)
    assert expected_error(applied(logits, np.zeros(3), 1.0), truth) > 0.15
    bias, temperature = calibrate(logits, truth)
    assert temperature == pytest.approx(3, rel=0.1)
    assert np.allclose(bias, [1.0, -0.5, -0.5], atol=0.2)
    assert expected_error(applied(logits, bias, temperature), truth) < 0.03


def test_a_few_that_are_right_make_nobody_sure() -> None:
    bias, temperature = calibrate(np.eye(3)[[0, 1, 2, 0, 1, 2]] * 0.1, np.array([0, 1, 2] * 2))
    assert 0.2 < temperature < 1 and np.allclose(bias, 0, atol=0.01)


def test_answers_count_alike_or_classes_do() -> None:
    logits = np.log(np.tile([[0.5, 0.5]], (400, 1)))
    truth = (np.arange(400) % 4 == 0).astype(int)  # a quarter is of the second class
    alike = applied(logits, *calibrate(logits, truth, evenly=0.0))
    even = applied(logits, *calibrate(logits, truth, evenly=1.0))
    assert alike[0, 1] == pytest.approx(0.25, abs=0.02)
    assert even[0, 1] == pytest.approx(0.5, abs=0.02)


def test_nobody_is_calibrated_on_themselves() -> None:
    logits, truth = answers((0.0, 0.0, 0.0), 2.0)
    people = [f"p{i % 4}" for i in range(len(truth))]
    told = held_out(logits, truth, people)
    wrong = truth.copy()
    wrong[::4] = (wrong[::4] + 1) % 3  # p0's truth alone
    again = held_out(logits, wrong, people)
    assert np.allclose(told[::4], again[::4]) and not np.allclose(told[1::4], again[1::4])


def test_confidence_is_held_against_what_was_right() -> None:
    sure = np.array([[0.95, 0.05]] * 20)
    assert expected_error(sure, np.zeros(20, int)) == pytest.approx(0.05)
    assert expected_error(sure, np.ones(20, int)) == pytest.approx(0.95)
