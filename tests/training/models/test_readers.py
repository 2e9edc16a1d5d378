"""What readers of faces and voices learn from, and how they are judged."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")


import torch

from face.types import EMOTIONS
from tests.training.made_clips import made_clip, made_clips, still, voice
from tests.training.models.conftest import Made
from training.data.clip import write_shard
from training.losses import labels
from training.models.speech import SpeechEncoder, SpeechSize
from training.models.visual import VisualEncoder, VisualSize
from training.recipes.intensity import Intensity
from training.recipes.speech import Speech
from training.recipes.visual import Visual
from training.trainers.cache import cached, key_of
from training.trainers.degradation import degraded_picture, degraded_voice
from training.trainers.face_features import Plan, face_features
from training.trainers.felt import felt
from training.trainers.intensity import IntensityTrainer
from training.trainers.readings import Reader
from training.trainers.samples import Augmentation, Clips
from training.trainers.speech import LABELS, SpeechTrainer, among_others, utterance
from training.trainers.visual import VisualTrainer
from training.trainers.voice_features import voice_features


def test_soft_labels_cost_nothing_where_they_are_met() -> None:
    wanted = labels.one_hot(torch.tensor([2, -1, 0]), 4, 0.1)
    assert torch.allclose(wanted.sum(dim=1), torch.tensor([1.0, 0.0, 1.0]))
    shares = torch.log(wanted.clamp(min=1e-6))[:, None].expand(-1, 3, -1)
    weight = torch.ones(3, 3)
    assert float(labels.soft_classification(shares, wanted, weight)) == pytest.approx(0, abs=1e-5)
    flat = torch.full((3, 3, 4), 0.25).log()
    assert float(labels.soft_classification(flat, wanted, weight)) > 0.5
    # An unknown row changes nothing, whatever is said of it.
    flat[1] = -9.0
    again = labels.soft_classification(flat, wanted, weight)
    assert float(again) == pytest.approx(
        float(labels.soft_classification(flat[[0, 2]], wanted[[0, 2]], weight[[0, 2]]))
    )


def test_the_least_believable_labels_are_left_out() -> None:
    wanted = labels.one_hot(torch.tensor([0, 1, 0, 1]), 2)
    said = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6]]).log()[:, None]
    assert labels.trusted(said, wanted, 0.25).tolist() == [1, 1, 0, 1]
    assert labels.trusted(said, wanted, 0.0).tolist() == [1, 1, 1, 1]


def test_a_voice_is_told_to_feel_what_is_known_of_it(tmp_path: Path) -> None:
    judged = voice("judged", emotion="", felt=(-0.6, 0.8))
    bored = voice("bored", emotion="", word="boredom", subject="two")
    acted = voice("acted", emotion="sad", level=1, subject="three")
    seen = made_clip("seen", frames=8, synthetic=True, subject="four")
    write_shard(tmp_path / "a.tar", [judged, bored, acted, seen])
    clips = Clips(tmp_path, "train")
    told = {clips.infos[i].key: felt(clips[i], 10) for i in clips.chosen}
    affect, intensity, known = told["judged"]
    assert np.allclose(affect, [-0.6, 0.8]) and np.allclose(intensity, 1.0) and known.all()
    assert told["bored"][0][0, 1] < -0.3 and 0 < told["bored"][2][0, 0] < 1
    assert told["acted"][1][0, 0] == pytest.approx(0.4) and told["acted"][0][0, 0] < 0
    assert np.allclose(told["seen"][1][:8, 0], clips[3].labels.intensity)
    assert told["seen"][2][:, 0].tolist() == [1] * 8 + [0] * 2
    assert sorted(clips.by_emotion) == ["", "boredom", "happy", "sad"]


@pytest.mark.parametrize(("emotion", "word"), [("", "boredom"), ("neutral", "calm")])
def test_shades_of_neutral_are_learned_beside_the_eight(
    tmp_path: Path, emotion: str, word: str
) -> None:
    write_shard(tmp_path / "a.tar", [voice("shade", emotion=emotion, word=word)])
    trainer = SpeechTrainer(Speech.debug(), tmp_path)
    batch = trainer.draw(np.random.default_rng(0), 0)
    assert set(batch["emotion"].tolist()) == {LABELS.index(word)}
    assert LABELS.index(word) >= len(EMOTIONS)


def test_who_is_left_out_is_never_drawn(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", made_clips())
    for recipe, make in ((Speech.debug(), SpeechTrainer), (Visual.debug(), VisualTrainer)):
        trainer = make(recipe, tmp_path, frozenset({"one"}))
        assert {trainer.clips.infos[i].subject for i in trainer.clips.chosen} == {"two"}


def test_stills_are_measured_against_what_neutral_looks_like(tmp_path: Path) -> None:
    made = [still(f"n{i}", f"p{i}", "neutral", i) for i in range(3)]
    write_shard(tmp_path / "a.tar", [*made, still("h", "somebody", "happy")])
    clips = Clips(tmp_path, "train")
    strength = {clips.infos[i].key: float(clips[i].labels.intensity[0]) for i in clips.chosen}
    assert strength["h"] > 0.7 and max(strength[f"n{i}"] for i in range(3)) < 0.1


def test_rare_emotions_are_seen_more_often_than_they_are(tmp_path: Path) -> None:
    many = [still(f"h{i}", f"p{i}", "happy") for i in range(16)]
    write_shard(tmp_path / "a.tar", [*many, still("s", "q", "sad")])
    clips = Clips(tmp_path, "train")
    rng = np.random.default_rng(0)
    sad = sum(clips.infos[clips.draw_tempered(rng)].emotion == "sad" for _ in range(500))
    assert 60 < sad < 140  # a fifth, not a seventeenth


def test_single_pictures_and_rows_are_drawn_in_turn(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", [still("s", "q", "sad"), made_clip("m", frames=4)])
    trainer = VisualTrainer(Visual.debug(), tmp_path)
    shapes = [trainer.draw(np.random.default_rng(s), s)["backbone"].shape for s in range(2)]
    assert shapes == [(4, 1, 903), (2, 2, 903)]


def test_face_features_are_what_the_encoder_sees_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    write_shard(tmp_path / "a.tar", [still("s", "q", "sad"), made_clip("m", frames=4)])
    clips = Clips(tmp_path, "train")
    encoder = VisualEncoder(VisualSize(parts=2, features=8, crop_px=128)).eval()
    views = face_features(encoder, clips, Plan(stills=3, runs=2, frames=3), keep=True)
    assert len(views.backbone) == len(views.rig) == 3 + 2 * 3
    (kept,) = (tmp_path / "cache" / "face_features").iterdir()
    index = next(i for i in clips.chosen if clips.infos[i].key == "s")
    crop = torch.from_numpy(Augmentation.plain(128).picture(clips[index].clip.frame(0), 128))[None]
    with torch.no_grad():
        own = encoder.backbone(crop)[0].numpy()
    first = views.rows[index][0]
    assert np.allclose(views.backbone[first], own, atol=1e-4)
    assert np.array_equal(views.rig[first], clips[index].clip.blendshapes[0])
    other = next(i for i in clips.chosen if i != index)
    rng = np.random.default_rng(0)
    rows = views.draw(other, 3, rng)
    assert rows is not None and (np.diff(rows) == 1).all()
    assert views.draw(99, 1, rng) is None
    made = kept.stat().st_mtime_ns
    again = face_features(encoder, clips, Plan(stills=3, runs=2, frames=3), keep=True)
    assert kept.stat().st_mtime_ns == made and np.array_equal(again.backbone, views.backbone)
    with torch.no_grad():
        next(encoder.trunk.parts[0].parameters()).add_(1)
    face_features(encoder, clips, Plan(stills=3, runs=2, frames=3), keep=True)
    assert len(list((tmp_path / "cache" / "face_features").iterdir())) == 2


def test_voice_features_are_what_the_encoder_hears_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    silent = still("still", "three", "happy")
    write_shard(tmp_path / "a.tar", [made_clip("m", frames=75), made_clip("n", frames=9), silent])
    clips = Clips(tmp_path, "train")
    encoder = SpeechEncoder(SpeechSize(width=16, heads=2, layers=1, past=8)).eval()
    feats = voice_features(encoder, clips, 2, keep=True)
    (kept,) = (tmp_path / "cache" / "voice_features").iterdir()
    long, short, nothing = (
        next(i for i in clips.chosen if clips.infos[i].key == key) for key in ("m", "n", "still")
    )
    (first, after), (_, last) = feats.rows[long]
    assert after - first == 3
    strong = clips[long].labels.intensity[[54, 64, 74]]
    assert strong.std() > 0 and np.allclose(feats.intensity[first:after, 0], strong)
    assert len(feats.of([short])) == 2  # one moment, in each take
    assert not np.allclose(feats.moments[after - 1], feats.moments[last - 1])
    with torch.no_grad():
        encoder.settle(torch.from_numpy(feats.count), torch.from_numpy(feats.moments))
        count, moments, *_ = encoder.hear(torch.from_numpy(clips[long].clip.samples)[None])
    for row, step in ((first, 55), (after - 1, 75)):
        assert float(count[0, step]) == pytest.approx(feats.count[row, 0], rel=1e-5)
        assert np.allclose(moments[0, step].numpy(), feats.moments[row], atol=1e-5)
    some = [feats.draw(long, [], np.random.default_rng(seed)) for seed in range(30)]
    assert {row[0] for row in some if row} == set(range(first, last))
    assert feats.draw(nothing, [], None) is None  # type: ignore[arg-type]
    for seed in range(8):
        drawn = feats.draw(long, [short, nothing], np.random.default_rng(seed))
        assert drawn is not None
        end = feats.rows[short][0][1] - 1
        both = np.array([drawn[0], end] if drawn[0] < after else [drawn[0]])
        assert drawn[1] == pytest.approx(feats.count[both].sum())
        assert np.allclose(drawn[2], np.average(feats.moments[both], 0, feats.count[both, 0]))
    made = kept.stat().st_mtime_ns
    again = voice_features(encoder, clips, 2, keep=True)
    assert kept.stat().st_mtime_ns == made and np.array_equal(again.moments, feats.moments)
    assert again.rows == feats.rows


def test_two_processes_may_fill_a_cold_cache_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    both, write = threading.Barrier(2, timeout=60), np.savez

    def when_both_write(file: Any, **arrays: Any) -> None:
        both.wait()
        write(file, **arrays)
        both.wait()

    monkeypatch.setattr(np, "savez", when_both_write)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda i: cached("views", "k", lambda: {"a": np.arange(3)}), range(2)))
    monkeypatch.undo()
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    again = cached("views", "k", lambda: {})
    assert all(np.array_equal(row["a"], again["a"]) for row in made)
    assert [path.name for path in (tmp_path / "views").iterdir()] == ["k.npz"]


def test_the_cache_knows_other_content_labels_and_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, network = tmp_path / "a.tar", torch.nn.Linear(1, 1)
    write_shard(shard, [still("s", "q", "sad")])
    key = key_of(Clips(tmp_path, "train"), network)
    assert key_of(Clips(tmp_path, "train"), network) == key
    other = bytearray(shard.read_bytes())
    at = len(other) // 2
    other[at] ^= 1  # as long as before, and of the same name
    shard.write_bytes(bytes(other))
    assert key_of(Clips(tmp_path, "train"), network) != key
    other[at] ^= 1
    shard.write_bytes(bytes(other))
    assert key_of(Clips(tmp_path, "train"), network) == key
    told: list[str] = []

    def changed(*names: str) -> str:
        told.extend(names)
        return "another"

    monkeypatch.setattr("training.trainers.cache.code_hash", changed)
    assert key_of(Clips(tmp_path, "train"), network) != key
    assert {"labels.py", "trainers", "../face/emotions.py"} <= set(told)


def test_the_end_of_a_recording_speaks_for_it() -> None:
    torch.manual_seed(0)
    encoder = SpeechEncoder(SpeechSize(width=16, heads=2, layers=1, past=8)).eval()
    sound = np.random.default_rng(0).normal(0, 0.1, 10 * 640).astype(np.float32)
    with torch.no_grad():
        emotion = encoder.listen(torch.from_numpy(sound)[None]).emotion[0, -1].softmax(dim=0)
    said = np.exp(utterance(encoder, sound))
    assert said.sum() == pytest.approx(1, abs=1e-5)
    assert np.allclose(said[1:8], emotion[1:], atol=1e-5)


def test_a_voice_among_the_speakers_others_is_read_against_them() -> None:
    torch.manual_seed(0)
    encoder = SpeechEncoder(SpeechSize(width=16, heads=2, layers=1, past=8)).eval()
    rng = np.random.default_rng(0)
    sounds = [rng.normal(0, loud, 30 * 640).astype(np.float32) for loud in (0.05, 0.3, 0.3)]
    said = np.exp(among_others(encoder, sounds))
    assert said.shape == (3, len(LABELS)) and np.allclose(said.sum(axis=1), 1, atol=1e-5)
    alone = np.exp([utterance(encoder, sound) for sound in sounds])
    assert np.abs(said - alone).max(axis=1).min() > 1e-5
    only = among_others(encoder, sounds[:1])[0]  # of whom nothing else was heard
    assert np.allclose(np.exp(only), alone[0], atol=5e-3)


def test_degradation_changes_pictures_but_not_their_meaning() -> None:
    picture = made_clip("a").frame(5)
    rng = np.random.default_rng(0)
    degraded = [degraded_picture(picture, rng) for _ in range(30)]
    assert all(p.shape == picture.shape and p.dtype == np.uint8 for p in degraded)
    assert sum(not np.array_equal(p, picture) for p in degraded) > 20
    grey = picture.mean(axis=2).ravel()
    alike = [np.corrcoef(p.mean(axis=2).ravel(), grey)[0, 1] for p in degraded]
    assert np.median(alike) > 0.8


def test_degradation_moves_a_voices_pitch_length_and_loudness() -> None:
    sound = (0.3 * np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)).astype(np.float32)
    rng = np.random.default_rng(1)
    degraded = [degraded_voice(sound, rng) for _ in range(40)]
    assert all(np.isfinite(s).all() and s.dtype == np.float32 for s in degraded)
    assert min(map(len, degraded)) < 15_000 and max(map(len, degraded)) > 17_000
    peaks = [float(np.abs(np.fft.rfft(s)).argmax() * 16_000 / len(s)) for s in degraded]
    assert min(peaks) < 460 and max(peaks) > 540 and abs(np.median(peaks) - 500) < 40
    loudest = [float(np.abs(s).max()) for s in degraded]
    assert min(loudest) < 0.3 and 0.6 < max(loudest) <= 1
    assert len(degraded_voice(sound[:640], rng)) > 500


def test_encoders_are_read_once_and_forget_lost_faces(made: Made) -> None:
    clips = Clips(made.data, "train")
    reader = Reader(made.runs / "visual", made.runs / "speech")
    sample = clips[clips.chosen[0]]
    sample.clip.found[2] = False
    said = reader.read(sample)
    assert reader.read(sample) is said
    assert said.face.shape == said.voice.shape == (len(sample.clip), 11)
    assert said.present[:, 0].tolist() == [1, 1, 0, 1, 1, 1] and not said.face[2].any()
    assert np.allclose(said.face[[0, 1, 3], :8].sum(axis=1), 1, atol=1e-5)
    sample.clip.found[2] = True


def test_fusion_learns_from_voices_that_no_face_belongs_to(made: Made, tmp_path: Path) -> None:
    write_shard(
        tmp_path / "a.tar",
        [voice("sad", emotion="sad", subject="two"), voice("unknown", emotion="")],
    )
    trainer = IntensityTrainer(
        Intensity.debug(), tmp_path, made.runs / "visual", made.runs / "speech"
    )
    assert [trainer.clips.infos[i].key for i in trainer.clips.chosen] == ["sad"]
    for seed in range(8):
        batch = trainer.draw(np.random.default_rng(seed), 0)
        assert (batch["present"] == (0, 1)).all() and not batch["face"].mean().round(1)
        assert (batch["emotion"] == EMOTIONS.index("sad")).all()
        assert (batch["affect"][..., 0] < 0).all() and (batch["known"] > 0).all()
