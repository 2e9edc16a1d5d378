"""Intra-ID and cross-ID: who is paired with whom, what each method asks for, whose weights edit."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import MienError, UsageError
from engine.types import F32
from face.types import BLENDSHAPES, EMOTIONS, FaceTrack
from tests.faces import astronaut
from tests.training.data.made import write_video
from tests.training.metrics.test_evaluate import Painter, face_clip
from training.data.clip import write_shard
from training.data.prepare import main as prepare
from training.evaluate import main
from training.evaluation.by_reference import pair_up
from training.evaluation.look import Look
from training.evaluation.reference_methods import (
    METHODS,
    ByReading,
    Cast,
    Method,
    Way,
    feeling_copied,
    rig_copied,
)
from training.evaluation.takes import Take, takes_in

JAW = BLENDSHAPES.index("jawOpen")
SMILE = [BLENDSHAPES.index(f"mouthSmile{side}") for side in ("Left", "Right")]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.metrics.networks.JUDGES", {"painter": Painter})
    monkeypatch.setattr("training.evaluate.JUDGES", {"painter": Painter})


def take(name: str, subject: str, emotion: str, sentence: str = "") -> Take:
    return Take(name=name, load=tuple, subject=subject, emotion=emotion, sentence=sentence)


def track(shapes: F32) -> FaceTrack:
    return FaceTrack(
        capture_ns=1, found=True, landmarks=np.zeros((478, 3), np.float32), blendshapes=shapes,
        pose=np.eye(4, dtype=np.float32),
    )  # fmt: skip


def test_pairs_are_of_one_person_or_of_two_and_begin_calm() -> None:
    some = [
        take("a1", "a", "neutral", "x"),
        take("a2", "a", "happy", "y"),
        take("a3", "a", "happy", "x"),
        take("b1", "b", "happy"),
        take("c1", "c", "sad"),
        take("c2", "c", "neutral"),
    ]
    ((source, reference),) = pair_up(some, "happy", "intra", 9)
    assert (source.name, reference.name) == ("a1", "a3")
    pairs = pair_up(some, "happy", "cross", 9)
    assert {source.name for source, _ in pairs} == {"a1", "c2"}
    assert all(source.subject != reference.subject for source, reference in pairs)
    assert pairs == pair_up(some, "happy", "cross", 9)
    assert len(pair_up(some, "happy", "cross", 1)) == 1
    calmed = pair_up(some, "neutral", "intra", 9)
    assert {source.name for source, _ in calmed} == {"a2", "a3", "c1"}
    nobody_calm = [one for one in some if one.emotion != "neutral"]
    assert {s.name for s, _ in pair_up(nobody_calm, "happy", "cross", 9)} == {"c1"}


def test_a_rig_copy_takes_the_mouth_too_and_the_warp_leaves_it() -> None:
    shapes = np.zeros(52, np.float32)
    shapes[[JAW, *SMILE]] = 0.6
    look = Look(astronaut(), track(shapes))
    calm = track(np.zeros(52, np.float32))
    np.testing.assert_array_equal(rig_copied(calm, look).target, shapes)
    kept = feeling_copied(calm, look)
    assert (kept.target[SMILE] == np.float32(0.6)).all() and kept.target[JAW] == 0
    assert int(kept.expression.argmax()) == EMOTIONS.index("happy")


def test_a_reference_is_read_once_and_its_smile_is_worn() -> None:
    reader = ByReading("clean")
    look = Look(astronaut(), track(np.zeros(52, np.float32)))
    first, again = reader.read(look), reader.read(look)
    assert first is again
    edit = reader(track(np.zeros(52, np.float32)), look)
    assert int(edit.expression.argmax()) == EMOTIONS.index("happy") and edit.expression.max() > 0.2
    with pytest.raises(MienError, match="no face in the reference"):
        reader.read(Look(np.full((90, 90, 3), 80, np.uint8), look.track))


def test_who_is_judged_is_edited_with_weights_of_their_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(2):
        (tmp_path / f"fold-{k}").mkdir()
    asked: list[str] = []

    def noted(weights: str) -> Method:
        asked.append(weights)
        return METHODS["none"].make("")

    monkeypatch.setitem(METHODS, "made", Way(noted))
    people = ["ann", "bea", "cay"]
    cast = Cast(["none", "made"], [f"{tmp_path}/fold-{{}}"], people, "2")
    assert cast.names == ["none", "made"]
    for person in (*people, *people):
        cast.of(person)
    assert [Path(folder).name for folder in asked] == ["fold-0", "fold-1"]
    with pytest.raises(MienError, match="nobody called dan"):
        cast.of("dan")
    two = Cast(["none", "made"], ["clean", f"own={tmp_path}/fold-0"], people)
    assert two.names == ["none", "made, clean", "made, own"]
    named = [f"made:ours={tmp_path}/fold-0", f"made:theirs={tmp_path}/fold-1", "clean"]
    assert Cast(["made", "rig copy"], named, people).names == [
        "made, ours", "made, theirs", "rig copy",
    ]  # fmt: skip
    assert Cast(["made", "reading"], [*named[:1], "clean"], people).names == ["made", "reading"]
    with pytest.raises(UsageError, match="two rows are called made, clean"):
        Cast(["made"], ["clean", "clean"], people)
    with pytest.raises(UsageError, match="a method is one of none"):
        Cast(["magic"], [], people)
    for weights, fold in (([f"{tmp_path}/fold-{{}}"], ""), (["clean"], "2"), ([], "0/2")):
        with pytest.raises(UsageError, match="--fold N goes with"):
            Cast(["made"], weights, people, fold)


def test_the_papers_protocols(
    tmp_path: Path, judged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [
        face_clip(f"{subject}-{emotion}", subject, emotion, frames=1)
        for subject in ("al", "bea")
        for emotion in ("neutral", "happy")
    ]
    write_shard(tmp_path / "a.tar", clips)
    settings = ["--protocol", "intra", "cross", "--emotions", "neutral", "happy"]
    command = [str(tmp_path), *settings, "--method", "none", "rig copy"]
    assert main([*command, "--out", str(tmp_path / "o")]) == 0
    rows = json.loads((tmp_path / "o" / "results.json").read_text())["rows"]
    figures = {(row["protocol"], row["emotion"], row["method"]): row["figures"] for row in rows}
    assert figures.keys() == {
        (setting, emotion, method)
        for setting in ("intra", "cross")
        for emotion in ("neutral", "happy", "avg")
        for method in ("none", "rig copy")
    }
    none = figures["intra", "happy", "none"]
    assert none["csim"] == pytest.approx(1, abs=1e-3)
    # Unedited, a person is as far from their own takes as these are alike.
    assert none["fd_dlib"] == pytest.approx(0, abs=1e-3)
    # The judge reads every face as happy, the reference too.
    assert none["read_after"] == none["read_reference"] == 1
    assert figures["cross", "avg", "none"]["read_after"] == 0.5
    assert figures["cross", "avg", "none"]["lip_error"] == 0
    assert figures["cross", "avg", "none"]["takes"] == 4
    assert figures["cross", "avg", "rig copy"]["takes"] == 4
    out = capsys.readouterr().out
    assert "| setting | method | edits | people | FD dlib↓ | LVE↓ | CSIM↑ |" in out
    assert "| setting | figure | method | neutral | happy | avg |" in out
    assert "rig copy: all shapes, warp" in out
    sheet = cv2.imread(str(tmp_path / "o" / "sheet-intra-happy.png"))
    assert sheet is not None and sheet.shape[1] == 3 * 200


@pytest.mark.parametrize(
    ("layout", "setting", "names", "people"),
    [
        (
            "mead",
            "intra",
            [f"M003/video/front/{emotion}/level_1/001.mp4" for emotion in ("neutral", "happy")],
            ["mead:M003", "mead:M003"],
        ),
        (
            "ravdess",
            "cross",
            ["Actor_01/01-01-01-01-01-01-01.mp4", "Actor_02/01-01-03-01-01-01-02.mp4"],
            ["ravdess:actor01", "ravdess:actor02"],
        ),
    ],
)
def test_a_tree_of_its_true_names_is_paired_and_judged(
    layout: str, setting: str, names: list[str], people: list[str], tmp_path: Path, judged: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    face = np.ascontiguousarray(astronaut()[:300, 80:380, ::-1])
    for name in names:
        write_video(tmp_path / "tree" / name, face, frames=13, rate=25)
    out = tmp_path / "shards"
    command = [layout, str(tmp_path / "tree"), str(out), "--processes", "1", "--no-phones"]
    assert prepare([*command, "--val", "0", "--test", "0"]) == 0
    found = takes_in(out)
    assert sorted(one.subject for one in found) == people
    assert len({one.sentence for one in found}) == 1
    capsys.readouterr()
    asked = ["--protocol", setting, "--emotions", "happy", "--method", "none", "--json"]
    assert main([str(out), *asked]) == 0
    (happy, average) = json.loads(capsys.readouterr().out)["rows"]
    assert (happy["protocol"], happy["emotion"], happy["figures"]["takes"]) == (setting, "happy", 1)
    assert average["figures"]["mouth_change"] == 0


def test_photographs_are_taken_by_the_folder_of_their_emotion(tmp_path: Path) -> None:
    for name in ("happy/F01_A.png", "neutral/F01_B.png", "notes/F01_A.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    told = [(one.name, one.subject, one.emotion) for one in takes_in(tmp_path)]
    assert told == [("happy/F01_A.png", "F01", "happy"), ("neutral/F01_B.png", "F01", "neutral")]
