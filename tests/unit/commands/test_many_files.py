"""A folder of clips: which are taken, where they go, when they are done; no cluster is needed."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands.file import add_arguments, many
from engine.errors import MienError, UsageError
from engine.program import ROOT


def options_of(*arguments: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--cluster", "auto", *map(str, arguments)])


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "in" / "more").mkdir(parents=True)
    for name in ("b.mp4", "a.webm", "more/c.avi", "voice.wav", "notes.txt", ".hidden.mp4"):
        (tmp_path / "in" / name).write_bytes(b"-")
    return tmp_path / "in"


def clips_of(options: argparse.Namespace, goal: Path) -> list[many.Clip]:
    names = many._check(Path(options.input), goal, options)
    return [many._clip(name, options, goal / many.RECORD, "mark") for name in names]


def test_films_keep_their_names_and_folders(clips: Path, tmp_path: Path) -> None:
    goal = tmp_path / "out"
    options = options_of(clips, goal, "--report", tmp_path / "reports", "--emotion", "sad")
    found = clips_of(options, goal)
    assert [clip.name for clip in found] == ["a.webm", "b.mp4", "more/c.avi"]
    last = found[-1]
    report = tmp_path / "reports" / "more" / "c.avi.json"
    assert last.products == (goal / "more" / "c.avi.mp4", report)
    asked = last.options
    assert (asked.output, asked.report) == (str(last.products[0]), str(report))
    assert (asked.cluster, asked.emotion) == (None, "sad")


def test_a_clip_is_done_once_all_is_there_and_no_older(clips: Path, tmp_path: Path) -> None:
    goal = tmp_path / "out"
    (first, *_) = clips_of(options_of(clips, goal, "--report", tmp_path / "reports"), goal)
    for path in first.products:
        assert not first.done()
        path.parent.mkdir()
        path.touch()
    assert first.done()
    since = first.products[0].stat().st_mtime
    os.utime(first.options.input, (since + 9, since + 9))
    assert not first.done()


def test_what_was_begun_otherwise_isnt_mixed(clips: Path, tmp_path: Path) -> None:
    first = many._record(tmp_path, options_of(clips, tmp_path, "--emotion", "sad"))
    again = many._record(tmp_path, options_of(clips, tmp_path, "--emotion", "sad", "--cores", "2"))
    assert first["mark"] != again["mark"]
    with pytest.raises(MienError, match="begun with another emotion"):
        many._record(tmp_path, options_of(clips, tmp_path, "--emotion", "happy"))
    (tmp_path / many.RECORD).write_text("[]")
    with pytest.raises(MienError, match="is no record"):
        many._record(tmp_path, options_of(clips, tmp_path))


def test_one_run_at_a_time(tmp_path: Path) -> None:
    twice = pytest.raises(MienError, match="another run is at work")
    with many._alone(tmp_path), twice, many._alone(tmp_path):
        pass
    with many._alone(tmp_path):
        pass


def test_who_sees_another_folder_makes_nothing(clips: Path, tmp_path: Path) -> None:
    goal = tmp_path / "out"
    goal.mkdir()
    (first, *_) = clips_of(options_of(clips, goal), goal)

    def convert(options: argparse.Namespace) -> int:
        Path(options.output).touch()
        return 0

    (goal / many.RECORD).write_text(json.dumps({"mark": "another"}))
    with pytest.raises(MienError, match="has to see IN and OUT under the same paths"):
        many.make(convert, first)
    assert not first.done()
    (goal / many.RECORD).write_text(json.dumps({"mark": "mark"}))
    many.make(convert, first)
    assert first.done()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("notes.txt", "out"), "takes a folder"),
        ((".", "out.mp4"), "OUT is a folder too"),
        ((".", "../out", "--cores", "0"), "--cores is above 0"),
        ((".", "more"), "lies in IN"),
    ],
)
def test_wrong_use_is_said(
    clips: Path, given: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clips)
    with pytest.raises(UsageError, match=why):
        options = options_of(*given)
        many._check(Path(options.input), Path(options.output), options)


def test_without_ray_one_line_says_what_to_install(clips: Path, tmp_path: Path) -> None:
    lacking = (
        "import sys; sys.modules['ray'] = None; from commands.line import start; sys.exit(start())"
    )
    done = subprocess.run(
        [sys.executable, "-c", lacking, "file", "--cluster", "auto", clips, tmp_path / "out"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    assert done.stderr.splitlines()[-1].startswith("mien: --cluster needs Ray: pip install")
