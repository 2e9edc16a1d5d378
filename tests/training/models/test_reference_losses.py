"""Losses of edits by reference: equal pictures cost nothing, and the equations hold."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch

from training.losses import reference


def test_equal_pictures_cost_nothing_and_others_do() -> None:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert float(reference.pixels(x, x)) == float(reference.perceptual([x, x], [x, x])) == 0
    assert float(reference.pixels(x, x + 0.1)) == pytest.approx(0.01, rel=1e-4)
    assert float(reference.perceptual([x], [x.flip(1)])) > 0.01
    assert float(reference.perceptual([x], [2 * x])) == pytest.approx(0, abs=1e-6)


def test_a_code_is_held_against_one_of_each_emotion() -> None:
    """Equation 5, by hand: three emotions in a plane, temperature 0.1."""
    cached = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]]])
    code, label = torch.tensor([[0.6, 0.8]]), torch.tensor([1])
    powers = [math.exp(cosine / 0.1) for cosine in (0.6, 0.8, -0.6)]
    wanted = -math.log(powers[1] / sum(powers))
    assert float(reference.info_nce(code, cached, label, 0.1)) == pytest.approx(wanted, rel=1e-5)
    alone = torch.zeros(1, 3, 2)
    alone[0, 1] = torch.tensor([0.0, 2.0])
    assert float(reference.info_nce(code, alone, label, 0.1)) == 0  # there is nothing to be near to
    assert float(reference.info_nce(code, cached, torch.tensor([-1]), 0.1)) == 0
    assert float(reference.info_nce(code, alone, torch.tensor([0]), 0.1)) == 0


def test_who_is_fooled_pays() -> None:
    sure, fooled = torch.tensor([9.0]), torch.tensor([-9.0])
    assert float(reference.told_apart(sure, fooled)) == pytest.approx(0, abs=1e-3)
    assert float(reference.told_apart(fooled, sure)) > 17
    assert float(reference.taken_for_real(sure)) == pytest.approx(0, abs=1e-3)
    assert float(reference.taken_for_real(fooled)) > 8
