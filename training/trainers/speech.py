"""Train the speech emotion encoder: emotion of a voice, and its valence-arousal where known.

Emotions are learned from people alone: a synthesizer that is made to sound so misleads about them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from face.types import EMOTIONS
from training.data.clip import ClipInfo
from training.loop import Batch, Parts, Trainer
from training.losses import faces, labels
from training.models.audio_backbone import pretrained_backbone
from training.models.speech import SHADES, SpeechEncoder, SpeechSize, log_probabilities
from training.recipe import Recipe
from training.trainers.samples import Array, Clips
from training.trainers.voice_features import voice_features

LABELS: Final = (*EMOTIONS, *SHADES)


@dataclass(frozen=True, kw_only=True)
class SpeechPlan:
    """How voices are heard."""

    pretrained: bool
    """hear through what others trained, and keep what was heard"""
    takes: int
    """how often each recording is heard: as it is, and through other throats, rooms, microphones"""
    most_before: int
    """fewer recordings than that of a speaker were heard before one that is learned from"""


@dataclass(frozen=True, kw_only=True)
class SpeechLosses:
    """Weights of the losses."""

    classification: float
    """of the emotion"""
    affect: float
    """of valence and arousal"""
    intensity: float
    """of intensity"""
    weights: float
    """of the linear layer's weights, squared"""


class SpeechTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("speech",)

    def __init__(self, recipe: Recipe, data: Path, left_out: Set[str] = frozenset()) -> None:
        """``left_out``: subjects that aren't learned from."""
        super().__init__(recipe)
        self.plan: SpeechPlan = recipe.plan
        size: SpeechSize = recipe.size
        self._data = data
        self._fits = lambda info, frames: info.subject not in left_out and _tells(info, frames)
        every = Clips(data, "train", _tells)
        self.clips = Clips(data, "train", self._fits)
        encoder = SpeechEncoder(size)
        if self.plan.pretrained:
            encoder.backbone = pretrained_backbone(size.layers, size.past)
        self.features = voice_features(encoder, every, self.plan.takes, keep=self.plan.pretrained)
        used = self.features.of(self.clips.chosen)
        encoder.settle(
            torch.from_numpy(self.features.count[used]),
            torch.from_numpy(self.features.moments[used]),
        )
        self.modules = {"speech": encoder}

    def held_out(self) -> SpeechTrainer | None:
        if (clips := Clips.held_out(self._data, self._fits)) is None:
            return None
        other, encoder = copy.copy(self), self.modules["speech"]
        assert isinstance(encoder, SpeechEncoder)
        other.clips = clips
        other.features = voice_features(encoder, clips, self.plan.takes, keep=self.plan.pretrained)
        return other

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        return self.clips.gather(self.recipe.schedule.batch, lambda: self._row(rng), "has sound")

    def _row(self, rng: np.random.Generator) -> dict[str, Array] | None:
        index = self.clips.draw_tempered(rng)
        info = self.clips.infos[index]
        own, most = self.clips.by_subject[info.subject], self.plan.most_before
        before = rng.choice(own, rng.integers(most))
        drawn = self.features.draw(index, before.tolist(), rng)
        if drawn is None:
            return None
        at, speaker_count, speaker = drawn
        label = "" if info.synthetic else label_of(info)
        return {
            "count": self.features.count[at],
            "moments": self.features.moments[at],
            "speaker_count": speaker_count,
            "speaker": speaker,
            "emotion": np.array(LABELS.index(label) if label else -1, np.int64),
            "affect": self.features.affect[at],
            "intensity": self.features.intensity[at],
            "known": self.features.known[at],
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        encoder = self.modules["speech"]
        assert isinstance(encoder, SpeechEncoder)
        answers = encoder.judge(
            batch["count"], batch["moments"], batch["speaker_count"], batch["speaker"]
        )
        target = labels.one_hot(batch["emotion"], len(LABELS))
        logs, even = (
            log_probabilities(answers)[:, None],
            torch.ones(len(target), 1, device=target.device),
        )
        known = batch["known"]
        parts = {
            "classification": labels.soft_classification(logs, target, even),
            "affect": faces.intensity(answers.valence_arousal, batch["affect"], known),
            "intensity": faces.intensity(answers.intensity, batch["intensity"], known),
            "weights": encoder.feel.weight.square().sum(),
        }
        yield "speech", parts, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """What was heard of a few voices: a row each."""
        heard = batch["moments"][:8].abs()
        return {"moments": (heard / heard.amax(dim=0).clamp(min=1e-6))[None].expand(3, -1, -1)}


def _tells(info: ClipInfo, frames: int) -> bool:
    return bool(info.label in LABELS or info.felt or frames > 1)


def label_of(info: ClipInfo) -> str:
    """Which of LABELS a voice was recorded as; "" where unknown."""
    return info.word if info.word in SHADES else info.label


def utterance(encoder: SpeechEncoder, sound: Array) -> Array:
    """Log-probabilities [10] of LABELS for a whole recording [N]: what is answered at its end, of
    somebody who was never heard before."""
    with torch.no_grad():
        logs = log_probabilities(encoder.listen(torch.from_numpy(sound)[None]))[0, -1]
    return np.asarray(logs.numpy())


def among_others(encoder: SpeechEncoder, sounds: Sequence[Array]) -> Array:
    """The same [M, 10] for each of a speaker's recordings, after all the others were heard."""
    with torch.no_grad():
        ends = [encoder.hear(torch.from_numpy(sound)[None])[:2] for sound in sounds]
        count, moments = (torch.cat([end[i][:, -1] for end in ends]) for i in range(2))
        total = count.sum(dim=0, keepdim=True)
        usual = (count * moments).sum(dim=0, keepdim=True) / total
        known = total.expand(len(count), -1), usual.expand(len(count), -1)
        return np.asarray(log_probabilities(encoder.judge(count, moments, *known)).numpy())
