"""Speech emotion encoder of EAP: sound to what a voice feels, by what it was like so far.

Causal, 640 samples (40 ms) at a time, so that answers have the video's rate. What is said of a step
is said one step later, so the look-ahead is 40 ms. The state is one vector and the caller's.

Few voices are labelled, so what is heard comes from an ear that was trained on many for another
task (`ear.py`) and stays as it is. A feeling shows in how a voice varies over seconds: what is
learned is one linear layer on mean and deviation of what was heard, which forget. They begin at
what is usual, so that a first syllable counts for little. EAP's LSTM (eq. 5) in their place knew
strangers worse: there is too little to learn it from.
Legend: B batch, N samples or moments, T steps of 640 samples, F features of the ear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.types import EMOTIONS
from training.models.ear import EAR_WIDTH, STEP_SAMPLES, Ear
from training.models.layers import Scale

LOOK_AHEAD_STEPS: Final = 1
LOOK_AHEAD_MS: Final = LOOK_AHEAD_STEPS * 40
_KEPT: Final = 1 - 1 / 125  # the statistics forget within about five seconds
_USUAL_STEPS: Final = 12.0  # what is usual counts as much as half a second of voice
_AT_ONCE: Final = 400  # steps: what fades further loses its digits
_NEUTRAL: Final = EMOTIONS.index("neutral")
_EMOTIONS: Final = len(EMOTIONS) + 1
SAID: Final = _EMOTIONS + 3


@dataclass(frozen=True, kw_only=True)
class SpeechSize:
    """Of the ear: ``width``, ``heads``, ``layers`` and the steps it looks back on (``past``). These
    are the learned ear's."""

    width: int = EAR_WIDTH
    heads: int = 8
    layers: int = 2
    past: int = 50


class Heard(NamedTuple):
    """As Affect: ``embedding`` [B, 12] of unit length, ``emotion`` logits [B, 8],
    ``valence_arousal`` [B, 2] in -1..1, ``intensity`` [B, 1] in 0..1, the ``state`` [B, S] to hand
    to the next step; and ``boredom`` [B, 1], the logit of a voice that counts as neutral being a
    bored one. The embedding is all that is said, before it is brought into its ranges."""

    embedding: Tensor
    emotion: Tensor
    valence_arousal: Tensor
    intensity: Tensor
    state: Tensor
    boredom: Tensor


class SpeechEncoder(nn.Module):
    """sound [B, 640] in -1..1, state [B, S] (zeros at first) -> Heard of one step before."""

    usual: Tensor

    def __init__(self, size: SpeechSize = SpeechSize()) -> None:
        super().__init__()
        self.size = size
        self.ear = Ear(size.width, size.heads, size.layers, size.past)
        told = self.ear.features
        usual = torch.cat([torch.zeros(told), torch.ones(told)])
        self.register_buffer("usual", usual)  # mean and mean square
        self.scale = Scale(2 * told)
        self.feel = nn.Linear(2 * told, SAID)
        self._parts = [self.ear.begin(1).shape[1], 1, 2 * told]

    def forward(self, sound_BN: Tensor, state_BS: Tensor) -> Heard:
        """One step; the answer belongs to the samples of the call before."""
        ear, count, moments = torch.split(state_BS, self._parts, dim=1)
        heard_BTF, ear = self.ear(sound_BN, ear)
        count, moments = forgetting(heard_BTF, count, moments)
        said = self.judge(count[:, 0], moments[:, 0])
        return said._replace(state=torch.cat([ear, count[:, 0], moments[:, 0]], dim=1))

    def begin(self, batch: int) -> Tensor:
        """The state before the first step [B, S]."""
        return self.usual.new_zeros(batch, sum(self._parts))

    def listen(self, sound_BN: Tensor) -> Heard:
        """A whole recording [B, N]; answers [B, T, ...], each at its own place in time.

        Silence follows the end, so that the last steps get their look-ahead.
        """
        count, moments, ear = self.hear(sound_BN)
        said = self.judge(count.flatten(0, 1), moments.flatten(0, 1))
        late = [
            part.reshape(*count.shape[:2], -1)[:, LOOK_AHEAD_STEPS:]
            for part in (*said[:4], said.boredom)
        ]
        state = torch.cat([ear, count[:, -1], moments[:, -1]], dim=1)
        return Heard(late[0], late[1], late[2], late[3], state, late[4])

    def hear(self, sound_BN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of a whole recording [B, N], at each step: how much was heard [B, T + 1, 1] and its
        moments [B, T + 1, 2 F]; and the ear's state afterwards. No training changes any of it."""
        steps = -(-sound_BN.shape[1] // STEP_SAMPLES) + LOOK_AHEAD_STEPS
        padded = F.pad(sound_BN, (0, steps * STEP_SAMPLES - sound_BN.shape[1]))
        heard_BTF, state = self.ear(padded, self.ear.begin(len(padded)))
        begun = [self.usual.new_zeros(len(padded), part) for part in self._parts[1:]]
        return *forgetting(heard_BTF, begun[0], begun[1]), state

    def settle(self, count_N1: Tensor, moments_NF: Tensor) -> None:
        """Learn what is usual, and bring what voices show to one scale, before training."""
        self.usual.copy_((count_N1 * moments_NF).sum(dim=0) / count_N1.sum())
        self.scale.fit(self._statistics(count_N1, moments_NF))

    def judge(self, count_N1: Tensor, moments_NF: Tensor) -> Heard:
        """What is said of moments; the state is left empty."""
        out = self.feel(self.scale(self._statistics(count_N1, moments_NF)))
        nine, affect, intensity = torch.split(out, [_EMOTIONS, 2, 1], dim=1)
        emotion, boredom = _fold(nine)
        affect, intensity = torch.tanh(affect), torch.sigmoid(intensity)
        whole = F.normalize(out, dim=1, eps=1e-4)
        return Heard(whole, emotion, affect, intensity, out[:, :0], boredom)

    def _statistics(self, count_N1: Tensor, moments_NF: Tensor) -> Tensor:
        """Mean and deviation [N, 2 F]."""
        share_N1 = count_N1 / (count_N1 + _USUAL_STEPS)
        mean, square = (self.usual + share_N1 * (moments_NF - self.usual)).chunk(2, dim=1)
        usual, usual_square = self.usual.chunk(2)
        floor = 0.01 * (usual_square - usual * usual) + 1e-6
        return torch.cat([mean, torch.sqrt(F.relu(square - mean * mean) + floor)], dim=1)


def forgetting(what_BTF: Tensor, count_B1: Tensor, moments_BF: Tensor) -> tuple[Tensor, Tensor]:
    """How much was heard so far [B, T, 1], and the means of it and of its square [B, T, 2 F], older
    steps counting less.

    Many at once: the sum of k^(t-s) f_s is k^t times the running sum of k^-s f_s.
    """
    counts, moments = [], []
    for start in range(0, what_BTF.shape[1], _AT_ONCE):
        part_BTF = what_BTF[:, start : start + _AT_ONCE]
        both_BTF = torch.cat([part_BTF, part_BTF * part_BTF], dim=2)
        steps = part_BTF.shape[1]
        if steps == 1:
            total = (_KEPT * count_B1 + 1)[:, None]
            mean = moments_BF[:, None] + (both_BTF - moments_BF[:, None]) / total
        else:
            age = torch.arange(1, steps + 1, device=part_BTF.device, dtype=part_BTF.dtype)
            faded = (_KEPT**age)[None, :, None]
            total = faded * (count_B1[:, None] + (1 / faded).cumsum(dim=1))
            before = (count_B1 * moments_BF)[:, None]
            mean = faded * (before + (both_BTF / faded).cumsum(dim=1)) / total
        count_B1, moments_BF = total[:, -1], mean[:, -1]
        counts.append(total)
        moments.append(mean)
    return torch.cat(counts, dim=1), torch.cat(moments, dim=1)


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
