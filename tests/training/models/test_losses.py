"""Losses: nothing to mend costs nothing, what is worse costs more, and the equations hold."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

pytest.importorskip("torch")

import torch

from training.losses import faces, pixels

Pictures = torch.Tensor
SAME: dict[str, Callable[[Pictures], Pictures]] = {
    "reconstruction": lambda x: pixels.reconstruction(x, x, torch.ones_like(x[:, :1])),
    "edges": lambda x: pixels.edges(x, x, torch.ones_like(x[:, :1])),
    "perceptual": lambda x: pixels.perceptual([x, x[..., ::2]], [x, x[..., ::2]]),
    "steadiness": lambda x: pixels.steadiness(x[None], x[None]),
    "sparsity": lambda x: pixels.sparsity(0 * x[:, :1]),
    "smoothness": lambda x: pixels.smoothness(x[:, :2], x[:, :2]),
    "intensity": lambda x: faces.intensity(x, x, torch.ones_like(x)),
    "lip": lambda x: faces.lip(x[:, 0, :, :2], x[:, 0, :, :2], torch.ones(len(x))),
    "concordance": lambda x: faces.concordance(x, x),
}


def pictures(seed: int = 0) -> Pictures:
    return torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", sorted(SAME))
def test_equal_things_cost_nothing(name: str) -> None:
    assert float(SAME[name](pictures())) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["reconstruction", "edges", "perceptual", "steadiness"])
def test_further_away_costs_more(name: str) -> None:
    truth, noise = pictures(), pictures(1) - 0.5
    weight = torch.ones(4, 1, 12, 12)
    cost: dict[str, Callable[[Pictures], Pictures]] = {
        "reconstruction": lambda x: pixels.reconstruction(x, truth, weight),
        "edges": lambda x: pixels.edges(x, truth, weight),
        "perceptual": lambda x: pixels.perceptual([x], [truth]),
        "steadiness": lambda x: pixels.steadiness(x[None], truth[None]),
    }
    near, far = (float(cost[name](truth + step * noise)) for step in (0.1, 0.4))
    assert 0 < near < far


def test_weighted_pixels_count_by_their_weight() -> None:
    truth = torch.zeros(1, 3, 4, 4)
    out = truth.clone()
    out[..., 0, 0] = 1
    weight = torch.ones(1, 1, 4, 4)
    weight[..., 0, 0] = 5
    assert float(pixels.reconstruction(out, truth, weight)) == pytest.approx(5 / 20)


def test_steadiness_ignores_what_moves_evenly_and_sees_what_flickers() -> None:
    truth = torch.zeros(1, 6, 3, 4, 4)
    ramp = torch.arange(6.0).view(1, 6, 1, 1, 1).expand_as(truth)
    assert float(pixels.steadiness(truth + ramp, truth)) == pytest.approx(0, abs=1e-6)
    blink = torch.tensor([0.0, 1, 0, 1, 0, 1]).view(1, 6, 1, 1, 1).expand_as(truth)
    assert float(pixels.steadiness(truth + blink, truth)) == pytest.approx(2)


def test_lip_loss_is_in_eye_distances() -> None:
    truth = torch.zeros(2, 5, 2)
    moved = truth + torch.tensor([3.0, 4.0])
    assert float(faces.lip(moved, truth, torch.tensor([50.0, 50.0]))) == pytest.approx(0.1)


def test_lip_loss_has_a_gradient_where_lips_already_fit() -> None:
    points = torch.zeros(1, 3, 2, requires_grad=True)
    faces.lip(points, torch.zeros(1, 3, 2), torch.ones(1)).backward()  # type: ignore[no-untyped-call]
    assert points.grad is not None and torch.isfinite(points.grad).all()


def test_flow_is_read_where_a_point_lies() -> None:
    x = torch.arange(128.0) * 2 + 0.5  # crop pixel at the centre of each cell
    flow = torch.stack([x.expand(128, 128), x[:, None].expand(128, 128)])[None]
    at = faces.flow_at(flow, torch.tensor([[[10.5, 200.5], [100.0, 50.0]]]), 256)
    expected = torch.tensor([[[10.5, 200.5], [100.0, 50.0]]])
    assert torch.allclose(at, expected, atol=1e-3)


def test_n_pair_is_equation_3() -> None:
    anchor, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    negatives = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    e = math.exp
    expected = -math.log(e(2) / (e(2) + e(1) + e(0)))
    assert float(faces.n_pair(anchor, positive, negatives)) == pytest.approx(expected, rel=1e-5)


def test_n_pair_falls_when_the_anchor_turns_to_the_positive() -> None:
    positive, negatives = torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.0, 1.0]]])
    costs = []
    for degrees in (80, 45, 10):
        turn = math.radians(degrees)
        anchor = torch.tensor([[math.cos(turn), math.sin(turn)]])
        costs.append(float(faces.n_pair(anchor, positive, negatives)))
    assert costs == sorted(costs, reverse=True)


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


def test_hinge_is_satisfied_beyond_its_margin() -> None:
    assert float(faces.discriminator(torch.full((3,), 2.0), torch.full((3,), -2.0))) == 0
    assert float(faces.discriminator(torch.zeros(3), torch.zeros(3))) == 2
    assert float(faces.adversarial(torch.ones(3))) == -1


def test_total_is_the_weighted_sum_and_wants_a_weight_for_every_part() -> None:
    parts = {"lip": torch.tensor(2.0), "metric": torch.tensor(3.0)}
    assert float(faces.total(parts, {"lip": 5.0, "metric": 0.1})) == pytest.approx(10.3)
    with pytest.raises(KeyError):
        faces.total(parts, {"lip": 1.0})
