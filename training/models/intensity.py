"""Per-frame intensity r = sqrt(v^2 + a^2) (EAP, eq. 6-7) from what face and voice say of a frame.

The encoders are F of eq. 7, this is the regressor on top, with one more job: to weigh the two.
Where one of them is silent or hidden the other decides.
Legend: B batch, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from training.models.layers import GRUStep

READING: Final = 8 + 2 + 1
"""what an encoder says of a frame: emotion probabilities, valence-arousal, intensity"""


@dataclass(frozen=True, kw_only=True)
class IntensitySize:
    """``features`` of the state."""

    features: int


class Fused(NamedTuple):
    """``emotion`` logits [B, 8], ``valence_arousal`` [B, 2], ``intensity`` [B, 1], ``state``."""

    emotion: Tensor
    valence_arousal: Tensor
    intensity: Tensor
    state: Tensor


class IntensityFusion(nn.Module):
    """face [B, 11], voice [B, 11], present [B, 2] (face, voice: 0 or 1), state [B, D] -> Fused."""

    def __init__(self, features: int = 32) -> None:
        super().__init__()
        self.features = features
        self.enter = nn.Sequential(nn.Linear(2 * READING + 2, 2 * features), nn.LeakyReLU(0.1))
        self.step = GRUStep(2 * features, features)
        self.weigh = nn.Linear(features, 2)
        self.correct = nn.Linear(features, 2 + 8)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def begin(self, batch: int) -> Tensor:
        """The state before the first frame [B, D]."""
        return self.weigh.weight.new_zeros(batch, self.features)

    def forward(
        self, face_BD: Tensor, voice_BD: Tensor, present_BD: Tensor, state_BD: Tensor
    ) -> Fused:
        face, voice = face_BD * present_BD[:, :1], voice_BD * present_BD[:, 1:]
        state = self.step(self.enter(torch.cat([face, voice, present_BD], dim=1)), state_BD)
        # A softmax over those that are there; nothing there: both weights are zero.
        force = torch.exp(torch.clamp(self.weigh(state), -8, 8)) * present_BD
        weight = force / (force.sum(dim=1, keepdim=True) + 1e-6)
        mixed = weight[:, :1] * face + weight[:, 1:] * voice
        change = self.correct(state)
        affect = torch.tanh(torch.atanh(torch.clamp(mixed[:, 8:10], -0.99, 0.99)) + change[:, :2])
        intensity = torch.sqrt(affect.square().sum(dim=1, keepdim=True) + 1e-8)  # eq. 6
        emotion = torch.log(mixed[:, :8] + 1e-4) + change[:, 2:]
        return Fused(emotion, affect, torch.clamp(intensity, max=1.0), state)


def reading(emotion: Tensor, valence_arousal: Tensor, intensity: Tensor) -> Tensor:
    """An encoder's answer as it goes into the fusion [..., 11]."""
    return torch.cat([torch.softmax(emotion, dim=-1), valence_arousal, intensity], dim=-1)
