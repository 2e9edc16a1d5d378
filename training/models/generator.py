"""Neutralizing generator (EAP's ANT for video and portraits): it corrects the rig's flow, says
where that cannot be believed, and paints there.

All of it runs at half the side of the crop; flow, mask and paint come to the full side at the
end, so what only moves keeps the resolution that came in. z_face = z_id + alpha * z_exp (eq. 1):
who somebody is, how they look, and how much, come in by three doors. alpha = 0 is a neutral face.
Legend: B batch, C channels, H height, W width, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.types import BLENDSHAPES
from training.models.layers import Conv, Residual

CROP_PX: Final = 256
HALF_PX: Final = CROP_PX // 2
MAP_PX: Final = 32
MAP_CHANNELS: Final = 24
LINE_MAPS: Final = 2
FLOW_SCALE_PX: Final = 16.0
MAX_CORRECTION_PX: Final = 24.0
IDENTITY_PX: Final = 128
MASK_AT_FIRST: Final = -0.85
MASK_PACE: Final = 0.1
"""how quickly the mask learns: at full pace it shuts before there are colours worth painting"""


@dataclass(frozen=True, kw_only=True)
class GeneratorSize:
    """Channels at 1/2, 1/4, 1/8 and 1/16 of the crop's side, and the width of z_face."""

    channels: tuple[int, int, int, int] = (32, 48, 96, 128)
    features: int = 128


class Edit(NamedTuple):
    """``picture`` [B, 3, 256, 256] in 0..1; ``flow`` [B, 2, 128, 128], the shift in crop pixels to
    where each pixel comes from; ``mask`` [B, 1, 256, 256] in 0..1, where that isn't believed;
    ``paint`` [B, 1, 256, 256] in -1..1, what is added to the moved pixels, no more than the mask
    allows: light and shade alone, since free colours come out as make-up."""

    picture: Tensor
    flow: Tensor
    mask: Tensor
    paint: Tensor


class IdentityEncoder(nn.Module):
    """reference [B, 3, 128, 128] RGB in 0..1 -> identity [B, D], identity_map [B, 24, 32, 32].

    Run once per person, on a frame that shows them calm.
    """

    def __init__(self, size: GeneratorSize = GeneratorSize()) -> None:
        super().__init__()
        self.body = nn.Sequential(Conv(3, 24, 3, 2), Conv(24, 48, 3, 2), Residual(48), Residual(48))
        self.map = nn.Conv2d(48, MAP_CHANNELS, 1)
        self.deep = nn.Sequential(Conv(48, 96, 3, 2), Residual(96), Conv(96, 128, 3, 2))
        self.vector = nn.Linear(128, size.features)

    def forward(self, reference_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        body = self.body(reference_BCHW - 0.5)
        return self.vector(self.deep(body).mean(dim=(2, 3))), self.map(body)


class Generator(nn.Module):
    """source [B, 3, 256, 256] RGB in 0..1, flow [B, 2, 128, 128] px, lines [B, 2, 128, 128] in 0..1
    (source, target), identity [B, D], identity_map [B, 24, 32, 32], expression [B, 52] of unit
    length, intensity [B, 1] -> Edit."""

    grid: Tensor
    grid_half: Tensor

    def __init__(self, size: GeneratorSize = GeneratorSize()) -> None:
        super().__init__()
        self.size = size
        half, quarter, eighth, deep = size.channels
        self.expression = nn.Sequential(
            nn.Linear(len(BLENDSHAPES), size.features),
            nn.LeakyReLU(0.1),
            nn.Linear(size.features, size.features),
        )
        self.stem = Conv(4 * 3 + 3 + 2 + LINE_MAPS, half)
        self.down_quarter = nn.Sequential(Conv(half, quarter, 3, 2), Residual(quarter))
        self.down_eighth = Conv(quarter, eighth, 3, 2)
        self.join = Conv(eighth + MAP_CHANNELS, eighth, 1)
        self.eighth = Residual(eighth)
        self.down_deep = nn.Sequential(Conv(eighth, deep, 3, 2), Residual(deep))
        self.style = nn.ModuleList([nn.Linear(size.features, 2 * c) for c in (deep, eighth)])
        self.deep = Residual(deep)
        self.up_eighth = _Up(deep, eighth)
        self.up_quarter = _Up(eighth, quarter)
        self.up_half = _Up(quarter, half)
        self.head = nn.Conv2d(half, 2 + 2 * 4, 3, 1, 1)
        with torch.no_grad():  # at first: the rig's own warp
            self.head.weight *= 0.1
            assert self.head.bias is not None
            self.head.bias.zero_()
            self.head.weight[6:] = 0  # no paint yet
        self.register_buffer("grid", _grid(CROP_PX), persistent=False)
        self.register_buffer("grid_half", _grid(HALF_PX), persistent=False)

    def face(self, identity_BD: Tensor, expression_BD: Tensor, intensity_B1: Tensor) -> Tensor:
        """z_face = z_id + alpha * z_exp (EAP, eq. 1)."""
        z_exp: Tensor = self.expression(expression_BD)
        return identity_BD + intensity_B1 * z_exp

    def forward(
        self,
        source_BCHW: Tensor,
        flow_BCHW: Tensor,
        lines_BCHW: Tensor,
        identity_BD: Tensor,
        identity_map_BCHW: Tensor,
        expression_BD: Tensor,
        intensity_B1: Tensor,
    ) -> Edit:
        z_face = self.face(identity_BD, expression_BD, intensity_B1)
        small = F.avg_pool2d(source_BCHW, 2)
        moved = sample(small, flow_BCHW * 0.5, self.grid_half)
        scaled = flow_BCHW * (1 / FLOW_SCALE_PX)
        seen = [F.pixel_unshuffle(source_BCHW, 2) - 0.5, moved - 0.5, scaled, lines_BCHW]
        half = self.stem(torch.cat(seen, dim=1))
        quarter = self.down_quarter(half)
        eighth = self.join(torch.cat([self.down_eighth(quarter), identity_map_BCHW], dim=1))
        eighth = self.eighth(eighth)
        deep = self.deep(_styled(self.down_deep(eighth), self.style[0](z_face)))
        out = _styled(self.up_eighth(deep, eighth), self.style[1](z_face))
        out = self.head(self.up_half(self.up_quarter(out, quarter), half))
        flow = flow_BCHW + MAX_CORRECTION_PX * torch.tanh(out[:, :2] * (1 / MAX_CORRECTION_PX))
        painted = F.pixel_shuffle(out[:, 2:], 2)
        full = F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
        warped = sample(source_BCHW, full, self.grid)
        mask = torch.sigmoid(MASK_AT_FIRST + MASK_PACE * painted[:, :1])
        paint = mask * torch.tanh(painted[:, 1:])
        return Edit(torch.clamp(warped + paint, 0, 1), flow, mask, paint)


class _Up(nn.Module):
    """Twice the side, the skipped features added, one convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels_in, channels, 1)
        self.mix = Conv(channels, channels)

    def forward(self, x_BCHW: Tensor, skip_BCHW: Tensor) -> Tensor:
        wide = F.interpolate(self.narrow(x_BCHW), scale_factor=2, mode="nearest")
        out: Tensor = self.mix(wide + skip_BCHW)
        return out


def sample(picture_BCHW: Tensor, shift_BCHW: Tensor, grid_BHWC: Tensor) -> Tensor:
    """The picture with each pixel taken from ``shift`` pixels away; borders go on for ever."""
    steps = shift_BCHW.permute(0, 2, 3, 1) * (2 / picture_BCHW.shape[-1])
    return F.grid_sample(picture_BCHW, grid_BHWC + steps, "bilinear", "border", align_corners=False)


def _styled(x_BCHW: Tensor, style_BD: Tensor) -> Tensor:
    scale, shift = style_BD[:, :, None, None].chunk(2, dim=1)
    return x_BCHW * (1 + scale) + shift


def _grid(side: int) -> Tensor:
    """Where each pixel's centre lies [1, H, W, 2], in -1..1."""
    at = (torch.arange(side) * 2 + 1) / side - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y], dim=-1)[None]
