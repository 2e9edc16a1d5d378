"""What is measured of faces that voices move, and the command that judges them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from engine.types import F32
from face.emotions import prototype, sides
from tests.training.data.test_talk import recording
from training.data.clip import Phone, write_shard
from training.data.rig_speech import clips_in
from training.data.talk import JAW, Talk
from training.evaluate import main
from training.evaluation import voice as evaluation
from training.evaluation.voice import Judges, judged, truth
from training.metrics import voice as metrics


def opening(values: list[float]) -> F32:
    rig = np.zeros((len(values), 52), np.float32)
    rig[:, JAW] = values
    return rig


def test_correlation_and_lateness_are_told() -> None:
    curve = np.random.default_rng(0).normal(0, 1, 300).astype(np.float32)
    assert metrics.correlation(curve, curve) == pytest.approx(1)
    assert np.isnan(metrics.correlation(curve, np.ones(300, np.float32)))
    late, agrees = metrics.offset_ms(np.roll(curve, 3), curve)
    assert late == 60 and agrees > 0.95


def test_lips_that_meet_in_a_phone_are_counted() -> None:
    rig = opening([0.3] * 10 + [0.0] * 3 + [0.3] * 20)
    closed = Phone(name="P", start_s=0.2, end_s=0.26)
    open_ = Phone(name="M", start_s=0.4, end_s=0.5)
    vowel = Phone(name="AA", start_s=0.2, end_s=0.26)
    edge = Phone(name="B", start_s=0.0, end_s=0.05)
    assert metrics.closures(rig, [closed, open_, vowel, edge]) == [True, False]


def test_a_mouth_shuts_when_a_voice_ends() -> None:
    rig = opening([0.3] * 14 + [0.0] * 20)
    assert metrics.shuts_after_ms(rig, 10) == 80
    assert metrics.shuts_after_ms(opening([0.3] * 20), 10) == float("inf")
    assert metrics.opens_share(rig) == pytest.approx(14 / 34)


def test_lip_error_is_of_lips_alone_and_in_two_units() -> None:
    still, wide = opening([0.0] * 4), opening([0.5] * 4)
    eyes, mm = metrics.lip_error(wide, still)
    assert metrics.lip_error(still, still) == (0, 0)
    assert mm == pytest.approx(eyes * 89, rel=0.1) and mm > 2
    brows = np.zeros_like(still)
    brows[:, sides("browOuterUp")] = 0.5
    assert metrics.lip_error(brows, still)[1] < 0.2 * mm


def test_a_method_is_judged_against_the_truth(tmp_path: Path) -> None:
    recording(tmp_path, "one", frames=91)
    write_shard(tmp_path / "a.tar", clips_in(tmp_path))
    (talk,) = evaluation.talks_in(tmp_path, "", [], 1)
    row = judged(truth, [talk], Judges(), unspoken=False)
    assert row.figures["jaw r"] == pytest.approx(1) and row.figures["mouth MAE"] == 0
    row = judged(lambda t: truth(t) * 0.5, [talk], Judges(), unspoken=False)
    assert row.figures["jaw r"] == pytest.approx(1) and row.figures["mouth MAE"] > 0.001
    assert row.figures["mouth MAE, own gain"] < 0.2 * row.figures["mouth MAE"]


def test_who_wears_the_labelled_feeling_is_read_by_it(tmp_path: Path) -> None:
    from dataclasses import replace

    recording(tmp_path, "one", frames=91)
    write_shard(tmp_path / "a.tar", clips_in(tmp_path))
    (talk,) = evaluation.talks_in(tmp_path, "", [], 1)
    felt = [replace(talk, info=replace(talk.info, emotion=name)) for name in ("happy", "sad")]
    smiles = judged(lambda t: truth(t) + prototype("happy"), felt, Judges(), unspoken=False)
    assert smiles.figures["emotion read"] == 0.5 and smiles.counts["emotion read"] == 2


def test_the_command_prints_a_table_and_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording(tmp_path, "one", frames=91)
    write_shard(tmp_path / "a.tar", clips_in(tmp_path))
    monkeypatch.setattr(evaluation, "shipped", lambda weights, speech: {"half": half})
    out = tmp_path / "out.json"
    assert main(["voice", str(tmp_path), "--weights", "weights", "--out", str(out)]) == 0
    assert "jaw r" in capsys.readouterr().out
    told = json.loads(out.read_text())
    assert told["half"]["figures"]["jaw r"] == pytest.approx(1) and told["half"]["of"]["jaw r"] == 1
    for wrong, line in (
        ([], "nothing to judge"),
        (["--split", "sometimes"], "a split is one of"),
        (["--sources", "nobody", "--weights", "weights"], "no talk of that kind"),
        (["--flow", "a=b"], "a generator needs emotions: --space"),
    ):
        assert main(["voice", str(tmp_path), *wrong]) == 1
        error = capsys.readouterr().err
        assert line in error and error.count("\n") == 1


def half(talk: Talk) -> F32:
    return truth(talk) * np.float32(0.5)
