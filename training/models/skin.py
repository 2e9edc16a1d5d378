"""The skin network: how light and shade of a face's skin change with what it expresses.

EAP's neutralizing generator (section 3.2) where a face has neither pose nor size: on the surface,
with the displacement of its points as a map. It says what the logarithm of brightness changes by,
so colours and whatever it has nothing to say of stay the camera's.
Legend: B batch, C channels, H rows, W columns, D condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from face.types import BLENDSHAPES, EMOTIONS

CONDITION: Final = len(BLENDSHAPES) + len(EMOTIONS)
FEATURES: Final = 64
FOLD: Final = 2
"""side of the squares of cells that the network sees as one"""
PLACES: Final = 3
"""channels that tell where a cell is: x, y, and whether there is skin"""


@dataclass(frozen=True, kw_only=True)
class SkinSize:
    """``channels`` of each level, the finest first."""

    channels: tuple[int, ...]


class SkinNet(nn.Module):
    """Detail [B, 1, H, W], displacement [B, 3, H, W] cm, places [3, H, W], rig [B, 52] and emotion
    [B, 8] -> change of the logarithm of brightness [B, 1, H, W]. H and W divide by 16."""

    def __init__(self, size: SkinSize) -> None:
        super().__init__()
        channels = size.channels
        first, last = (1 + 3 + PLACES) * FOLD**2, FOLD**2
        self.condition = nn.Sequential(
            nn.Linear(CONDITION, FEATURES), nn.SiLU(), nn.Linear(FEATURES, FEATURES)
        )
        pairs = [*pairwise(channels)]
        self.down = nn.ModuleList([_Block(first, channels[0]), *(_Block(a, b) for a, b in pairs)])
        self.up = nn.ModuleList([_Block(a + b, a) for a, b in reversed(pairs)])
        self.out = nn.Conv2d(channels[0], last, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def forward(
        self, detail: Tensor, displacement: Tensor, places: Tensor, rig: Tensor, emotion: Tensor
    ) -> Tensor:
        condition_BD = self.condition(torch.cat([rig, emotion], dim=1))
        where = places.expand(len(detail), -1, -1, -1)
        x_BCHW = torch.cat([detail * DETAIL, displacement * DISPLACEMENT, where], dim=1)
        x_BCHW = F.pixel_unshuffle(x_BCHW, FOLD)
        kept: list[Tensor] = []
        for block in self.down:
            x_BCHW = block(F.max_pool2d(x_BCHW, 2) if kept else x_BCHW, condition_BD)
            kept.append(x_BCHW)
        for block, seen in zip(self.up, kept[-2::-1], strict=True):
            x_BCHW = F.interpolate(x_BCHW, size=seen.shape[-2:])
            x_BCHW = block(torch.cat([x_BCHW, seen], dim=1), condition_BD)
        return F.pixel_shuffle(self.out(x_BCHW), FOLD)


DETAIL: Final = 4.0
DISPLACEMENT: Final = 0.7
"""what brings detail and displacement [cm] to about 1"""


class _Block(nn.Module):
    """Two convolutions; the condition scales and shifts what the first found."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norms = nn.ModuleList([nn.GroupNorm(4, out_channels) for _ in range(2)])
        self.film = nn.Linear(FEATURES, 2 * out_channels)

    def forward(self, x_BCHW: Tensor, condition_BD: Tensor) -> Tensor:
        scale, shift = self.film(condition_BD)[:, :, None, None].chunk(2, dim=1)
        x_BCHW = F.silu(self.norms[0](self.first(x_BCHW) * (1 + scale) + shift))
        return F.silu(self.norms[1](self.second(x_BCHW)))
