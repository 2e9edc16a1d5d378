"""CDRL's losses: content apart from emotion, and a generator that keeps one and takes the other.

Legend: B batch, E emotions, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def alike(one_BD: Tensor, other_BD: Tensor) -> Tensor:
    """1 - cosine, the mean: 0 where two representations are one. Of what a generator is given and
    what it makes, L_c of contents (CDRL, eq. 4) and L_e of emotions (eq. 5)."""
    return (1 - F.cosine_similarity(one_BD, other_BD, dim=1)).clamp(min=0).mean()


def content(same_BD: Tensor, anchor_BD: Tensor, other_BD: Tensor) -> Tensor:
    """L_ccl (CDRL, eq. 2): the ``anchor`` and the ``same`` words in another emotion come together,
    the anchor and ``other`` words come apart; from 0, or less where those are opposite."""
    return alike(same_BD, anchor_BD) + F.cosine_similarity(anchor_BD, other_BD, dim=1).mean()


def emotion_priors(correlation_BEE: Tensor, temperature: float) -> Tensor:
    """L_cerl (CDRL, eq. 3): of how a prior goes with a picture of each emotion [B, prior, picture],
    cross-entropy with the picture of its own; near 0 where that goes best by far."""
    batch, emotions, _ = correlation_BEE.shape
    own = torch.arange(emotions, device=correlation_BEE.device).expand(batch, -1)
    return F.cross_entropy((correlation_BEE / temperature).transpose(1, 2), own)
