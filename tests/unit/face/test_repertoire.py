"""A person's remembered faces: what is kept, what is recalled, what is put in a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from engine.errors import MienError, UsageError
from face.render import person_file
from face.render.person_file import Person
from face.render.repertoire import (
    MAX_FACES,
    PER_KIND,
    STILL_PX,
    Face,
    Repertoire,
    Still,
    mouth,
    mouth_aperture,
)
from face.render.surface import HEIGHT, WIDTH
from face.rig import load_rig
from face.topology import LOWER_INNER


def face(
    emotion: str = "neutral",
    opened_cm: float = 0.0,
    yaw_deg: float = 0.0,
    quality: float = 1.0,
    grey: int = 100,
) -> Face:
    shape = load_rig().mean.copy()
    shape[list(LOWER_INNER[1:-1]), 1] -= np.float32(opened_cm - mouth_aperture(shape))
    return Face(
        emotion=emotion,
        texture=np.full((HEIGHT, WIDTH, 3), grey, np.uint8),
        seen=np.full((HEIGHT, WIDTH), 255, np.uint8),
        shape=shape,
        shapes=np.zeros(52, np.float32),
        turn=np.array([yaw_deg, 0], np.float32),
        quality=quality,
    )


def test_of_each_kind_the_best_are_kept() -> None:
    repertoire = Repertoire([face(quality=q) for q in (1, 5, 2, 4, 3)])
    assert sorted(one.quality for one in repertoire.faces) == [4, 5]
    assert not repertoire.wants("neutral", face().shape, face().turn, 4)
    assert repertoire.wants("neutral", face().shape, face().turn, 6)
    assert repertoire.wants("happy", face().shape, face().turn, 0.1)


def test_memory_is_bounded() -> None:
    repertoire = Repertoire()
    for emotion in ("neutral", "happy", "sad", "angry"):
        for yaw in range(-40, 41, 10):
            for opened in (0, 0.5, 1.0, 2.0):
                for quality in range(PER_KIND + 1):
                    repertoire.add(face(emotion, opened, yaw, quality))
    assert len(repertoire) <= MAX_FACES


def test_what_is_recalled_has_the_mouth_and_the_turn_of_the_moment() -> None:
    shut, wide, turned = face(grey=10), face(opened_cm=2, grey=90), face(yaw_deg=35, grey=200)
    repertoire = Repertoire([shut, wide, turned])
    assert repertoire.recall("happy", shut.mouth, shut.turn) is None
    like_wide = repertoire.recall("neutral", mouth(wide.shape), wide.turn)
    assert like_wide is not None and like_wide.nearest is wide and like_wide.trust == 1
    assert 85 <= int(like_wide.texture[0, 0, 0]) <= 95
    aside = repertoire.recall("neutral", shut.mouth, turned.turn)
    assert aside is not None and aside.nearest is turned
    beyond = repertoire.recall("neutral", shut.mouth, np.array([80, 0], np.float32))
    assert beyond is not None and beyond.trust == 0
    assert repertoire.opened(wide.mouth) is wide
    assert repertoire.opened(shut.mouth) is None  # a mouth that is ajar shows other things
    assert Repertoire([shut]).opened(shut.mouth) is None


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(person_file.FOLDER, str(tmp_path / "people"))
    monkeypatch.delenv(person_file.PASSPHRASE, raising=False)
    return tmp_path / "people"


def test_a_person_is_kept_and_read_again(people: Path) -> None:
    faces = [face(grey=7), face("happy", 1, grey=9)]
    person_file.save(Person("Anna", faces), person_file.place_of("Anna"))
    assert person_file.names() == ["Anna"]
    assert stat.S_IMODE((people / "Anna.person").stat().st_mode) == 0o600
    again = person_file.load(person_file.place_of("Anna"))
    assert again.name == "Anna" and [one.emotion for one in again.faces] == ["neutral", "happy"]
    for old, new in zip(faces, again.faces, strict=True):
        assert np.array_equal(old.texture, new.texture) and np.array_equal(old.shape, new.shape)


def test_a_persons_picture_is_kept_with_their_faces(people: Path) -> None:
    path = person_file.place_of("Anna")
    picture = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    person_file.save(Person("Anna", [face()], Still(picture, 2.5)), path)
    again = person_file.load(path).repertoire().still
    assert again is not None and again.quality == 2.5
    assert np.array_equal(again.picture, picture)
    large = np.zeros((48, STILL_PX + 2, 3), np.uint8)
    person_file.save(Person("Anna", [face()], Still(large, 1)), path)
    with pytest.raises(MienError, match="picture has another form"):
        person_file.load(path)


def test_the_calmest_picture_from_the_front_is_kept() -> None:
    repertoire = Repertoire()
    picture = np.zeros((1000, 800, 3), np.uint8)
    landmarks = np.full((478, 3), 400, np.float32)
    for unfit in (face("happy"), face(yaw_deg=20)):
        repertoire.consider(picture, landmarks, unfit)
    repertoire.consider(picture, landmarks + 600, face())  # it lies beyond the edge
    assert repertoire.still is None
    repertoire.consider(picture, landmarks, face(quality=1))
    assert repertoire.still is not None and repertoire.still.picture.shape == (640, 512, 3)
    repertoire.consider(picture + 1, landmarks, face(quality=0.9))
    repertoire.consider(picture + 1, landmarks, face(quality=1.5, opened_cm=1))
    assert repertoire.still.picture.max() == 0
    repertoire.consider(picture + 1, landmarks, face(quality=2))
    assert repertoire.still.picture.max() == 1


def test_a_sealed_file_needs_its_passphrase(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = person_file.place_of("Anna")
    person_file.save(Person("Anna", [face(grey=7)]), path, "open sesame")
    assert bytes([7] * 64) not in path.read_bytes()
    with pytest.raises(MienError, match="is sealed; give its passphrase in MIEN_PASSPHRASE"):
        person_file.load(path)
    monkeypatch.setenv(person_file.PASSPHRASE, "wrong")
    with pytest.raises(MienError, match="is another"):
        person_file.load(path)
    monkeypatch.setenv(person_file.PASSPHRASE, "open sesame")
    assert person_file.load(path).name == "Anna"


def test_what_is_no_persons_file_is_one_line(people: Path, tmp_path: Path) -> None:
    with pytest.raises(MienError, match="nobody called Bert is enrolled here"):
        person_file.load(person_file.place_of("Bert"))
    path = person_file.place_of("Anna")
    person_file.save(Person("Anna", [face()]), path)
    whole = path.read_bytes()
    with pytest.raises(MienError, match=r"there is Anna\)"):
        person_file.load(person_file.place_of("Bert"))
    head = len(whole) - 40
    for damaged in (b"", b"{}", whole[:head], whole[: len(whole) // 2], b"\xff" * 64):
        path.write_bytes(damaged)
        with pytest.raises(MienError, match="damaged"):
            person_file.load(path)
    path.write_bytes(whole.replace(b'"version":"1"', b'"version":"9"'))
    with pytest.raises(MienError, match="is of version 9, this Mien reads 1"):
        person_file.load(path)
    path.write_bytes(whole.replace(b"neutral", b"neutrel"))
    with pytest.raises(MienError, match="aren't named"):
        person_file.load(path)
    pipe = tmp_path / "pipe.person"
    os.mkfifo(pipe)
    with pytest.raises(MienError, match="is a pipe"):
        person_file.load(pipe)


def test_forgetting_leaves_nothing_and_renaming_everything(people: Path) -> None:
    person_file.save(Person("Anna", [face()]), person_file.place_of("Anna"))
    person_file.rename("Anna", "Anna B")
    assert person_file.names() == ["Anna B"]
    person_file.forget("Anna B")
    assert list(people.iterdir()) == []
    with pytest.raises(MienError, match="nobody called Anna"):
        person_file.forget("Anna")


@pytest.mark.parametrize("name", ["", "..", " a", "a" * 80, "a\x00b"])
def test_names_are_names(name: str, people: Path) -> None:
    with pytest.raises(UsageError):
        person_file.place_of(name)


def test_nothing_is_kept_of_nobody(people: Path) -> None:
    with pytest.raises(MienError, match="nothing to keep"):
        person_file.save(Person("Anna", []), person_file.place_of("Anna"))
    assert not people.exists()
