"""The protocol against a person's own talk, on a film made of one face."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import MienError
from engine.node import Context
from face.render.actor import Actor
from face.rig import load_rig
from face.types import FaceEdit
from tests.faces import astronaut, seen_face
from tests.made_media import make_video
from tests.training.metrics.test_own_neutral import Judge
from training.evaluate import main
from training.evaluation.own_talk import Film, _blinks, own_talk, watched


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """She is calm for half a second, then smiles for one."""
    head = np.ascontiguousarray(astronaut()[:300, 75:375])
    seen = seen_face(head)
    actor = Actor(load_rig(), Context(), threads=1)
    edit = FaceEdit(capture_ns=1, active=True, source=seen.rig, target=seen.rig)
    calm = actor.render(seen.pixels, seen.landmarks, seen.placement, edit, still=True)
    actor.close()
    return make_video(tmp_path_factory.mktemp("film") / "smiles.mp4", [calm] * 14 + [head] * 24)


def test_who_smiles_is_brought_nearer_to_the_own_calm_talk(film: Path) -> None:
    (line,) = own_talk(film, [Judge()])
    figures = line.figures
    assert (figures["read_before"], figures["read"], figures["read_own"]) == (0, 1, 1)
    assert figures["identity"] > figures["identity_before"]
    assert (line.blinked, line.asked) == (0, "neutral")


def test_what_is_worn_is_compared_with_the_own(film: Path, tmp_path: Path) -> None:
    with pytest.raises(MienError, match="--memory FILM"):
        own_talk(film, [Judge()], emotion="happy")
    smiling = np.ascontiguousarray(astronaut()[:300, 75:375])
    make_video(tmp_path / film.name, [smiling] * 20)
    (line,) = own_talk(film, [Judge()], memory=tmp_path, emotion="happy")
    figures = line.figures
    assert figures["read_own"] == 1 and figures["read"] > 0.9 > figures["read_before"]
    assert figures["identity"] > figures["identity_before"]


def test_a_blink_is_kept_where_it_is_seen_in_time(film: Path) -> None:
    def shut(at: int) -> Film:
        frames = [replace(track, blendshapes=track.blendshapes.copy()) for track in seen.tracks]
        for t, track in enumerate(frames):
            track.blendshapes[[9, 10]] = 0.8 if t == at else 0.1
        return Film(seen.frames, frames)

    seen = watched(film, 2.0)
    for at, kept in ((12, 1.0), (13, 1.0), (16, 0.0)):
        assert _blinks(shut(12), shut(at)) == (1, kept)


def test_the_table_is_written(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.evaluate.judges", lambda wanted, say: [Judge()])
    command = [str(film.parent), "--protocol", "own-talk", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert "smiles.mp4" in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written["rows"][0]["figures"].keys() >= {"identity", "blinks", "flicker"}
    assert main([*command, "--emotions", "happy", "sad"]) == 2
    assert "one emotion" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert main([str(tmp_path / "none"), "--protocol", "own-talk"]) == 1
    assert "no film in" in capsys.readouterr().err


def test_a_film_without_a_face_is_one_line(tmp_path: Path) -> None:
    grey = np.full((64, 64, 3), 90, np.uint8)
    film = make_video(tmp_path / "grey.mp4", [grey] * 20)
    with pytest.raises(MienError, match=r"grey.mp4 shows no face"):
        own_talk(film, [Judge()])
