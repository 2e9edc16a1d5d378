"""A voice's rig: styles, feelings that give way to phonemes, state that begins anew."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.types import F32
from face.emotions import JAW, sides
from face.types import BLENDSHAPES, EMOTIONS
from face.voice.lips import CLOSED, parted
from face.voice.style import Style, style_of, usual_style
from face.voice.talking import VoiceRig

SMILE = sides("mouthSmile")
BROW = BLENDSHAPES.index("browInnerUp")
HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")
QUIET = np.zeros(320, np.float32)


class Net:
    """A network whose jaw opens as loud as the sound is, and that counts its steps."""

    card = SimpleNamespace(inputs=[SimpleNamespace(name="sound", shape=(1, 320))])

    def begin(self) -> dict[str, F32]:
        return {"state": np.zeros((1, 1), np.float32)}

    def carry(self, answer: dict[str, F32]) -> dict[str, F32]:
        return {"state": answer["state_next"]}

    def __call__(self, sound: F32, state: F32) -> dict[str, F32]:
        rig = np.zeros((1, len(BLENDSHAPES)), np.float32)
        rig[0, JAW] = np.abs(sound).max()
        rig[0, sides("eyeBlink")] = 0.5
        return {"rig": rig, "usual": np.full((1, 52), 0.3, np.float32), "state_next": state + 1}


def voice() -> VoiceRig:
    net: Any = Net()
    return VoiceRig(net)


def loud(level: float) -> F32:
    return np.full(320, level, np.float32)


def felt(index: int) -> F32:
    out = np.zeros(len(EMOTIONS), np.float32)
    out[index] = 1
    return out


def settled(rig: VoiceRig, sound: F32, emotion: int) -> F32:
    for _ in range(200):
        out = rig.step(sound, felt(emotion), 1.0)
    return out


def test_a_style_widens_what_is_said_and_has_a_rest_of_its_own() -> None:
    gain, rest = np.full(52, 2, np.float32), np.zeros(52, np.float32)
    rest[JAW] = 0.05
    plain = voice().step(loud(0.2))
    own = voice().step(loud(0.2), style=Style(gain, rest).vector)
    assert plain[JAW] == pytest.approx(0.2) and own[JAW] == pytest.approx(0.45)
    assert usual_style().vector.shape == (2 * len(BLENDSHAPES),)


def test_ten_seconds_of_talk_tell_a_style() -> None:
    usual = np.full(52, 0.2, np.float32)
    talk = np.full((250, 52), 0.1, np.float32)
    talk[::2, JAW] += 0.4
    style = style_of(talk, usual)
    assert style.rest == pytest.approx(0.1) and style.gain[JAW] == pytest.approx(2.0)
    assert style.gain[BROW] == pytest.approx(1 / 3)  # what wasn't seen stays small


def test_a_blink_of_the_network_is_left_alone() -> None:
    assert not voice().step(loud(0.3))[sides("eyeBlink")].any()


def test_a_feeling_comes_slowly_and_shows_whole_in_silence() -> None:
    rig = voice()
    first = rig.step(QUIET, felt(HAPPY), 1.0)
    last = settled(rig, QUIET, HAPPY)
    assert 0 < first[SMILE[0]] < 0.1 and last[SMILE[0]] > 0.9


def test_who_speaks_smiles_with_a_third_of_it_and_frowns_with_all() -> None:
    smile = settled(voice(), loud(0.3), HAPPY)[SMILE[0]]
    brow = settled(voice(), loud(0.3), SAD)[BROW]
    assert smile == pytest.approx(0.95 / 3, abs=0.02) and brow > 0.9


def test_lips_that_a_phoneme_closes_meet_in_spite_of_a_smile() -> None:
    rig = voice()
    settled(rig, loud(0.3), HAPPY)
    closed = rig.step(QUIET, felt(HAPPY), 1.0)
    assert closed[JAW] == 0 and closed[SMILE].max() < 0.05


@pytest.mark.parametrize("emotion", range(len(EMOTIONS)))
def test_no_feeling_parts_lips_that_are_nearly_shut(emotion: int) -> None:
    rig = voice()
    settled(rig, loud(0.3), emotion)
    assert parted(rig.step(loud(0.05), felt(emotion), 1.0)) < CLOSED


def test_lips_meet_of_who_hardly_opens_the_jaw() -> None:
    rig, surprised = voice(), EMOTIONS.index("surprised")
    settled(rig, loud(0.05), surprised)
    assert parted(rig.step(QUIET, felt(surprised), 1.0)) < CLOSED


def test_a_jaw_that_rests_open_is_no_speech() -> None:
    rest = np.zeros(52, np.float32)
    rest[JAW] = 0.05
    style, rig = Style(np.ones(52, np.float32), rest).vector, voice()
    for _ in range(200):
        out = rig.step(QUIET, felt(HAPPY), 1.0, style)
    assert out[SMILE].min() == pytest.approx(settled(voice(), QUIET, HAPPY)[SMILE].min(), abs=0.01)


def test_surprise_opens_the_mouth_of_the_silent_alone() -> None:
    surprised = EMOTIONS.index("surprised")
    assert settled(voice(), QUIET, surprised)[JAW] > 0.5
    assert settled(voice(), loud(0.3), surprised)[JAW] == pytest.approx(0.3, abs=0.01)


def test_reset_forgets_feeling_and_state() -> None:
    rig = voice()
    settled(rig, loud(0.3), HAPPY)
    rig.reset()
    assert np.array_equal(rig.step(loud(0.1)), voice().step(loud(0.1)))
    assert rig._state["state"][0, 0] == 1
    assert rig.rate_hz == 50 and rig.step_samples == 320
