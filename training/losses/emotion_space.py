"""EcoFace's losses of an emotion space (eq. 4-7).

Legend: B batch, T steps, D of the space.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive(z_BD: Tensor, label_B: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss (EcoFace, eq. 4; Khosla et al. 2020, eq. 2): the mean over all
    that share a label with another; -1 is unknown and only pushes. 0 where nothing can be told."""
    z_BD = F.normalize(z_BD, dim=1)
    alike = z_BD @ z_BD.T / temperature
    itself = torch.eye(len(z_BD), dtype=torch.bool, device=z_BD.device)
    logs = alike - torch.logsumexp(alike.masked_fill(itself, -1e9), dim=1, keepdim=True)
    same = (label_B[:, None] == label_B) & (label_B[:, None] >= 0) & ~itself
    count = same.sum(dim=1)
    each = -(logs * same).sum(dim=1) / count.clamp(min=1)
    return each[count > 0].mean() if (count > 0).any() else z_BD.sum() * 0


def audio_visual(voice_BTD: Tensor, face_BTD: Tensor, both_B: Tensor) -> Tensor:
    """Mean squared distance of a voice and its face (eq. 5), where there are ``both`` (0 or 1)."""
    off = (voice_BTD - face_BTD).square().sum(dim=2).mean(dim=1) * both_B
    return off.sum() / both_B.sum().clamp(min=1)


def triplet(z_BD: Tensor, label_B: Tensor, level_B: Tensor, margin: float) -> Tensor:
    """Of one emotion, the farthest of an anchor's level is to be nearer by ``margin`` than the
    nearest of another level (eq. 7, Schroff et al. 2015); mean over anchors that have both. Levels
    of 0 are unknown."""
    apart = (z_BD[:, None] - z_BD[None]).square().sum(dim=2)
    one = (label_B[:, None] == label_B) & (label_B[:, None] >= 0)
    known = (level_B[:, None] > 0) & (level_B > 0)
    itself = torch.eye(len(z_BD), dtype=torch.bool, device=z_BD.device)
    same = one & known & (level_B[:, None] == level_B) & ~itself
    other = one & known & (level_B[:, None] != level_B)
    usable = same.any(dim=1) & other.any(dim=1)
    if not usable.any():
        return z_BD.sum() * 0
    farthest = apart.masked_fill(~same, -1e9).amax(dim=1)
    nearest = apart.masked_fill(~other, 1e9).amin(dim=1)
    return F.relu(farthest - nearest + margin)[usable].mean()


def emotion(guess_BTD: Tensor, truth_BTD: Tensor) -> Tensor:
    """How far apart two faces are in the space (EcoFace, eq. 11, last term): 1 - cosine of what
    they are on average."""
    cosine = F.cosine_similarity(guess_BTD.mean(dim=1), truth_BTD.mean(dim=1), dim=1)
    return (1 - cosine).clamp(min=0).mean()
