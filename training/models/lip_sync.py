"""The sync expert: whether a mouth goes with what is heard (EcoFace, eq. 12).

A fifth of a second of both, each through convolutions to a place on a sphere. It isn't SyncNet: it
is trained here, on rigs.
Legend: B batch, T steps of 20 ms, F features of the audio backbone, M shapes of the mouth, D of the
places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.talk import MOUTH
from training.models.layers import Scale

STEPS: Final = 10
"""steps of a window"""
_MOUTH: Final = torch.from_numpy(np.flatnonzero(MOUTH))


@dataclass(frozen=True, kw_only=True)
class LipSyncSize:
    """``features`` of what is heard, ``channels`` of the convolutions, ``space`` is D."""

    features: int
    channels: int
    space: int


class LipSync(nn.Module):
    """heard [B, STEPS, F], rig [B, STEPS, 52] -> places of both [B, D], of unit length."""

    def __init__(self, size: LipSyncSize) -> None:
        super().__init__()
        self.size = size
        self.scale_heard, self.scale_mouth = Scale(size.features), Scale(len(_MOUTH))
        self.hears = _encoder(size.features, size)
        self.sees = _encoder(len(_MOUTH), size)

    def forward(self, heard_BTF: Tensor, rig_BTK: Tensor) -> tuple[Tensor, Tensor]:
        heard = self.scale_heard(heard_BTF).clamp(-5, 5).transpose(1, 2)
        mouth = self.scale_mouth(rig_BTK[:, :, _MOUTH]).clamp(-5, 5).transpose(1, 2)
        return F.normalize(self.hears(heard), dim=1), F.normalize(self.sees(mouth), dim=1)

    def settle(self, heard_NF: Tensor, rig_NK: Tensor) -> None:
        """Bring both to one scale, before training."""
        self.scale_heard.fit(heard_NF)
        self.scale_mouth.fit(rig_NK[:, _MOUTH])


def _encoder(features: int, size: LipSyncSize) -> nn.Module:
    wide = size.channels
    return nn.Sequential(
        nn.Conv1d(features, wide, 1), nn.BatchNorm1d(wide), nn.ReLU(),
        nn.Conv1d(wide, wide, 3, padding=1), nn.BatchNorm1d(wide), nn.ReLU(),
        nn.Conv1d(wide, wide, 3, stride=2, padding=1), nn.BatchNorm1d(wide), nn.ReLU(),
        nn.Flatten(), nn.Linear(wide * (STEPS // 2), size.space),
    )  # fmt: skip


def windows(x_BTC: Tensor, every: int = 5) -> Tensor:
    """All windows of STEPS, ``every`` so many steps, of all rows: [B W, STEPS, C]."""
    return x_BTC.unfold(1, STEPS, every).transpose(2, 3).flatten(0, 1)
