"""Small clips made in code: drawn heads that move as the rig says, voices of a few tones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from face.emotions import ANGLES_DEG, prototype
from face.rig import load_rig
from face.topology import BROWS, EYE_CONTOURS, INNER_LIPS, LIPS_OUTER, OVAL
from face.types import BLENDSHAPES, EMOTIONS
from training.data.clip import MEL_BINS, Clip, ClipInfo, encode

PX_PER_CM = 11.0


def made_clip(
    key: str,
    *,
    subject: str = "one",
    emotion: str = "happy",
    frames: int = 6,
    split: str = "train",
    sentence: str = "",
    synthetic: bool = False,
    spoken: bool = True,
    seed: int = 0,
) -> Clip:
    """A clip whose emotion swells from calm to full; the mouth says the same in every emotion."""
    rng = np.random.default_rng([seed, *subject.encode()])
    swell = np.linspace(0, 1, frames, dtype=np.float32)
    neutral = np.zeros(len(BLENDSHAPES), np.float32)
    neutral[[BLENDSHAPES.index(name) for name in ("browDownLeft", "mouthPressLeft")]] = 0.12
    shapes = neutral + swell[:, None] * prototype(emotion)
    shapes[:, BLENDSHAPES.index("jawOpen")] += 0.2 + 0.2 * np.sin(np.arange(frames))
    shapes = np.clip(shapes, 0, 1).astype(np.float32)
    rig = load_rig()
    face = rig.mean + np.tensordot(shapes, rig.basis, axes=1)
    landmarks = (face * [PX_PER_CM, -PX_PER_CM, -PX_PER_CM] + [128, 95, 0]).astype(np.float32)
    skin = rng.uniform(90, 220, 3).astype(np.float32)
    jpegs, index = encode(draw_face(points, skin) for points in landmarks)
    angle = np.radians(ANGLES_DEG.get(emotion, 0.0))
    felt = swell if emotion != "neutral" else 0 * swell
    tone = np.exp(-(((np.arange(MEL_BINS) - 8 * EMOTIONS.index(emotion) - 8) / 6) ** 2))
    mel = np.log(1e-3 + tone * rng.uniform(0.5, 1, (4 * frames, 1))).astype(np.float32)
    at = np.arange(640 * frames) / 16_000
    voice = np.sin(2 * np.pi * (150 + 250 * EMOTIONS.index(emotion)) * at)
    voice = 8000 * voice * rng.uniform(0.5, 1) + rng.normal(0, 50, len(at))
    return Clip(
        info=ClipInfo(
            key=key,
            subject=subject,
            emotion=emotion,
            sentence=sentence,
            source="made",
            split=split,
            licence="CC0-1.0",
            nc="no",
            synthetic=synthetic,
        ),
        jpegs=jpegs,
        index=index,
        landmarks=landmarks,
        blendshapes=shapes,
        pose=np.tile(np.eye(4, dtype=np.float32), (frames, 1, 1)),
        found=np.ones(frames, bool),
        mel=mel if spoken else np.zeros((0, MEL_BINS), np.float32),
        sound=voice.astype(np.int16) if spoken else np.zeros(0, np.int16),
        rig=shapes if synthetic else None,
        valence=(felt * np.cos(angle)).astype(np.float32) if synthetic else None,
        arousal=(felt * np.sin(angle)).astype(np.float32) if synthetic else None,
        intensity=felt.astype(np.float32) if synthetic else None,
    )


def made_clips(frames: int = 6) -> list[Clip]:
    """Two people in three emotions each, one of them synthetic; others to hold out."""
    clips = []
    for subject, synthetic in (("one", True), ("two", False)):
        for emotion in ("neutral", "happy", "angry"):
            clips.append(
                made_clip(
                    f"{subject}-{emotion}",
                    subject=subject,
                    emotion=emotion,
                    sentence="a",
                    synthetic=synthetic,
                    frames=frames,
                )
            )
    for split in ("val", "test"):
        clips.append(made_clip(f"{split}-sad", subject=split, emotion="sad", split=split))
    return clips


def made_pairs(clips: list[Clip]) -> dict[str, Any]:
    """Calm faces that are happy and angry, too, as `training.data.pairs` keeps them."""
    calm = [c for c in clips if c.info.emotion == "neutral" and c.info.split == "train"]
    rows: list[dict[str, Any]] = []
    for clip in calm:
        for emotion in ("happy", "angry"):
            shapes, place = prototype(emotion), EMOTIONS.index(emotion)
            hot = np.eye(len(EMOTIONS), dtype=np.float32)[place]
            rows.append(
                {
                    "key": np.str_(clip.info.key), "frame": np.int64(0), "emotion": np.int64(place),
                    "beta": np.float32(1), "measured": np.float32(0.7), "mouth": np.float32(0.002),
                    "change": np.concatenate([shapes, 0.7 * hot]).astype(np.float32),
                    "seen": np.concatenate([shapes, hot, [0.1, 0.2, 0.7]]).astype(np.float32),
                }
            )  # fmt: skip
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def draw_face(points: F32, skin: F32) -> U8:
    """Flat colours in the places of a face [256, 256, 3]."""
    import cv2

    canvas = np.full((256, 256, 3), 60, np.uint8)
    spots: list[tuple[NDArray[np.int64], F32]] = (
        [(OVAL, skin), (LIPS_OUTER, skin * [1.0, 0.5, 0.5]), (np.array(INNER_LIPS), skin * 0.2)]
        + [(eye, np.full(3, 240.0)) for eye in EYE_CONTOURS]
        + [(brow, skin * 0.4) for brow in BROWS]
    )
    for contour, colour in spots:
        hull = np.rint(points[contour, :2] * 16).astype(np.int32)
        cv2.fillPoly(canvas, [hull], [float(c) for c in colour], cv2.LINE_AA, 4)
    return canvas


def still(key: str, subject: str, emotion: str, seed: int = 0) -> Clip:
    """One picture of somebody, from the end of a made clip."""
    clip = made_clip(key, subject=subject, emotion=emotion, frames=3, spoken=False, seed=seed)
    start, end = int(clip.index[-2]), int(clip.index[-1])
    return replace(
        clip,
        jpegs=clip.jpegs[start:end],
        index=np.array([0, end - start]),
        landmarks=clip.landmarks[-1:],
        blendshapes=clip.blendshapes[-1:],
        pose=clip.pose[-1:],
        found=clip.found[-1:],
        info=replace(clip.info, source="pictures"),
    )


def voice(key: str, **known: Any) -> Clip:
    clip = made_clip(key, frames=8)
    nothing = still(key, "one", "happy")
    return replace(
        clip,
        jpegs=b"",
        index=np.zeros(1, np.int64),
        landmarks=nothing.landmarks[:0],
        blendshapes=nothing.blendshapes[:0],
        pose=nothing.pose[:0],
        found=nothing.found[:0],
        info=replace(clip.info, **known),
    )
