"""Speech emotion encoder of EAP: log-mel to features e[1:n] (E_E) and an LSTM classifier (eq. 5).

Causal, four mel frames (40 ms) at a time, so that e has the video's rate. What is said of a step is
said one step later: the look-ahead is 40 ms of mel frames and the 15 ms by which the last window
reaches over, 55 ms in all. The state is one vector and the caller's.

The classifier hears e through an LSTM and through running statistics, since a feeling shows in how
a voice varies over seconds: means and deviations of e, weighted by an attention of their own
(attentive statistics pooling, Okabe et al. 2018, eq. 5-6, made causal by forgetting), and the
level, spread and swing of each mel bin, which are the functionals of old.
Legend: B batch, M mel frames, T steps of 4 mel frames, C channels, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.types import EMOTIONS
from training.models.layers import AffectHeads, LSTMStep

MEL_BINS: Final = 80
STEP_MELS: Final = 4
LOOK_AHEAD_STEPS: Final = 1
LOOK_AHEAD_MS: Final = LOOK_AHEAD_STEPS * STEP_MELS * 10 + 15
_LEVEL_STEPS: Final = 250.0  # the voice's own level is a mean over about ten seconds
_KEPT: Final = 1 - 1 / 125  # the statistics of e forget within about five
_AT_ONCE: Final = 400  # steps: what fades further loses its digits
_NEUTRAL: Final = EMOTIONS.index("neutral")
_DROPPED: Final = 0.15


@dataclass(frozen=True, kw_only=True)
class SpeechSize:
    """``channels`` of the convolutions, their ``dilations`` in steps, ``features`` of e."""

    channels: int = 48
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    features: int = 80


class Heard(NamedTuple):
    """As Affect: ``embedding`` [B, D] of unit length, ``emotion`` logits [B, 8],
    ``valence_arousal`` [B, 2] in -1..1, ``intensity`` [B, 1] in 0..1, the ``state`` [B, S] to hand
    to the next step; and ``boredom`` [B, 1], the logit of a voice that counts as neutral being a
    bored one."""

    embedding: Tensor
    emotion: Tensor
    valence_arousal: Tensor
    intensity: Tensor
    state: Tensor
    boredom: Tensor


class SpeechEncoder(nn.Module):
    """mel [B, 4, 80] (log, natural), state [B, S] (zeros at first) -> Heard of one step before."""

    def __init__(self, size: SpeechSize = SpeechSize()) -> None:
        super().__init__()
        self.size = size
        channels, features = size.channels, size.features
        self.stem = _Stem(max(channels // 4, 2))
        self.enter = nn.Sequential(
            nn.Linear(self.stem.features, channels), nn.LeakyReLU(0.1), nn.Dropout(_DROPPED / 2)
        )
        self.blocks = nn.ModuleList([_Causal(channels, dilation) for dilation in size.dilations])
        self.feature = nn.Linear(channels, features)
        self.attend = nn.Linear(features, 1)
        self.classify = LSTMStep(features, features)
        self.functionals = nn.Sequential(
            nn.Dropout(_DROPPED), nn.Linear(3 * MEL_BINS, features // 2), nn.LeakyReLU(0.1)
        )
        self.gather = nn.Sequential(
            nn.Dropout(_DROPPED),
            nn.Linear(3 * features + features // 2, features),
            nn.LeakyReLU(0.1),
            nn.Dropout(_DROPPED),
        )
        self.heads = AffectHeads(features, len(EMOTIONS) + 1)
        caches = [2 * dilation * channels for dilation in size.dilations]
        pooled = 1 + 2 * features
        self._parts = [1, 3 * MEL_BINS, *self.stem.caches, *caches, 2 * features, pooled]

    def forward(self, mel_BMD: Tensor, state_BS: Tensor) -> Heard:
        """One step; the answer belongs to the mel frames of the call before."""
        answer, state = self._run(mel_BMD[:, None], state_BS)
        e, emotion, valence_arousal, intensity, boredom = (part[:, 0] for part in answer)
        return Heard(e, emotion, valence_arousal, intensity, state, boredom)

    def begin(self, batch: int) -> Tensor:
        """The state before the first step [B, S]."""
        return self.feature.weight.new_zeros(batch, sum(self._parts))

    def listen(self, mel_BMD: Tensor) -> Heard:
        """A whole recording [B, M, 80]; answers [B, T, ...], each at its own place in time.

        The end is filled with the last mel frame, so that the last steps get their look-ahead.
        """
        steps = -(-mel_BMD.shape[1] // STEP_MELS) + LOOK_AHEAD_STEPS
        missing = steps * STEP_MELS - mel_BMD.shape[1]
        padded = torch.cat([mel_BMD, mel_BMD[:, -1:].expand(-1, missing, -1)], dim=1)
        mels = padded.reshape(len(mel_BMD), steps, STEP_MELS, MEL_BINS)
        answer, state = self._run(mels, self.begin(len(mel_BMD)))
        late = [part[:, LOOK_AHEAD_STEPS:] for part in answer]
        return Heard(late[0], late[1], late[2], late[3], state, late[4])

    def _run(self, mel_BTMD: Tensor, state_BS: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        batch, steps = mel_BTMD.shape[:2]
        heard, course, *caches, kept, pooled = torch.split(state_BS, self._parts, dim=1)
        stem_caches, caches = caches[: len(self.stem.caches)], caches[len(self.stem.caches) :]
        level, spread, swing, heard = _course(mel_BTMD, heard, course)
        # Seen twice: without its loudness, and without this voice's and room's own spectrum.
        loudness = level.mean(dim=2, keepdim=True)
        seen = [mel_BTMD - loudness[:, :, None], mel_BTMD - level[:, :, None]]
        x_BCMD = 0.5 * torch.stack(seen, dim=1).flatten(2, 3)
        x_BTD, stem_fresh = self.stem(x_BCMD, stem_caches)
        x_BCT = self.enter(x_BTD).transpose(1, 2)
        fresh = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x_BCT, cache = block(x_BCT, cache)
            fresh.append(cache)
        e_BTD = self.feature(x_BCT.transpose(1, 2))
        said_BTD, kept = self.classify.run(e_BTD, kept)
        statistics_BTD, pooled = self._pool(e_BTD, pooled)
        old_BTD = self.functionals(torch.cat([level - loudness, spread, swing], dim=2))
        gathered = self.gather(torch.cat([said_BTD, statistics_BTD, old_BTD], dim=2))
        logits, affect, intensity = self.heads(gathered.flatten(0, 1))
        emotion, boredom = _fold(logits)
        parts = [part.reshape(batch, steps, -1) for part in (emotion, affect, intensity, boredom)]
        e_unit = F.normalize(e_BTD, dim=2, eps=1e-4)
        course = torch.cat([level[:, -1], spread[:, -1], swing[:, -1]], dim=1)
        state = torch.cat([heard, course, *stem_fresh, *fresh, kept, pooled], dim=1)
        return (e_unit, *parts), state

    def _pool(self, e_BTD: Tensor, pooled_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Attended mean and deviation of e so far [B, T, 2 D], and what to go on with."""
        force_BTD = torch.exp(4 * torch.tanh(self.attend(e_BTD)))
        both_BTD = torch.cat([e_BTD, e_BTD * e_BTD], dim=2)
        said = []
        for start in range(0, e_BTD.shape[1], _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            total, moments = _forgetting(force_BTD[:, part], both_BTD[:, part], pooled_BS)
            pooled_BS = torch.cat([total[:, -1], moments[:, -1]], dim=1)
            mean, square = moments.chunk(2, dim=2)
            said.append(torch.cat([mean, torch.sqrt(F.relu(square - mean * mean) + 1e-3)], dim=2))
        return torch.cat(said, dim=1), pooled_BS


def _forgetting(force_BT1: Tensor, what_BTD: Tensor, before_BS: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of force [B, T, 1] and its mean of ``what`` [B, T, D] so far, older ones counting less.

    All steps at once: sum of k^(t-s) f_s is k^t times the running sum of k^-s f_s.
    """
    steps = force_BT1.shape[1]
    total0, moments0 = before_BS[:, None, :1], before_BS[:, None, 1:]
    if steps == 1:
        total = _KEPT * total0 + force_BT1
        return total, moments0 + (what_BTD - moments0) * (force_BT1 / total)
    age = torch.arange(1, steps + 1, device=force_BT1.device, dtype=force_BT1.dtype)[None, :, None]
    faded = _KEPT**age
    weighed = force_BT1 / faded
    total = faded * (total0 + weighed.cumsum(dim=1))
    summed = faded * (total0 * moments0 + (weighed * what_BTD).cumsum(dim=1))
    return total, summed / total


def _course(
    mel_BTMD: Tensor, heard_B1: Tensor, course_BS: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Running level, spread and swing of each mel bin [B, T, 80], each a mean over all steps so far
    and later over the last ten seconds or so; and how many steps have been heard."""
    level0, spread0, swing0 = (part[:, None] for part in course_BS.chunk(3, dim=1))
    rows_BTD = mel_BTMD.mean(dim=2)
    swings_BTD = (mel_BTMD[:, :, 1:] - mel_BTMD[:, :, :-1]).abs().mean(dim=2)
    steps = mel_BTMD.shape[1]
    if steps == 1 or float(heard_B1.max()) + steps > _LEVEL_STEPS:
        return _course_by_steps(mel_BTMD, rows_BTD, swings_BTD, heard_B1, level0, spread0, swing0)
    count = heard_B1[:, None] + torch.arange(1, steps + 1, device=heard_B1.device)[None, :, None]

    def mean(before: Tensor, fresh: Tensor) -> Tensor:
        return (heard_B1[:, None] * before + fresh.cumsum(dim=1)) / count

    level = mean(level0, rows_BTD)
    spread = mean(spread0, (mel_BTMD - level[:, :, None]).abs().mean(dim=2))
    return level, spread, mean(swing0, swings_BTD), heard_B1 + steps


def _course_by_steps(
    mel_BTMD: Tensor,
    rows_BTD: Tensor,
    swings_BTD: Tensor,
    heard: Tensor,
    level: Tensor,
    spread: Tensor,
    swing: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same step by step, for one step or beyond the ten seconds."""
    courses = []
    for t in range(mel_BTMD.shape[1]):
        share = (1 / (torch.clamp(heard, max=_LEVEL_STEPS) + 1))[:, None]
        level = level + (rows_BTD[:, t : t + 1] - level) * share
        apart = (mel_BTMD[:, t] - level).abs().mean(dim=1, keepdim=True)
        spread = spread + (apart - spread) * share
        swing = swing + (swings_BTD[:, t : t + 1] - swing) * share
        heard = torch.clamp(heard + 1, max=_LEVEL_STEPS)
        courses.append((level, spread, swing))
    levels, spreads, swings = (torch.cat(parts, dim=1) for parts in zip(*courses, strict=True))
    return levels, spreads, swings, heard


class _Stem(nn.Module):
    """Mel frames [B, 2, 4 T, 80] to features [B, T, D]: convolutions over time and pitch, so that
    what is learned of one voice's height holds for another's; causal, with caches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Frames(2, channels, (3, 5), (2, 2))
        self.second = _Frames(channels, 2 * channels, (3, 5), (2, 2))
        self.third = _Frames(2 * channels, 2 * channels, (3, 3), (1, 2))
        self.features = 2 * channels * MEL_BINS // 8
        # Frames that a convolution needs from before, by its channels and bins.
        self._shapes = (
            (2, 1, MEL_BINS),
            (channels, 1, MEL_BINS // 2),
            (2 * channels, 2, MEL_BINS // 4),
        )
        self.caches = [a * b * c for a, b, c in self._shapes]

    def forward(self, x_BCMD: Tensor, caches: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        fresh = []
        layers = (self.first, self.second, self.third)
        for layer, shape, cache in zip(layers, self._shapes, caches, strict=True):
            seen = torch.cat([cache.reshape(-1, *shape), x_BCMD], dim=2)
            fresh.append(seen[:, :, -shape[1] :].flatten(1))
            x_BCMD = layer(seen)
        return x_BCMD.permute(0, 2, 1, 3).flatten(2), fresh


class _Frames(nn.Sequential):
    """A convolution over frames and bins, batch norm, leaky ReLU; the caller pads the frames."""

    def __init__(
        self, channels_in: int, channels: int, size: tuple[int, int], stride: tuple[int, int]
    ) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels, size, stride, (0, size[1] // 2), bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.1),
        )


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


def _fold(logits_BC: Tensor) -> tuple[Tensor, Tensor]:
    """Nine logits, the last of them boredom's, as eight (the bored count as neutral) and one."""
    neutral, bored = logits_BC[:, _NEUTRAL : _NEUTRAL + 1], logits_BC[:, -1:]
    larger = torch.maximum(neutral, bored)
    both = larger + torch.log(torch.exp(neutral - larger) + torch.exp(bored - larger))
    eight = torch.cat([logits_BC[:, :_NEUTRAL], both, logits_BC[:, _NEUTRAL + 1 : -1]], dim=1)
    return eight, bored - neutral


def log_shares(heard: Heard) -> Tensor:
    """Log-probabilities [..., 9] of the eight emotions, neutral without boredom, and of boredom."""
    shares = torch.log_softmax(heard.emotion, dim=-1)
    neutral = shares[..., _NEUTRAL : _NEUTRAL + 1]
    calm = neutral + F.logsigmoid(-heard.boredom)
    bored = neutral + F.logsigmoid(heard.boredom)
    return torch.cat([shares[..., :_NEUTRAL], calm, shares[..., _NEUTRAL + 1 :], bored], dim=-1)
