"""Cards tell the truth: nc by what licences permit, whatever was said before."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tomli_w")

from export.records import main
from training.fit_rig import write_card
from training.tracks import Track

CARD = """# thing: a thing.
name = "thing"
task = "a thing"
nc = false

[data]
people = 2
licences = ["repo: MIT; data: footage rights unverified", "CC0"]

[metrics]
score = 0.5 # by hand
"""


def test_a_card_is_made_true_and_keeps_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "card.toml"
    card.write_text(CARD)
    assert main([str(tmp_path)]) == 0
    assert "nc was False, is unknown" in capsys.readouterr().out
    wanted = CARD.replace("nc = false", 'nc = "unknown"')
    assert card.read_text() == wanted.replace("[data]", '[data]\nnc = "unknown"')
    assert main([str(tmp_path)]) == 0
    assert "nc is unknown, as it says" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "licences", "nc"),
    [
        ("nc = false", '["CC0"]', "no"),
        ("nc = true", '["CC0"]', "yes"),
        ("", '["CC0"]', "unknown"),
        ('nc = "no"', '["rights UNVERIFIED"]', "unknown"),
        ('nc = "no"', '["CC0"]\ncalibration_nc = true', "yes"),
    ],
)
def test_the_licences_decide(said: str, licences: str, nc: str, tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text(
        f'name = "x"\n{said}\n[data]\n{said}\nlicences = {licences}\n'
    )
    assert main([str(tmp_path)]) == 0
    card = tomllib.loads((tmp_path / "card.toml").read_text())
    assert card["nc"] == nc and card["data"]["nc"] == ("no" if nc == "yes" and "no" in said else nc)


def test_what_is_no_card_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    (tmp_path / "card.toml").write_text("nc = ")
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(
    ("rows", "nc"),
    [
        ("a.mp4\tMIT\tno\nb.mp4\tCC0\tno", "no"),
        ("a.mp4\tMIT\tno\nb.mp4\tCC0\tyes", "yes"),
        ("a.mp4\tMIT; footage rights unverified\tno\nb.mp4\tCC0\tno", "unknown"),
        ("a.mp4\tMIT\tno", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_rigs_card_says_what_the_manifest_says(rows: str | None, nc: str, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (clips / name).write_text(name)
    if rows is not None:
        (tmp_path / "manifest.tsv").write_text(f"file\tlicence\tnc\n{rows}\n")
    nothing = np.zeros(0, np.float32)
    tracks = [Track(name, "ann", nothing, nothing) for name in ("a.mp4", "b.mp4")]
    (tmp_path / "rig.npz").write_bytes(b"")
    options = argparse.Namespace(clips=clips, seed=3)
    figures: dict[str, Any] = {"score": 0.5}
    write_card(options, "made by hand", tracks, {"people": 1}, figures, tmp_path / "rig.npz")
    card = tomllib.loads((tmp_path / "card.toml").read_text())
    assert card["nc"] == card["data"]["nc"] == nc and card["seed"] == 3
    assert card["training"] == "made by hand" and len(card["data"]["clips_sha256"]) == 64
    assert "allow use" not in str(card) and card["metrics"] == figures
