"""The protocol against a person's own photographs, on faces made from one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest

from engine.errors import MienError
from engine.types import F32, U8
from face.types import EMOTIONS
from inference.weight_sets import weight_folder
from tests.faces import astronaut, calm_astronaut, seen_face
from training.data.own import in_fold, pairs, portraits
from training.evaluate import main
from training.evaluation.own_neutral import ANY, own_neutral


class Judge:
    """Says what was put into it: smiles are happy, others neutral; who it is, is one person."""

    names: ClassVar[Mapping[str, str]] = {
        "emotion": "made for tests",
        "faceres": "made for tests",
    }

    def __call__(self, pixels: U8, landmarks: F32) -> dict[str, F32]:
        seen = seen_face(pixels)
        shares = np.zeros(len(EMOTIONS), np.float32)
        smile = float(seen.rig[[44, 45]].mean())
        shares[EMOTIONS.index("happy")], shares[0] = smile, 0.4
        middle = seen.shape[[61, 291, 13, 14], 0:2].ravel() + np.float32(10)
        return {"emotion": shares, "faceres": middle.astype(np.float32)}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person, happy as she is and made calm, in two sessions."""
    folder = tmp_path_factory.mktemp("people")
    calm = calm_astronaut()
    for emotion, pixels in (("happy", astronaut()), ("neutral", calm)):
        (folder / emotion).mkdir()
        for session, light in (("A", 1.0), ("B", 0.8)):
            lit = np.clip(pixels * light, 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / emotion / f"F01_{session}.png"), lit)
    return folder


def test_photographs_are_read_by_person_session_and_emotion(people: Path) -> None:
    found = portraits(people)
    assert sorted((one.session, one.emotion) for one in found) == [
        ("A", "happy"), ("A", "neutral"), ("B", "happy"), ("B", "neutral"),
    ]  # fmt: skip
    assert (
        all(felt.session == calm.session for felt, calm in pairs(found)) and len(pairs(found)) == 2
    )


def test_memory_comes_nearer_to_ones_own_than_statistics(people: Path) -> None:
    lines = {(line.memory, line.asked): line for line in own_neutral(people, [Judge()])}
    assert lines.keys() == {(m, a) for m in ("none", "own") for a in ("neutral", "happy", ANY)}
    assert {line.edits for line in lines.values()} == {2}  # each session is edited
    own, none = lines["own", "neutral"].figures, lines["none", "neutral"].figures
    assert own["read"][0] == own["read_own"][0] == 1
    assert own["identity"][0] > own["identity_before"][0]
    assert own["identity"][0] >= none["identity"][0] - 1e-3
    assert lines["own", "happy"].figures["read"][0] == 1
    assert lines["own", "happy"].figures == lines["own", ANY].figures


def test_folds_are_pooled_each_by_its_own_weights(people: Path, tmp_path: Path) -> None:
    for k in range(2):  # the second fold has nobody
        shutil.copytree(weight_folder("people", "clean"), tmp_path / f"fold-{k}" / "people")
    lines = own_neutral(people, [Judge()], str(tmp_path / "fold-{}"), "2")
    assert {line.people for line in lines} == {1}
    (tmp_path / "fold-0" / "people" / "people.npz").write_bytes(b"none")
    with pytest.raises(MienError, match="fold-0"):
        own_neutral(people, [Judge()], str(tmp_path / "fold-{}"), "2")


def test_folds_divide_people() -> None:
    people = [f"p{number}" for number in range(11)]
    folds = [person for k in range(5) for person in in_fold(people, f"{k}/5")]
    assert sorted(folds) == sorted(people)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--protocol", "own-neutral", "wear"], "are asked alone"),
        (["--protocol", "own-neutral", "--fold", "7/5"], "fold 7 of 5"),
        (["--protocol", "own-neutral", "--fold", "one"], "a fold is K/N"),
        (["--protocol", "own-neutral", "--fold", "5"], "wants --weights with {}"),
    ],
)
def test_wrong_use_is_one_line(
    people: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("training.evaluate.judges", lambda wanted, say: [Judge()])
    assert main([str(people), *arguments]) in (1, 2)
    assert line in capsys.readouterr().err


def test_the_command_prints_and_keeps_the_table(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("training.evaluate.judges", lambda wanted, say: [Judge()])
    assert main([str(people), "--protocol", "own-neutral", "--out", str(tmp_path / "out")]) == 0
    assert "own photographs" in capsys.readouterr().out
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert {row["memory"] for row in rows} == {"none", "own"}
