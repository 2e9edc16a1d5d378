"""The mouth's opening is speech's, lids are the camera's."""

from __future__ import annotations

import numpy as np

from engine.types import F32
from face.expression.speech import Speech, head_angles, shut
from face.render.repertoire import mouth_aperture
from face.rig import load_rig
from face.topology import EYE_REGIONS, LIP_MIDDLES, LOWER_INNER, MOUTH_CORNERS, UPPER_INNER
from face.types import BLENDSHAPES


def opened(cm: float) -> F32:
    """The mean face with inner lips so far apart."""
    shape = load_rig().mean.copy()
    shape[list(LOWER_INNER[1:-1]), 1] -= np.float32(cm - mouth_aperture(shape))
    return shape


def rig(**values: float) -> F32:
    row = np.zeros(len(BLENDSHAPES), np.float32)
    for name, value in values.items():
        for side in ("", "Left", "Right"):
            if name + side in BLENDSHAPES:
                row[BLENDSHAPES.index(name + side)] = value
    return row


def test_who_speaks_keeps_the_opening() -> None:
    speech = Speech()
    speech.follow(rig(jawOpen=0.4), opened(1.0), 0.04)
    for asked in (0.0, 2.0):
        made = speech.keep(opened(asked), opened(1.0), free=0.0, smile_goes=0.0)
        assert abs(mouth_aperture(made) - 1.0) < 0.02
    closed = speech.keep(opened(1.5), opened(0.0), free=0.0, smile_goes=0.0)
    assert mouth_aperture(closed) < 0.02  # lips that meet in speech meet


def test_a_silent_mouth_may_fall_open_but_isnt_shut() -> None:
    speech = Speech()
    speech.follow(rig(), opened(0.0), 0.04)
    assert abs(mouth_aperture(speech.keep(opened(2.0), opened(0.0), 1.0, 0.0)) - 2.0) < 0.02
    assert abs(mouth_aperture(speech.keep(opened(0.0), opened(1.0), 1.0, 0.0)) - 1.0) < 0.02
    still = speech.keep(opened(0.0), opened(1.0), 1.0, 0.0, still=True)
    assert mouth_aperture(still) < 0.02  # nobody speaks in a photograph


def test_a_smile_shuts_below_its_corners_and_a_sneer_where_it_is() -> None:
    rest = load_rig().mean
    middle, corners = LIP_MIDDLES[0], list(MOUTH_CORNERS)
    for shapes, lowered in (({"mouthSmile": 1.0}, (0.5, 0.7)), ({}, (0.0, 0.2))):
        open_ = rest + np.tensordot(rig(mouthUpperUp=0.6, **shapes), load_rig().basis, axes=1)
        plain, made = shut(open_), shut(open_, rest)
        assert abs(mouth_aperture(made)) < 0.02
        assert (made[corners] == plain[corners]).all()
        assert lowered[0] < plain[middle, 1] - made[middle, 1] < lowered[1]
        assert made[middle, 1] > shut(rest)[middle, 1] - 0.1  # no lower than lips at rest


def test_a_smile_that_goes_takes_its_teeth_along_unless_the_jaw_speaks() -> None:
    smiling = Speech()
    smiling.follow(rig(mouthSmile=0.8, jawOpen=0.02), opened(0.8), 0.04)
    assert mouth_aperture(smiling.keep(opened(0.0), opened(0.8), 0.0, 1.0)) < 0.02
    speaking = Speech()
    speaking.follow(rig(mouthSmile=0.8, jawOpen=0.5), opened(0.8), 0.04)
    assert mouth_aperture(speaking.keep(opened(0.0), opened(0.8), 0.0, 1.0)) > 0.75


def test_who_speaks_while_smiling_keeps_the_lips_motion() -> None:
    speech, said, kept = Speech(), [], []
    for step in range(60):
        apart = 0.5 + 0.4 * np.sin(step / 3)
        speech.follow(rig(mouthSmile=0.8, jawOpen=0.05), opened(apart), 0.04)
        said.append(apart)
        kept.append(mouth_aperture(speech.keep(opened(0.0), opened(apart), 0.0, 1.0)))
    assert np.corrcoef(said[18:], kept[18:])[0, 1] > 0.97
    assert np.mean(kept[18:]) < np.mean(said[18:]) - 0.05  # the strip that the smile bared is gone


def test_lips_that_are_shut_meet_along_their_length() -> None:
    speech = Speech()
    speech.follow(rig(), opened(0.0), 0.04)
    ajar = opened(0.6)
    made = speech.keep(ajar.copy() * np.float32(1), ajar, 1.0, 0.0, still=True)
    assert mouth_aperture(made) > 0.5
    sealed = speech.keep(opened(0.02), ajar, 1.0, 0.0, still=True)
    gaps = sealed[list(UPPER_INNER[1:-1]), 1] - sealed[list(LOWER_INNER[1:-1]), 1]
    assert np.abs(gaps).max() < 0.15


def test_blinks_are_the_cameras() -> None:
    speech = Speech()
    for _ in range(10):
        speech.follow(rig(eyeBlink=0.1), opened(0.0), 0.04)
    wide, camera = load_rig().mean.copy(), load_rig().mean.copy()
    camera[list(EYE_REGIONS[0]), 1] -= np.float32(0.3)
    open_eyes = speech.keep(wide, camera, 0.0, 0.0)
    assert np.array_equal(open_eyes[list(EYE_REGIONS[0])], wide[list(EYE_REGIONS[0])])
    speech.follow(rig(eyeBlink=0.7), opened(0.0), 0.04)
    blinking = speech.keep(wide, camera, 0.0, 0.0)
    assert np.allclose(blinking[list(EYE_REGIONS[0])], camera[list(EYE_REGIONS[0])], atol=1e-5)


def test_eyes_that_are_narrow_for_long_are_no_blink() -> None:
    speech = Speech()
    speech.follow(rig(eyeBlink=0.35), opened(0.0), 0.04)
    assert speech.blinks.max() == 0
    shut = Speech()
    shut.follow(rig(eyeBlink=0.9), opened(0.0), 0.04)
    assert shut.blinks.min() == 1  # there is no eye to be opened


def test_angles_of_a_head() -> None:
    assert np.allclose(head_angles(np.eye(3, dtype=np.float32)), 0)
    turn = np.array([[0.866, 0, 0.5], [0, 1, 0], [-0.5, 0, 0.866]], np.float32)
    assert np.allclose(head_angles(turn), [30, 0], atol=0.1)
