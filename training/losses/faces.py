"""Losses on what a face says and feels.

Legend: B batch, T time, N points, C classes, D features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def classification(logits_BTC: Tensor, label_B: Tensor) -> Tensor:
    """L_cls (EAP, eq. 5): cross-entropy of every step's answer with the clip's emotion.

    A label of -1 is unknown and doesn't count.
    """
    steps = logits_BTC.shape[1]
    label = label_B[:, None].expand(-1, steps).reshape(-1)
    known = (label >= 0).sum().clamp(min=1)
    summed = F.cross_entropy(logits_BTC.flatten(0, 1), label, ignore_index=-1, reduction="sum")
    return summed / known


def intensity(guess: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """L_inten (EAP, eq. 7): mean squared difference over frames that are ``known`` (0 or 1)."""
    off = (guess - truth).square() * known
    return off.sum() / known.expand_as(off).sum().clamp(min=1)


def total(parts: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted sum (EAP, eq. 4); every part must have its weight."""
    return torch.stack([weights[name] * part for name, part in parts.items()]).sum()


def concordance(guess: Tensor, truth: Tensor) -> Tensor:
    """1 - concordance correlation (Lin 1989, eq. 3) of all values; 0 where they are equal."""
    guess, truth = guess.flatten().float(), truth.flatten().float()
    gap = guess.mean() - truth.mean()
    covariance = ((guess - guess.mean()) * (truth - truth.mean())).mean()
    spread = guess.var(unbiased=False) + truth.var(unbiased=False) + gap.square()
    return 1 - 2 * covariance / spread.clamp(min=1e-8)
