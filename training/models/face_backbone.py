"""What networks of others see in the crop of a face; no training changes it.

Legend: B batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.trunk import FaceTrunk
from training.models.xception import CHANNELS, NAMED, MiniXception

_GREY: Final = (0.299, 0.587, 0.114)
_MEAN, _SPREAD = 0.45, 0.25  # as pictures of faces have them
_CELLS: Final = 2
"""places across, and down, that a face's features are told apart in"""
_NEAR: Final = (6, 5)
"""eighths of the crop's side: how close a face is looked at for its expression"""


class FaceBackbone(nn.Module):
    """The trunk of a face landmarker, and a small network that names expressions: ``parts`` of the
    trunk, ``crop_px`` the input's side (a multiple of 128)."""

    def __init__(self, parts: int, crop_px: int, pretrained: bool = False) -> None:
        super().__init__()
        self.parts, self.crop_px = parts, crop_px
        self.trunk, self.expressions = FaceTrunk(parts), MiniXception()
        if pretrained:
            self.load_learned()
        self.fixed.requires_grad_(False)
        middles = torch.stack([_middle(crop_px, eighths) for eighths in _NEAR])
        self.register_buffer("middles", middles, persistent=False)
        self.seen = (sum(self.trunk.channels) + CHANNELS) * _CELLS**2 + len(NAMED)
        """F: the names' logits are the last of them"""

    middles: Tensor
    """[N, S/4, S], one for each distance"""

    @property
    def fixed(self) -> nn.ModuleList:
        """What others trained, and no training changes."""
        return nn.ModuleList([self.trunk, self.expressions])

    def load_learned(self) -> None:
        """Their weights. Raises MienError."""
        self.trunk.load_landmarker()
        self.expressions.load_learned()

    def backbone(self, crop_BCHW: Tensor) -> Tensor:
        """RGB in 0..1 [B, 3, S, S] to features [B, F]."""
        even = lit(crop_BCHW)
        expression = self._expression(even[:, :1])
        cells = [_cells(seen).flatten(1) for seen in (*self.trunk(even), expression)]
        return torch.cat([*cells, self.expressions.name(expression)], dim=1)

    def _expression(self, grey_BCHW: Tensor) -> Tensor:
        """The mean map of the face at two distances, each mirrored, too [B, C, H, W]."""
        middles = self.middles[:, None]
        faces = middles @ grey_BCHW[None, :, 0] @ middles.transpose(2, 3)
        seen = 2 * faces.flatten(0, 1)[:, None] - 1
        maps, mirrored = self.expressions(torch.cat([seen, seen.flip(3)])).chunk(2)
        return torch.stack((maps + mirrored.flip(3)).chunk(len(_NEAR))).mean(dim=0) / 2


def lit(crop_BCHW: Tensor) -> Tensor:
    """The crop in grey, of one brightness and contrast: what colour the light has, and how much
    of it there is, says nothing of a feeling."""
    red, green, blue = crop_BCHW[:, :1], crop_BCHW[:, 1:2], crop_BCHW[:, 2:]
    grey = _GREY[0] * red + _GREY[1] * green + _GREY[2] * blue
    apart = grey - grey.mean(dim=(2, 3), keepdim=True)
    contrast = torch.sqrt(apart.square().mean(dim=(2, 3), keepdim=True) + 1e-4)
    even = apart / contrast * _SPREAD + _MEAN
    return torch.cat([even, even, even], dim=1)


def _cells(map_BCHW: Tensor) -> Tensor:
    side = map_BCHW.shape[-1] // _CELLS
    return F.avg_pool2d(map_BCHW, side) if side > 1 else map_BCHW


def _middle(side: int, eighths: int) -> Tensor:
    """[side / 4, side]: so many eighths of a side, its middle, to means of as many half pixels."""
    half = torch.zeros(side // 4, 2 * side)
    begin = side * (8 - eighths) // 8
    for row in range(len(half)):
        half[row, begin + row * eighths : begin + (row + 1) * eighths] = 1 / eighths
    return half.reshape(len(half), side, 2).sum(dim=2)
