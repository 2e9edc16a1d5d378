"""Synthetic heads: strict pairs, a mouth that follows the sound, shards that go on, errors."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from face.emotions import FEELING, prototype
from face.ramps import smoothstep
from face.types import BLENDSHAPES, EMOTIONS
from media.mel import log_mel
from training.data.clip import FPS, Clip, Phone, open_clips
from training.data.heads.acting import LEVELS, mouth, perform, script_of, style_of
from training.data.heads.mesh import Mesh
from training.data.heads.voice import (
    SENTENCES,
    Speaker,
    arpabet,
    load_speaker,
    manner_of,
    sentence,
)
from training.data.synthesize import main


def _espeak() -> bool:
    try:
        ctypes.CDLL("libespeak-ng.so.1")
    except OSError:
        return False
    return True


needs_espeak = pytest.mark.skipif(not _espeak(), reason="espeak-ng isn't installed")
needs_anny = pytest.mark.skipif(
    importlib.util.find_spec("anny") is None, reason="anny isn't installed"
)
JAW, CLOSE = BLENDSHAPES.index("jawOpen"), BLENDSHAPES.index("mouthRollLower")
PHONES = (
    Phone(name="SIL", start_s=0.0, end_s=0.2),
    Phone(name="AA", start_s=0.2, end_s=0.5),
    Phone(name="B", start_s=0.5, end_s=0.6),
    Phone(name="AA", start_s=0.6, end_s=0.9),
    Phone(name="SIL", start_s=0.9, end_s=1.2),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """One head, one sentence, neutral and surprised."""
    out = tmp_path_factory.mktemp("heads")
    assert main([*_arguments(out), "--emotions", "neutral", "surprised"]) == 0
    clips = list(open_clips(out))
    shard = next(out.glob("*.tar"))
    stamp = shard.stat().st_mtime_ns
    assert main([*_arguments(out), "--emotions", "neutral", "surprised"]) == 0
    assert shard.stat().st_mtime_ns == stamp  # what is there isn't made again
    assert main([*_arguments(out), "--emotions", "neutral", "sad"]) != 0  # nor mixed with others
    assert [path.suffix for path in out.glob("*.tar")] == [".tar"]
    return clips


def _arguments(out: Path) -> list[str]:
    return [
        str(out), "--heads", "1", "--sentences", "1", "--levels", "1",
        "--max-frames", "14", "--processes", "1", "--seed", "3",
    ]  # fmt: skip


@needs_anny
@needs_espeak
def test_clips_carry_their_truth_and_the_tracker_finds_a_face(made: list[Clip]) -> None:
    calm, felt = made
    assert [clip.info.emotion for clip in made] == ["neutral", "surprised"]
    for clip in made:
        assert len(clip) == 14 and clip.info.synthetic and clip.info.nc == "no"
        assert clip.info.source == "heads" and "CC0" in clip.info.licence
        assert clip.found.mean() > 0.9
        assert len(clip.mel) == 4 * len(clip) and clip.phones
        assert np.abs(log_mel(clip.samples) - clip.mel).mean() < 0.2
        assert clip.frame(3).std() > 15
        assert clip.rig is not None and clip.rig.min() >= 0 and clip.rig.max() <= 1
    assert calm.intensity is not None and not calm.intensity.any()
    assert felt.intensity is not None and felt.valence is not None and felt.arousal is not None
    np.testing.assert_allclose(np.hypot(felt.valence, felt.arousal), felt.intensity, atol=1e-5)
    assert np.ptp(felt.intensity) > 0.1


@needs_anny
@needs_espeak
def test_a_pair_differs_in_the_feeling_alone(made: list[Clip]) -> None:
    calm, felt = made
    assert calm.rig is not None and felt.rig is not None and felt.intensity is not None
    assert calm.info.sentence == felt.info.sentence and calm.info.subject == felt.info.subject
    np.testing.assert_array_equal(calm.rig[:, ~FEELING], felt.rig[:, ~FEELING])
    height = int(felt.intensity.argmax())
    before, after = calm.frame(height).astype(float), felt.frame(height).astype(float)
    change = np.abs(before - after).mean(axis=-1)
    assert change[:20].mean() < 2  # the room stands still
    points = calm.landmarks[height, :, :2]
    brows = np.rint(points[[70, 63, 105, 66, 107, 336, 296, 334, 293, 300]]).astype(int)
    assert np.mean([change[y - 8 : y + 8, x].mean() for x, y in brows]) > 4
    up = BLENDSHAPES.index("browInnerUp")
    assert felt.blendshapes[height, up] > calm.blendshapes[height, up] + 0.1


@needs_espeak
def test_phone_times_are_those_of_the_sound() -> None:
    speaker = load_speaker()
    manner = manner_of(True, np.random.default_rng(0))
    samples, phones = speaker.say("The boat was found by the church.", manner)
    names = [phone.name for phone in phones]
    assert {"B", "OW", "T", "F", "AW", "N", "D", "CH", "ER"} <= set(names)
    assert phones[-1].end_s == pytest.approx(len(samples) / 16000, abs=0.01)

    def loudness(phone: Phone) -> float:
        part = samples[int(phone.start_s * 16000) : int(phone.end_s * 16000)]
        return float(np.sqrt((part**2).mean())) if len(part) else 0.0

    vowels = [loudness(phone) for phone in phones if phone.name in ("OW", "AW", "AY", "ER")]
    stops = [loudness(phone) for phone in phones if phone.name in ("T", "CH", "SIL")]
    assert min(vowels) > 3 * np.median(stops)


@needs_espeak
def test_feeling_changes_the_voice_and_not_its_times() -> None:
    speaker = load_speaker()
    manner = manner_of(False, np.random.default_rng(1))
    calm, calm_phones = speaker.say(sentence(5), manner)
    sad, sad_phones = speaker.say(sentence(5), manner, "sad")
    assert [p.name for p in calm_phones] == [p.name for p in sad_phones]
    apart = [abs(a.start_s - b.start_s) for a, b in zip(calm_phones, sad_phones, strict=True)]
    assert max(apart) < 0.03
    assert float((sad**2).mean()) < 0.8 * float((calm**2).mean())


def test_the_mouth_opens_for_vowels_and_the_lips_meet_for_b() -> None:
    shapes, closed = mouth(PHONES, 30)
    jaw = shapes[:, JAW]
    assert jaw[7:11].max() > 0.3 and jaw[17:20].max() > 0.3
    assert closed[13] > 0.8 and jaw[13] < 0.1 and shapes[13, CLOSE] > 0.1
    assert jaw[:3].max() < 0.05 and jaw[-4:].max() < 0.05
    assert np.abs(np.diff(jaw)).max() < 0.35
    assert not shapes[:, FEELING].any()


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_feeling_rises_and_falls_on_the_same_script(emotion: str) -> None:
    rng = np.random.default_rng(4)
    style = style_of(rng)
    script = script_of(PHONES, 30, style, rng)
    weak, strong = (perform(script, emotion, k, style, np.random.default_rng(7)) for k in (1, 3))
    np.testing.assert_array_equal(strong.rig[:, ~FEELING], script.speech[:, ~FEELING])
    if emotion == "neutral":
        assert not strong.intensity.any()
        return
    assert LEVELS[2] * 0.75 < strong.intensity.max() <= 1
    assert weak.intensity.max() < 0.5
    assert strong.intensity[0] < 0.3 * strong.intensity.max()
    assert strong.intensity[-1] < 0.95 * strong.intensity.max()
    added = (strong.rig - script.speech).sum(axis=0)
    wanted = prototype(emotion)
    assert added @ wanted > 0.9 * np.linalg.norm(added) * np.linalg.norm(wanted)


def test_heads_turn_as_one_and_blinks_close_wide_eyes() -> None:
    rng = np.random.default_rng(2)
    style = style_of(rng)
    script = script_of(PHONES, 10 * FPS, style, rng)
    np.testing.assert_allclose(
        script.turn @ script.turn.transpose(0, 2, 1),
        np.eye(3)[None].repeat(len(script.turn), 0),
        atol=1e-5,
    )
    assert script.blink.max() > 0.8
    act = perform(script, "surprised", 3, style, rng)
    shut = int(script.blink.argmax())
    assert (
        act.rig[shut, BLENDSHAPES.index("eyeWideLeft")]
        < 0.2 * act.rig[:, BLENDSHAPES.index("eyeWideLeft")].max() + 0.05
    )


def test_names_of_phones() -> None:
    assert [arpabet(p) for p in ("iː", "oʊ", "dʒ", "ɚ", "ɑːɹ", "əl", "")] == [
        "IY", "OW", "JH", "ER", "AA", "AH", "SIL",
    ]  # fmt: skip
    assert len({sentence(n) for n in range(SENTENCES)}) == SENTENCES


def test_normals_and_hollows_of_a_bowl() -> None:
    y, x = np.mgrid[-3:4, -3:4].astype(np.float32)
    bowl = np.stack([x, y, 0.1 * (x**2 + y**2)], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange(49).reshape(7, 7)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    quads = [np.stack([a, b, c], -1), np.stack([a, c, d], -1)]
    triangles = np.concatenate([q.reshape(-1, 3) for q in quads]).astype(np.int32)
    mesh = Mesh(triangles, 49)
    normals = mesh.normals(bowl)
    np.testing.assert_allclose(normals[24], [0, 0, 1], atol=1e-5)
    assert mesh.hollow(bowl, normals)[24] > 0.05
    upside_down = bowl * [1, 1, -1]
    assert mesh.hollow(upside_down.astype(np.float32), normals)[24] < -0.05
    assert list(smoothstep(0, 1, np.array([-1, 0.5, 2], np.float32))) == [0, 0.5, 1]


def test_without_espeak_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setattr("training.data.synthesize.load_speaker", Speaker)
    assert main([str(tmp_path / "out"), "--heads", "1", "--sentences", "1"]) != 0
    error = capsys.readouterr().err
    assert "apt install espeak-ng" in error and len(error.splitlines()) == 1


@needs_espeak
def test_without_anny_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main([str(tmp_path / "out"), "--heads", "1", "--sentences", "1"]) != 0
    error = capsys.readouterr().err
    assert ".[heads]" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--heads", "0", "--sentences", "1"],
                                     ["--heads", "1", "--sentences", "9999"]])  # fmt: skip
def test_numbers_out_of_range(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), *options]) != 0
    assert "--sentences" in capsys.readouterr().err
