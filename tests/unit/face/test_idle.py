"""What a face does beside speaking, over minutes."""

from __future__ import annotations

import numpy as np

from engine.types import F32
from face.emotions import sides
from face.expression.speech import head_angles
from face.voice.idle import Idle, Moment

STEP_S = 0.04


def minutes(idle: Idle, count: float, loud: bool = True) -> list[Moment]:
    """Of somebody who says a sentence and pauses, or is silent."""
    rng = np.random.default_rng(5)
    moments = []
    for step in range(round(count * 60 / STEP_S)):
        spoken = loud and step % 120 < 80 and (step // 4) % 2
        sound = rng.normal(0, 0.06 if spoken else 1e-4, 640).astype(np.float32)
        moments.append(idle(sound, STEP_S))
    return moments


def blinks(moments: list[Moment]) -> int:
    lids = np.array([moment.shapes[sides("eyeBlink")[0]] for moment in moments])
    return int(((lids[1:] > 0.5) & (lids[:-1] <= 0.5)).sum())


def angles(moments: list[Moment]) -> F32:
    return np.array([head_angles(moment.turn) for moment in moments])


def test_people_blink_as_people_do() -> None:
    assert 10 <= blinks(minutes(Idle(1), 3)) / 3 <= 32
    assert 7 <= blinks(minutes(Idle(1), 3, loud=False)) / 3 <= 26


def test_a_head_is_never_still_and_moves_with_the_voice() -> None:
    spoken, silent = (angles(minutes(Idle(2), 1, loud=loud)) for loud in (True, False))
    assert 0.8 < spoken[:, 0].std() < 4 and 0.5 < spoken[:, 1].std() < 3
    assert 0.2 < silent[:, 0].std() < spoken[:, 0].std()
    assert np.abs(np.diff(spoken, axis=0)).max() < 1.5  # degrees within 40 ms
    still = np.abs(np.diff(silent, axis=0)).max(axis=1) < 1e-4
    assert still.mean() < 0.01


def test_it_does_not_repeat() -> None:
    yaw = angles(minutes(Idle(3), 2))[:, 0]
    for lag in range(250, 1500, 50):
        assert abs(np.corrcoef(yaw[:-lag], yaw[lag:])[0, 1]) < 0.6


def test_the_same_seed_is_the_same_face() -> None:
    idle = Idle(4)
    first = minutes(idle, 0.2)
    idle.reset()
    for one, other in zip(first, minutes(idle, 0.2), strict=True):
        assert (one.shapes == other.shapes).all() and (one.turn == other.turn).all()
    assert (angles(first) != angles(minutes(Idle(5), 0.2))).any()


def test_shapes_are_in_range() -> None:
    for moment in minutes(Idle(6), 0.5):
        assert moment.shapes.min() >= 0 and moment.shapes.max() <= 1
        assert np.allclose(moment.turn @ moment.turn.T, np.eye(3), atol=1e-5)
