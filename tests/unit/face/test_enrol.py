"""`enrol`: from folders and films, with consent; a mistake is one line."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands.live import add_arguments, live_graph
from engine import graph as graphs
from engine.errors import MienError
from engine.types import U8
from face.render import person_file
from face.render.person_file import MAX_BYTES, PASSPHRASE, Person, load, place_of
from face.types import BLENDSHAPES, FaceRig
from nodes.face.portrait import Portrait
from run_engine import main
from tests.faces import astronaut
from tests.made_media import bars, make_video
from tests.unit.face.test_actor import stranger
from tests.unit.face.test_repertoire import face, people

__all__ = ["people"]  # the fixture: enrolled people are in a folder of the test's


def portrait(path: Path, pixels: U8 | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), astronaut() if pixels is None else pixels)
    return path


def enrol(*arguments: str) -> int:
    return main(["enrol", *arguments])


def emotions(name: str) -> list[str]:
    return sorted(one.emotion for one in load(place_of(name)).faces)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One smile, which is named twice as something else, once not at all."""
    folder = tmp_path / "photos"
    portrait(folder / "anger_1.png")
    portrait(folder / "calm" / "1.png")
    portrait(folder / "me.png")
    return folder


def test_names_of_files_and_folders_are_taken_at_their_word_others_are_read(
    photos: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enrol("anna", "--from", str(photos), "--consent", "--json") == 0
    learned = json.loads(capsys.readouterr().out)
    assert learned["faces"] == {"neutral": 1, "angry": 1, "happy": 1}
    assert emotions("anna") == ["angry", "happy", "neutral"]
    assert enrol("--list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == ["anna"]


def test_of_pictures_of_one_kind_the_sharpest_stay(tmp_path: Path, people: Path) -> None:
    folder, sharp = tmp_path / "photos", astronaut()
    for number, size in enumerate((1, 9, 5, 13)):
        portrait(folder / f"calm_{number}.png", cv2.blur(sharp, (size, size)).astype(np.uint8))
    assert enrol("anna", "--from", str(folder), "--consent") == 0
    kept = [one.texture.astype(int) for one in load(place_of("anna")).faces]
    assert len(kept) == 2
    details = [np.abs(np.diff(texture, axis=1)).mean() for texture in kept]
    assert enrol("bert", "--from", str(folder / "calm_3.png"), "--consent") == 0
    blurred = load(place_of("bert")).faces[0].texture.astype(int)
    assert min(details) > np.abs(np.diff(blurred, axis=1)).mean()


def test_a_film_is_watched_to_its_end(tmp_path: Path, people: Path) -> None:
    film = make_video(tmp_path / "film.mp4", [astronaut()] * 12)
    assert enrol("anna", "--from", str(film), "--consent") == 0
    assert set(emotions("anna")) == {"happy"}


def test_what_cannot_be_read_is_named_and_left_out(
    photos: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (photos / "broken.mp4").write_bytes(b"no film")
    portrait(photos / "bars.png", bars())
    assert enrol("anna", "--from", str(photos), "--consent") == 0
    said = capsys.readouterr().err
    assert "Traceback" not in said
    for name in ("broken.jpg", "broken.mp4", "bars.png: no face"):
        assert sum(name in line for line in said.splitlines()) == 1
    assert emotions("anna") == ["angry", "happy", "neutral"]


def test_consent_is_asked_and_needed(
    photos: Path, people: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert enrol("anna", "--from", str(photos)) == 2
    assert "only with consent" in capsys.readouterr().err

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for answer in ("n\n", "\n", ""):  # the last: Ctrl-D
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert enrol("anna", "--from", str(photos)) == 1
        assert capsys.readouterr().err == "mien: nothing was kept\n"
    assert not people.exists()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert enrol("anna", "--from", str(photos)) == 0
    assert person_file.names() == ["anna"]


def says(capsys: pytest.CaptureFixture[str], part: str) -> None:
    """One line on the terminal, with these words."""
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("mien: ") and part in said[0], said


def test_mistakes_are_one_line_and_keep_nothing(
    tmp_path: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, part in (
        ([], "who is it?"),
        (["anna"], "from what?"),
        (["a/b", "--from", str(empty), "--consent"], "those end in .person"),
        (["anna", "--from", str(empty), "--consent"], "no picture and no film"),
        (["anna", "--from", str(tmp_path / "none"), "--consent"], "there is no"),
        (["anna", "--from", str(empty), "--seal"], "needs a passphrase in MIEN_PASSPHRASE"),
        (["anna", "--forget"], "nobody called anna"),
        (["anna", "--rename", "bert"], "nobody called anna"),
    ):
        assert enrol(*arguments) in (1, 2)
        says(capsys, part)
    portrait(empty / "bars.png", bars())
    assert enrol("anna", "--from", str(empty), "--consent") == 1
    assert "no face that could be kept" in capsys.readouterr().err
    assert not people.exists()


def test_sealed_it_is_read_with_its_passphrase_alone(
    photos: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    assert enrol("anna", "--from", str(photos / "calm"), "--consent", "--seal") == 0
    assert emotions("anna") == ["neutral"]
    assert b"neutral" not in place_of("anna").read_bytes()


def test_nothing_but_a_persons_file_is_overwritten_or_removed(
    tmp_path: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("dear")
    assert enrol(str(letter), "--forget") == 2
    says(capsys, "no person's file")
    assert enrol(str(letter), "--rename", "anna") == 2
    says(capsys, "no person's file")
    assert letter.read_text() == "dear"


def test_renamed_they_are_called_so_and_forgotten_without_a_trace(
    tmp_path: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm = portrait(tmp_path / "calm.png")
    assert enrol("anna", "--from", str(calm), "--consent") == 0
    assert b"anna" not in place_of("anna").read_bytes()  # the file's name alone says who it is
    place_of("bert").write_bytes(place_of("anna").read_bytes())
    capsys.readouterr()
    assert enrol("anna", "--rename", "bert") == 1
    says(capsys, "somebody called bert already")
    assert enrol("anna", "--rename", "Anna B") == 0
    assert load(place_of("Anna B")).name == "Anna B"
    for name in ("Anna B", "bert"):
        assert enrol(name, "--forget") == 0
    assert list(people.iterdir()) == []
    capsys.readouterr()
    assert enrol("--list") == 0
    assert "nobody is enrolled here" in capsys.readouterr().out


def test_somebody_who_was_enrolled_talks_without_a_camera(photos: Path, people: Path) -> None:
    assert enrol("anna", "--from", str(photos), "--consent") == 0
    node = Portrait(Portrait.Config(person="anna"))
    node.setup()
    silent = np.zeros(len(BLENDSHAPES), np.float32)
    pose = np.eye(4, dtype=np.float32)
    rig = FaceRig(capture_ns=0, found=True, blendshapes=silent, pose=pose)
    assert node.process(rig).pixels.shape == astronaut().shape
    node.close()
    person_file.save(Person("bert", load(place_of("anna")).faces), place_of("bert"))
    for name, video in (("anna", "stand_in"), ("bert", "compositor")):
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        asked = ["--person", name, "--vmc", "127.0.0.1:39539", "--vtube-studio", "127.0.0.1:8001"]
        made = graphs.load(live_graph(parser.parse_args(asked)))
        assert made.nodes["out"].inputs["video"] == (video, "video")
        for told in ("avatar", "vmc", "vtube_studio"):
            assert made.nodes[told].inputs["rig"] == ("voice_face", "rig")
    with pytest.raises(MienError, match="no picture of bert is kept"):
        Portrait(Portrait.Config(person="bert")).setup()


def test_enrolled_again_the_file_is_replaced_whole(photos: Path, people: Path) -> None:
    assert enrol("anna", "--from", str(photos), "--consent") == 0
    assert enrol("anna", "--from", str(photos / "calm"), "--consent") == 0
    assert emotions("anna") == ["neutral"]
    assert [file.name for file in people.iterdir()] == ["anna.person"]


def test_a_person_is_given_to_live_and_file_by_name(
    tmp_path: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, goal = portrait(tmp_path / "calm.png"), tmp_path / "out"
    for command in (["live"], ["file", str(photo), str(goal)]):
        assert main([*command, "--person", "anna"]) == 1
        says(capsys, "nobody called anna is enrolled here")
    person_file.save(Person("bert", [face()]), place_of("bert"))
    for command in (["live"], ["file", str(photo), str(goal)]):
        assert main([*command, "--person", "anna"]) == 1
        says(capsys, "(there is bert)")
    place_of("bert").write_bytes(b"damaged")
    assert main(["file", str(photo), str(goal), "--person", "bert"]) == 1
    says(capsys, "damaged; enrol again")
    with place_of("bert").open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    assert main(["live", "--person", "bert"]) == 1
    says(capsys, "too large for a person's file")
    assert not goal.exists()


def test_file_wears_the_persons_own_smile_and_says_whose_face_doesnt_match(
    tmp_path: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = portrait(tmp_path / "smile.png")
    assert enrol("anna", "--from", str(photo), "--consent") == 0

    def worn(*arguments: str) -> float:
        goal = tmp_path / "out.png"
        assert main(["file", str(photo), str(goal), "--emotion", "happy", *arguments]) == 0
        picture = cv2.imread(str(goal))
        assert picture is not None
        return float(np.abs(picture.astype(int) - astronaut()).mean())

    assert worn("--person", "anna") < worn()  # her own smile is the one that is hers
    other = [stranger(one) for one in load(place_of("anna")).faces]
    person_file.save(Person("bert", other), place_of("bert"))
    capsys.readouterr()
    worn("--person", "bert")
    assert "this face doesn't look like bert" in capsys.readouterr().err
