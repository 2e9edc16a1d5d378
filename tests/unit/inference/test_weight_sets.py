"""Sets of weights: which is in use, what it lends from the default one, what it permits."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from commands import doctor, live
from engine.errors import MienError
from engine.node import Context
from engine.parameters import build
from face.expression.people import load_people
from face.render.actor import NO_SKIN
from inference import weight_sets
from inference.terms import STATES, together
from inference.weight_sets import (
    SHIPPED,
    forbids,
    left_out,
    nc_of_weight,
    sets,
    terms,
    weight_folder,
    weights_in_use,
)
from nodes.face.compositor import Compositor
from run_engine import main


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A default set of three weights, and a set `free` beside it that has one of its own."""
    for name, card in (
        ("people", "nc = true"),
        ("skin", "nc = true"),
        ("rig", 'nc = false\nlicence = "rights unverified"'),
        ("free/people", "nc = false"),
    ):
        folder = tmp_path / "weights" / name
        folder.mkdir(parents=True)
        (folder / "card.toml").write_text(card)
    monkeypatch.setattr(weight_sets, "SHIPPED", tmp_path / "weights")
    return tmp_path / "weights"


def test_what_ships() -> None:
    assert sets() == ["default", "clean"]
    used = weights_in_use("clean")
    assert used and not any(map(forbids, used.values()))
    for own in ("people", "speech", "visual"):
        assert used[own] == SHIPPED / "clean" / own and forbids(SHIPPED / own)
    assert weights_in_use() == {name: SHIPPED / name for name in weights_in_use()}
    for name, folder in weights_in_use().items():
        assert name in used or forbids(folder), f"{name} could be in the clean set"


def test_a_set_lends_only_what_is_permitted(made: Path) -> None:
    assert sets() == ["default", "free"]
    for asked in ("free", str(made / "free")):
        assert weight_folder("people", asked) == made / "free" / "people"
        assert weight_folder("rig", asked) == made / "rig"
        assert not weight_folder("skin", asked).exists()
        assert left_out("skin", asked) == "free"
        assert not left_out("people", asked) and not left_out("rig", asked)
    assert weight_folder("skin") == weight_folder("skin", "default") == made / "skin"
    assert not left_out("skin")


@pytest.mark.parametrize(
    ("card", "nc"),
    [
        ("nc = true", "yes"),
        ('nc = "yes"', "yes"),
        ("nc = false", "no"),
        ('nc = "no"', "no"),
        ('nc = "unknown"', "unknown"),
        ('name = "rig"', "unknown"),
        ("nc = 3", "unknown"),
        ("nc = ", "unknown"),
        ('nc = "no"\nlicence = "MIT; footage Unverified"', "unknown"),
        ('nc = "yes"\nlicence = "rights unverified"', "yes"),
    ],
)
def test_a_card_says_yes_no_or_unknown(card: str, nc: str, made: Path) -> None:
    (made / "rig" / "card.toml").write_text(card)
    assert nc_of_weight(made / "rig") == nc and forbids(made / "rig") == (nc == "yes")
    assert bool(left_out("rig", "free")) == (nc == "yes")
    said = terms("free")
    assert ("whether rig may be used commercially is unknown" in said) == (nc == "unknown")
    assert ("no licence on its cards forbids" in said) == (nc != "unknown")


def test_of_many_the_worst_counts() -> None:
    assert together(["no", "unknown", "yes"]) == "yes"
    assert together(["no", "unknown"]) == together([]) == "unknown"
    assert together(["no", "no"]) == "no"


def test_no_shipped_card_permits_what_its_licences_leave_open() -> None:
    for path in sorted(SHIPPED.glob("**/card.toml")):
        card = tomllib.loads(path.read_text())
        said = [card["nc"], card["data"]["nc"]]
        assert said[0] in STATES and said[1] in STATES, path
        assert said[0] == nc_of_weight(path.parent), path
        assert not ("unverified" in str(card) and "no" in said), path


def test_terms_are_those_of_the_cards(made: Path, tmp_path: Path) -> None:
    assert terms() == (
        "default: not for commercial use, people and skin learned from data under research terms; "
        "--weights free does without"
    )
    assert terms("free") == (
        "free: no data under research terms, no skin; whether rig may be used commercially is "
        "unknown, as rights in what it learned from are unverified"
    )
    mine = tmp_path / "mine"
    mine.mkdir()
    assert terms(str(mine)).startswith(f"{mine}: not for commercial use, people learned")
    (made / "free" / "people" / "card.toml").write_text("nc = true")
    assert terms("free").startswith("free: not for commercial use")
    assert "--weights" not in terms()


def test_the_environment_chooses_and_what_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    clean, default = load_people("clean").displacements, load_people().displacements
    assert not np.array_equal(clean, default)
    monkeypatch.setenv("MIEN_WEIGHTS", "clean")
    assert np.array_equal(load_people().displacements, clean)
    assert np.array_equal(load_people("default").displacements, default)
    monkeypatch.setenv("MIEN_WEIGHTS", "claen")
    with pytest.raises(MienError, match=r"no weight in claen.*the sets are default, clean"):
        load_people()


def test_people_of_an_earlier_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    earlier = {
        ("worn" if name == "displacements" else name): array
        for name, array in load_people().arrays().items()
    }
    np.savez(tmp_path / "people" / "people.npz", **earlier)  # type: ignore[arg-type]
    again = load_people(str(tmp_path)).displacements
    assert np.array_equal(again, load_people().displacements)


@pytest.mark.parametrize(
    "arguments",
    [
        ["live", "--no-settings"],
        ["file", "in.mp4", "out.mp4"],
        ["enrol", "anna", "--from", "photos", "--consent"],
        ["doctor", "--no-speed"],
        ["graph", "graphs/live.toml", "--check"],
        ["bench", "live"],
        ["bench", "file"],
        ["bench", "governor"],
        ["bench", "models"],
    ],
    ids=" ".join,
)
def test_a_set_that_is_not_there_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--weights", "claen"]) == 1
    assert capsys.readouterr().err == (
        "mien: no weight in claen: there is no such folder, and no such set of weights; "
        "the sets are default, clean\n"
    )


def test_a_face_is_drawn_without_the_network_that_a_set_leaves_out() -> None:
    said: list[tuple[str, str]] = []
    gauges: dict[str, Any] = {}
    context = Context(status=lambda *words: said.append(words), gauge=gauges.__setitem__)
    node = Compositor(build(Compositor.Config, {"weights": "clean", "renderer": "faces"}), context)
    node.setup()
    node.close()
    assert gauges["backend"] == NO_SKIN
    assert {condition for condition, _ in said} == {"ok"}


def test_doctor_says_which_and_what_it_permits(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--no-speed", "--weights", "clean", "--port", str(live.free_port("127.0.0.1"))])
    lines = capsys.readouterr().out.splitlines()
    assert sum("weights clean: no data under research terms" in line for line in lines) == 1
    assert sum("network skin: not in clean: not needed" in line for line in lines) == 1
    os.environ["MIEN_WEIGHTS"] = ""
    assert next(check for check in doctor.networks() if check.name == "network skin").works


def test_a_file_begins_with_what_is_in_use(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.full((96, 96, 3), 128, np.uint8))
    given = [str(tmp_path / "in.png"), str(tmp_path / "out.png")]
    assert main(["file", *given, "--weights", "clean"]) == 0
    assert capfd.readouterr().err.splitlines()[0] == f"weights {terms('clean')}"
    os.environ["MIEN_WEIGHTS"] = ""
    assert main(["file", *given]) == 0
    assert capfd.readouterr().err.splitlines()[0] == f"weights {terms('default')}"


def test_live_begins_with_what_is_in_use(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "run_supervised", lambda *_, **__: 0)
    assert main(["live", "--no-settings", "--port", "0", "--weights", "clean"]) == 0
    assert capfd.readouterr().err == f"weights {terms('clean')}\n"
    assert Path(os.environ["MIEN_WEIGHTS"]) == SHIPPED / "clean"  # its processes inherit it
