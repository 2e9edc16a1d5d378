"""The discriminator of faces (SSERD, eq. 9): patches that are real or made.

Legend: B batch, H W pixels, h w patches.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Pictures [B, 3, H, W] to logits [B, 1, h, w]; Miyato et al. 2018 for its layers' norms."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for in_channels, out_channels in pairwise((3, *channels)):
            conv = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1)
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits: Tensor = self.layers(2 * x_BCHW - 1)
        return logits
