"""Losses on what a face says and feels.

Legend: B batch, T time, N points, C classes, D features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def lip(points_BN2: Tensor, truth_BN2: Tensor, eye_distance_B: Tensor) -> Tensor:
    """L_lip: mean distance of lip landmarks, in distances of the outer eye corners."""
    off = (points_BN2 - truth_BN2).square().sum(dim=2)
    apart = torch.where(off > 0, off.clamp(min=1e-12).sqrt(), off)
    return (apart.mean(dim=1) / eye_distance_B).mean()


def control(shapes_BS: Tensor, wanted_BS: Tensor) -> Tensor:
    """Rig control error: the sum over shapes of how far what a tracker sees is from what was
    asked, a mean over faces."""
    return (shapes_BS - wanted_BS).abs()[:, 1:].sum(dim=1).mean()


def opening(points_BN2: Tensor) -> Tensor:
    """How far mouths are open [B], in distances of the outer eye corners."""
    parted = _apart(points_BN2, 13, 14)
    return parted / _apart(points_BN2, 33, 263).clamp(min=1)


def _apart(points_BN2: Tensor, first: int, second: int) -> Tensor:
    off = points_BN2[:, first] - points_BN2[:, second]
    return off.square().sum(dim=1).clamp(min=1e-6).sqrt()


def flow_at(flow_BCHW: Tensor, points_BN2: Tensor, crop_px: int) -> Tensor:
    """The shift [B, N, 2] in crop pixels that a flow has at points [B, N, 2] in crop pixels."""
    grid = (points_BN2[:, :, None] + 0.5) * (2 / crop_px) - 1
    at = F.grid_sample(flow_BCHW, grid, "bilinear", "border", align_corners=False)
    return at[..., 0].transpose(1, 2)


def n_pair(anchor_BD: Tensor, positive_BD: Tensor, negatives_BND: Tensor) -> Tensor:
    """L_metric (EAP, eq. 3): the made face's features lie nearer to a neutral one's than to any of
    the other emotions'; features are means over frames (f bar)."""
    near = (anchor_BD * positive_BD).sum(dim=1, keepdim=True)
    far = torch.einsum("bd,bnd->bn", anchor_BD, negatives_BND)
    return -F.log_softmax(torch.cat([near, far], dim=1), dim=1)[:, 0].mean()


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


def discriminator(real: Tensor, made: Tensor) -> Tensor:
    """The discriminator's hinge loss (Lim and Ye 2017, eq. 3): real above 1, made below -1."""
    return F.relu(1 - real).mean() + F.relu(1 + made).mean()


def adversarial(made: Tensor) -> Tensor:
    """L_adv: the generator's side of the hinge loss (Lim and Ye 2017, eq. 4)."""
    return -made.mean()


def total(parts: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """L_ANT (EAP, eq. 4): the weighted sum; every part must have its weight."""
    return torch.stack([weights[name] * part for name, part in parts.items()]).sum()


def concordance(guess: Tensor, truth: Tensor) -> Tensor:
    """1 - concordance correlation (Lin 1989, eq. 3) of all values; 0 where they are equal."""
    guess, truth = guess.flatten().float(), truth.flatten().float()
    gap = guess.mean() - truth.mean()
    covariance = ((guess - guess.mean()) * (truth - truth.mean())).mean()
    spread = guess.var(unbiased=False) + truth.var(unbiased=False) + gap.square()
    return 1 - 2 * covariance / spread.clamp(min=1e-8)
