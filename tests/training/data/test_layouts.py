"""Readers of layouts over small made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import MienError
from training.data.layouts import Found, read_layout
from training.data.splits import read_splits, split_subjects, write_splits


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def read(layout: str, folder: Path, *names: str) -> Found:
    return read_layout(layout, tree(folder, *names))


def rows(found: Found) -> list[tuple[str, str, int, str, str]]:
    return [(e.subject, e.emotion, e.level, e.sentence, e.take) for e in found.entries]


def test_mead(tmp_path: Path) -> None:
    found = read(
        "mead",
        tmp_path,
        "M003/video/front/angry/level_2/001.mp4",
        "M003/video/front/angry/level_2/017.mp4",
        "M003/video/left_30/angry/level_2/001.mp4",
        "M003/audio/angry/level_2/001.m4a",
        "M003/other.wav",
        "M003/video/front/cross/level_1/001.mp4",
        "M003/notes.mp4",
    )
    assert rows(found) == [
        ("M003", "angry", 2, "001", ""),
        ("M003", "angry", 2, "angry-017", ""),
        ("M003", "angry", 2, "001", ""),
    ]
    assert [entry.view for entry in found.entries] == ["front", "front", "left_30"]
    sound, none, other = (entry.sound for entry in found.entries)
    assert other == sound
    assert sound is not None and sound.name == "001.m4a" and none is None
    assert all(entry.nc == "yes" for entry in found.entries)
    assert len(found.lines()) == 3 and any("cross" in line for line in found.lines())
    assert not any("m4a" in line for line in found.lines())  # MEAD's own sound is no stranger
    assert any("other.wav" in line for line in found.lines())


def test_ravdess(tmp_path: Path) -> None:
    found = read(
        "ravdess",
        tmp_path,
        "Actor_01/01-01-06-02-01-02-01.mp4",
        "Actor_01/02-01-06-02-01-02-01.mp4",
        "Actor_01/02-01-02-01-01-01-01.mp4",
        "Actor_01/02-01-01-01-01-01-01.mp4",
        "Actor_02/03-01-08-01-02-01-02.opus",
        "Actor_02/03-01-09-01-02-01-02.opus",
        "Actor_01/odd.mp4",
    )
    assert rows(found) == [
        ("actor01", "fear", 3, "speech-01", "02"),
        ("actor01", "neutral", 1, "speech-01", "01"),
        ("actor01", "neutral", 1, "speech-01", "calm01-01"),
        ("actor02", "surprised", 2, "speech-02", "01"),
        ("actor02", "", 0, "speech-02", "01"),
    ]
    assert [entry.word for entry in found.entries] == ["", "", "calm", "", ""]
    assert len(found.lines()) == 3


def test_hdtf_crema_d_and_emodb(tmp_path: Path) -> None:
    hdtf = read("hdtf", tmp_path / "h", "RD_Radio10_000.mp4", "WDA_Ann_Bo_001.mp4", "x.mp4")
    assert [entry.subject for entry in hdtf.entries] == ["Radio10", "Ann_Bo"]
    talks = ["WDA_Ann0_000.mp4", "WDA_Ann1_000.mp4", "WRA_Ann1.mp4", "RD_Radio1.mp4"]
    people = read("hdtf", tmp_path / "t", *talks).entries
    assert sorted((entry.subject, entry.take) for entry in people) == [
        ("Ann", "0-000"),
        ("Ann", "1"),
        ("Ann", "1-000"),
        ("Radio1", ""),
    ]
    crema = read("crema-d", tmp_path / "c", "1001_DFA_ANG_HI.flv", "1001_DFA_BAD_HI.flv")
    assert rows(crema) == [("1001", "angry", 3, "DFA", "")] and len(crema.lines()) == 1
    emodb = read("emodb", tmp_path / "e", "03a01Fa.wav", "03a01La.wav", "a.wav")
    assert rows(emodb) == [("03", "happy", 0, "a01", "a"), ("03", "", 0, "a01", "a")]
    assert [entry.word for entry in emodb.entries] == ["", "boredom"] and len(emodb.lines()) == 2


def test_a_plain_folder(tmp_path: Path) -> None:
    folder = tree(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    with pytest.raises(MienError, match="no manifest"):
        read_layout("folder", folder)
    (folder / "manifest.tsv").write_text(
        "file\tsubject\temotion\tlevel\tnc\tlicence\tnotes\n"
        "a.mp4\tann\tsad\t1\tyes\t\t\n"
        "clips/b.mp4\t\tcross\t\t\tCC0\tid Bob; x\n"
    )
    found = read_layout("folder", folder)
    assert rows(found) == [("ann", "sad", 1, "", ""), ("Bob", "", 0, "", "")]
    assert [e.nc for e in found.entries[:2]] == ["yes", "unknown"] and len(found.lines()) == 2


def test_notes_tell_what_is_felt(tmp_path: Path) -> None:
    names = ("a.mp4", "b.flac", "c.flac", "d.mp4")
    folder = tree(tmp_path / "clips", *names)
    (tmp_path / "manifest.tsv").write_text(
        "file\tlicence\tlabel/notes\n"
        "clips/a.mp4\tMIT\tsad/crying; id Ann; face~150px\n"
        "clips/b.flac\tMIT\tjoy_mandarin; spk Claire; 16000Hz\n"
        "clips/c.flac\tMIT\tvalence -0.7 arousal 0.45; film speech\n"
        "clips/d.mp4\tMIT\tdisgust/angry; id Bob\n"
    )
    entries = read_layout("noted", folder).entries
    assert [(e.subject, e.emotion) for e in entries] == [
        ("Ann", "sad"),
        ("Claire", "happy"),
        ("c", ""),
        ("Bob", ""),
    ]
    assert [entry.felt for entry in entries] == [None, None, (-0.7, 0.45), None]
    assert all(entry.licence == "MIT" for entry in entries)


def test_notes_that_name_nobody_tie_nobody_together(tmp_path: Path) -> None:
    notes = {
        "a.mp4": "id per file, 360x288", "b.mp4": "id per file, 360x288",
        "c.mp4": "id Ann", "d.mp4": "id Ann (other day)?",
        "e.mp4": "id man F1", "f.mp4": "id man F1", "g.mp4": "id bearded man",
        "h.mp4": "id bearded man", "i.mp4": "face~90px",
    }  # fmt: skip
    folder = tree(tmp_path / "clips", *notes)
    rows = [
        f"clips/{name}\tr/{'two' if name == 'f.mp4' else 'one'}\t{notes[name]}" for name in notes
    ]
    (tmp_path / "manifest.tsv").write_text("\n".join(["file\trepo\tnotes", *rows]))
    entries = read_layout("folder", folder).entries
    assert [entry.subject for entry in entries] == [
        *("a", "b", "Ann", "Ann", "r/one:man F1", "r/two:man F1", "g", "h", "i")
    ]


def test_labelled_pictures(tmp_path: Path) -> None:
    found = read(
        "pictures",
        tmp_path / "faces",
        "set__more__anger_Al_Bo_0002.jpg",
        "set__more__happiness_Al_Bo_0007.jpg",
        "fear/Cy_3.png",
        "fear_series_28k.jpg",
        "holiday_Al_Bo_1.jpg",
    )
    assert [(e.subject, e.emotion, e.take) for e in found.entries] == [
        ("cy", "fear", "3"),
        ("series", "fear", "28k"),
        ("al_bo", "angry", "0002"),
        ("al_bo", "happy", "0007"),
    ]
    assert found.lines() == [
        "1 x neither EMOTION_PERSON_N nor in a folder EMOTION (such as holiday_Al_Bo_1.jpg)"
    ]


def test_people_of_labelled_pictures_are_told_apart_by_more_than_their_number(
    tmp_path: Path,
) -> None:
    names = ("angry/F01_A.jpg", "happy/F01_B.jpg", "angry/F02_A.jpg", "sad/d12.jpg", "sad/d13.jpg")
    found = read("pictures", tmp_path, *names)
    assert sorted((e.subject, e.take) for e in found.entries) == [
        ("d12", ""),
        ("d13", ""),
        ("f01", "A"),
        ("f01", "B"),
        ("f02", "A"),
    ]


def test_photographs_of_people_whose_neutral_is_known_are_under_research_terms(
    tmp_path: Path,
) -> None:
    names = ("angry/F01_A.jpg", "neutral/F01_A.jpg", "holiday/F02_A.jpg")
    entries = read("own", tmp_path / "people", *names).entries
    assert [(e.subject, e.emotion, e.take) for e in entries] == [
        ("f01", "angry", "A"),
        ("f01", "neutral", "A"),
    ]
    assert all(e.nc == "yes" and "research terms" in e.licence and not e.synthetic for e in entries)
    (tmp_path / "heads").mkdir()
    said = 'synthetic = true\nnc = false\nlicence = "CC0"\n'
    (tmp_path / "heads" / "source.toml").write_text(said)
    drawn = read("heads", tmp_path / "heads", *names)
    assert len(drawn.entries) == 2 and len(drawn.lines()) == 1
    assert all(e.synthetic and e.nc == "no" and e.licence == "CC0" for e in drawn.entries)


def test_nothing_that_fits_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"nothing in .* fits the layout mead: 1 x") as caught:
        read("mead", tmp_path, "a.mp4")
    assert "\n" not in str(caught.value)


def test_splits_hold_each_person_once_and_stay(tmp_path: Path) -> None:
    names = {f"person{i}" for i in range(40)}
    splits = split_subjects(names, seed=3)
    assert splits == split_subjects(set(names), seed=3) != split_subjects(names, seed=4)
    assert splits.keys() == names
    assert sorted({*splits.values()}) == ["test", "train", "val"]
    assert list(splits.values()).count("test") == 6
    assert {*split_subjects(names, val=0, test=0).values()} == {"train"}
    write_splits(tmp_path / "s.tsv", splits)
    assert read_splits(tmp_path / "s.tsv") == splits
    (tmp_path / "s.tsv").write_text("ann\tsometimes\n")
    with pytest.raises(MienError, match="line 1"):
        read_splits(tmp_path / "s.tsv")
    with pytest.raises(MienError, match="cannot be read"):
        read_splits(tmp_path / "gone.tsv")
