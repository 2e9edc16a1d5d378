"""Voice to face by regression: a window of audio features to the shapes of its moment.

Causal, 320 samples (20 ms) at a time; the answer for a step comes LOOK_AHEAD_STEPS later, so the
look-ahead is 80 ms. Few faces are known with their voice, so what is heard comes from a backbone
that was trained on many for another task (`audio_backbone.py`) and stays as it is. Dilated
convolutions (as in WaveNet, van den Oord et al. 2016, section 2.1) see a short window of its
principal components, and answer in those of talking faces, so that no answer is a face that nobody
makes.

The convolutions pad nothing: the state is the window itself and the backbone's, and the caller's.
The shapes are those of somebody who articulates as widely as is usual; a speaker's own gain and
rest are applied to them afterwards.
Legend: B batch, N samples, T steps of 320, F features of the audio backbone, C channels, K shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.talk import JAW, STEP_SAMPLES
from training.models.audio_backbone import AudioBackbone
from training.models.layers import Scale

LOOK_AHEAD_STEPS: Final = 4
LOOK_AHEAD_MS: Final = LOOK_AHEAD_STEPS * 20
SHAPES: Final = 52
LEVELS: Final = 4
"""parts of a step whose loudness is measured"""
LAST_LAYERS: Final = 2
"""of the backbone that are heard: by them, strangers are followed better than by its first"""
_FLOOR: Final = 1e-4
_AT_REST: Final = -9.0
"""about the logarithm of _FLOOR: what was heard before the first step is silence"""


@dataclass(frozen=True, kw_only=True)
class VoiceRigSize:
    """Of the audio backbone as SpeechSize has it; ``heard`` principal components of what its last
    layers and the loudness tell; ``channels`` and ``dilations`` of the convolutions, ``components``
    of the shapes."""

    width: int
    heads: int
    layers: int
    past: int
    heard: int
    channels: int
    dilations: tuple[int, ...]
    components: int


class Moved(NamedTuple):
    """``rig`` [B, 52] of the moment LOOK_AHEAD_MS before the step's end, ``usual`` [B, 52] how far
    each shape goes usually, always the same, and the ``state`` [B, S] of the next step."""

    rig: Tensor
    usual: Tensor
    state: Tensor


class Hearing(nn.Module):
    """sound [B, N] of whole steps, state -> what is heard [B, T, F], state: features of the last
    LAST_LAYERS, or of all, and LEVELS."""

    def __init__(self, size: VoiceRigSize) -> None:
        super().__init__()
        self.backbone = AudioBackbone(size.width, size.heads, size.layers, size.past, STEP_SAMPLES)
        self._last = min(LAST_LAYERS, size.layers) * size.width
        self.features = self._last + LEVELS

    def forward(self, sound_BN: Tensor, state_BS: Tensor) -> tuple[Tensor, Tensor]:
        heard_BTF, state_BS = self.backbone(sound_BN, state_BS)
        blocks = sound_BN.reshape(len(sound_BN), -1, LEVELS, STEP_SAMPLES // LEVELS)
        levels_BTL = torch.log(torch.sqrt(blocks.square().mean(dim=3)) + _FLOOR)
        return torch.cat([heard_BTF[..., -self._last :], levels_BTL], dim=2), state_BS


class Window(nn.Module):
    """What is heard [B, T + past, F] -> [B, C, T]: each step by itself and ``past`` before it."""

    def __init__(self, features: int, channels: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.scale = Scale(features)
        self.enter = nn.Conv1d(features, channels, 1)
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, channels, 3, dilation=dilation) for dilation in dilations
        )
        self.past = 2 * sum(dilations)

    def forward(self, heard_BTF: Tensor) -> Tensor:
        x = self.enter(self.scale(heard_BTF).transpose(1, 2))
        for layer in self.layers:
            out = F.gelu(layer(x))
            x = x[:, :, x.shape[2] - out.shape[2] :] + out
        return F.gelu(x)


class VoiceRigNet(nn.Module):
    """sound [B, 320] in -1..1, state [B, S] (zeros at first) -> Moved."""

    heard_mean: Tensor
    heard_axes: Tensor
    components: Tensor
    middle: Tensor
    usual: Tensor

    def __init__(self, size: VoiceRigSize) -> None:
        super().__init__()
        self.size = size
        self.hearing = Hearing(size)
        features = self.hearing.features
        self.register_buffer("heard_mean", torch.zeros(features))
        self.register_buffer("heard_axes", torch.eye(features, size.heard))
        self.window = Window(size.heard, size.channels, size.dilations)
        self.leave = nn.Conv1d(size.channels, size.components, 1)
        self.register_buffer("components", torch.zeros(size.components, SHAPES))
        self.register_buffer("middle", torch.zeros(SHAPES))
        self.register_buffer("usual", torch.ones(SHAPES))  # how far each shape goes, usually
        with torch.no_grad():
            self.components[:, JAW] = 1  # until shapes are known
        self._parts = [
            self.hearing.backbone.begin(1).shape[1],
            self.window.past * features,
        ]

    def begin(self, batch: int) -> Tensor:
        """The state before the first step [B, S]: silence was heard."""
        return self.middle.new_zeros(batch, sum(self._parts))

    def forward(self, sound_BN: Tensor, state_BS: Tensor) -> Moved:
        """One step; the answer belongs to the end of that LOOK_AHEAD_STEPS before it."""
        backbone, past = torch.split(state_BS, self._parts, dim=1)
        heard_BTF, backbone = self.hearing(sound_BN, backbone)
        seen_BTF = torch.cat([past.reshape(len(past), self.window.past, -1), heard_BTF], dim=1)
        rig = self.shapes(self.window(self.heard(seen_BTF)))[:, 0]
        state = torch.cat([backbone, seen_BTF[:, 1:].flatten(1)], dim=1)
        return Moved(rig.clamp(0, 1), self.usual.expand(len(rig), -1), state)

    def heard(self, seen_BTF: Tensor) -> Tensor:
        """Its principal components; zeros, which is what the state begins with, are silence."""
        levels = seen_BTF[..., -LEVELS:]
        unheard = (levels == 0).to(levels.dtype)
        heard_BTF = torch.cat([seen_BTF[..., :-LEVELS], levels + unheard * _AT_REST], dim=2)
        return (heard_BTF - self.heard_mean) @ self.heard_axes

    def listen(self, sound_BN: Tensor) -> Tensor:
        """A whole recording [B, N] -> [B, T, 52], of the end of each step.

        Silence follows the end, so that the last steps get their look-ahead.
        """
        steps = -(-sound_BN.shape[1] // STEP_SAMPLES) + LOOK_AHEAD_STEPS
        padded = F.pad(sound_BN, (0, steps * STEP_SAMPLES - sound_BN.shape[1]))
        heard_BTF, _ = self.hearing(padded, self.hearing.backbone.begin(len(padded)))
        return self.follow(heard_BTF)[:, LOOK_AHEAD_STEPS:].clamp(0, 1)

    def follow(self, heard_BTF: Tensor) -> Tensor:
        """Shapes [B, T, 52], as late as answers come, of what is heard from the beginning on."""
        past = heard_BTF.new_zeros(len(heard_BTF), self.window.past, heard_BTF.shape[2])
        return self.shapes(self.window(self.heard(torch.cat([past, heard_BTF], dim=1))))

    def shapes(self, x_BCT: Tensor) -> Tensor:
        """Shapes [B, T, 52] of what the window is made of."""
        rig: Tensor = self.leave(x_BCT).transpose(1, 2) @ self.components + self.middle
        return rig

    def settle(self, heard_NF: Tensor, rig_NK: Tensor, weights_K: Tensor, usual_K: Tensor) -> None:
        """Learn what is usual, and the components of what is heard and of shapes that count as
        ``weights_K`` says, before training."""
        self.heard_mean.copy_(heard_NF.mean(dim=0))
        self.heard_axes.copy_(whitening(heard_NF, self.size.heard))
        self.usual.copy_(usual_K)
        middle, components = principal(rig_NK, weights_K, self.size.components)
        self.middle.copy_(middle)
        self.components.copy_(components)


def whitening(heard_NF: Tensor, count: int) -> Tensor:
    """What brings features, less their mean, to principal components of deviation 1 [F, count]."""
    scale = heard_NF.std(dim=0) + 1e-3
    energies, axes = torch.linalg.eigh(((heard_NF - heard_NF.mean(dim=0)) / scale).T.cov())
    into: Tensor = axes[:, -count:] / energies[-count:].clamp(min=1e-6).sqrt() / scale[:, None]
    return into


def principal(rig_NK: Tensor, weights_K: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The mean of shapes [52] and their principal components [count, 52], each as long as a
    deviation; shapes count as ``weights_K`` says."""
    middle = rig_NK.mean(dim=0)
    scaled = (rig_NK - middle) * weights_K
    _, spread, directions = torch.linalg.svd(scaled, full_matrices=False)
    found = min(count, len(directions))
    deviation = spread[:found, None] / len(rig_NK) ** 0.5
    components = torch.zeros(count, rig_NK.shape[1])
    components[:found] = directions[:found] * deviation / weights_K.clamp(min=1e-3)
    return middle, components * (weights_K > 0)
