"""Pseudo-labels: valence, arousal and intensity of each frame, from what a rig can be seen to do.

No network that reads valence and arousal is to be had, so EAP's pseudo-labels (eq. 6) are measured:
how far the feeling shapes are from the speaker's own neutral says how much, the category's
probabilities say where on Russell's circumplex. On clips whose truth is known

    python -m training.labels DATA

prints how well the labels agree with it (concordance correlation).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from engine.errors import MienError
from engine.types import EMOTIONS, F32
from nodes.emotions import ANGLES_DEG, FEELING, prototype
from training.data.clip import Clip, open_clips

CALM_SHARE: Final = 0.2
"""share of a speaker's frames that count as their neutral"""
LABEL_TRUST: Final = 0.85
"""probability of the emotion that a clip is labelled with, before the frame is looked at"""
SHARPNESS: Final = 6.0
"""how strongly a frame's likeness to a prototype speaks for its emotion"""
_SMOOTH: Final = np.array([1, 2, 3, 2, 1], np.float32) / 9

_FELT: Final = tuple(name for name in EMOTIONS if name != "neutral")
_PROTOTYPES: Final = np.stack([prototype(name)[FEELING] for name in _FELT])
_LENGTHS: Final = np.linalg.norm(_PROTOTYPES, axis=1)
_PLACES: Final = np.stack(
    [[np.cos(np.radians(ANGLES_DEG[n])), np.sin(np.radians(ANGLES_DEG[n]))] for n in _FELT]
).astype(np.float32)


class FrameLabels(NamedTuple):
    """Of each frame: ``valence`` and ``arousal`` [T] in -1..1, ``intensity`` [T] in 0..1 (its
    length), ``known`` [T] 1 where a face was seen."""

    valence: F32
    arousal: F32
    intensity: F32
    known: F32


def own_neutral(blendshapes: F32) -> F32:
    """A speaker's neutral face [52]: the mean of the calmest fifth of their frames [T, 52]."""
    energy = np.abs(blendshapes[:, FEELING]).sum(axis=1)
    calm = np.argsort(energy, kind="stable")[: max(1, round(CALM_SHARE * len(energy)))]
    mean: F32 = blendshapes[calm].mean(axis=0).astype(np.float32)
    return mean


def likelihood(shown: F32, emotion: str = "") -> F32:
    """Probabilities [T, 7] of the emotions but neutral, from feeling shapes above neutral [T, F].

    ``emotion`` is the clip's own label, where it has one; it is believed unless the face objects.
    """
    size = np.linalg.norm(shown, axis=1, keepdims=True)
    like = shown @ _PROTOTYPES.T / (np.maximum(size, 1e-4) * _LENGTHS)
    score = np.exp(SHARPNESS * like * np.minimum(size / 0.3, 1))
    if emotion in _FELT:
        prior = np.full(len(_FELT), (1 - LABEL_TRUST) / (len(_FELT) - 1), np.float32)
        prior[_FELT.index(emotion)] = LABEL_TRUST
        score = score * prior
    share: F32 = (score / score.sum(axis=1, keepdims=True)).astype(np.float32)
    return share


def measure(blendshapes: F32, neutral: F32, emotion: str = "") -> FrameLabels:
    """Labels of a face's frames [T, 52] against its own neutral [52]."""
    shown = np.maximum(blendshapes - neutral, 0)[:, FEELING]
    if len(shown) >= len(_SMOOTH):
        padded = np.pad(shown, ((2, 2), (0, 0)), mode="edge")
        shown = sum(w * padded[i : i + len(shown)] for i, w in enumerate(_SMOOTH))
    share = likelihood(shown, emotion)
    # How much: along the likely prototypes, as a share of their own length.
    expected = share @ _PROTOTYPES
    along = (shown * expected).sum(axis=1) / np.maximum((expected**2).sum(axis=1), 1e-6)
    intensity = np.clip(along, 0, 1).astype(np.float32)
    place = share @ _PLACES
    direction = place / np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-6)
    valence, arousal = (intensity[:, None] * direction).T.astype(np.float32)
    return FrameLabels(valence, arousal, intensity, np.ones(len(shown), np.float32))


def clip_labels(clip: Clip, neutral: F32 | None = None) -> FrameLabels:
    """The truth where a clip has it, else measured labels; a speaker's ``neutral`` may be known."""
    known = clip.found.astype(np.float32)
    if clip.valence is not None and clip.arousal is not None and clip.intensity is not None:
        return FrameLabels(clip.valence, clip.arousal, clip.intensity, np.ones_like(known))
    if not clip.found.any():
        nothing = np.zeros(len(clip), np.float32)
        return FrameLabels(nothing, nothing, nothing, nothing)
    if neutral is None:
        neutral = own_neutral(clip.blendshapes[clip.found])
    labels = measure(clip.blendshapes, neutral, clip.info.emotion)
    return labels._replace(known=known)


def concordance(guess: F32, truth: F32) -> float:
    """Lin's concordance correlation (1989, eq. 3): 1 where equal, 0 where unrelated."""
    covariance = ((guess - guess.mean()) * (truth - truth.mean())).mean()
    spread = guess.var() + truth.var() + (guess.mean() - truth.mean()) ** 2
    return float(2 * covariance / max(float(spread), 1e-8))


def main(argv: list[str] | None = None) -> int:
    """Compare labels with the truth, where clips have it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a folder of shards")
    options = parser.parse_args(argv)
    try:
        for line in agreement(options.data):
            print(line)
    except MienError as error:
        print(f"labels: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def agreement(data: Path) -> list[str]:
    """A line for each of valence, arousal and intensity. Raises MienError without truth."""
    guesses: list[list[F32]] = [[], [], []]
    truths: list[list[F32]] = [[], [], []]
    clips = open_clips(data)
    calm: dict[str, list[F32]] = {}
    for clip in clips:
        if clip.found.any():
            calm.setdefault(clip.info.subject, []).append(clip.blendshapes[clip.found])
    neutral = {who: own_neutral(np.concatenate(frames)) for who, frames in calm.items()}
    for clip in clips:
        if clip.valence is None or clip.arousal is None or clip.intensity is None:
            continue
        if clip.info.subject not in neutral:
            continue
        labels = measure(clip.blendshapes, neutral[clip.info.subject], clip.info.emotion)
        truth = (clip.valence, clip.arousal, clip.intensity)
        for i in range(3):
            guesses[i].append(labels[i][clip.found])
            truths[i].append(truth[i][clip.found])
    if not guesses[0]:
        raise MienError(f"no clip in {data} has truth to compare with; use synthetic heads")
    lines = []
    for i, name in enumerate(("valence", "arousal", "intensity")):
        guess, truth_all = np.concatenate(guesses[i]), np.concatenate(truths[i])
        lines.append(f"{name}: concordance {concordance(guess, truth_all):.3f}")
    return [*lines, f"over {len(truth_all)} frames of {len(guesses[0])} clips"]


if __name__ == "__main__":
    raise SystemExit(main())
