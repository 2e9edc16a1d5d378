"""A face that feels as a reference does, drawn from both pictures at once (ICface's one stage).

Both are seen by the face landmarker's trunk, which isn't trained; a small U-net over the source
says from where each pixel comes, how its light changes, and what is painted that wasn't to be seen.
Legend: B batch, C channels, H height, W width, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.face_backbone import lit
from training.models.trunk import FaceTrunk

SMALL: Final = 4
"""times that the net's picture is smaller than the source"""
REACH: Final = 0.2
"""how far a pixel may come from, in half sides"""
LIGHT: Final = 0.5
"""by how much the logarithm of light may change"""
_UNPAINTED: Final = -4.0
"""logit of the share that is painted, before anything is learned"""


@dataclass(frozen=True, kw_only=True)
class ReferencePictureSize:
    """``parts`` of the trunk, side of its pictures in pixels, ``channels`` of the U-net's three
    levels, ``features`` of what both pictures say."""

    parts: int
    crop_px: int
    channels: tuple[int, int, int]
    features: int


class ReferencePicture(nn.Module):
    """crop [B, 3, S, S] of the source and of the reference, RGB in 0..1 -> the same of the source
    as it feels like the reference."""

    def __init__(self, size: ReferencePictureSize, pretrained: bool = False) -> None:
        super().__init__()
        self.size = size
        self.trunk = FaceTrunk(size.parts)
        if pretrained:
            self.trunk.load_landmarker()
        self.trunk.requires_grad_(False)
        fine, middle, coarse = size.channels
        side = size.crop_px >> size.parts
        self.look = nn.Sequential(
            nn.Conv2d(2 * self.trunk.channels[-1], coarse, 3, 2, 1), nn.SiLU(), nn.Flatten(),
            nn.Linear(coarse * (side // 2) ** 2, size.features), nn.SiLU(),
        )  # fmt: skip
        self.enter = nn.Conv2d(3, fine, 3, padding=1)
        self.down = nn.Conv2d(fine, middle, 3, 2, 1)
        self.deep = nn.Conv2d(middle, coarse, 3, 2, 1)
        self.first, self.second = FiLM(coarse, size.features), FiLM(coarse, size.features)
        self.up = nn.Conv2d(coarse + middle, middle, 3, padding=1)
        self.out = nn.Conv2d(middle + fine, fine, 3, padding=1)
        self.leave = nn.Conv2d(fine, 7, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, crop: Tensor, reference: Tensor) -> Tensor:
        return self.draw(crop, self.see(crop), self.see(reference))

    def see(self, crop_BCHW: Tensor) -> Tensor:
        """What the trunk makes of a picture; no training changes it."""
        seen: Tensor = self.trunk(lit(crop_BCHW))[1]
        return seen

    def draw(self, crop: Tensor, seen: Tensor, reference_seen: Tensor) -> Tensor:
        """The same of what was seen of both."""
        condition = self.look(torch.cat([seen, reference_seen], dim=1))
        fine = F.silu(self.enter(F.avg_pool2d(crop, SMALL) - 0.5))
        middle = F.silu(self.down(fine))
        x = self.second(self.first(F.silu(self.deep(middle)), condition), condition)
        x = F.silu(self.up(torch.cat([_doubled(x), middle], dim=1)))
        x = self.leave(F.silu(self.out(torch.cat([_doubled(x), fine], dim=1))))
        x = F.interpolate(x, scale_factor=SMALL, mode="bilinear", align_corners=False)
        x = x.float()  # a training may compute the layers in less
        flow, light = REACH * torch.tanh(x[:, :2]), LIGHT * torch.tanh(x[:, 2:3])
        painted, paint = torch.sigmoid(x[:, 3:4] + _UNPAINTED), torch.sigmoid(x[:, 4:])
        still = torch.eye(2, 3, device=x.device, dtype=x.dtype).expand(len(x), -1, -1)
        places = F.affine_grid(still, list(crop.shape), align_corners=False)
        moved = F.grid_sample(
            crop, places + flow.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
        )
        return torch.lerp(moved * torch.exp(light), paint, painted).clamp(0, 1)


class FiLM(nn.Module):
    """A convolution beside a shortcut, whose channels a condition scales and shifts (Perez et al.
    2018, eq. 1)."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(channels, channels, 3, padding=1)
        self.condition = nn.Linear(features, 2 * channels)

    def forward(self, x_BCHW: Tensor, condition_BD: Tensor) -> Tensor:
        gain, lift = self.condition(condition_BD)[:, :, None, None].chunk(2, dim=1)
        out: Tensor = x_BCHW + F.silu(self.filter(x_BCHW) * (1 + gain) + lift)
        return out


def _doubled(x_BCHW: Tensor) -> Tensor:
    return F.interpolate(x_BCHW, scale_factor=2.0, mode="nearest")
