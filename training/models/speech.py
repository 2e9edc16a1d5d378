"""Speech emotion encoder of EAP: log-mel to features e[1:n] (E_E) and an LSTM classifier (eq. 5).

Causal, four mel frames (40 ms) at a time, so that e has the video's rate. What is said of a step is
said one step later: the look-ahead is 40 ms of mel frames and the 15 ms by which the last window
reaches over, 55 ms in all. The state is one vector and the caller's.
Legend: B batch, M mel frames, T steps of 4 mel frames, C channels, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.types import EMOTIONS
from training.models.layers import AffectHeads, LSTMStep
from training.models.visual import Affect

MEL_BINS: Final = 80
STEP_MELS: Final = 4
LOOK_AHEAD_STEPS: Final = 1
LOOK_AHEAD_MS: Final = LOOK_AHEAD_STEPS * STEP_MELS * 10 + 15
_LEVEL_STEPS: Final = 250.0  # the voice's own level is a mean over about ten seconds


@dataclass(frozen=True, kw_only=True)
class SpeechSize:
    """``channels`` of the convolutions, their ``dilations`` in steps, ``features`` of e."""

    channels: int = 128
    dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2, 4, 8)
    features: int = 128


class SpeechEncoder(nn.Module):
    """mel [B, 4, 80] (log, natural), state [B, S] (zeros at first) -> Affect of one step before."""

    def __init__(self, size: SpeechSize = SpeechSize()) -> None:
        super().__init__()
        self.size = size
        channels = size.channels
        self.enter = nn.Sequential(
            nn.Linear(2 * STEP_MELS * MEL_BINS, 2 * channels),
            nn.LeakyReLU(0.1),
            nn.Linear(2 * channels, channels),
        )
        self.blocks = nn.ModuleList([_Causal(channels, dilation) for dilation in size.dilations])
        self.feature = nn.Linear(channels, size.features)
        self.classify = LSTMStep(size.features, size.features)
        self.heads = AffectHeads(size.features, len(EMOTIONS))
        caches = [2 * dilation * channels for dilation in size.dilations]
        self._parts = [1, MEL_BINS, *caches, 2 * size.features]

    def forward(self, mel_BMD: Tensor, state_BS: Tensor) -> Affect:
        """One step; the answer belongs to the mel frames of the call before."""
        answer, state = self._run(mel_BMD[:, None], state_BS)
        e, emotion, valence_arousal, intensity = (part[:, 0] for part in answer)
        return Affect(e, emotion, valence_arousal, intensity, state)

    def begin(self, batch: int) -> Tensor:
        """The state before the first step [B, S]."""
        return self.feature.weight.new_zeros(batch, sum(self._parts))

    def listen(self, mel_BMD: Tensor) -> Affect:
        """A whole recording [B, M, 80]; answers [B, T, ...], each at its own place in time.

        The end is filled with the last mel frame, so that the last steps get their look-ahead.
        """
        steps = -(-mel_BMD.shape[1] // STEP_MELS) + LOOK_AHEAD_STEPS
        missing = steps * STEP_MELS - mel_BMD.shape[1]
        padded = torch.cat([mel_BMD, mel_BMD[:, -1:].expand(-1, missing, -1)], dim=1)
        mels = padded.reshape(len(mel_BMD), steps, STEP_MELS, MEL_BINS)
        answer, state = self._run(mels, self.begin(len(mel_BMD)))
        late = [part[:, LOOK_AHEAD_STEPS:] for part in answer]
        return Affect(late[0], late[1], late[2], late[3], state)

    def _run(
        self, mel_BTMD: Tensor, state_BS: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
        batch, steps = mel_BTMD.shape[:2]
        heard, level, *caches, kept = torch.split(state_BS, self._parts, dim=1)
        levelled = []
        for t in range(steps):
            share = 1 / (torch.clamp(heard, max=_LEVEL_STEPS) + 1)
            level = level + (mel_BTMD[:, t].mean(dim=1) - level) * share
            heard = torch.clamp(heard + 1, max=_LEVEL_STEPS)
            # Seen twice: without its loudness, and without this voice's and room's own spectrum.
            loudness = level.mean(dim=1)[:, None, None]
            seen = [mel_BTMD[:, t] - loudness, mel_BTMD[:, t] - level[:, None]]
            levelled.append(torch.cat(seen, dim=2))
        x_BTD = self.enter(torch.stack(levelled, dim=1).flatten(2) * 0.5)
        x_BCT = x_BTD.transpose(1, 2)
        fresh = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x_BCT, cache = block(x_BCT, cache)
            fresh.append(cache)
        e_BTD = self.feature(x_BCT.transpose(1, 2))
        said = []
        for t in range(steps):
            out, kept = self.classify(e_BTD[:, t], kept)
            said.append(out)
        said_BTD = torch.stack(said, dim=1)
        heads = [part.reshape(batch, steps, -1) for part in self.heads(said_BTD.flatten(0, 1))]
        e_unit = F.normalize(e_BTD, dim=2, eps=1e-4)
        state = torch.cat([heard, level, *fresh, kept], dim=1)
        return (e_unit, heads[0], heads[1], heads[2]), state


class _Causal(nn.Module):
    """A dilated convolution over this step and two before, gated, beside a shortcut."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.channels, self.past = channels, 2 * dilation
        self.filter = nn.Conv1d(channels, 2 * channels, 3, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x_BCT: Tensor, cache_BS: Tensor) -> tuple[Tensor, Tensor]:
        cache_BCT = cache_BS.reshape(-1, self.channels, self.past)
        seen = torch.cat([cache_BCT, x_BCT], dim=2)
        value, gate = self.filter(seen).chunk(2, dim=1)
        out = x_BCT + self.mix(torch.tanh(value) * torch.sigmoid(gate))
        return out, seen[:, :, -self.past :].flatten(1)
