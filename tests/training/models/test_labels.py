"""Pseudo-labels against truth that is known, and what they do with little or nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from engine.errors import MienError
from engine.types import F32
from face.emotions import ANGLES_DEG, MIRROR
from face.types import BLENDSHAPES, EMOTIONS
from tests.training.made_clips import made_clip
from training.data.clip import write_shard
from training.labels import agreement, clip_labels, fit, measure, own_neutral, seen
from training.metrics.statistics import concordance

FELT = [name for name in EMOTIONS if name != "neutral"]


def acted(emotion: str, seed: int, frames: int = 100) -> tuple[F32, F32]:
    """Shapes [T, 52] and truth [3, T]: somebody with a face of their own speaks with feeling."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)
    swell = np.clip(0.5 + 0.5 * np.sin(t / 14 + rng.uniform(0, 6)), 0, 1)
    resting = rng.uniform(0, 0.15, 52)
    style = rng.uniform(0.75, 1.15, 52)
    shapes = resting + swell[:, None] * seen(emotion) * style
    for name in ("jawOpen", "mouthPucker", "eyeBlinkLeft", "eyeBlinkRight"):
        shapes[:, BLENDSHAPES.index(name)] += 0.3 * rng.random(frames)
    noisy = np.clip(shapes + rng.normal(0, 0.02, shapes.shape), 0, 1).astype(np.float32)
    angle = np.radians(ANGLES_DEG[emotion])
    truth = np.stack([swell * np.cos(angle), swell * np.sin(angle), swell]).astype(np.float32)
    return noisy, truth


@pytest.mark.parametrize("labelled", [True, False])
def test_labels_agree_with_truth(labelled: bool) -> None:
    guesses, truths = [], []
    for seed, emotion in enumerate(FELT * 2):
        shapes, truth = acted(emotion, seed)
        labels = measure(shapes, own_neutral(shapes), emotion if labelled else "")
        guesses.append(np.stack(labels[:3]))
        truths.append(truth)
    guess, truth = np.concatenate(guesses, axis=1), np.concatenate(truths, axis=1)
    valence, arousal, intensity = (concordance(guess[i], truth[i]) for i in range(3))
    assert intensity > 0.8
    assert valence > (0.85 if labelled else 0.7)
    assert arousal > (0.85 if labelled else 0.6)


def test_intensity_is_the_length_of_valence_and_arousal() -> None:
    shapes, _ = acted("fear", 3)
    labels = measure(shapes, own_neutral(shapes))
    assert np.allclose(np.hypot(labels.valence, labels.arousal), labels.intensity, atol=1e-5)


def test_a_resting_face_of_ones_own_is_neutral() -> None:
    resting = np.zeros((50, 52), np.float32)
    resting[:, BLENDSHAPES.index("browDownLeft")] = 0.4
    labels = measure(resting, own_neutral(resting))
    assert labels.intensity.max() < 0.02


def test_speech_alone_is_no_feeling() -> None:
    shapes = np.zeros((50, 52), np.float32)
    shapes[:, BLENDSHAPES.index("jawOpen")] = np.linspace(0, 1, 50)
    assert measure(shapes, own_neutral(shapes)).intensity.max() < 0.02


def test_a_clips_truth_is_taken_as_it_is_and_lost_faces_arent_known() -> None:
    clip = made_clip("a", synthetic=True)
    assert clip_labels(clip).intensity is clip.intensity
    real = made_clip("b")
    real.found[2] = False
    assert list(clip_labels(real).known) == [1, 1, 0, 1, 1, 1]
    real.found[:] = False
    assert clip_labels(real).known.sum() == 0


def test_agreement_is_printed_where_there_is_truth(tmp_path: Path) -> None:
    with_truth, without = tmp_path / "with", tmp_path / "without"
    clips = [made_clip("a", synthetic=True, frames=20), made_clip("b", frames=20)]
    write_shard(with_truth / "a.tar", clips)
    write_shard(without / "a.tar", clips[1:])
    lines = agreement(with_truth)
    assert len(lines) == 7 and "over 20 frames of 1 clips of 1 people" in lines[-1]
    assert "intensity, emotion told" in lines[2] and float(lines[2].split()[-1]) > 0.7
    with pytest.raises(MienError, match="has truth to compare with"):
        agreement(without)


def test_contempt_is_known_on_either_side() -> None:
    shapes, truth = acted("contempt", 1)
    other = shapes[:, MIRROR]
    for side in (shapes, other):
        labels = measure(side, own_neutral(side))
        assert concordance(labels.intensity, truth[2]) > 0.7
        assert concordance(labels.valence, truth[0]) > 0.6


def test_what_is_seen_of_an_emotion_is_fitted_to_truth(tmp_path: Path) -> None:
    clips = [
        made_clip(emotion, emotion=emotion, synthetic=True, frames=30)
        for emotion in ("neutral", *FELT)
    ]
    write_shard(tmp_path / "a.tar", clips)
    lines = fit(tmp_path)
    assert len(lines) == 7
    told = ast.literal_eval(f"{{{''.join(lines)}}}")
    assert told["happy"]["mouthSmile"] == pytest.approx(0.95, abs=0.1)
    assert told["contempt"]["mouthSmile"] == pytest.approx((0.75, 0.0), abs=0.1)
    write_shard(tmp_path / "a.tar", clips[:3])
    with pytest.raises(MienError, match="in the train split"):
        fit(tmp_path)
