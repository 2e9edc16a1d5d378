"""face-api's reader of expressions, rebuilt in torch: an emotion judge that no training here saw.

Four dense blocks of separable convolutions over an aligned face of 112x112, a mean, one layer
(package @vladmandic/face-api 1.7.15, MIT; the architecture is that of its FaceFeatureExtractor).
Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import MienError
from training.metrics.tfjs import read_weights

SIDE_PX: Final = 112
MEAN_RGB: Final = (122.782, 117.001, 104.298)
CHANNELS: Final = (3, 32, 64, 128, 256)
CLASSES: Final = ("neutral", "happy", "sad", "angry", "fear", "disgusted", "surprised")
FILE: Final = "face_expression_model"


class ExpressionNet(nn.Module):
    """RGB [B, 3, 112, 112] in 0..255 -> probabilities [B, 7] in the order of CLASSES, features
    [B, 256]."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        made = [_Block(CHANNELS[i], CHANNELS[i + 1]) for i in range(4)]
        self.blocks = nn.ModuleList(made)
        self.out = nn.Linear(CHANNELS[-1], len(CLASSES))
        self.register_buffer("mean", torch.tensor(MEAN_RGB)[None, :, None, None], False)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        x_BCHW = (x_BCHW - self.mean) / 255
        for block in self.blocks:
            x_BCHW = block(x_BCHW)
        features = x_BCHW.mean(dim=(2, 3))
        return torch.softmax(self.out(features), dim=1), features


class _Block(nn.Module):
    """Half the side, then three convolutions that each see the sum of all before."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.begin = (
            nn.Conv2d(3, out_channels, 3)
            if in_channels == 3
            else _Separable(in_channels, out_channels)
        )
        self.follow = nn.ModuleList([_Separable(out_channels, out_channels) for _ in range(3)])

    def forward(self, x_BCHW: Tensor) -> Tensor:
        # TensorFlow's "same" at stride 2: even sides get their odd pixel right and below.
        x_BCHW = F.pad(x_BCHW, (0, 1, 0, 1))
        if isinstance(self.begin, _Separable):
            total = F.relu(self.begin(x_BCHW, 2))
        else:
            total = F.relu(F.conv2d(x_BCHW, self.begin.weight, self.begin.bias, 2))
        seen = total
        for conv in self.follow:
            total = total + conv(F.pad(seen, (1, 1, 1, 1)), 1)
            seen = F.relu(total)
        return seen


class _Separable(nn.Module):
    """Each channel filtered alone, then mixed."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.deep = nn.Conv2d(in_channels, in_channels, 3, groups=in_channels, bias=False)
        self.wide = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x_BCHW: Tensor, stride: int) -> Tensor:
        moved = F.conv2d(x_BCHW, self.deep.weight, stride=stride, groups=x_BCHW.shape[1])
        out: Tensor = self.wide(moved)
        return out


def load(folder: Path) -> ExpressionNet:
    """The network with the weights that lie in a folder. Raises MienError."""
    path = folder / f"{FILE}-weights_manifest.json"
    try:
        values = read_weights(folder, json.loads(path.read_text(encoding="utf-8")))
        weights = {name: torch.from_numpy(value) for name, value in values.items()}
        state = {"out.weight": weights["fc/weights"].T, "out.bias": weights["fc/bias"]}
        for i in range(4):
            for j in range(4):
                theirs = f"dense{i}/conv{j}"
                ours = f"blocks.{i}." + (f"follow.{j - 1}" if j else "begin")
                if i == j == 0:
                    state[f"{ours}.weight"] = weights[f"{theirs}/filters"].permute(3, 2, 0, 1)
                    state[f"{ours}.bias"] = weights[f"{theirs}/bias"]
                    continue
                deep = weights[f"{theirs}/depthwise_filter"].permute(2, 3, 0, 1)
                state[f"{ours}.deep.weight"] = deep
                wide = weights[f"{theirs}/pointwise_filter"].permute(3, 2, 0, 1)
                state[f"{ours}.wide.weight"] = wide
                state[f"{ours}.wide.bias"] = weights[f"{theirs}/bias"]
        network = ExpressionNet()
        network.load_state_dict(state)
    except FileNotFoundError as error:
        raise MienError(f"the network {error.filename} is not there") from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        line = " ".join(str(error).split())[:120]
        raise MienError(f"the network {path} cannot be read ({line})") from None
    return network.eval().requires_grad_(False)
