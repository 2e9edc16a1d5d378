"""SSERD's losses of edits by reference (eq. 5-6, 8-9, 13).

Legend: B batch, E emotions, D numbers of a code, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(code_BD: Tensor, cached_BED: Tensor, label_B: Tensor, temperature: float) -> Tensor:
    """L_cl (eq. 5-6), a mean: each code is to be nearer to the cached one of its own emotion than
    to those of the others. Codes are brought to unit length, as the paper doesn't say; an emotion
    of which nothing is cached (zeros) doesn't count, nor does a label of -1."""
    code, cached = F.normalize(code_BD, dim=1), F.normalize(cached_BED, dim=2)
    there = cached_BED.square().sum(dim=2) > 0
    alike = (code[:, None] * cached).sum(dim=2) / temperature
    alike = alike.masked_fill(~there, -1e9)
    known = (label_B >= 0) & there.gather(1, label_B.clamp(min=0)[:, None])[:, 0]
    if not known.any():
        return code_BD.sum() * 0
    return F.cross_entropy(alike[known], label_B[known])


def pixels(prediction_BCHW: Tensor, target_BCHW: Tensor) -> Tensor:
    """Mean squared difference of pictures (eq. 8, first term; eq. 13, L_pix)."""
    return (prediction_BCHW - target_BCHW).square().mean()


def perceptual(prediction: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of features [B, C, H, W], of unit length at every place, over their
    levels (eq. 8, second term; eq. 13, L_lpips)."""
    levels = [
        (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(dim=1).mean()
        for a, b in zip(prediction, target, strict=True)
    ]
    return torch.stack(levels).mean()


def told_apart(real: Tensor, made: Tensor) -> Tensor:
    """What the discriminator brings down (eq. 9, max over D), of its logits."""
    return F.softplus(-real).mean() + F.softplus(made).mean()


def taken_for_real(made: Tensor) -> Tensor:
    """What the generator brings down (eq. 9, min over G), in the form that doesn't fade."""
    return F.softplus(-made).mean()
