"""The evaluation command: pictures, prepared clips, the papers' protocols, bad input."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest

from engine.types import F32, U8
from tests.faces import astronaut
from tests.made_weights import make_weights
from training.data.clip import Clip, ClipInfo, encode, write_shard
from training.evaluate import main
from training.evaluation import takes
from training.evaluation.takes import told_by_name
from training.metrics import networks


class Painter:
    """Says as "dlib" and "feeling" how bright a face is, and reads every face as happy."""

    names: ClassVar[Mapping[str, str]] = {"dlib": "a", "feeling": "b", "emotion": "c"}

    def __call__(self, pixels: U8, landmarks: F32) -> dict[str, F32]:
        features = pixels.mean(axis=(0, 1)).astype(np.float32)
        happy = np.zeros(8, np.float32)
        happy[5] = 1
        return {"dlib": features, "feeling": features, "emotion": happy}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.metrics.networks.JUDGES", {"painter": Painter})
    monkeypatch.setattr("training.evaluate.JUDGES", {"painter": Painter})


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "face.png"), astronaut())
    cv2.imwrite(str(folder / "wall.png"), np.full((90, 90, 3), 80, np.uint8))
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def face_clip(key: str, subject: str, emotion: str, frames: int = 4, sentence: str = "s") -> Clip:
    """The astronaut's face, a little brighter for each subject, and moving."""
    crop = np.ascontiguousarray(astronaut()[:256, 96:352, ::-1])
    light = 1 + 0.05 * len(subject)
    frame = np.clip(crop * light, 0, 255).astype(np.uint8)
    jpegs, index = encode([np.roll(frame, t, axis=1) for t in range(frames)])
    return Clip(
        info=ClipInfo(key=key, subject=subject, emotion=emotion, sentence=sentence, split="test"),
        jpegs=jpegs,
        index=index,
        landmarks=np.zeros((frames, 478, 3), np.float32),
        blendshapes=np.zeros((frames, 52), np.float32),
        pose=np.zeros((frames, 4, 4), np.float32),
        found=np.ones(frames, np.bool_),
        mel=np.random.default_rng(0).random((4 * frames, 80), np.float32),
        sound=np.random.default_rng(0).integers(-9000, 9000, 640 * frames).astype(np.int16),
    )


def test_pictures_are_judged_and_shown(
    pictures: Path, tmp_path: Path, judged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    command = [str(pictures), "--renderer", "none", "warp", "--emotions", "neutral,happy"]
    assert main([*command, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "energy ratio" in said.out and "Networks." in said.out and "Landmarker" in said.out
    assert "left out: wall.png shows no face" in said.err
    assert "left out: broken.jpg is no picture" in said.err
    results = json.loads((out / "results.json").read_text())
    rows = {(row["method"], row["emotion"]): row["figures"] for row in results["rows"]}
    assert rows["none", "neutral"]["energy_ratio"] == pytest.approx(1.0)
    assert rows["none", "neutral"]["mouth_change"] == 0
    assert rows["none", "neutral"]["dlib_distance"] == 0
    assert rows["warp", "neutral"]["energy_ratio"] < 0.4
    assert 0 < rows["warp", "happy"]["blendshape_error"] < rows["none", "happy"]["blendshape_error"]
    assert rows["warp", "happy"]["read_after"] == 1 and rows["warp", "neutral"]["read_after"] == 0
    assert rows["warp", "all"]["accuracy"] == 0.5
    assert results["networks"]["energy_ratio"].startswith("MediaPipe")
    sheet = cv2.imread(str(out / "sheet-neutral.png"))
    assert sheet is not None and sheet.shape == (226, 400, 3)
    page = (out / "report.html").read_text()
    assert "sheet-happy.png" in page and "<table>" in page


def test_what_there_is_no_time_for_is_said(
    pictures: Path, judged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("other.png", "third.png"):
        cv2.imwrite(str(pictures / name), astronaut())
    (pictures / "wall.png").unlink()
    (pictures / "broken.jpg").unlink()
    command = [str(pictures), "--emotions", "neutral", "--renderer", "none", "--minutes", "0"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "| neutral | none | 1 |" in said.out and "2 of 3, wearing: the time was over" in said.err


def test_what_another_program_made_is_judged(
    pictures: Path, tmp_path: Path, judged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    cv2.imwrite(str(other / "face.png"), astronaut())
    assert main([str(pictures), "--after", str(other)]) == 0
    out = capsys.readouterr().out
    assert "| unknown | other | 1 | 1 | 1.000 | 0.0000 |" in out
    (other / "face.png").rename(other / "else.png")
    assert main([str(pictures), "--after", str(other)]) == 1
    assert "share no name" in capsys.readouterr().err


def test_clips_are_compared_frame_by_frame(
    tmp_path: Path, judged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = face_clip("one", "ann", "happy")
    write_shard(tmp_path / "before" / "a.tar", [clip])
    dark = [(clip.frame(t) // 2).astype(np.uint8) for t in range(4)]
    jpegs, index = encode(dark)
    write_shard(tmp_path / "after" / "a.tar", [dataclasses.replace(clip, jpegs=jpegs, index=index)])
    folders = [str(tmp_path / "before"), "--after", str(tmp_path / "after")]
    assert main([*folders, "--out", str(tmp_path / "out")]) == 0
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert row["emotion"] == "happy" and row["figures"]["energy_ratio"] == pytest.approx(1, abs=0.1)
    assert row["figures"]["flicker"] < 0 and row["figures"]["lip_error"] < 0.02
    assert "| happy | after | 1 |" in capsys.readouterr().out


def test_a_folder_of_weights_is_a_row(
    pictures: Path, tmp_path: Path, judged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = make_weights(tmp_path / "bare", "skin", brighter=0.0)
    white = make_weights(tmp_path / "white", "skin", brighter=0.5)
    out = tmp_path / "out"
    command = [str(pictures), "--renderer", "warp", "--weights", str(bare), f"bright={white}"]
    assert main([*command, "--emotions", "happy", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    rows = {row["method"]: row["figures"] for row in results["rows"] if row["emotion"] == "happy"}
    assert rows.keys() == {"warp", "bare", "bright"}
    assert rows["bare"]["lost"] == rows["bright"]["lost"] == 0
    assert rows["bare"] != rows["bright"]
    assert "OpenVINO" in results["methods"]["bright"]
    capsys.readouterr()
    sheet = cv2.imread(str(out / "sheet-happy.png"))
    assert sheet is not None and sheet.shape[1] == 4 * 200
    twice = [str(pictures), "--weights", str(bare), f"{bare}"]
    assert main(twice) == 2 and "two rows are called bare" in capsys.readouterr().err


def test_encoders_and_judge_read_labelled_takes(
    tmp_path: Path, judged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = make_weights(tmp_path / "weights", "visual", "speech")
    clips = [face_clip("a", "ann", "happy"), face_clip("b", "bea", "neutral")]
    swell = np.linspace(0, 1, 4, dtype=np.float32)
    clips[0] = dataclasses.replace(clips[0], intensity=swell)
    write_shard(tmp_path / "a.tar", clips)
    out = tmp_path / "out"
    command = [str(tmp_path), "--protocol", "read", "--weights", str(weights), "--out", str(out)]
    assert main(command) == 0
    rows = json.loads((out / "results.json").read_text())["rows"]
    figures = {row["method"]: row["figures"] for row in rows}
    assert figures.keys() == {"judge", "face", "voice"}
    assert figures["judge"]["accuracy"] == 0.5 and figures["judge"]["looks"] == 2
    assert figures["face"]["accuracy"] == 0.5  # the astronaut smiles in both
    assert abs(figures["face"]["intensity"]) < 0.5
    assert "| all | voice | 2 |" in capsys.readouterr().out
    assert main([str(tmp_path), "--protocol", "read", "--weights", str(tmp_path)]) == 1
    assert "no visual and no speech encoder in" in capsys.readouterr().err


def test_names_tell_who_feels_what(tmp_path: Path) -> None:
    assert told_by_name("set__anger_Al_Gore_0002") == ("angry", "Al_Gore")
    assert told_by_name("happy-3") == ("happy", "")
    assert told_by_name("DSC_0042") == ("", "")
    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "manifest.tsv").write_text("file\tsubject\temotion\nx.png\tann\tsad\n")
    (take,) = takes.takes_in(tmp_path)
    assert (take.subject, take.emotion) == ("ann", "sad")


@pytest.mark.parametrize(
    ("arguments", "line", "code"),
    [
        (["nowhere"], "no such folder: nowhere", 1),
        (["."], "no pictures and no shards in .", 1),
        (["in", "--emotions", "joy"], "an emotion is one of neutral", 2),
        (["in", "--protocol", "intra"], "nothing in in says who feels what", 1),
        (["in", "--renderer", "magic"], "a renderer is one of none, warp, faces", 2),
        (["in", "--weights", "gone"], "no weight in gone", 1),
        (["in", "--weights", "in"], "no weight in in/skin (no card.toml)", 1),
        (["walls"], "not one of 1 takes shows a face", 1),
        (["in", "--judges", "oracle"], "there is no judge oracle", 2),
        (["in", "--out", "in/face.png/x"], "cannot write to in/face.png/x", 1),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    line: str,
    code: int,
    pictures: Path,
    judged: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(pictures.parent)
    walls = pictures.parent / "walls"
    walls.mkdir()
    cv2.imwrite(str(walls / "wall.png"), np.full((90, 90, 3), 80, np.uint8))
    assert main(arguments) == code
    said = capsys.readouterr().err
    assert line in said and len(said.strip().splitlines()) == 1


def test_a_judge_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip("torch", reason="faceres needs torch (pip install -e '.[train]')")
    monkeypatch.setenv("MIEN_JUDGES", str(tmp_path / "none"))
    assert main([str(pictures), "--judges", "faceres"]) == 1
    assert "the judge faceres is missing" in capsys.readouterr().err
    said: list[str] = []
    monkeypatch.setattr(networks, "JUDGES", {"faceres": networks.Faceres})
    assert networks.judges(None, said.append) == []
    assert len(said) == 1 and "python -m training.metrics.fetch" in said[0]
