"""Dilated convolutions over time with a condition (WaveNet: van den Oord et al. 2016).

They pad nothing: T + past steps in, T out, so that a window that slides answers as the whole does.
Legend: B batch, C channels, T steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WaveNet(nn.Module):
    """x [B, C, T + past] and its condition [B, D, T + past] -> [B, C, T]."""

    def __init__(self, channels: int, conditions: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, 2 * channels, 3, dilation=dilation) for dilation in dilations
        )
        self.condition = nn.ModuleList(nn.Conv1d(conditions, 2 * channels, 1) for _ in dilations)
        self.leave = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in dilations)
        self.past = 2 * sum(dilations)

    def forward(self, x_BCT: Tensor, condition_BDT: Tensor) -> Tensor:
        for layer, condition, leave in zip(self.layers, self.condition, self.leave, strict=True):
            out = layer(x_BCT)
            steps = out.shape[2]
            wave, gate = (out + condition(condition_BDT)[:, :, -steps:]).chunk(2, dim=1)
            x_BCT = x_BCT[:, :, -steps:] + leave(torch.tanh(wave) * torch.sigmoid(gate))
        return x_BCT


def behind(x_BCT: Tensor, steps: int) -> Tensor:
    """With so many steps of nothing before it."""
    return F.pad(x_BCT, (steps, 0))
