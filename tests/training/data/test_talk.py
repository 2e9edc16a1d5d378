"""Talk: an animator's shapes as ARKit's, rest and pose taken away, amplitude, offsets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from engine.errors import MienError
from face.types import BLENDSHAPES
from face.voice.style import amplitude
from tests.training.made_clips import made_clip
from training.data.clip import Phone
from training.data.rig_speech import TO_ARKIT, clip_of, main, read_rig, to_arkit
from training.data.talk import BY_PHONES, JAW, SPOKEN, brought_to, shifted, speaker_of, talks_of
from training.trainers.offsets import BACK, Guess, offset_of

NAMES = sorted({part for texts in TO_ARKIT.values() for text in texts for part in text.split()})


def recording(folder: Path, name: str = "one", frames: int = 31) -> Path:
    import av

    weights = np.zeros((frames, len(NAMES)), np.float16)
    weights[:, NAMES.index("mouth_stretch_c")] = np.linspace(0, 1, frames)
    np.savez(folder / f"{name}.npz", weights=weights, names=np.array(NAMES), fps=30.0)
    with av.open(str(folder / f"{name}.flac"), "w") as out:
        stream = out.add_stream("flac", rate=16_000, layout="mono")
        sound = np.full((1, frames * 16_000 // 30), 3000, np.int16)
        block = av.AudioFrame.from_ndarray(sound, "s16", "mono")
        block.sample_rate = 16_000
        out.mux([*stream.encode(block), *stream.encode(None)])
    return folder / f"{name}.npz"


def test_an_animators_shapes_become_arkits() -> None:
    weights = np.zeros((1, len(NAMES)), np.float32)
    weights[0, NAMES.index("mouth_stretch_c")] = 0.4
    weights[0, NAMES.index("mouth_oh_c")] = 0.5
    weights[0, [NAMES.index(f"mouth_funnel_{part}") for part in ("dl", "dr")]] = 0.4
    rig = to_arkit(weights, NAMES)[0]
    assert rig[JAW] == pytest.approx(0.4)
    assert rig[BLENDSHAPES.index("mouthFunnel")] == pytest.approx(1 - 0.8 * 0.5)


def test_a_recording_keeps_its_time_at_another_rate(tmp_path: Path) -> None:
    rig = read_rig(recording(tmp_path))
    assert len(rig) == 26 and rig[[5, -1], JAW] == pytest.approx([0.2, 1.0], abs=1e-3)


def test_recordings_become_shards_and_what_is_wrong_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording(tmp_path, "one"), recording(tmp_path, "two")
    assert main([str(tmp_path), str(tmp_path / "out"), "--test", "two"]) == 0
    assert len(list((tmp_path / "out").glob("*.tar"))) == 2
    assert main([str(tmp_path), str(tmp_path / "out"), "--test", "three"]) == 1
    assert "no recording three" in capsys.readouterr().err
    (tmp_path / "one.npz").write_bytes(b"nothing")
    with pytest.raises(MienError, match=r"one\.npz cannot be read"):
        read_rig(tmp_path / "one.npz")


def test_truth_is_kept_as_it_is_and_lies_50_times_a_second() -> None:
    rig = np.zeros((26, 52), np.float32)
    rig[:, JAW] = np.linspace(0, 0.5, 26)
    (talk,) = talks_of([clip_of("one", rig, np.full(16_000, 0.1, np.float32), "train")])
    assert len(talk) == 50 and talk.known.all() and talk.rig[25, JAW] == pytest.approx(0.25)
    assert not talk.shapes[BLENDSHAPES.index("browInnerUp")]
    assert speaker_of(talk.info) == "rig_speech:1:one"  # each recording in a style of its own


def test_what_a_tracked_face_rests_at_is_taken_away() -> None:
    clip = replace(made_clip("a", frames=25), rig=None, valence=None, arousal=None, intensity=None)
    press = BLENDSHAPES.index("mouthPressLeft")
    assert clip.blendshapes[:, press].min() > 0.1
    (talk,) = talks_of([clip])
    assert talk.rest[press] > 0.1 and talk.rig[:, press].max() < 0.05
    assert talk.rig[:, JAW].max() > 0.2 and talk.shapes.sum() == SPOKEN.sum()


def test_a_voice_without_a_face_gets_a_mouth_of_its_phones() -> None:
    names = ("AA", "P", "AA", "SIL") * 3
    phones = tuple(
        Phone(name=name, start_s=0.2 * i, end_s=0.2 * (i + 1)) for i, name in enumerate(names)
    )
    clip = replace(
        clip_of("one", np.zeros((0, 52), np.float32), np.ones(48_000, np.float32), "train"),
        phones=phones,
    )
    (talk,) = talks_of([clip])
    assert talk.info.source == BY_PHONES
    assert talk.rig[5, JAW] > 0.2 > 0.1 > talk.rig[15, JAW]


def test_speakers_are_brought_to_the_usual_amplitude() -> None:
    rig = np.zeros((26, 52), np.float32)
    rig[::2, JAW] = 0.5
    (talk,) = talks_of([clip_of("one", rig, np.ones(16_000, np.float32), "train")])
    own, usual = amplitude(talk.rig), np.full(52, 0.25, np.float32)
    assert brought_to(talk, own, usual).rig[:, JAW].max() == pytest.approx(0.25)


def test_an_offset_is_told_and_taken_back() -> None:
    rng = np.random.default_rng(0)
    heard = [rng.normal(0, 1, (600, 20)).astype(np.float32) for _ in range(2)]
    mouth = [np.convolve(h[:, 0], np.ones(5) / 5)[:600].astype(np.float32) for h in heard]
    guess = Guess.fit(heard[:1], mouth[:1])
    early = np.roll(mouth[1], -7)
    known = np.ones(600, np.bool_)
    found = offset_of([guess(heard[1])], [early], [known])
    assert found.steps == 7 and found.agrees > 0.9 and BACK > 5
    rig = np.zeros((26, 52), np.float32)
    rig[:, JAW] = np.linspace(0, 0.5, 26)
    (talk,) = talks_of([clip_of("one", rig, np.ones(16_000, np.float32), "train")])
    back = shifted(talk, 7)
    assert back.rig[17, JAW] == talk.rig[10, JAW] and not back.known[:7].any()
