"""Confidence that means what it says: temperature and a bias per class, and how far off it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

BINS: Final = 10
DOUBT: Final = 2.0
"""samples that speak for leaving all as it is: from a few that are all right nobody gets sure"""


def calibrate(logits: Floats, truth: Ints, evenly: float = 1.0) -> tuple[Floats, float]:
    """A bias per class [C], of mean 0, and a temperature that make softmax(logits [N, C] / t + b)
    likeliest (Guo et al. 2017, section 4.2). ``evenly``: 1 where classes count alike, 0 where
    samples do."""
    classes = logits.shape[1]
    predicted = torch.from_numpy(logits.astype(np.float64))
    target = torch.from_numpy(truth.astype(int))
    weight = torch.bincount(target, minlength=classes).clamp(min=1).double() ** -evenly
    sharp = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([sharp, bias], max_iter=60, line_search_fn="strong_wolfe")

    def off() -> torch.Tensor:
        search.zero_grad()
        loss = F.cross_entropy(predicted * sharp.exp() + bias, target, weight)
        loss = loss + DOUBT / len(target) * (sharp.square().sum() + bias.square().sum())
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(off)  # type: ignore[no-untyped-call]
    found = bias.detach().numpy()
    return found - found.mean(), float(torch.exp(-sharp.detach()))


def applied(logits: Floats, bias: Floats, temperature: float) -> Floats:
    """Probabilities [N, C]."""
    scaled = logits / temperature + bias
    probabilities = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))


def held_out(logits: Floats, truth: Ints, people: Sequence[str], evenly: float = 1.0) -> Floats:
    """Probabilities [N, C], each person's calibrated on all the others."""
    named = np.asarray(people)
    out = np.empty_like(logits)
    for person in np.unique(named):
        own = named == person
        out[own] = applied(logits[own], *calibrate(logits[~own], truth[~own], evenly))
    return out


def expected_error(probabilities: Floats, truth: Ints) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3): how far the confidence in what is
    predicted lies from the share that is right, over ten bins of confidence."""
    sure, target = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return float(
        sum(abs((target[bins == b] - sure[bins == b]).sum()) for b in range(BINS)) / len(sure)
    )
