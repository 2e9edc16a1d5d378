"""Speech emotion encoder of EAP: sound to what a voice feels, by what it was like so far.

Causal, 640 samples (40 ms) at a time, so that answers have the video's rate. The answer for a step
comes one step later, so the look-ahead is 40 ms. The state is one vector and the caller's.

Few voices are labelled, so what is heard comes from a backbone that was trained on many for another
task (`audio_backbone.py`) and stays as it is. A feeling shows in how a voice varies over seconds:
what is learned is one linear layer on mean and deviation of what was heard, which forget. They
begin at what is usual, so that a first syllable counts for little. EAP's LSTM (eq. 5) in their
place knew strangers worse: there is too little to learn it from.

A voice that is high, hoarse or far away isn't a feeling, it is somebody. So the same statistics are
kept over minutes, too: what this speaker is usually like is taken away, the more the longer they
have been heard.
Legend: B batch, N samples or moments, T steps of 640 samples, F features of the audio backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from face.types import EMOTIONS
from training.models.audio_backbone import STEP_SAMPLES, AudioBackbone
from training.models.layers import Scale

LOOK_AHEAD_STEPS: Final = 1
LOOK_AHEAD_MS: Final = LOOK_AHEAD_STEPS * 40
_KEPT: Final = 1 - 1 / 125  # the statistics forget within about five seconds
_USUAL_STEPS: Final = 12.0  # what is usual counts as much as half a second of voice
_SPEAKER_KEPT: Final = 1 - 1 / 3000  # those of the speaker forget within about two minutes
_SPEAKER_STEPS: Final = 250.0  # who has spoken for ten seconds is half known
_AT_ONCE: Final = 400  # steps: what fades further loses its digits
_NEUTRAL: Final = EMOTIONS.index("neutral")
SHADES: Final = ("boredom", "calm")
"""voices that are kept apart and count as neutral"""
_EMOTIONS: Final = len(EMOTIONS) + len(SHADES)
OUTPUTS: Final = _EMOTIONS + 3


@dataclass(frozen=True, kw_only=True)
class SpeechSize:
    """Of the audio backbone: ``width``, ``heads``, ``layers`` and the steps it looks back on
    (``past``)."""

    width: int
    heads: int
    layers: int
    past: int


class Heard(NamedTuple):
    """As Affect: ``embedding`` [B, 12] of unit length, ``emotion`` logits [B, 8],
    ``valence_arousal`` [B, 2] in -1..1, ``intensity`` [B, 1] in 0..1, the ``state`` [B, S] to hand
    to the next step; ``boredom`` [B, 1], the logit of a voice that counts as neutral being a bored
    one, and ``calm`` [B, 1], of one that isn't bored being a calm one. The embedding is all that is
    answered, before it is brought into its ranges."""

    embedding: Tensor
    emotion: Tensor
    valence_arousal: Tensor
    intensity: Tensor
    state: Tensor
    boredom: Tensor
    calm: Tensor


class SpeechEncoder(nn.Module):
    """sound [B, 640] in -1..1, state [B, S] (zeros at first) -> Heard of one step before."""

    usual: Tensor

    def __init__(self, size: SpeechSize) -> None:
        super().__init__()
        self.size = size
        self.backbone = AudioBackbone(size.width, size.heads, size.layers, size.past)
        features = self.backbone.features
        usual = torch.cat([torch.zeros(features), torch.ones(features)])
        self.register_buffer("usual", usual)  # mean and mean square
        self.scale = Scale(2 * features)
        self.feel = nn.Linear(2 * features, OUTPUTS)
        self._parts = [self.backbone.begin(1).shape[1], 1, 2 * features, 1, 2 * features]

    def forward(self, sound_BN: Tensor, state_BS: Tensor) -> Heard:
        """One step; the answer belongs to the samples of the call before."""
        backbone, *kept = torch.split(state_BS, self._parts, dim=1)
        heard_BTF, backbone = self.backbone(sound_BN, backbone)
        now = [part[:, 0] for part in self._follow(heard_BTF, kept)]
        return self.judge(*now)._replace(state=torch.cat([backbone, *now], dim=1))

    def begin(self, batch: int) -> Tensor:
        """The state before the first step [B, S]."""
        return self.usual.new_zeros(batch, sum(self._parts))

    def listen(self, sound_BN: Tensor) -> Heard:
        """A whole recording [B, N]; answers [B, T, ...], each at its own place in time.

        Silence follows the end, so that the last steps get their look-ahead.
        """
        *heard, backbone = self.hear(sound_BN)
        answers = self.judge(*(part.flatten(0, 1) for part in heard))
        late = [
            part.reshape(*heard[0].shape[:2], -1)[:, LOOK_AHEAD_STEPS:]
            for part in (*answers[:4], answers.boredom, answers.calm)
        ]
        state = torch.cat([backbone, *(part[:, -1] for part in heard)], dim=1)
        return Heard(late[0], late[1], late[2], late[3], state, late[4], late[5])

    def hear(self, sound_BN: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Of a whole recording [B, N], at each step: how much was heard [B, T + 1, 1] and its
        moments [B, T + 1, 2 F], lately and of the speaker; and the backbone's state afterwards. No
        training changes any of it."""
        steps = -(-sound_BN.shape[1] // STEP_SAMPLES) + LOOK_AHEAD_STEPS
        padded = F.pad(sound_BN, (0, steps * STEP_SAMPLES - sound_BN.shape[1]))
        heard_BTF, state = self.backbone(padded, self.backbone.begin(len(padded)))
        begun = [self.usual.new_zeros(len(padded), part) for part in self._parts[1:]]
        count, moments, speaker_count, speaker = self._follow(heard_BTF, begun)
        return count, moments, speaker_count, speaker, state

    def _follow(self, heard_BTF: Tensor, kept: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What was heard lately, and of the speaker, at each step."""
        lately = forgetting(heard_BTF, kept[0], kept[1], _KEPT)
        return *lately, *forgetting(heard_BTF, kept[2], kept[3], _SPEAKER_KEPT)

    def settle(self, count_N1: Tensor, moments_NF: Tensor) -> None:
        """Learn what is usual, and bring what voices show to one scale, before training."""
        self.usual.copy_((count_N1 * moments_NF).sum(dim=0) / count_N1.sum())
        self.scale.fit(self._statistics(count_N1, moments_NF, _USUAL_STEPS))

    def judge(
        self, count_N1: Tensor, moments_NF: Tensor, speaker_count_N1: Tensor, speaker_NF: Tensor
    ) -> Heard:
        """Answers for moments, of a speaker who is usually like that; the state is left
        empty."""
        usual = self._statistics(torch.zeros_like(count_N1), moments_NF, 1)
        own = self._statistics(speaker_count_N1, speaker_NF, _SPEAKER_STEPS) - usual
        out = self.feel(self.scale(self._statistics(count_N1, moments_NF, _USUAL_STEPS) - own))
        logits, affect, intensity = torch.split(out, [_EMOTIONS, 2, 1], dim=1)
        emotion, boredom, calm = _fold(logits)
        affect, intensity = torch.tanh(affect), torch.sigmoid(intensity)
        whole = F.normalize(out, dim=1, eps=1e-4)
        return Heard(whole, emotion, affect, intensity, out[:, :0], boredom, calm)

    def _statistics(self, count_N1: Tensor, moments_NF: Tensor, doubt_steps: float) -> Tensor:
        """Mean and deviation [N, 2 F]; what is usual counts as much as so many steps."""
        share_N1 = count_N1 / (count_N1 + doubt_steps)
        mean, square = (self.usual + share_N1 * (moments_NF - self.usual)).chunk(2, dim=1)
        usual, usual_square = self.usual.chunk(2)
        floor = 0.01 * (usual_square - usual * usual) + 1e-6
        return torch.cat([mean, torch.sqrt(F.relu(square - mean * mean) + floor)], dim=1)


def forgetting(
    what_BTF: Tensor, count_B1: Tensor, moments_BF: Tensor, kept: float = _KEPT
) -> tuple[Tensor, Tensor]:
    """How much was heard so far [B, T, 1], and the means of it and of its square [B, T, 2 F], older
    steps counting less: ``kept`` of what they counted a step before.

    Many at once: the sum of k^(t-s) f_s is k^t times the running sum of k^-s f_s.
    """
    counts, moments = [], []
    for start in range(0, what_BTF.shape[1], _AT_ONCE):
        part_BTF = what_BTF[:, start : start + _AT_ONCE]
        both_BTF = torch.cat([part_BTF, part_BTF * part_BTF], dim=2)
        steps = part_BTF.shape[1]
        if steps == 1:
            total = (kept * count_B1 + 1)[:, None]
            mean = moments_BF[:, None] + (both_BTF - moments_BF[:, None]) / total
        else:
            age = torch.arange(1, steps + 1, device=part_BTF.device, dtype=part_BTF.dtype)
            faded = (kept**age)[None, :, None]
            total = faded * (count_B1[:, None] + (1 / faded).cumsum(dim=1))
            before = (count_B1 * moments_BF)[:, None]
            mean = faded * (before + (both_BTF / faded).cumsum(dim=1)) / total
        count_B1, moments_BF = total[:, -1], mean[:, -1]
        counts.append(total)
        moments.append(mean)
    return torch.cat(counts, dim=1), torch.cat(moments, dim=1)


def _fold(logits_BC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of the emotions and SHADES as eight (the bored and the calm count as neutral), and
    what divides neutral again, as in Heard."""
    eight, bored, calm = torch.split(logits_BC, [len(EMOTIONS), 1, 1], dim=1)
    plain = eight[:, _NEUTRAL : _NEUTRAL + 1]
    unbored = _either(plain, calm)
    neutral = _either(unbored, bored)
    folded = torch.cat([eight[:, :_NEUTRAL], neutral, eight[:, _NEUTRAL + 1 :]], dim=1)
    return folded, bored - unbored, calm - plain


def _either(one: Tensor, other: Tensor) -> Tensor:
    """The logit of one or the other; logaddexp isn't to be had in ONNX."""
    larger = torch.maximum(one, other)
    return larger + torch.log(torch.exp(one - larger) + torch.exp(other - larger))


def log_probabilities(heard: Heard) -> Tensor:
    """Log-probabilities [..., 10] of the eight emotions, neutral without SHADES, and of SHADES."""
    eight = torch.log_softmax(heard.emotion, dim=-1)
    neutral = eight[..., _NEUTRAL : _NEUTRAL + 1]
    unbored = neutral + F.logsigmoid(-heard.boredom)
    plain = unbored + F.logsigmoid(-heard.calm)
    shades = neutral + F.logsigmoid(heard.boredom), unbored + F.logsigmoid(heard.calm)
    return torch.cat([eight[..., :_NEUTRAL], plain, eight[..., _NEUTRAL + 1 :], *shades], dim=-1)
