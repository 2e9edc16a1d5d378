"""Pseudo-labels: valence, arousal and intensity of each frame, from what a rig can be seen to do.

No network that reads valence and arousal is to be had, so EAP's pseudo-labels (eq. 6) are measured:
how far a face is from the speaker's own neutral along what the tracker sees of an emotion says how
much, which emotion explains it best says where on Russell's circumplex.

    python -m training.labels DATA [--split test]

prints how well the labels agree with the truth of synthetic heads (concordance correlation), and
with --fit what the tracker sees of each emotion in their train split: the table SEEN.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from engine.errors import MienError
from engine.types import F32
from face.emotions import ANGLES_DEG, FEELING, MIRROR, Row, shapes_of
from face.types import BLENDSHAPES, EMOTIONS
from training import command
from training.data.clip import SPLITS, Clip, open_clips
from training.metrics.statistics import concordance

CALM_SHARE: Final = 0.2
"""share of a speaker's frames that count as their neutral"""
LABEL_TRUST: Final = 0.85
"""probability of the emotion that a clip is labelled with, before the frame is looked at"""
UNEXPLAINED: Final = 0.03
"""summed square of what an emotion leaves unexplained that makes it e times less likely"""
_SMOOTH: Final = np.array([1, 2, 3, 2, 1], np.float32) / 9

SEEN: Final[dict[str, Row]] = {
    "angry": {"browDown": 0.7, "browInnerUp": -0.1, "browOuterUp": -0.1, "eyeSquint": 0.35,
              "mouthFrown": 0.1},
    "contempt": {"browOuterUp": (0.0, 0.1), "eyeSquint": (0.15, 0.25), "mouthSmile": (0.6, 0.2),
                 "mouthStretch": (0.1, 0.15), "mouthUpperUp": (0.15, 0.0)},
    "disgusted": {"browDown": 0.65, "browInnerUp": -0.1, "browOuterUp": -0.1, "eyeSquint": 0.3,
                  "mouthFrown": 0.1, "mouthUpperUp": 0.45},
    "fear": {"browDown": -0.1, "browInnerUp": 0.5, "browOuterUp": 0.15, "eyeSquint": -0.15,
             "mouthFrown": 0.25, "mouthStretch": 0.25},
    "happy": {"browDown": 0.1, "eyeSquint": 0.35, "mouthSmile": 0.9, "mouthUpperUp": 0.15},
    "sad": {"browInnerUp": 0.5, "browOuterUp": 0.15, "eyeSquint": 0.1, "mouthFrown": 0.25},
    "surprised": {"browDown": -0.1, "browInnerUp": 0.35, "browOuterUp": 0.4, "eyeSquint": -0.15},
}  # fmt: skip
"""what the tracker sees of an emotion at intensity 1, above a speaker's own neutral: both sides, or
a pair (left, right)

It is not the prototype: the tracker never reports some shapes (noses that wrinkle, cheeks), reads
others weakly (wide eyes) or as something else (a widened eye is less squinted).
"""

_FELT: Final = tuple(name for name in EMOTIONS if name != "neutral")


def seen(emotion: str) -> F32:
    """SEEN as shapes [52]."""
    return shapes_of(SEEN.get(emotion, {}))


# What may explain a face: each emotion, and contempt on either side.
_CAUSES: Final = (*_FELT, "contempt")
_DIRECTIONS: Final = np.stack([*map(seen, _FELT), seen("contempt")[MIRROR]])[:, FEELING]
_PLACES: Final = np.stack(
    [[np.cos(np.radians(ANGLES_DEG[n])), np.sin(np.radians(ANGLES_DEG[n]))] for n in _CAUSES]
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


def explain(change: F32, emotion: str = "") -> tuple[F32, F32]:
    """How likely each of the seven emotions is, contempt once for either side, and how strong it
    would be: both [T, 8], from the feeling shapes' change from neutral [T, F].

    ``emotion`` is the clip's own label, where it has one; it is believed unless the face objects.
    """
    lengths = np.maximum((_DIRECTIONS**2).sum(axis=1), 1e-6)
    strength = np.clip(change @ _DIRECTIONS.T / lengths, 0, 1)
    left = change[:, None] - strength[..., None] * _DIRECTIONS
    score = -(left**2).sum(axis=2) / UNEXPLAINED
    prior = np.array([1 / _CAUSES.count(name) for name in _CAUSES])
    if emotion in _FELT:
        labelled = np.array([name == emotion for name in _CAUSES])
        prior *= np.where(labelled, LABEL_TRUST, (1 - LABEL_TRUST) / (len(_FELT) - 1))
    score = score + np.log(prior)
    share = np.exp(score - score.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return share.astype(np.float32), strength.astype(np.float32)


def measure(blendshapes: F32, neutral: F32, emotion: str = "") -> FrameLabels:
    """Labels of a face's frames [T, 52] against its own neutral [52]."""
    share, strength = explain(_change(blendshapes, neutral), emotion)
    intensity = (share * strength).sum(axis=1).astype(np.float32)
    place = share @ _PLACES
    direction = place / np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-6)
    valence, arousal = (intensity[:, None] * direction).T.astype(np.float32)
    return FrameLabels(valence, arousal, intensity, np.ones(len(intensity), np.float32))


def _change(blendshapes: F32, neutral: F32) -> F32:
    """The feeling shapes above neutral [T, F], a little smoothed."""
    change = (blendshapes - neutral)[:, FEELING]
    if len(change) >= len(_SMOOTH):
        padded = np.pad(change, ((2, 2), (0, 0)), mode="edge")
        change = sum(w * padded[i : i + len(change)] for i, w in enumerate(_SMOOTH))
    return np.asarray(change, np.float32)


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


def main(argv: list[str] | None = None) -> int:
    """Compare labels with the truth, where clips have it."""
    parser = command.parser_of("training.labels", __doc__)
    parser.add_argument("data", type=Path, help="a folder of shards")
    parser.add_argument("--split", choices=SPLITS, help="only these people")
    parser.add_argument(
        "--fit", action="store_true", help="print the table SEEN of the train split"
    )
    options = parser.parse_args(argv)

    def tell() -> None:
        for line in fit(options.data) if options.fit else agreement(options.data, options.split):
            print(line)

    return command.run("labels", tell)


def agreement(data: Path, split: str | None = None) -> list[str]:
    """How labels agree with the truth, told the clip's emotion and not. Raises MienError without
    truth."""
    clips = _with_truth(data, split)
    neutral = _neutrals(clips)
    truth = [np.concatenate([_truth(clip)[i] for clip in clips]) for i in range(3)]
    lines = []
    for known in (True, False):
        labels = [
            measure(
                clip.blendshapes, neutral[clip.info.subject], clip.info.emotion if known else ""
            )
            for clip in clips
        ]
        for i, name in enumerate(("valence", "arousal", "intensity")):
            guess = np.concatenate(
                [label[i][clip.found] for label, clip in zip(labels, clips, strict=True)]
            )
            how = "told" if known else "not told"
            lines.append(f"{name}, emotion {how}: concordance {concordance(guess, truth[i]):.3f}")
    people = len({clip.info.subject for clip in clips})
    return [*lines, f"over {len(truth[0])} frames of {len(clips)} clips of {people} people"]


def fit(data: Path) -> list[str]:
    """What the tracker sees of each emotion: least squares through 0 over the train split, both
    sides alike but in contempt."""
    clips = _with_truth(data, "train")
    neutral = _neutrals(clips)
    lines = []
    for emotion in _FELT:
        chosen = [clip for clip in clips if clip.info.emotion == emotion]
        if not chosen:
            raise MienError(f"no synthetic clip in the train split of {data} is {emotion}")
        change = np.concatenate(
            [_change(c.blendshapes, neutral[c.info.subject])[c.found] for c in chosen]
        )
        amount = np.concatenate([_truth(clip)[2] for clip in chosen])
        slopes = np.zeros(len(BLENDSHAPES), np.float32)
        slopes[FEELING] = amount @ change / max(float((amount**2).sum()), 1e-6)
        if emotion != "contempt":
            slopes = np.asarray((slopes + slopes[MIRROR]) / 2, np.float32)
        lines.append(f'"{emotion}": {_row(slopes)},')
    return lines


def _row(shapes: F32) -> Row:
    """Shapes [52] as a row of SEEN: in steps of 0.05, from 0.1 on."""
    steps = np.round(shapes / 0.05) * 0.05
    values = {
        name: round(float(value), 2) if abs(value) > 0.07 else 0.0
        for name, value in zip(BLENDSHAPES, steps, strict=True)
    }
    row: dict[str, float | tuple[float, float]] = {}
    for name, value in values.items():
        if name.endswith("Left"):
            plain, other = name.removesuffix("Left"), values[name.removesuffix("Left") + "Right"]
            if value or other:
                row[plain] = value if value == other else (value, other)
        elif value and not name.endswith("Right"):
            row[name] = value
    return row


def _with_truth(data: Path, split: str | None) -> list[Clip]:
    clips = [
        clip
        for clip in open_clips(data)
        if clip.intensity is not None and clip.found.any() and split in (None, clip.info.split)
    ]
    if not clips:
        raise MienError(f"no clip in {data} has truth to compare with; use synthetic heads")
    return clips


def _neutrals(clips: list[Clip]) -> dict[str, F32]:
    """Everybody's own neutral [52], from all of their clips."""
    frames: dict[str, list[F32]] = {}
    for clip in clips:
        frames.setdefault(clip.info.subject, []).append(clip.blendshapes[clip.found])
    return {who: own_neutral(np.concatenate(rows)) for who, rows in frames.items()}


def _truth(clip: Clip) -> tuple[F32, F32, F32]:
    """Valence, arousal and intensity of the frames that show a face."""
    assert clip.valence is not None and clip.arousal is not None and clip.intensity is not None
    return clip.valence[clip.found], clip.arousal[clip.found], clip.intensity[clip.found]


if __name__ == "__main__":
    raise SystemExit(main())
