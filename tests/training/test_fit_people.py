"""Statistics of people, from photographs of one face stretched to many."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from face.emotions import sides
from face.expression.people import load_people
from face.render.repertoire import mouth_aperture
from face.rig import load_rig
from face.topology import BROWS
from face.types import BLENDSHAPES, EMOTIONS
from inference.weight_sets import SHIPPED, forbids, nc_of_weight
from tests.faces import astronaut, calm_astronaut
from training.data.own import SOURCE, Source, portraits, source_of
from training.data.own import Portrait as Photograph
from training.fit_people import FEWEST, main, worn
from training.recipes.skin import Skin
from training.trainers.skin import Edits

SMILE = [44, 45]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen people, each happy and calm, as one face narrower, longer and in other light."""
    folder = tmp_path_factory.mktemp("many")
    calm = calm_astronaut()
    rng = np.random.default_rng(0)
    for name in ("happy", "neutral"):
        (folder / name).mkdir()
    for person in range(FEWEST + 2):
        width, height = rng.uniform(0.85, 1.15, 2)
        light = rng.uniform(0.7, 1.1)
        for name, pixels in (("happy", astronaut()), ("neutral", calm)):
            size = (round(320 * width), round(320 * height))
            made = cv2.resize(pixels[:320, 60:380], size).astype(np.float32) * light
            file = folder / name / f"P{person:02d}_A.png"
            cv2.imwrite(str(file), np.clip(made, 0, 255).astype(np.uint8))
    return folder


def test_what_people_do_is_found_and_kept(
    many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(many), "--out", str(tmp_path / "people")]) == 0
    told = capsys.readouterr().out
    assert "28 photographs of 14 people" in told
    assert float(told.split("left out: ")[1].split()[0]) > 0.5
    people = load_people(str(tmp_path))
    smiling = [one for one in portraits(many) if one.emotion == "happy"]
    for one in smiling[:4]:
        calm = one.shape + people.to_neutral(one.shape, one.rig)
        corners = np.linalg.norm(one.shape[61] - one.shape[291])
        assert np.linalg.norm(calm[61] - calm[291]) < corners - 0.3  # the mouth is narrower
    happy = people.to_emotion("happy")
    assert mouth_aperture(load_rig().mean + happy) > mouth_aperture(load_rig().mean)
    assert people.rigs[EMOTIONS.index("happy"), SMILE].mean() > people.rigs[0, SMILE].mean()
    card = (tmp_path / "people" / "card.toml").read_text()
    assert 'nc = "yes"' in card and "people = 14" in card


def test_of_those_who_raise_and_those_who_lower_brows_in_fear_the_former_count() -> None:
    rig, nothing = load_rig(), np.zeros((1, 1, 3), np.uint8)
    both = []
    for person in range(2 * FEWEST):
        raises = person % 2 == 0
        shapes = np.zeros(len(BLENDSHAPES), np.float32)
        for name, much in (
            ("browInnerUp", raises),
            ("browOuterUp", raises),
            ("browDown", not raises),
        ):
            shapes[sides(name)] = 0.8 * much
        face = rig.mean + np.tensordot(shapes, rig.basis, axes=1)
        calm = Photograph(
            str(person), "A", "neutral", nothing, rig.mean, rig.place(rig.mean), rig.mean, shapes
        )
        both.append((replace(calm, emotion="fear", shape=face), calm))
    fear = worn(both, rig, {})[EMOTIONS.index("fear")]
    raised = both[0][0].shape - rig.mean
    brows = [point for brow in BROWS for point in brow]
    assert fear[brows, 1] == pytest.approx(raised[brows, 1], abs=1e-3)


def test_what_ships_says_what_it_permits() -> None:
    assert nc_of_weight(SHIPPED / "people") == nc_of_weight(SHIPPED / "skin") == "yes"
    assert nc_of_weight(SHIPPED / "clean" / "people") == "no"


def test_what_a_folder_says_of_itself_is_on_the_card(many: Path, tmp_path: Path) -> None:
    assert source_of(many) == Source()
    faces = tmp_path / "faces"
    shutil.copytree(many, faces)
    (faces / SOURCE).write_text('licence = "CC0-1.0"\nnc = false\nsynthetic = true\n')
    assert main([str(faces), "--out", str(tmp_path / "people")]) == 0
    assert not forbids(tmp_path / "people")
    data = tomllib.loads((tmp_path / "people" / "card.toml").read_text())["data"]
    assert data["licences"] == ["CC0-1.0"] and data["synthetic"] is True
    assert Edits(portraits(faces), source_of(faces), Skin.debug().plan).nc == "no"


@pytest.mark.parametrize("text", ["nc =", "nc = 1", "licence = 2", 'free = "yes"', "synthetic = 0"])
def test_a_source_that_says_nothing_clear(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / SOURCE).write_text(text)
    assert main([str(tmp_path), "--out", str(tmp_path / "people")]) == 1
    said = capsys.readouterr().err
    assert str(tmp_path / SOURCE) in said and said.count("\n") == 1
    assert not (tmp_path / "people").exists()


def test_few_people_are_no_people(
    many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(many), "--without-fold", "0/2", "--out", str(tmp_path)]) == 1
    assert "7 people are too few to speak of people; 12 at least" in capsys.readouterr().err
    assert main([str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "holds no neutral face" in capsys.readouterr().err
