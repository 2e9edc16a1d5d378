"""Layers that the networks share.

Legend of shape suffixes: B batch, C channels, H height, W width, T time steps, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Conv(nn.Sequential):
    """Convolution, batch norm (folded into the convolution at export), leaky ReLU."""

    def __init__(self, channels_in: int, channels: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.1),
        )


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Conv(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        )
        self.end = nn.LeakyReLU(0.1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = self.end(x_BCHW + self.second(self.first(x_BCHW)))
        return out


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


class LSTMStep(nn.Module):
    """One step of a long short-term memory (Hochreiter and Schmidhuber 1997, with forget gate).

    The state is [B, 2 D]: what it says and what it keeps.
    """

    def __init__(self, features_in: int, features: int) -> None:
        super().__init__()
        self.features = features
        self.gates = nn.Linear(features_in + features, 4 * features)
        with torch.no_grad():  # remember at first (Jozefowicz et al. 2015, section 2.2)
            self.gates.bias[features : 2 * features].fill_(1.0)

    def forward(self, x_BD: Tensor, state_BD: Tensor) -> tuple[Tensor, Tensor]:
        said, kept = state_BD.chunk(2, dim=1)
        enter, forget, cell, leave = self.gates(torch.cat([x_BD, said], dim=1)).chunk(4, dim=1)
        kept = torch.sigmoid(forget) * kept + torch.sigmoid(enter) * torch.tanh(cell)
        said = torch.sigmoid(leave) * torch.tanh(kept)
        return said, torch.cat([said, kept], dim=1)

    def run(self, x_BTD: Tensor, state_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Many steps [B, T, D]; torch's own kernel, whose gates have the same order."""
        if x_BTD.shape[1] == 1:
            said, state_BD = self(x_BTD[:, 0], state_BD)
            return said[:, None], state_BD
        own, past = torch.split(self.gates.weight, [x_BTD.shape[2], self.features], dim=1)
        weights = [own, past, self.gates.bias, torch.zeros_like(self.gates.bias)]
        before = [part[None].contiguous() for part in state_BD.chunk(2, dim=1)]
        said_BTD, last, kept = torch._VF.lstm(
            x_BTD, before, weights, True, 1, 0.0, False, False, True
        )
        return said_BTD, torch.cat([last[0], kept[0]], dim=1)


class AffectHeads(nn.Module):
    """Features to what is felt: logits of eight emotions, valence-arousal, intensity in 0..1."""

    def __init__(self, features: int, emotions: int = 8) -> None:
        super().__init__()
        self.emotion = nn.Linear(features, emotions)
        self.affect = nn.Linear(features, 3)

    def forward(self, x_BD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        affect = self.affect(x_BD)
        return self.emotion(x_BD), torch.tanh(affect[:, :2]), torch.sigmoid(affect[:, 2:])
