"""Patch discriminator: is each patch of this crop a camera's? (Isola et al. 2017, section 3.2.2)

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """picture [B, 3, H, W] in 0..1 -> one logit per patch [B, 1, H / 16, W / 16].

    Spectrally normalized (Miyato et al. 2018) in place of batch norm, which would let the pictures
    of a batch give each other away.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        widths = (3, channels, 2 * channels, 4 * channels, 4 * channels)
        layers: list[nn.Module] = []
        for given, wanted in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(given, wanted, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        self.end = spectral_norm(nn.Conv2d(widths[-1], 1, 3, 1, 1))

    def forward(self, picture_BCHW: Tensor) -> Tensor:
        out: Tensor = self.end(self.body(picture_BCHW * 2 - 1))
        return out
