"""`file` as users start it: a process, real media in, real media and a report out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from commands.doctor.speed import drawn_face
from engine.types import U8
from face.types import BLENDSHAPES
from media.probing import extent
from tests.made_media import (
    bars,
    clicks,
    clicks_in,
    make_video,
    number_in,
    numbered,
    read_sound,
    read_video,
)

ENGINE = Path(__file__).resolve().parents[2] / "run_engine.py"


def file(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ENGINE), "file", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def head(number: int, width_px: int = 256, height_px: int = 256) -> U8:
    """A drawn head that moves a little, with a grey that counts above it."""
    picture = np.roll(drawn_face(width_px, height_px), number % 9 - 4, axis=1)
    picture[:16] = 20 + number * 6 % 220
    return picture


def number_above(picture: U8) -> int:
    return round((float(picture[:12].mean()) - 20) / 6)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any, str]:
    """A drawn head with sound, made happy: in, out, the report, what was printed."""
    folder = tmp_path_factory.mktemp("file")
    source = make_video(
        folder / "in.mp4", [head(i) for i in range(36)], sound=clicks(1.44, [0.4, 1.0])
    )
    goal, report, plot = folder / "out.mp4", folder / "r.json", folder / "felt.svg"
    asked = ("--emotion", "happy", "--intensity", "0.9", "--report", report, "--plot", plot)
    ended = file(source, goal, *asked)
    assert ended.returncode == 0, ended.stderr
    return source, goal, json.loads(report.read_text()), ended.stdout


def test_every_frame_in_its_place(done: tuple[Path, Path, Any, str]) -> None:
    source, goal, _, _ = done
    pictures, times = read_video(goal)
    assert [number_above(picture) for picture in pictures] == list(range(36))
    assert times == [Fraction(i, 25) for i in range(36)]
    assert extent(str(goal)).video_s == extent(str(source)).video_s
    left = sorted(item.name for item in goal.parent.iterdir())
    assert left == ["felt.svg", "in.mp4", "out.mp4", "r.json"]


def test_the_face_changes_and_the_rest_does_not(done: tuple[Path, Path, Any, str]) -> None:
    before, _ = read_video(done[0])
    after, _ = read_video(done[1])
    change = np.abs(after[20].astype(int) - before[20])
    mouth = change[150:200, 90:170].mean()
    corners = np.concatenate([change[20:60, :30], change[-60:, -30:]]).mean()
    assert mouth > 3 * max(1.0, corners)
    assert corners < 2


def test_the_sound_is_kept(done: tuple[Path, Path, Any, str]) -> None:
    heard, rate_hz, first_s = read_sound(done[1])
    moments = [first_s + at for at in clicks_in(heard, rate_hz)]
    assert moments == pytest.approx([0.4, 1.0], abs=0.012)


def test_the_report_has_every_key(done: tuple[Path, Path, Any, str]) -> None:
    report = done[2]
    assert report["frames_in"] == report["frames_out"] == 36
    assert report["dropped"] == 0
    assert set(report["edges"].values()) == {0}
    assert "source.video->tracker.frame" in report["edges"]
    assert report["fps"] == pytest.approx(36 / report["elapsed_s"], rel=0.01)
    assert report["duration_in_s"] == report["duration_out_s"] == pytest.approx(1.44)
    assert report["audio"] is True
    assert report["ends_early_s"] == report["damaged_packets"] == 0
    assert abs(report["av_difference_s"]) < 0.04
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    for name in ("source", "tracker", "editor", "compositor", "writer"):
        assert set(report["nodes"][name]["process_ms"]) == {"p50", "p95", "p99"}, name
    assert report["backends"]["writer"] == "libx264"
    frames = report["frames"]
    assert len(frames) == 36
    assert sum(frame["face"] for frame in frames) >= 34
    assert set(frames[5]["blendshapes"]) == set(frames[5]["edit"]) == set(BLENDSHAPES)
    smile = frames[30]["edit"]["mouthSmileLeft"] - frames[30]["blendshapes"]["mouthSmileLeft"]
    assert smile > 0.2


def test_the_plot_shows_the_film_and_what_was_felt(done: tuple[Path, Path, Any, str]) -> None:
    drawn = done[1].with_name("felt.svg").read_text()
    assert drawn.count("<image") == 20 and "polyline" in drawn and drawn.endswith("</svg>\n")


def test_pictures_have_no_plot(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), head(0))
    ended = file(tmp_path / "one.png", tmp_path / "two.png", "--plot", tmp_path / "felt.svg")
    assert ended.returncode == 2 and "pictures have none" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


def test_a_plot_is_an_svg(done: tuple[Path, Path, Any, str], tmp_path: Path) -> None:
    ended = file(done[0], tmp_path / "out.mp4", "--plot", tmp_path / "felt.png")
    assert ended.returncode == 2 and "felt.png should end in .svg" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_the_summary_is_one_line(done: tuple[Path, Path, Any, str]) -> None:
    (line,) = done[3].splitlines()
    assert "36 frames" in line
    assert "0 dropped" in line
    assert "sound kept" in line


@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "out.webm"])
def test_other_containers(done: tuple[Path, Path, Any, str], tmp_path: Path, name: str) -> None:
    ended = file(done[0], tmp_path / name)
    assert ended.returncode == 0, ended.stderr
    pictures, _ = read_video(tmp_path / name)
    assert [number_above(picture) for picture in pictures] == list(range(36))
    heard, rate_hz, first_s = read_sound(tmp_path / name)
    moments = [first_s + at for at in clicks_in(heard, rate_hz)]
    assert moments == pytest.approx([0.4, 1.0], abs=0.015)


def test_without_a_face_it_passes(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", [numbered(i) for i in range(12)])
    ended = file(source, tmp_path / "out.mp4", "--report", tmp_path / "r.json")
    assert ended.returncode == 0, ended.stderr
    pictures, _ = read_video(tmp_path / "out.mp4")
    assert [number_in(picture) for picture in pictures] == list(range(12))
    before, _ = read_video(source)
    assert np.abs(pictures[3].astype(int) - before[3]).mean() < 3  # edges of bars, in 4:2:0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["audio"] is False
    assert [(frame["face"], frame["edit"]) for frame in report["frames"]] == [(False, None)] * 12
    assert "a face in 0" in ended.stdout
    assert "no sound" in ended.stdout


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "face.png"), head(0))
    cv2.imwrite(str(tmp_path / "in" / "small face.jpg"), head(3, 200, 180))
    cv2.imwrite(str(tmp_path / "in" / "bars.png"), bars())
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    out, report = tmp_path / "out", tmp_path / "r.json"
    ended = file(tmp_path / "in", out, "--emotion", "surprised", "--report", report)
    assert ended.returncode == 1
    assert "broken.jpg is no picture" in ended.stderr
    assert "1 of 4 pictures could not be done" in ended.stderr
    assert sorted(item.name for item in out.iterdir()) == ["bars.png", "face.png", "small face.jpg"]
    assert (out / "bars.png").read_bytes() == (tmp_path / "in" / "bars.png").read_bytes()
    changed = cv2.imread(str(out / "face.png"))
    assert changed is not None
    assert changed.shape == (256, 256, 3)
    assert np.abs(changed.astype(int) - head(0)).max() > 40
    frames = json.loads(report.read_text())["frames"]
    assert {name: frame["face"] for name, frame in frames.items()} == {
        "bars.png": False,
        "face.png": True,
        "small face.jpg": True,
    }


def test_one_picture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), head(0))
    ended = file(tmp_path / "in.png", tmp_path / "out.png", "--emotion", "happy")
    assert ended.returncode == 0, ended.stderr
    assert sorted(item.name for item in tmp_path.iterdir()) == ["in.png", "out.png"]


def test_a_picture_as_a_video(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), head(0))
    ended = file(tmp_path / "in.png", tmp_path / "out.mp4")
    assert ended.returncode == 0, ended.stderr
    assert len(read_video(tmp_path / "out.mp4")[0]) == 1


def test_ten_bit_turned_odd_and_irregular(tmp_path: Path) -> None:
    """All at once: 10-bit, turned by a quarter, an odd size, uneven times."""
    upright = [head(i, 181, 203) for i in range(8)]
    stored = [np.ascontiguousarray(np.rot90(picture, -1)) for picture in upright]
    pts = [0, 3, 4, 20, 21, 22, 60, 61]
    source = make_video(
        tmp_path / "in.mp4",
        stored,
        pts=pts,
        time_base=Fraction(1, 100),
        pixel_format="yuv444p10le",
        rotation=90,
    )
    ended = file(source, tmp_path / "out.mp4")
    assert ended.returncode == 0, ended.stderr
    pictures, times = read_video(tmp_path / "out.mp4")
    assert [picture.shape for picture in pictures] == [(203, 181, 3)] * 8
    assert [float(time) for time in times] == pytest.approx([p / 100 for p in pts], abs=1e-6)
    assert np.abs(pictures[4][:16].astype(int) - upright[4][:16]).mean() < 4


def test_a_cut_off_tail_is_said(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", [head(i) for i in range(30)], options={"g": "5"})
    short = tmp_path / "short.mkv"
    short.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    ended = file(short, tmp_path / "out.mp4", "--report", tmp_path / "r.json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert 10 <= report["frames_in"] == report["frames_out"] < 30
    assert abs(report["duration_in_s"] - report["duration_out_s"]) <= 0.04
    assert report["ends_early_s"] > 0.25
    assert "s early" in ended.stdout


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", [bars()] * 3)
    (tmp_path / "out.mp4").write_bytes(b"old")
    assert file(source, tmp_path / "out.mp4").returncode == 0
    with av.open(str(tmp_path / "out.mp4")) as found:
        assert found.streams.video[0].frames == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    heads = [head(i, 640, 640) for i in range(30)]
    source = make_video(tmp_path / "in.mp4", [heads[i % 30] for i in range(400)])
    goal = tmp_path / "out.mp4"
    command = [sys.executable, str(ENGINE), "file", str(source), str(goal)]
    command += ["--report", str(tmp_path / "r.json")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline_s = time.monotonic() + 90
        while not (began := any(part.stat().st_size for part in tmp_path.glob(".out.mp4.*.part"))):
            if time.monotonic() > deadline_s:
                break
            time.sleep(0.02)
        assert began, "it never began to write"
        process.send_signal(number)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in printed
    assert [item.name for item in tmp_path.iterdir()] == ["in.mp4"]
