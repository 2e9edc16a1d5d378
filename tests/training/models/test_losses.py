"""Losses: nothing wrong costs nothing, what is worse costs more, and the equations hold."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch

from training.losses import faces


def test_equal_things_cost_nothing() -> None:
    x = torch.rand(4, 3, 12, generator=torch.Generator().manual_seed(0))
    assert float(faces.intensity(x, x, torch.ones_like(x))) == 0
    assert float(faces.concordance(x, x)) == pytest.approx(0, abs=1e-6)


def test_classification_leaves_unknown_labels_out() -> None:
    logits = torch.zeros(2, 3, 8)
    logits[1] = 50 * torch.randn(3, 8)
    label = torch.tensor([4, -1])
    assert float(faces.classification(logits, label)) == pytest.approx(math.log(8), rel=1e-5)
    assert float(faces.classification(logits, torch.tensor([-1, -1]))) == 0


def test_intensity_counts_known_frames_alone() -> None:
    guess, truth = torch.tensor([[[0.5], [0.9]]]), torch.tensor([[[0.0], [0.0]]])
    known = torch.tensor([[[1.0], [0.0]]])
    assert float(faces.intensity(guess, truth, known)) == pytest.approx(0.25)
    assert float(faces.intensity(guess, truth, 0 * known)) == 0


def test_total_is_the_weighted_sum_and_wants_a_weight_for_every_part() -> None:
    parts = {"light": torch.tensor(2.0), "folds": torch.tensor(3.0)}
    assert float(faces.total(parts, {"light": 5.0, "folds": 0.1})) == pytest.approx(10.3)
    with pytest.raises(KeyError):
        faces.total(parts, {"light": 1.0})
