"""The rig that a face wears to feel as a reference does: the first of two stages (NED's way).

A translation of shapes after StarGAN v2, as NED has it for the parameters of a morphable model, one
frame at a time: the source's shapes and what was read of the reference say by how much each shape
changes. A renderer draws what comes out.
Legend: B batch, K shapes, E emotions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from face.types import BLENDSHAPES, EMOTIONS
from training.models.intensity import READING
from training.models.layers import Scale

REFERENCE: Final = len(BLENDSHAPES) + READING
"""what is read of a reference: its shapes, then probabilities, valence-arousal, intensity"""
_KEPT: Final = ("eyeBlink", "eyeLook", "_neutral")
"""where somebody looks, and that they blink, is the source's"""


@dataclass(frozen=True, kw_only=True)
class ReferenceRigSize:
    """``features`` of the hidden layers."""

    features: int


class ReferenceRig(nn.Module):
    """shapes [B, 52] of the source, reference [B, 63] -> shapes [B, 52] in 0..1."""

    moved: Tensor

    def __init__(self, size: ReferenceRigSize) -> None:
        super().__init__()
        self.size = size
        wide = size.features
        self.scale = Scale(len(BLENDSHAPES) + REFERENCE)
        self.change = nn.Sequential(
            nn.Linear(len(BLENDSHAPES) + REFERENCE, wide), nn.SiLU(),
            nn.Linear(wide, wide), nn.SiLU(),
        )  # fmt: skip
        self.leave = nn.Linear(wide, len(BLENDSHAPES))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        moved = [float(not name.startswith(_KEPT)) for name in BLENDSHAPES]
        self.register_buffer("moved", torch.tensor(moved), persistent=False)

    def forward(self, shapes_BK: Tensor, reference_BR: Tensor) -> Tensor:
        inputs = self.scale(torch.cat([shapes_BK, reference_BR], dim=1)).clamp(-5, 5)
        return (shapes_BK + self.moved * torch.tanh(self.leave(self.change(inputs)))).clamp(0, 1)

    def settle(self, shapes_NK: Tensor, reference_NR: Tensor) -> None:
        """Bring both to one scale, before training."""
        shapes, reference = shapes_NK, reference_NR
        self.scale.mean.copy_(torch.cat([shapes.mean(dim=0), reference.mean(dim=0)]))
        spread = torch.cat([shapes.std(dim=0), reference.std(dim=0)])
        self.scale.std.copy_(spread.clamp(min=0.02))


class RigCritic(nn.Module):
    """Whether shapes [B, 52] are real ones of an emotion, a logit for each (StarGAN v2, eq. 1)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.judge = nn.Sequential(
            nn.Linear(len(BLENDSHAPES), features), nn.LeakyReLU(0.2),
            nn.Linear(features, features), nn.LeakyReLU(0.2), nn.Linear(features, len(EMOTIONS)),
        )  # fmt: skip

    def forward(self, shapes_BK: Tensor, emotion_B: Tensor) -> Tensor:
        """Of the emotion that each is to have [B]."""
        logits: Tensor = self.judge(shapes_BK)
        return logits.gather(1, emotion_B[:, None])[:, 0]
