"""The editor: speech stays, feeling goes, emotions come, smoothly and within bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.errors import UsageError
from engine.parameters import build
from engine.types import F32
from face.emotions import (
    FEELING,
    JAW,
    circumplex,
    emotion_shapes,
    expression_of,
    mixture,
    prototype,
)
from face.expression.still_lips import StillLips
from face.topology import LIP_MIDDLES, OUTER_EYE_RIGHT
from face.types import BLENDSHAPES, EMOTIONS, Affect, FaceTrack
from nodes.face.expression_editor import RESTING, ExpressionEditor
from tests.faces import FRAME_NS, no_face

SPEECH = ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRollLower",
          "mouthRollUpper", "mouthLowerDownLeft", "eyeBlinkLeft", "eyeLookUpRight")  # fmt: skip


def make(**values: Any) -> ExpressionEditor:
    node = ExpressionEditor(build(ExpressionEditor.Config, values))
    node.setup()
    return node


def lips_apart(opening: float) -> F32:
    """Landmarks [478, 3] of a mouth, its opening in eye distances."""
    points = np.zeros((478, 3), np.float32)
    points[OUTER_EYE_RIGHT, 0], points[LIP_MIDDLES[1], 1] = 100, 100 * opening
    return points


def face(shapes: F32, index: int = 0, *, cut: bool = False, opening: float = 0.0) -> FaceTrack:
    return FaceTrack(
        capture_ns=(index + 1) * FRAME_NS,
        found=True,
        landmarks=lips_apart(opening),
        blendshapes=shapes,
        pose=np.eye(4, dtype=np.float32),
        cut=cut,
    )


def shapes(**values: float) -> F32:
    row = np.zeros(len(BLENDSHAPES), np.float32)
    for name, value in values.items():
        row[BLENDSHAPES.index(name)] = value
    return row


def at(row: F32, name: str) -> float:
    return float(row[BLENDSHAPES.index(name)])


def test_neutral_keeps_speech_and_takes_feeling() -> None:
    talking = np.full(len(BLENDSHAPES), 0.3, np.float32)
    edit = make().process(face(talking))
    assert edit.active
    assert np.allclose(edit.target[~FEELING], talking[~FEELING])
    squint = FEELING & np.char.startswith(BLENDSHAPES, "eyeSquint")
    assert np.allclose(edit.target[FEELING & ~squint], 0)
    assert np.allclose(edit.target[squint], RESTING * 0.3)  # calm eyes aren't wide eyes
    assert edit.removed == 1 and not edit.expression.any()
    assert all(not FEELING[BLENDSHAPES.index(name)] for name in SPEECH)


def test_speech_is_not_delayed() -> None:
    node = make()
    for index in range(12):
        opening = 0.5 + 0.4 * (-1) ** index
        edit = node.process(face(shapes(jawOpen=opening, mouthSmileLeft=0.5), index))
        assert at(edit.target, "jawOpen") == pytest.approx(opening)


@pytest.mark.parametrize("emotion", [name for name in EMOTIONS if name != "neutral"])
def test_an_emotion_replaces_the_feeling_and_scales_with_intensity(emotion: str) -> None:
    sullen = shapes(mouthFrownLeft=0.6, mouthFrownRight=0.6, browDownLeft=0.5, jawOpen=0.2)
    half = make(emotion=emotion, intensity=0.5).process(face(sullen)).target
    full = make(emotion=emotion, intensity=1.0).process(face(sullen)).target
    assert np.allclose(full[FEELING], emotion_shapes(emotion)[FEELING], atol=1e-5)
    assert np.allclose(half[FEELING], 0.5 * full[FEELING], atol=1e-5)
    assert at(full, "jawOpen") == pytest.approx(max(0.2, emotion_shapes(emotion)[JAW]))


@pytest.mark.parametrize("look", [prototype, emotion_shapes])
def test_emotions_differ_and_leave_speech_but_the_jaw_alone(look: Callable[[str], F32]) -> None:
    rows = {name: look(name) for name in EMOTIONS}
    assert not any(prototype(name)[JAW] for name in EMOTIONS)
    speech = ~FEELING & (np.arange(len(FEELING)) != JAW)
    assert not rows["neutral"].any()
    for name, row in rows.items():
        assert (row >= 0).all() and (row <= 1).all() and not row[speech].any()
        others = [np.abs(row - other).sum() for key, other in rows.items() if key != name]
        assert min(others) > 1.0


def test_a_mouth_falls_open_in_silence_and_is_given_up_to_speech() -> None:
    node = make(emotion="surprised", intensity=1.0)
    wide = at(emotion_shapes("surprised"), "jawOpen")
    noise = np.random.default_rng(0).normal(0, 0.001, 30)
    silent = [node.process(face(shapes(), i, opening=0.01 + noise[i])) for i in range(30)]
    assert all(at(edit.target, "jawOpen") == pytest.approx(wide, abs=0.02) for edit in silent)
    jaws = []
    for index in range(30, 90):  # four syllables a second
        opening = 0.06 * (1 - np.cos((index - 30) * 2 * np.pi * 4 / 30))
        own = shapes(jawOpen=3 * opening)
        edit = node.process(face(own, index, opening=opening))
        jaws.append((at(edit.target, "jawOpen"), 3 * opening))
    assert all(jaw == pytest.approx(own, abs=0.01) for jaw, own in jaws[12:])
    after = [at(node.process(face(shapes(), i)).target, "jawOpen") for i in range(90, 300)]
    assert min(np.diff(after)) > -1e-6 and after[15] < 0.1 and after[-1] > 0.95 * wide
    shut = make(emotion="surprised", intensity=1.0, open_mouth=0.0).process(face(shapes()))
    assert at(shut.target, "jawOpen") == 0


def test_lips_are_still_again_after_a_gap() -> None:
    lips = StillLips()
    assert lips(lips_apart(0.05), 0.0) == 1
    for index in range(20):
        still = lips(lips_apart(0.1 * (index % 2)), 0.04)
    assert still < 0.05
    assert lips(lips_apart(0.1), 5.0) == 1


def test_off_leaves_the_face() -> None:
    edit = make(mode="off").process(face(shapes(mouthSmileLeft=0.8)))
    assert not edit.active and np.array_equal(edit.source, edit.target)


def test_no_face_is_left_alone_and_forgotten() -> None:
    node = make(emotion="happy")
    assert not node.process(no_face()).active
    assert node.process(face(shapes(mouthFrownLeft=0.4), 1)).active


def test_partly_neutralized() -> None:
    edit = make(neutralize=0.25).process(face(shapes(browInnerUp=0.8)))
    assert at(edit.target, "browInnerUp") == pytest.approx(0.6)


def test_shut_eyes_are_not_pulled_open() -> None:
    blinking = shapes(eyeBlinkLeft=0.9, eyeSquintLeft=0.7, eyeSquintRight=0.7)
    target = make(emotion="surprised", intensity=1).process(face(blinking)).target
    assert at(target, "eyeSquintLeft") == pytest.approx(0.7)
    assert at(target, "eyeWideLeft") == 0 and at(target, "eyeWideRight") > 0.4
    assert at(target, "eyeSquintRight") == 0 and at(target, "eyeBlinkLeft") == pytest.approx(0.9)


def test_a_change_of_emotion_eases_and_a_cut_does_not() -> None:
    node = make(emotion="neutral")
    calm = shapes(jawOpen=0.1)
    node.process(face(calm, 0))
    node.reconfigure(build(ExpressionEditor.Config, {"emotion": "happy", "intensity": 1.0}))
    smiles = [at(node.process(face(calm, i)).target, "mouthSmileLeft") for i in range(1, 9)]
    full = at(prototype("happy"), "mouthSmileLeft")
    assert 0 < smiles[0] < 0.6 * full and smiles == sorted(smiles)
    assert smiles[5] > 0.93 * full  # six frames are 200 ms
    node.reconfigure(build(ExpressionEditor.Config, {"emotion": "neutral"}))
    assert at(node.process(face(calm, 20, cut=True)).target, "mouthSmileLeft") == 0


def test_switching_off_eases_out() -> None:
    node = make(emotion="happy", intensity=1)
    calm = shapes(browInnerUp=0.2)
    node.process(face(calm))
    node.reconfigure(build(ExpressionEditor.Config, {"mode": "off"}))
    edits = [node.process(face(calm, index)) for index in range(1, 30)]
    assert edits[0].active and not edits[-1].active
    assert np.allclose(edits[-1].target, edits[-1].source)


def test_measured_feeling_is_calmed_and_quick_changes_pass() -> None:
    node = make()
    chance = np.random.default_rng(0)
    noise = chance.normal(0, 0.02, 40)
    seen = []
    for index, shake in enumerate(noise):
        edit = node.process(face(shapes(mouthSmileLeft=0.5 + float(shake)), index))
        seen.append(at(edit.source, "mouthSmileLeft"))
    assert np.abs(np.diff(seen[5:])).mean() < 0.6 * np.abs(np.diff(noise[5:])).mean()
    late = [
        at(node.process(face(shapes(mouthSmileLeft=1.0), 40 + i)).source, "mouthSmileLeft")
        for i in range(3)
    ]
    assert late[2] > 0.9


def test_the_circumplex_goes_through_the_emotions() -> None:
    def chief(valence: float, arousal: float) -> str:
        mixed = mixture(valence, arousal)
        return max(mixed, key=lambda name: mixed[name])

    assert chief(0.9, 0.3) == "happy" and chief(-0.7, 0.7) == "angry"
    assert chief(-0.85, -0.4) == "sad" and chief(0.2, 0.9) == "surprised"
    assert not circumplex(0, 0).any()
    assert sum(mixture(0.5, 0.0).values()) <= 0.5 + 1e-6
    for angle in np.linspace(0, 2 * np.pi, 73):
        here = circumplex(0.8 * np.cos(angle), 0.8 * np.sin(angle))
        near = circumplex(0.8 * np.cos(angle + 0.02), 0.8 * np.sin(angle + 0.02))
        assert np.abs(here - near).max() < 0.05 and (here <= 1).all()
    edit = make(mode="valence_arousal", valence=0.9, arousal=0.3).process(face(shapes()))
    assert at(edit.target, "mouthSmileLeft") > 0.5


def test_none_of_me_is_neutral_and_one_is_untouched() -> None:
    own = shapes(mouthSmileLeft=0.4, mouthSmileRight=0.4, browInnerUp=0.3, jawOpen=0.5)
    neutral = make(emotion="neutral").process(face(own))
    none = make(mode="scale", scale=0).process(face(own))
    assert none.active and np.array_equal(none.target, neutral.target)
    one = make(mode="scale", scale=1).process(face(own))
    assert not one.active and np.array_equal(one.target, one.source)


def test_more_of_me_makes_the_feeling_stronger_and_not_the_speech() -> None:
    own = shapes(mouthSmileLeft=0.3, browInnerUp=0.8, jawOpen=0.5, eyeBlinkLeft=0.2)
    more = make(mode="scale", scale=2).process(face(own)).target
    assert at(more, "mouthSmileLeft") == pytest.approx(0.6) and at(more, "browInnerUp") == 1
    assert np.array_equal(more[~FEELING], own[~FEELING])
    half = make(mode="scale", scale=0.5).process(face(own)).target
    assert at(half, "mouthSmileLeft") == pytest.approx(0.15)


def test_a_change_of_scale_eases_and_ends_untouched() -> None:
    node = make(mode="scale", scale=2.0)
    own = shapes(mouthSmileLeft=0.3)
    assert at(node.process(face(own)).target, "mouthSmileLeft") == pytest.approx(0.6)
    node.reconfigure(build(ExpressionEditor.Config, {"mode": "scale", "scale": 1.0}))
    smiles = [node.process(face(own, index)) for index in range(1, 30)]
    course = [at(edit.target, "mouthSmileLeft") for edit in smiles]
    assert course == sorted(course, reverse=True) and 0.3 < course[0] < 0.6
    assert not smiles[-1].active and course[-1] == pytest.approx(0.3)


def voice(emotion: str, intensity: float, index: int = 0, *, sure: float = 0.9) -> Affect:
    expression_of = np.full(len(EMOTIONS), (1 - sure) / 7, np.float32)
    expression_of[EMOTIONS.index(emotion)] = sure
    return Affect(
        capture_ns=(index + 1) * FRAME_NS,
        source="voice",
        known=True,
        probabilities=expression_of,
        intensity=intensity,
    )


def test_the_face_follows_the_voice() -> None:
    node = make(mode="voice", ease_ms=0.0)
    own = shapes(mouthFrownLeft=0.5, jawOpen=0.3)
    emotion_shapes = []
    for index, (emotion, intensity) in enumerate(
        [("happy", 0.2), ("happy", 0.9), ("angry", 0.6), ("neutral", 0.0)]
    ):
        node.on_voice(voice(emotion, intensity, index))
        emotion_shapes.append(node.process(face(own, index)).target)
    smile, frown = (BLENDSHAPES.index(name) for name in ("mouthSmileLeft", "browDownLeft"))
    assert (
        emotion_shapes[1][smile] == pytest.approx(4.5 * emotion_shapes[0][smile], rel=0.01)
        and emotion_shapes[1][smile] > 0.7
    )
    assert emotion_shapes[2][frown] > 0.5 and emotion_shapes[2][smile] < 0.05
    assert not emotion_shapes[3][FEELING].any()
    assert all(row[BLENDSHAPES.index("jawOpen")] == pytest.approx(0.3) for row in emotion_shapes)
    assert all(at(row, "mouthFrownLeft") < 0.3 for row in emotion_shapes)


def test_a_louder_gain_wears_more_and_full_is_full() -> None:
    for gain, amount in ((0.5, 0.2), (1.0, 0.4), (2.0, 0.8), (2.0, 1.0)):
        node = make(mode="voice", voice_gain=gain)
        node.on_voice(voice("happy", 0.4 if amount < 1 else 0.9, sure=1.0))
        smile = at(node.process(face(shapes())).target, "mouthSmileLeft")
        assert smile == pytest.approx(amount * at(prototype("happy"), "mouthSmileLeft"), abs=1e-3)


def test_a_silent_voice_leaves_the_face_neutral() -> None:
    node = make(mode="voice")
    own = shapes(mouthSmileLeft=0.5)
    assert not node.process(face(own)).target.any()  # nothing was ever heard
    node.on_voice(voice("happy", 1.0, 1))
    heard = [at(node.process(face(own, i)).target, "mouthSmileLeft") for i in range(1, 12)]
    assert heard == sorted(heard) and heard[-1] > 0.7
    late = [at(node.process(face(own, i)).target, "mouthSmileLeft") for i in range(12, 60)]
    assert late[-1] < 0.02  # the last word is over a second old


def test_a_cut_doesnt_silence_the_voice() -> None:
    node = make(mode="voice")
    node.on_voice(voice("happy", 1.0))
    assert at(node.process(face(shapes(), cut=True)).target, "mouthSmileLeft") > 0.7


def test_the_likeliest_is_worn_rather_than_a_bit_of_each() -> None:
    sure, torn = np.full(8, 0.05, np.float32), np.full(8, 0.0, np.float32)
    sure[EMOTIONS.index("sad")] = 0.65
    torn[0] = 1
    assert expression_of(sure)[EMOTIONS.index("sad")] > 0.9
    assert expression_of(sure).sum() == pytest.approx(1)
    assert not expression_of(torn).any()


@pytest.mark.parametrize(
    "values",
    [{"emotion": "joy"}, {"intensity": 1.2}, {"valence": -2}, {"mode": "wear"}, {"scale": 2.1}],
)
def test_wrong_parameters_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        build(ExpressionEditor.Config, values)
