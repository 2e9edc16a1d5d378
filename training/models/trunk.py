"""The face landmarker's trunk: what it knows of a face before it says where its points are.

Its weights come from the tracker's own bundle (Google's face landmarker, Apache-2.0), where batch
norm is folded already: convolutions and PReLUs alone.
Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import MienError
from inference.assets import FACE_LANDMARKER, locate

TRUNK_ORIGIN: Final = "the trunk of Google's face landmarker (Apache-2.0)"
SIDE_PX: Final = 256
STEM_CHANNELS: Final = 16
# Of each stage at half the side of the one before: inner channels, channels.
STAGES: Final = ((16, 32), (32, 64), (64, 128), (64, 128), (64, 128), (64, 128))
PARTS: Final = 1 + len(STAGES)
BLOCKS: Final = 4


class FaceTrunk(nn.Module):
    """RGB [B, 3, 256, 256] in 0..1 -> its last two maps [B, 128, 4, 4], [B, 128, 2, 2].

    A part is blocks at one resolution: 128x128 behind the first convolution, then 64 and so on. It
    may have fewer parts, and be shown smaller pictures.
    """

    def __init__(self, parts: int = PARTS) -> None:
        super().__init__()
        self.begin = nn.Conv2d(3, STEM_CHANNELS, 3, 2)
        self.begin_end = nn.PReLU(STEM_CHANNELS)
        channels = before = STEM_CHANNELS
        made = [nn.Sequential(*(_Block(channels, channels // 2, channels) for _ in range(BLOCKS)))]
        for inner, out_channels in STAGES[: parts - 1]:
            blocks = (_Block(out_channels, out_channels // 2, out_channels) for _ in range(BLOCKS))
            made.append(nn.Sequential(_Block(channels, inner, out_channels, halved=True), *blocks))
            before, channels = channels, out_channels
        self.parts = nn.ModuleList(made)
        self.channels = (before, channels)
        """of the two maps"""

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        # TensorFlow's "same" at stride 2: even sides get their odd pixel right and below.
        x_BCHW = self.begin_end(self.begin(F.pad(x_BCHW, (0, 1, 0, 1))))
        last = x_BCHW
        for part in self.parts:
            x_BCHW, last = last, part(last)
        return x_BCHW, last

    def load_landmarker(self, task: Path | None = None) -> FaceTrunk:
        """The landmarker's weights, out of the bundle ``task`` (None: the cache). Raises MienError
        where it is none."""
        from training.models.tflite_weights import read_weights

        path = locate(FACE_LANDMARKER) if task is None else task
        try:
            with zipfile.ZipFile(path) as archive:
                steps = read_weights(archive.read("face_landmarks_detector.tflite"))
        except (OSError, zipfile.BadZipFile, KeyError) as error:
            raise MienError(f"{path} is not a face landmarker bundle: {error}") from None
        own = [module for module in self.modules() if isinstance(module, nn.Conv2d | nn.PReLU)]
        with torch.no_grad():
            for module, step in zip(own, steps, strict=False):  # what follows are its own heads
                if isinstance(module, nn.PReLU):
                    module.weight.copy_(step[0].flatten())
                    continue
                axes = (3, 0, 1, 2) if module.groups > 1 else (0, 3, 1, 2)
                module.weight.copy_(step[0].permute(*axes))
                assert module.bias is not None
                module.bias.copy_(step[1])
        return self


class _Block(nn.Module):
    """Narrow, filter each channel, widen, beside a shortcut. ``halved``: to half the side, where
    the shortcut is the largest of four. Channels that the shortcut lacks are 0."""

    def __init__(
        self, in_channels: int, inner: int, out_channels: int, halved: bool = False
    ) -> None:
        super().__init__()
        self.halved, self.added = halved, out_channels - in_channels
        step = 2 if halved else 1
        self.narrow = nn.Conv2d(in_channels, inner, step, step)
        self.middle = nn.PReLU(inner)
        self.deep = nn.Conv2d(inner, inner, 3, 1, 1, groups=inner)
        self.wide = nn.Conv2d(inner, out_channels, 1)
        self.end = nn.PReLU(out_channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        wide = self.wide(self.deep(self.middle(self.narrow(x_BCHW))))
        if self.halved:
            x_BCHW = F.max_pool2d(x_BCHW, 2)
        if self.added:
            x_BCHW = F.pad(x_BCHW, (0, 0, 0, 0, 0, self.added))
        out: Tensor = self.end(wide + x_BCHW)
        return out
