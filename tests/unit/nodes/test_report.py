"""Report: a row per picture, whole at the end or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.harness import run_node
from engine.parameters import build
from engine.types import VideoFrame
from face.types import BLENDSHAPES, EMOTIONS, Affect, FaceEdit, FaceTrack, ReferenceTrack
from nodes.sinks.report import Report


def row(number: int, *, found: bool = True, active: bool = True, name: str = "") -> dict[str, Any]:
    shapes = np.full(52, 0.25, np.float32)
    stamp = number * 40_000_000
    pixels = np.zeros((4, 4, 3), np.uint8)
    return {
        "frame": VideoFrame(
            capture_ns=stamp, pixels=pixels, pts=number, time_base=Fraction(1, 25), name=name
        ),
        "face": FaceTrack(
            capture_ns=stamp,
            found=found,
            faces=2 * found,
            landmarks=np.zeros((478, 3), np.float32),
            blendshapes=shapes if found else np.zeros(52, np.float32),
            pose=np.eye(4, dtype=np.float32),
        ),
        "edit": FaceEdit(capture_ns=stamp, active=active, source=shapes, target=shapes * 2),
    }


def report(path: Path, rows: list[dict[str, Any]]) -> Any:
    run_node(Report, rows, config={"path": str(path)})
    return json.loads(path.read_text())["frames"]


def test_a_list_for_a_video(tmp_path: Path) -> None:
    frames = report(
        tmp_path / "r.json", [row(0), row(1, found=False, active=False), row(2, active=False)]
    )
    assert [frame["face"] for frame in frames] == [True, False, True]
    assert [frame["faces"] for frame in frames] == [2, 0, 2]
    assert [frame["time_s"] for frame in frames] == [0, 0.04, 0.08]
    assert frames[0]["blendshapes"] == dict.fromkeys(BLENDSHAPES, 0.25)
    assert frames[0]["edit"] == dict.fromkeys(BLENDSHAPES, 0.5)
    assert frames[1]["blendshapes"] is None
    assert frames[1]["edit"] is None
    assert frames[2]["edit"] is None


def affect(number: float, source: Any, *, known: bool = True) -> Affect:
    shares = np.full(8, 0.05, np.float32)
    shares[EMOTIONS.index("sad")] = 0.65
    return Affect(
        capture_ns=int(number * 40_000_000),
        source=source,
        known=known,
        probabilities=shares if known else 0 * shares,
        valence=-0.25,
        arousal=0.5,
        intensity=number / 10,
    )


def test_what_was_read_of_a_reference_and_asked_for_stands_there(tmp_path: Path) -> None:
    smile = np.eye(8, dtype=np.float32)[[EMOTIONS.index("happy")]]
    none = np.zeros((1, 52), np.float32)
    whole = np.ones(1, np.float32)
    reference = ReferenceTrack(
        capture_ns=0, step_ns=80_000_000, shapes=none + 0.5, probabilities=smile,
        valence=whole, arousal=whole, intensity=whole, expression=smile * 0.5, beyond=none,
        parts=whole,
    )  # fmt: skip
    asked = row(0)
    asked["edit"] = replace(asked["edit"], expression=smile[0] * 0.5)
    path = tmp_path / "r.json"
    rows = [{"reference": reference}, asked, row(1, active=False)]
    run_node(Report, rows, config={"path": str(path)})
    told = json.loads(path.read_text())
    assert told["reference"][0]["name"] == "happy"
    assert told["reference"][0]["blendshapes"] == dict.fromkeys(BLENDSHAPES, 0.5)
    assert told["reference"][0]["expression"]["happy"] == 0.5
    assert told["frames"][0]["asked"]["happy"] == 0.5
    assert told["frames"][1]["asked"] is None


def test_what_is_felt_stands_beside_each_picture(tmp_path: Path) -> None:
    words: list[dict[str, Any]] = [{"voice": affect(at, "voice")} for at in (0.1, 1.1)]
    rows = [row(i) | {"emotion": affect(i, "face", known=i != 1)} for i in range(6)]
    frames = report(tmp_path / "r.json", words + rows)
    assert frames[2]["emotion"] == {
        "name": "sad",
        "probabilities": dict.fromkeys(EMOTIONS, 0.05) | {"sad": 0.65},
        "valence": -0.25,
        "arousal": 0.5,
        "intensity": 0.2,
    }
    nothing = dict.fromkeys(("name", "probabilities", "valence", "arousal", "intensity"))
    assert frames[1]["emotion"] == nothing
    assert [frame["voice"]["intensity"] for frame in frames[:3]] == [0.01, 0.01, 0.11]
    assert frames[5]["voice"] == nothing  # the sound ended before


def test_without_sound_there_is_no_voice(tmp_path: Path) -> None:
    frames = report(tmp_path / "r.json", [row(0) | {"emotion": affect(0, "face")}])
    assert "voice" not in frames[0] and frames[0]["emotion"]["name"] == "sad"


def test_an_object_for_a_folder(tmp_path: Path) -> None:
    rows = [row(0, name="a.png"), row(1, name='b "x".png')]
    assert list(report(tmp_path / "r.json", rows)) == ["a.png", 'b "x".png']


def test_nothing_is_a_list(tmp_path: Path) -> None:
    assert report(tmp_path / "r.json", []) == []


@pytest.mark.parametrize("finished", [False, True])
def test_whole_or_not_there(tmp_path: Path, finished: bool) -> None:
    node = Report(build(Report.Config, {"path": str(tmp_path / "r.json")}))
    node.setup()
    node.process(**row(0))
    if finished:
        node.finish()
    node.close()
    assert [item.name for item in tmp_path.iterdir()] == (["r.json"] if finished else [])
