"""A user study: its sheet in words, its votes kept, its table equal to one made by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands.study.figures import as_csv, tables
from commands.study.sheet import Sheet, read_sheet
from commands.study.votes import Vote, Votes, shuffled
from engine.errors import MienError
from run_engine import main
from tests.made_media import make_video
from training.metrics.statistics import fleiss_kappa

COLOURS = {"crimson": (40, 20, 220), "viridian": (110, 130, 40), "cobalt": (171, 71, 0)}
"""of three methods, BGR; what each made is in its colour"""
SHEET = """
title = "Which is best?"
source = "source/{clip}"
reference = "reference/{clip}"
[methods]
crimson = "crimson/{clip}"
viridian = "viridian/{clip}"
cobalt = "cobalt/{clip}"
[clips]
happy = ["one.png", "two.mp4"]
sad = ["three.png"]
"""
CAST = {
    "realism": {"one.png": "RRR", "two.mp4": "RRV", "three.png": "CRV"},
    "emotion": {"one.png": "RRR", "two.mp4": "RRR", "three.png": "RRR"},
    "mouth": {"one.png": "VVV", "two.mp4": "CCC", "three.png": "RRC"},
}
"""by question and clip, what Ada, Ben and Cleo choose: cRimson, Viridian, Cobalt"""
GREY = {"one.png": 60, "two.mp4": 130, "three.png": 200}
"""of what was edited"""
RATERS = ("Ada", "Ben", "Cleo")
LETTER = {"R": "crimson", "V": "viridian", "C": "cobalt"}

# By hand. Realism: rows [3 0 0], [2 1 0], [1 1 1] of crimson, viridian, cobalt agree by 1, 1/3, 0,
# so 4/9; by chance (36 + 4 + 1) / 81; kappa -5/40. Mouth: [0 3 0], [0 0 3], [2 0 1]: 1, 1, 1/3,
# so 63/81; by chance (4 + 9 + 16) / 81; kappa 34/52. Where all chose one, nothing can be said.
# Three raters drawn anew are thrice the same one in 1 of 27 cases (3.7 %): the interval reaches
# from the least that one of them gave to the most.
TABLE = """\
| method | Realism | Emotion similarity | Mouth shape similarity |
| --- | ---: | ---: | ---: |
| crimson | 67 % (33 to 100) | 100 % (100 to 100) | 22 % (0 to 33) |
| viridian | 22 % (0 to 67) | 0 % (0 to 0) | 33 % (33 to 33) |
| cobalt | 11 % (0 to 33) | 0 % (0 to 0) | 44 % (33 to 67) |
| Fleiss' kappa | -0.125 | - | 0.654 |
"""
ROWS = """\
| happy | 83 % | 17 % | 0 % | 100 % | 0 % | 0 % | 0 % | 50 % | 50 % |
| sad | 33 % | 33 % | 33 % | 100 % | 0 % | 0 % | 67 % | 0 % | 33 % |
| all | 67 % | 22 % | 11 % | 100 % | 0 % | 0 % | 22 % | 33 % | 44 % |
"""


def made_study(folder: Path) -> Path:
    """The sheet with its files: what a method made is in its colour, the rest grey."""
    for name in ("source", "reference", *COLOURS):
        (folder / name).mkdir(parents=True)
        for clip, grey in GREY.items():
            picture = np.full((48, 64, 3), COLOURS.get(name, (grey,) * 3), np.uint8)
            if clip.endswith(".mp4"):
                make_video(folder / name / clip, [picture] * 12)
            else:
                assert cv2.imwrite(str(folder / name / clip), picture)
    (folder / "sheet.toml").write_text(SHEET)
    return folder / "sheet.toml"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def sheet(path: Path) -> Sheet:
    return read_sheet(path)


@pytest.fixture
def votes(tmp_path: Path, sheet: Sheet) -> Iterator[Votes]:
    with closing(Votes(tmp_path / "votes.sqlite", sheet)) as opened:
        yield opened


def choices(rater: str) -> Iterator[tuple[str, str, str]]:
    """(question, clip, method)"""
    for question, by_clip in CAST.items():
        for clip, letters in by_clip.items():
            yield question, clip, LETTER[letters[RATERS.index(rater)]]


def all_cast(votes: Votes) -> list[Vote]:
    for name in RATERS:
        rater = votes.enter(name, False)
        assert rater is not None
        for question, clip, method in choices(name):
            place = shuffled(list(COLOURS), rater, clip).index(method)
            votes.cast(rater, clip, question, method, place)
    return votes.all()


def test_the_table_is_the_one_made_by_hand(votes: Votes, sheet: Sheet) -> None:
    told = tables(all_cast(votes), sheet)
    assert TABLE in told and ROWS in told
    assert "27 votes of 3 raters on 3 of 3 clips; by chance a method gets 33 %" in told


def test_kappa_is_that_of_a_known_example() -> None:
    """Ten things, fourteen raters, five classes: a worked example of many textbooks."""
    rows = """0 0 0 0 14, 0 2 6 4 2, 0 0 3 5 6, 0 3 9 2 0, 2 2 8 1 1,
              7 7 0 0 0, 3 2 6 3 0, 2 5 3 2 2, 6 5 2 1 0, 0 2 2 3 7"""
    counts = np.array([[int(cell) for cell in row.split()] for row in rows.split(",")])
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)
    assert fleiss_kappa(np.array([[3, 0], [0, 3]])) == 1
    assert np.isnan(fleiss_kappa(np.array([[3, 0], [3, 0]])))
    assert np.isnan(fleiss_kappa(np.array([[1, 0], [0, 1]])))


def test_each_rater_has_an_order_of_their_own_that_stays(votes: Votes, sheet: Sheet) -> None:
    orders = set()
    for number in range(30):
        rater = votes.enter(f"rater {number}", False)
        assert rater is not None and rater == votes.enter(f"Rater {number}", True)
        order = shuffled(sheet.methods, rater, "one.png")
        assert order == shuffled(sheet.methods, rater, "one.png")
        orders.add(tuple(order))
    assert len(orders) == 6


def test_a_name_that_is_taken_is_asked_about(votes: Votes) -> None:
    first = votes.enter("Ada", False)
    assert first is not None and votes.enter("ada", False) is None
    assert votes.known(first.key) == first and votes.known("another") is None
    with pytest.raises(MienError, match="1 to 40 letters"):
        votes.enter("=cmd()", False)


def test_a_later_vote_takes_the_place_of_an_earlier_one(votes: Votes, sheet: Sheet) -> None:
    rater = votes.enter("Ada", False)
    assert rater is not None
    votes.cast(rater, "one.png", "mouth", "crimson", 0)
    votes.cast(rater, "one.png", "mouth", "cobalt", 2)
    [vote] = votes.all()
    assert (vote.method, vote.place) == ("cobalt", 2)
    lines = as_csv([vote], sheet).splitlines()
    assert lines[0] == "rater,clip,question,method,place,cast_at,emotion"
    assert lines[1].startswith("Ada,one.png,mouth,cobalt,2,2") and lines[1].endswith("+00:00,happy")


def test_a_file_of_other_votes_is_refused(tmp_path: Path, sheet: Sheet) -> None:
    Votes(tmp_path / "votes.sqlite", sheet).close()
    other = Sheet(sheet.title, ("crimson", "teal"), sheet.clips)
    with pytest.raises(MienError, match=r"other methods \(cobalt, crimson, viridian\)"):
        Votes(tmp_path / "votes.sqlite", other)
    (tmp_path / "text").write_text("no database at all, but long enough to be read as one" * 20)
    with pytest.raises(MienError, match="not a database"):
        Votes(tmp_path / "text", sheet)
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as base:
        base.execute("CREATE TABLE birds (name TEXT)")
    with pytest.raises(MienError, match="no file of votes"):
        Votes(tmp_path / "other.sqlite", sheet)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title =", "titel =", "unknown key 'titel'"),
        ('title = "Which is best?"', "title = 3", "title is a text"),
        ('source = "source/{clip}"', "", 'source needs a place, like source = "source/{clip}.mp4"'),
        ('"crimson/{clip}"', '"crimson/one.png"', "crimson's place 'crimson/one.png' has {clip}"),
        ('"crimson/{clip}"', '"crimson/{name}"', "6: crimson's place"),
        ('"crimson/{clip}"', '"crimson/{clip"', "6: crimson's place"),
        ('"crimson/{clip}"', '"cobalt/{clip}"', "cobalt and crimson are the same file"),
        ('["three.png"]', '"three.png"', "11: sad is a list of clips' names"),
        ('["three.png"]', '["one.png"]', "11: 'one.png' stands there twice"),
        ('["three.png"]', '["four.png"]', "four.png"),
        ('["three.png"]', '["three.gif"]', "browsers show .jpg"),
        ("[clips]", "[clips", "not valid TOML"),
        (SHEET[SHEET.index("viridian") : SHEET.index("[clips]")], "", "[methods] names 1; 2 to 8"),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_wrong_with_a_sheet_is_one_line(
    path: Path, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in SHEET
    bad = path.with_name("bad.toml")
    bad.write_text(SHEET.replace(old, new, 1))
    assert main(["study", str(bad), "--table"]) in (1, 2)
    told = capsys.readouterr()
    assert said in told.err and told.err.count("\n") == 1 and told.out == ""


def test_what_browsers_cannot_play_is_named_with_its_mend(path: Path) -> None:
    film = path.parent / "cobalt" / "two.mp4"
    good = film.read_bytes()
    try:
        make_video(film, [np.zeros((48, 64, 3), np.uint8)] * 3, encoder="mpeg4")
        with pytest.raises(MienError, match=r"mpeg4 pictures.*-c:v libx264"):
            read_sheet(path)
    finally:
        film.write_bytes(good)


def test_without_votes_there_is_no_table(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", str(path), "--table"]) == 1
    assert "nobody has voted yet" in capsys.readouterr().err
    assert not path.with_suffix(".sqlite").exists()
