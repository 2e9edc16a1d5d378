"""Speech emotion encoder of EAP: sound to features e[1:n] (E_E) and an LSTM classifier (eq. 5).

Causal, 640 samples (40 ms) at a time, so that e has the video's rate. What is said of a step is
said one step later, so the look-ahead is 40 ms. The state is one vector and the caller's.

Few voices are labelled, so what is heard comes from an ear that was trained on many for another
task (`ear.py`) and stays as it is. The classifier hears its features through e and an LSTM, and
through running statistics, since a feeling shows in how a voice varies over seconds: means and
deviations, weighted by an attention of their own (attentive statistics pooling, Okabe et al. 2018,
eq. 5-6, made causal by forgetting).
Legend: B batch, N samples, T steps of 640 samples, F features of the ear, D features of e.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.types import EMOTIONS
from training.models.ear import EAR_WIDTH, STEP_SAMPLES, Ear
from training.models.layers import AffectHeads, LSTMStep

LOOK_AHEAD_STEPS: Final = 1
LOOK_AHEAD_MS: Final = LOOK_AHEAD_STEPS * 40
_KEPT: Final = 1 - 1 / 125  # the statistics forget within about five seconds
_AT_ONCE: Final = 400  # steps: what fades further loses its digits
_NEUTRAL: Final = EMOTIONS.index("neutral")


@dataclass(frozen=True, kw_only=True)
class SpeechSize:
    """Of the ear ``width``, ``heads``, ``layers`` and the steps it looks back on (``past``), and
    ``features`` of e. These are the learned ear's."""

    width: int = EAR_WIDTH
    heads: int = 8
    layers: int = 2
    past: int = 50
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
    """sound [B, 640] in -1..1, state [B, S] (zeros at first) -> Heard of one step before."""

    def __init__(self, size: SpeechSize = SpeechSize()) -> None:
        super().__init__()
        self.size = size
        features = size.features
        self.ear = Ear(size.width, size.heads, size.layers, size.past)
        told = self.ear.features
        self.level = nn.BatchNorm1d(told, affine=False)
        self.feature = nn.Sequential(nn.Dropout(0.2), nn.Linear(told, features))
        self.attend = nn.Linear(features, 1)
        self.classify = LSTMStep(features, features)
        self.gather = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(features + 2 * told, features),
            nn.LeakyReLU(0.1),
            nn.Dropout(0.3),
        )
        self.heads = AffectHeads(features, len(EMOTIONS) + 1)
        self._parts = [self.ear.begin(1).shape[1], 2 * features, 1 + 2 * told]

    def forward(self, sound_BN: Tensor, state_BS: Tensor) -> Heard:
        """One step; the answer belongs to the samples of the call before."""
        ear, *state = torch.split(state_BS, self._parts, dim=1)
        heard_BTF, ear = self.ear(sound_BN, ear)
        answer, state = self._judge(heard_BTF, state)
        e, emotion, valence_arousal, intensity, boredom = (part[:, 0] for part in answer)
        after = torch.cat([ear, *state], dim=1)
        return Heard(e, emotion, valence_arousal, intensity, after, boredom)

    def begin(self, batch: int) -> Tensor:
        """The state before the first step [B, S]."""
        return self.attend.weight.new_zeros(batch, sum(self._parts))

    def listen(self, sound_BN: Tensor) -> Heard:
        """A whole recording [B, N]; answers [B, T, ...], each at its own place in time.

        Silence follows the end, so that the last steps get their look-ahead.
        """
        heard_BTF, ear = self.hear(sound_BN)
        said = self.judge(heard_BTF)
        return said._replace(state=torch.cat([ear, said.state], dim=1))

    def hear(self, sound_BN: Tensor) -> tuple[Tensor, Tensor]:
        """What the ear makes of a whole recording [B, T + 1, F], and its state afterwards."""
        steps = -(-sound_BN.shape[1] // STEP_SAMPLES) + LOOK_AHEAD_STEPS
        padded = F.pad(sound_BN, (0, steps * STEP_SAMPLES - sound_BN.shape[1]))
        heard_BTF, state = self.ear(padded, self.ear.begin(len(padded)))
        return heard_BTF, state

    def judge(self, heard_BTF: Tensor) -> Heard:
        """Answers [B, T, ...] from what was heard [B, T + 1, F]; the state is without the ear's."""
        begun = [heard_BTF.new_zeros(len(heard_BTF), part) for part in self._parts[1:]]
        answer, state = self._judge(heard_BTF, begun)
        late = [part[:, LOOK_AHEAD_STEPS:] for part in answer]
        return Heard(late[0], late[1], late[2], late[3], torch.cat(state, dim=1), late[4])

    def _judge(
        self, heard_BTF: Tensor, state: list[Tensor]
    ) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        batch, steps = heard_BTF.shape[:2]
        kept, pooled = state
        x_BTF = self.level(heard_BTF.flatten(0, 1)).reshape(heard_BTF.shape)
        e_BTD = self.feature(x_BTF)
        said_BTD, kept = self.classify.run(e_BTD, kept)
        statistics_BTF, pooled = self._pool(self.attend(e_BTD), x_BTF, pooled)
        gathered = self.gather(torch.cat([said_BTD, statistics_BTF], dim=2))
        logits, affect, intensity = self.heads(gathered.flatten(0, 1))
        emotion, boredom = _fold(logits)
        parts = [part.reshape(batch, steps, -1) for part in (emotion, affect, intensity, boredom)]
        return (F.normalize(e_BTD, dim=2, eps=1e-4), *parts), [kept, pooled]

    def _pool(
        self, attention_BT1: Tensor, x_BTF: Tensor, pooled_BS: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Attended mean and deviation so far [B, T, 2 F], and what to go on with."""
        force_BT1 = torch.exp(2 * torch.tanh(attention_BT1))
        both_BTF = torch.cat([x_BTF, x_BTF * x_BTF], dim=2)
        said = []
        for start in range(0, x_BTF.shape[1], _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            total, moments = _forgetting(force_BT1[:, part], both_BTF[:, part], pooled_BS)
            pooled_BS = torch.cat([total[:, -1], moments[:, -1]], dim=1)
            mean, square = moments.chunk(2, dim=2)
            said.append(torch.cat([mean, torch.sqrt(F.relu(square - mean * mean) + 1e-2)], dim=2))
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
