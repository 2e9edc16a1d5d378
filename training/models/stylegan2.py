"""StyleGAN2's synthesis network in the place of the generator (Karras et al. 2020, section 2;
SSERD, eq. 7): a latent w+ [B, L, D] to a picture, from weights in safetensors.

Names of tensors are those that its authors' networks have below `synthesis.`. Noise is left out, as
in editing it is: one latent is one picture. No such weights ship here.
Legend: B batch, L layers' latents, D of each, C channels, H W pixels.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import MienError
from training.models.generator import Canvas

_FIRST_PX: Final = 4
_FIR: Final = (1.0, 3.0, 3.0, 1.0)
_GAIN: Final = math.sqrt(2)
_SLOPE: Final = 0.2


class StyleGAN2(nn.Module):
    """Blocks of 4, 8, ... px with so many ``channels`` each; latents of ``width`` numbers."""

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.channels, self.width = channels, width
        self.layers = 2 * len(channels)
        """L: two convolutions a block, one of the first; and the last picture's own"""
        for level, wide in enumerate(channels):
            in_channels = channels[level - 1] if level else 0
            self.add_module(f"b{_FIRST_PX << level}", _Block(in_channels, wide, width))

    def forward(
        self, w: Tensor, w_canvas: Tensor | None = None, canvas: Canvas | None = None
    ) -> Tensor:
        """w [B, L, D] -> picture [B, 3, S, S] in 0..1; persons are in the latent."""
        x = picture = None
        taken = 0
        for block in self.children():
            assert isinstance(block, _Block)
            x, picture = block(x, picture, w[:, taken:])
            taken += block.convolutions
        assert picture is not None
        out: Tensor = ((picture + 1) / 2).clamp(0, 1)
        return out

    @classmethod
    def load(cls, path: Path) -> StyleGAN2:
        """Of a file whose names begin with `synthesis.`, or with the blocks' own. Raises
        MienError."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            stored = load_file(path)
        except (OSError, SafetensorError) as error:
            raise MienError(f"{path} is no safetensors file: {error}") from None
        names = {name.removeprefix("synthesis."): value for name, value in stored.items()}
        levels: list[int] = []
        while (bias := names.get(f"b{_FIRST_PX << len(levels)}.torgb.affine.bias")) is not None:
            levels.append(len(bias))
        if not levels:
            raise MienError(f"{path} holds no StyleGAN2 synthesis network: it has no b4.torgb")
        made = cls(tuple(levels), names["b4.torgb.affine.weight"].shape[1])
        expected = made.state_dict()
        lacking = [n for n, v in expected.items() if n not in names or names[n].shape != v.shape]
        if lacking:
            raise MienError(f"{path}: {lacking[0]} is missing or of another shape")
        made.load_state_dict({name: names[name].float() for name in expected})
        return made.eval().requires_grad_(False)


class _Block(nn.Module):
    """One size of the picture: up, two modulated convolutions, and their share of the picture."""

    def __init__(self, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        self.convolutions = 2 if in_channels else 1
        if in_channels:
            self.conv0 = _Modulated(in_channels, out_channels, 3, width, up=True)
        else:
            self.const = nn.Parameter(torch.randn(out_channels, _FIRST_PX, _FIRST_PX))
        self.conv1 = _Modulated(out_channels, out_channels, 3, width)
        self.torgb = _Modulated(out_channels, 3, 1, width, demodulate=False)

    def forward(self, x: Tensor | None, picture: Tensor | None, w: Tensor) -> tuple[Tensor, Tensor]:
        styles = iter(w.unbind(dim=1))
        if x is None:
            x = self.const.expand(len(w), -1, -1, -1)
        else:
            x = _lit(self.conv0(x, next(styles)))
        x = _lit(self.conv1(x, next(styles)))
        own = self.torgb(x, next(styles))
        return x, own if picture is None else _up(picture) + own


class _Modulated(nn.Module):
    """A convolution whose weights a style scales, and brings back to one length (eq. 1 and 3)."""

    def __init__(
        self, in_channels: int, out_channels: int, side: int, width: int, up: bool = False,
        demodulate: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.up, self.demodulate, self.in_channels = up, demodulate, in_channels
        self.affine = _Affine(width, in_channels)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, side, side))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x_BCHW: Tensor, w_BD: Tensor) -> Tensor:
        style = self.affine(w_BD)
        side = self.weight.shape[-1]
        if not self.demodulate:
            style = style / math.sqrt(self.in_channels * side * side)
        weight = self.weight[None] * style[:, None, :, None, None]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
        many, _, rows, columns = x_BCHW.shape
        x = x_BCHW.reshape(1, -1, rows, columns)
        if self.up:
            turned = weight.transpose(1, 2).flatten(0, 1)
            x = F.conv_transpose2d(x, turned, stride=2, groups=many)
            x = _blur(x, pad=1, gain=4)
        else:
            x = F.conv2d(x, weight.flatten(0, 1), padding=side // 2, groups=many)
        return x.reshape(many, -1, *x.shape[2:]) + self.bias[:, None, None]


class _Affine(nn.Module):
    """A style of a latent (eq. 1's s): scaled as its authors' layers are."""

    def __init__(self, width: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, width))
        self.bias = nn.Parameter(torch.ones(out_channels))

    def forward(self, w_BD: Tensor) -> Tensor:
        return F.linear(w_BD, self.weight / math.sqrt(w_BD.shape[1]), self.bias)


def _lit(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE) * _GAIN


def _blur(x: Tensor, pad: int, gain: float) -> Tensor:
    """Smoothed by the kernel that its authors upsample with; ``gain`` for the zeros between."""
    line = x.new_tensor(_FIR)
    kernel = torch.outer(line, line) / line.sum() ** 2 * gain
    channels = x.shape[1]
    return F.conv2d(F.pad(x, [pad] * 4), kernel.expand(channels, 1, -1, -1), groups=channels)


def _up(picture: Tensor) -> Tensor:
    """Twice the side: zeros between, then smoothed."""
    many, channels, rows, columns = picture.shape
    spread: Any = picture.new_zeros(many, channels, rows, 2, columns, 2)
    spread[:, :, :, 0, :, 0] = picture
    whole = spread.reshape(many, channels, 2 * rows, 2 * columns)
    return _blur(F.pad(whole, [1, 0, 1, 0]), pad=1, gain=4)
