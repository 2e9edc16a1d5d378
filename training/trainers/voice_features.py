"""Cached features of voices: each is heard a few times in advance, by what isn't trained.

A speech encoder's audio backbone, which isn't trained, is most of its work. What is left of
recordings at some moments, of themselves and through other throats, rooms and microphones, is kept
in the user's cache; a training then takes seconds.
Legend: N moments, F features of the audio backbone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from engine.errors import MienError
from engine.types import F32
from training.models.audio_backbone import STEP_SAMPLES
from training.models.speech import LOOK_AHEAD_STEPS, SpeechEncoder
from training.trainers.cache import cached, each, key_of
from training.trainers.degradation import degraded_voice
from training.trainers.felt import felt
from training.trainers.samples import Array, Clips, Sample

FIRST_STEPS, EVERY_STEPS = 50, 10
"""two seconds can't tell much; then moments are so far apart, back from the end"""
_COLUMNS: Final = ("count", "moments", "affect", "intensity", "known")


@dataclass(frozen=True)
class VoiceFeatures:
    """Of each moment: ``count`` [N, 1] and ``moments`` [N, 2 F] as the encoder has them, and what
    is felt then: ``affect`` [N, 2], ``intensity`` [N, 1], ``known`` [N, 1]. Those of a clip's take
    lie together; ``rows`` says where: clip -> (first, after the last) of each take."""

    count: F32
    moments: F32
    affect: F32
    intensity: F32
    known: F32
    rows: dict[int, list[tuple[int, int]]]

    def of(self, clips: Sequence[int]) -> Array:
        """Indices of all moments of some clips."""
        spans = [span for clip in clips for span in self.rows.get(clip, [])]
        return np.concatenate([np.arange(*span) for span in spans])

    def draw(
        self, clip: int, before: Sequence[int], rng: np.random.Generator
    ) -> tuple[int, F32, F32] | None:
        """A moment of any take, and what the speaker was like until then: ``count`` [1] and
        ``moments`` [2 F] of it and of the clips heard ``before``; what is degraded was never heard
        before. None where there is none."""
        if clip not in self.rows:
            return None
        take = int(rng.integers(len(self.rows[clip])))
        at = int(rng.integers(*self.rows[clip][take]))
        known = [] if take else before
        ends = [self.rows[other][take][1] - 1 for other in known if other in self.rows]
        heard = np.array([at, *ends])
        count = self.count[heard]
        moments = (count * self.moments[heard]).sum(axis=0) / count.sum()
        return at, count.sum(axis=0), moments.astype(np.float32)


def voice_features(encoder: SpeechEncoder, clips: Clips, takes: int, keep: bool) -> VoiceFeatures:
    """Those of all clips: the kept, where they were made of the same; else made anew. Take 0 is
    the recording itself, the others are degraded, always in the same way."""

    def make() -> dict[str, Array]:
        return _made(encoder, clips, takes)

    key = key_of(clips, encoder.backbone, encoder.size, takes, _COLUMNS)
    made = cached("voice_features", key, make) if keep else make()
    rows: dict[int, list[tuple[int, int]]] = {}
    for clip, first, after in made.pop("rows"):
        rows.setdefault(int(clip), []).append((int(first), int(after)))
    return VoiceFeatures(**made, rows=rows)


def _made(encoder: SpeechEncoder, clips: Clips, takes: int) -> dict[str, Array]:
    columns: dict[str, list[Array]] = {name: [] for name in _COLUMNS}
    rows, filled = [], 0

    def hear(number: int, index: int) -> list[tuple[Array, ...]]:
        return list(_takes(encoder, clips[index], takes))

    for index, heard in each(clips, hear, "listening"):
        for row in heard:
            for name, value in zip(_COLUMNS, row, strict=True):
                columns[name].append(value)
            rows.append((index, filled, filled + len(row[0])))
            filled = rows[-1][2]
    if not rows:
        raise MienError(f"hardly a clip of {clips.data} has sound; prepare others")
    out = {name: np.concatenate(values) for name, values in columns.items()}
    return out | {"rows": np.array(rows, np.int64)}


def _takes(encoder: SpeechEncoder, sample: Sample, takes: int) -> Iterator[tuple[Array, ...]]:
    """The columns of each take of a recording; the first is the recording itself."""
    clip = sample.clip
    if len(clip.sound) < 2 * STEP_SAMPLES:
        return
    labels = felt(sample, len(clip.sound) // STEP_SAMPLES)
    for take in range(takes):
        sound = clip.samples
        if take:
            sound = degraded_voice(sound, np.random.default_rng([take, *clip.info.key.encode()]))
        count, moments, places = _heard(encoder, sound)
        at = (places * len(labels[0])).astype(int)
        yield count, moments, *(values[at] for values in labels)


def _heard(encoder: SpeechEncoder, sound: F32) -> tuple[F32, F32, F32]:
    """``count`` and ``moments`` of a recording, and each moment's share of it."""
    with torch.no_grad():
        count, moments, *_ = encoder.hear(torch.from_numpy(sound)[None])
    steps = count.shape[1] - LOOK_AHEAD_STEPS
    at = np.arange(steps - 1, min(FIRST_STEPS, steps - 1) - 1, -EVERY_STEPS)[::-1]
    late = torch.from_numpy(at + LOOK_AHEAD_STEPS)
    places = ((at + 0.5) / steps).astype(np.float32)
    return count[0, late].numpy(), moments[0, late].numpy(), places
