"""A style that a speaker's first seconds tell is held against the usual one and other people's."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from engine.types import F32
from face.emotions import sides
from training.data.clip import ClipInfo
from training.data.talk import JAW, SPOKEN, STEP_SAMPLES, Talk
from training.evaluation.style import as_text, made, speakers_of

STEPS = 600
SWINGS = (0.5 - 0.5 * np.cos(np.arange(STEPS) / 3)).astype(np.float32)
"""how far everybody opens the jaw, as the sound says"""


def talk(name: str, wide: float, smiles: float) -> Talk:
    rig, rest = np.zeros((STEPS, 52), np.float32), np.zeros(52, np.float32)
    rig[:, JAW] = wide * SWINGS
    rest[sides("mouthSmile")] = smiles
    info = ClipInfo(key=f"{name}-0", subject=name, source="folder")
    sound = np.zeros(STEPS * STEP_SAMPLES, np.float32)
    return Talk(info, sound, rig, np.ones(STEPS, np.bool_), SPOKEN, rest)


def said(spoken: Talk) -> F32:
    rig = np.zeros((STEPS, 52), np.float32)
    rig[:, JAW] = 0.4 * np.roll(SWINGS, -1)
    return rig


def test_the_own_style_comes_nearest() -> None:
    usual = np.full(52, 0.4, np.float32)
    talks = [talk("wide", 0.8, 0.0), talk("narrow", 0.2, 0.3), talk("short", 0.4, 0.1)]
    speakers = speakers_of(talks[:2], said, usual, 300)
    assert [one.name for one in speakers] == ["wide", "narrow"]
    assert len(speakers[0].truth) == STEPS - 1 - 300
    one, other = speakers
    assert np.abs(made(one, [other], "own")[0] - one.truth).max() < 0.03
    (usually,), (theirs,) = (made(one, [other], kind) for kind in ("usual", "another's"))
    assert usually[:, JAW].max() == pytest.approx(0.4, abs=0.01)
    assert theirs[:, JAW].max() == pytest.approx(0.2, abs=0.01)
    assert theirs[0, sides("mouthSmile")] == pytest.approx(0.3)
    lines = as_text(speakers, None).splitlines()
    assert lines[0].startswith("| 2 people, 12 s | mouth MAE")
    own = next(line for line in lines if line.startswith("| own,"))
    assert own.count("-") >= 9  # every figure is lower, and so are both ends of its interval
    assert not speakers_of(talks, said, usual, STEPS)
