"""Layers that the networks share.

Legend of shape suffixes: B batch, C channels, H height, W width, T time steps, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GRUStep(nn.Module):
    """One step of a gated recurrent unit (Cho et al. 2014, eq. 5-8); the state is the caller's."""

    def __init__(self, features_in: int, features: int) -> None:
        super().__init__()
        self.features = features
        self.gates_in = nn.Linear(features_in, 3 * features)
        self.gates_state = nn.Linear(features, 3 * features)

    def forward(self, x_BD: Tensor, state_BD: Tensor) -> Tensor:
        x_reset, x_update, x_new = self.gates_in(x_BD).chunk(3, dim=1)
        s_reset, s_update, s_new = self.gates_state(state_BD).chunk(3, dim=1)
        update = torch.sigmoid(x_update + s_update)
        new = torch.tanh(x_new + torch.sigmoid(x_reset + s_reset) * s_new)
        return new + update * (state_BD - new)


class AffectHeads(nn.Module):
    """Features to what is felt: logits of eight emotions, valence-arousal, intensity in 0..1."""

    def __init__(self, features: int, emotions: int = 8) -> None:
        super().__init__()
        self.emotion = nn.Linear(features, emotions)
        self.affect = nn.Linear(features, 3)

    def forward(self, x_BD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        affect = self.affect(x_BD)
        return self.emotion(x_BD), torch.tanh(affect[:, :2]), torch.sigmoid(affect[:, 2:])


class Scale(nn.Module):
    """Features brought to mean 0 and deviation 1, once and for all; with so much ``noise`` while
    training."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: int, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def fit(self, rows_BD: Tensor) -> None:
        self.mean.copy_(rows_BD.mean(dim=0))
        self.std.copy_(rows_BD.std(dim=0).clamp(min=0.02))

    def forward(self, x_BD: Tensor) -> Tensor:
        out = (x_BD - self.mean) / self.std
        return out + self.noise * torch.randn_like(out) if self.training and self.noise else out
