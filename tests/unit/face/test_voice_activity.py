"""Who speaks, by the network that ships, and by loudness where it is missing."""

from __future__ import annotations

import shutil
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from commands.bench.babble import babble
from engine.types import F32
from face.affect.speech_steps import STEP_SAMPLES
from face.affect.voice_activity import Loud, Spoken, VoiceActivity
from inference.model import Model
from inference.weight_sets import SHIPPED

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def spoken() -> Iterator[Spoken]:
    model = Model(SHIPPED / "activity", backend="openvino", log=lambda line: None)
    yield Spoken(model)
    model.close()


def share(activity: VoiceActivity, sound: F32, step: int = STEP_SAMPLES) -> float:
    """Of a recording's steps, those in which somebody speaks."""
    activity.reset()
    steps = [sound[i : i + step] for i in range(0, len(sound) - step + 1, step)]
    return float(np.mean([activity(samples) for samples in steps]))


def speech(folder: Path) -> F32:
    """A made voice, 16 kHz."""
    import cv2

    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng speaks in this test; it is not installed")
    file = folder / "spoken.wav"
    words = "The quick brown fox jumps over the lazy dog, and nobody knows why it does."
    subprocess.run(["espeak-ng", "-v", "en-us", "-w", str(file), words], check=True)
    with wave.open(str(file)) as opened:
        rate_hz, data = opened.getframerate(), opened.readframes(opened.getnframes())
    samples = np.frombuffer(data, np.int16).astype(np.float32) / 32768
    wide = cv2.resize(samples[None], (len(samples) * RATE_HZ // rate_hz, 1))
    return np.asarray(wide[0], np.float32)


def music(seconds: float) -> F32:
    """Chords of plucked strings."""
    times = np.arange(int(0.5 * RATE_HZ)) / RATE_HZ
    chords = [(262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)]
    played = [
        sum(np.sin(2 * np.pi * hz * k * times) / k for hz in chord for k in (1, 2, 3, 4))
        * np.exp(-4 * times)
        for chord in chords
    ]
    bars = np.concatenate(played * int(seconds / 2 + 1))[: int(seconds * RATE_HZ)]
    return (0.1 * bars).astype(np.float32)


def keys(seconds: float, rng: np.random.Generator) -> F32:
    """Somebody types."""
    sound = rng.normal(0, 0.001, int(seconds * RATE_HZ))
    for start in np.arange(0.1, seconds - 0.1, 0.17):
        click = rng.normal(0, 0.4, 300) * np.exp(-np.arange(300) / 60)
        sound[int(start * RATE_HZ) :][:300] += click
    return sound.astype(np.float32)


def test_a_made_voice_speaks_all_the_time(spoken: Spoken) -> None:
    sound = babble(8, 3 * RATE_HZ).reshape(-1, 3).mean(1).astype(np.float32) / 32767
    assert share(spoken, np.concatenate([sound, sound])) > 0.95


def test_a_voice_speaks(spoken: Spoken, tmp_path: Path) -> None:
    voice = speech(tmp_path)
    assert share(spoken, voice) > 0.8
    pause = np.zeros(3 * RATE_HZ, np.float32)
    there = share(spoken, np.concatenate([voice, pause, voice]))
    assert there == pytest.approx(2 * len(voice) / (2 * len(voice) + len(pause)), abs=0.15)
    assert share(spoken, voice, step=480) == pytest.approx(share(spoken, voice), abs=0.05)


def test_music_noise_and_keys_are_no_voice(spoken: Spoken) -> None:
    rng = np.random.default_rng(0)
    hum = 0.2 * np.sin(2 * np.pi * 100 * np.arange(5 * RATE_HZ) / RATE_HZ)
    for sound in (music(5), keys(5, rng), rng.normal(0, 0.1, 5 * RATE_HZ), hum, 0 * hum):
        assert share(spoken, sound.astype(np.float32)) < 0.05
    assert share(Loud(), music(5)) > 0.9


def test_loud_is_louder_than_the_room() -> None:
    rng = np.random.default_rng(0)
    room = rng.normal(0, 0.003, 8 * RATE_HZ).astype(np.float32)
    talk = room.copy()
    talk[4 * RATE_HZ : 5 * RATE_HZ] += rng.normal(0, 0.1, RATE_HZ).astype(np.float32)
    assert share(Loud(), room[5 * RATE_HZ :]) < 0.3
    assert 0.1 < share(Loud(), talk) < 0.5
