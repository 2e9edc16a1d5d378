"""Losses on labels that are soft, partly known, or not to be trusted.

Legend: B batch, T time, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def one_hot(label_B: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """Labels as probabilities [B, C], smoothed (Szegedy et al. 2016, eq. 3); -1, unknown: all 0."""
    known = (label_B >= 0).float()[:, None]
    hot = F.one_hot(label_B.clamp(min=0), classes).float()
    target: Tensor = known * (hot * (1 - smoothing) + smoothing / classes)
    return target


def soft_classification(
    log_probabilities_BTC: Tensor, target_BC: Tensor, weight_BT: Tensor
) -> Tensor:
    """Cross-entropy (EAP, eq. 5) with probabilities instead of labels, each step by its own weight.
    Less their own entropy, so that it is 0 where they are met."""
    own: Tensor = torch.special.entr(target_BC).sum(dim=1)
    off = -(log_probabilities_BTC * target_BC[:, None]).sum(dim=2)
    weight_BT = weight_BT * (target_BC.sum(dim=1) > 0).float()[:, None]
    lost: Tensor = ((off - own[:, None]) * weight_BT).sum()
    return lost / weight_BT.sum().clamp(min=1)


def trusted(log_probabilities_BTC: Tensor, target_BC: Tensor, left_out: float) -> Tensor:
    """1 for rows to learn from, 0 for the share ``left_out`` whose labels agree least [B] (the
    small-loss choice of co-teaching, Han et al. 2018, algorithm 1, line 4)."""
    count = round(left_out * len(target_BC))
    keep = torch.ones(len(target_BC), device=target_BC.device)
    if count:
        off = -(log_probabilities_BTC.detach().mean(dim=1) * target_BC).sum(dim=1)
        keep[off.topk(count).indices] = 0
    return keep
