"""Files as people have them, through `file`: what comes out, and what is said of what doesn't."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.types import U8
from media.image_file import read_picture
from media.probing import extent
from run_engine import main
from tests import odd_media
from tests.made_media import (
    bar_errors,
    bars,
    clicks,
    clicks_in,
    make_video,
    number_in,
    numbered,
    read_sound,
    read_video,
)

Check = Callable[[Path], None]


@dataclass(frozen=True)
class Odd:
    """``make`` makes the file in a folder; ``check`` looks at what came out."""

    name: str
    make: Callable[[Path], Path]
    goal: str
    check: Check
    says: tuple[str, ...] = ()
    """parts of lines on standard error, one each; nothing else may be there"""
    sums_up: str = ""
    """a part of the summary"""


def numbers(count: int) -> Check:
    def check(goal: Path) -> None:
        found = [number_in(picture) for picture in read_video(goal)[0]]
        assert found == list(range(count))

    return check


def heard(*moments: float, within: float = 0.03) -> Check:
    def check(goal: Path) -> None:
        samples, rate_hz, first_s = read_sound(goal)
        found = [first_s + at for at in clicks_in(samples, rate_hz)]
        assert found == pytest.approx(list(moments), abs=within)

    return check


def both_parts(goal: Path) -> None:
    """Lips and sound of the second part are as far apart as those of the first."""
    pictures, times = read_video(goal)
    assert [number_in(picture) for picture in pictures] == [*range(25)] * 2
    samples, rate_hz, first_s = read_sound(goal)
    clicks_at = [first_s + at for at in clicks_in(samples, rate_hz)]
    assert len(clicks_at) == 2
    offsets = [at - float(times[start]) for at, start in zip(clicks_at, (0, 25), strict=True)]
    assert offsets == pytest.approx([0.5, 0.5], abs=0.06)
    assert float(times[-1]) < 2.2


def white_left(goal: Path) -> None:
    picture = read_video(goal)[0][-1]
    assert picture[:, :70].min() > 240
    assert picture[:, 90:].min() < 60


def looks(expected: U8, within: float = 8) -> Check:
    def check(goal: Path) -> None:
        video = goal.suffix == ".mp4"
        found = read_video(goal)[0][0] if video else read_picture(goal).pixels
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < within

    return check


def has_profile(goal: Path) -> None:
    assert read_picture(goal).icc == odd_media.profile()


def plain(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        source = make_video(folder / f"plain{Path(name).suffix}", [numbered(i) for i in range(3)])
        (folder / "odd").mkdir()
        return Path(shutil.move(source, folder / "odd" / name))

    return make


def pause(folder: Path) -> Path:
    """B-frames around a pause of three seconds, and sound throughout."""
    pts = [*range(20), *range(95, 115)]
    return make_video(
        folder / "in.mp4",
        [numbered(i % 36) for i in range(40)],
        pts=pts,
        sound=clicks(4.6, [0.5, 4]),
        options={"bf": "3", "preset": "fast"},
    )


def as_long_as_before(goal: Path) -> None:
    assert extent(str(goal)).video_s == pytest.approx(4.6, abs=0.002)


def a_folder(folder: Path) -> Path:
    """Pictures under usual and unusual endings, and what is none."""
    kinds = {
        "a.jfif": "JPEG",
        "b.tiff": "TIFF",
        "c.avif": "AVIF",
        "d": "PNG",
        "e.jpg_big": "JPEG",
    }
    (folder / "in").mkdir()
    for name, kind in kinds.items():
        odd_media.still(folder / "in" / name, bars(), kind)
    (folder / "in" / "notes.txt").write_text("no picture")
    (folder / "in" / "film.gif").write_bytes(b"GIF89a")
    return folder / "in"


def all_there(goal: Path) -> None:
    assert sorted(item.name for item in goal.iterdir()) == [
        "a.jfif", "b.tiff", "c.avif", "d", "e.jpg_big",
    ]  # fmt: skip
    for item in goal.iterdir():
        assert bar_errors(read_picture(item).pixels).max() < 30, item.name


def deep(folder: Path) -> Path:
    cv2.imwrite(str(folder / "in.png"), bars().astype(np.uint16) * 257)
    return folder / "in.png"


def video(folder: Path, **make: object) -> Path:
    return make_video(folder / "in.mp4", [numbered(i) for i in range(3)], **make)  # type: ignore[arg-type]


def turned_by(matrix: tuple[int, int, int, int]) -> Callable[[Path], Path]:
    return lambda folder: odd_media.with_matrix(folder / "in.mp4", [TURNED] * 2, matrix)


TURNED = odd_media.corner()
GLASS = np.dstack([TURNED, np.full(TURNED.shape[:2], 255, np.uint8)])

TABLE = [
    Odd("a moment as a name", plain("2024-11-14T22:57:44.mp4"), "1:2.mp4", numbers(3)),
    Odd("file: as a name", plain("file:x.mp4"), "file:y.mp4", numbers(3)),
    Odd("a pattern as a name", plain("%03d.mp4"), "%d.mkv", numbers(3)),
    Odd("bytes that are no UTF-8", plain(os.fsdecode(b"\xff.mp4")), "out.mp4", numbers(3)),
    Odd("two TS joined", lambda f: odd_media.joined(f / "in.ts"), "out.mp4", both_parts,
        sums_up="sound encoded anew (its times fall back)"),
    Odd("a clock that wraps", lambda f: odd_media.wrapped(f / "in.ts"), "out.mp4",
        heard(0.25, 0.75), sums_up="sound kept"),
    Odd("equal times of sound",
        lambda f: odd_media.with_sound_stamps(f / "in.mkv", lambda n, at: at - 21 * (n % 2)),
        "out.mp4", heard(0.5), sums_up="sound encoded anew (its times fall back)"),
    Odd("falling times of sound",
        lambda f: odd_media.with_sound_stamps(f / "in.mkv", lambda n, at: at - 50 * (n == 12)),
        "out.mov", heard(0.5), sums_up="sound encoded anew (its times fall back)"),
    Odd("the second track is the default",
        lambda f: odd_media.tracks(f / "in.mkv", [[], [0.3]], 1), "out.mp4", heard(0.3),
        ("left out: 1 sound track", "of 2 sound tracks the default is taken, number 2")),
    Odd("chapters", lambda f: odd_media.chaptered(f / "in.mkv"), "out.mp4", numbers(3),
        ("left out: 2 chapters",)),
    Odd("four channels", lambda f: odd_media.tracks(f / "in.mp4", [[0.3]], 0, "4.0"), "out.mkv",
        heard(0.3), sums_up="encoded anew (matroska is not for aac; of 4 channels 2 are made)"),
    Odd("ten bits of HDR", lambda f: video(f, pixel_format="yuv420p10le", tag=9,
        options={"x264-params": "transfer=smpte2084"}), "out.mp4", numbers(3),
        ("HDR (PQ), its colours are kept: 10 bits a channel, of which 8 are written",)),
    Odd("interlaced", lambda f: video(f, options={"x264-params": "tff=1"}), "out.mp4", numbers(3),
        ("interlaced: pictures keep the lines of both fields; deinterlace it first",)),
    Odd("transparent VP8", lambda f: odd_media.transparent(f / "in.webm", "libvpx"), "out.mp4",
        white_left),
    Odd("transparent VP9", lambda f: odd_media.transparent(f / "in.webm", "libvpx-vp9"),
        "out.webm", white_left),
    Odd("a pause to webm", pause, "out.webm", as_long_as_before),
    Odd("B-frames and a pause", pause, "out.mp4", heard(0.5, 4.0), sums_up="A/V difference 0 ms"),
    *(
        Odd(f"mp4 by matrix {matrix}", turned_by(matrix), "out.mp4",
            looks(odd_media.shown(TURNED, exif)))
        for matrix, exif in odd_media.MATRICES.items() if exif in (2, 4, 5, 6)
    ),
    Odd("a turned jpg to a video", lambda f: odd_media.still(f / "in.jpg", TURNED, exif=5),
        "out.mp4", looks(odd_media.shown(TURNED, 5))),
    Odd("a turned transparent png", lambda f: odd_media.still(f / "in.png", GLASS, exif=6),
        "out.bmp", looks(odd_media.shown(TURNED, 6))),
    Odd("a turned transparent webp", lambda f: odd_media.still(f / "in.webp", GLASS, exif=7),
        "out.tiff", looks(odd_media.shown(TURNED, 7))),
    Odd("a profile in jpg",
        lambda f: odd_media.still(f / "in.jpg", bars(), icc_profile=odd_media.profile()),
        "out.png", has_profile),
    Odd("a profile in png",
        lambda f: odd_media.still(f / "in.png", bars(), icc_profile=odd_media.profile()),
        "out.webp", has_profile),
    Odd("a profile in webp",
        lambda f: odd_media.still(f / "in.webp", bars(), icc_profile=odd_media.profile()),
        "out.jpg", has_profile),
    Odd("sixteen bits", deep, "out.jpg", looks(bars()),
        ("in.png: 16 bits a channel, of which 8 are written",)),
    Odd("a moving png", lambda f: odd_media.moving(f / "in.png"), "out.jpg", looks(numbered(0)),
        ("in.png: moving pictures, of which the first is taken",)),
    Odd("a moving webp", lambda f: odd_media.moving(f / "in.webp"), "out.png", looks(numbered(0)),
        ("in.webp: moving pictures, of which the first is taken",)),
    Odd("a moving webp to a video", lambda f: odd_media.moving(f / "in.webp"), "out.mp4",
        numbers(3)),
    Odd("a folder of unusual endings", a_folder, "out", all_there,
        ("film.gif and 1 more: no pictures that can be edited, left out",)),
]  # fmt: skip


@pytest.mark.parametrize("odd", TABLE, ids=[odd.name for odd in TABLE])
def test_odd_file(
    odd: Odd, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("MIEN_WEIGHTS", str(tmp_path / "none"))  # no face is here to be changed
    source = odd.make(tmp_path)
    capfd.readouterr()
    assert main(["file", str(source), str(tmp_path / odd.goal)]) == 0, capfd.readouterr().err
    printed = capfd.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("mien: ")]
    assert len(lines) == len(odd.says), lines
    for part in odd.says:
        assert any(part in line for line in lines), lines
    assert odd.sums_up in printed.out
    odd.check(tmp_path / odd.goal)


def test_a_picture_of_400_megapixels(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = odd_media.huge_png(tmp_path / "in.png")
    assert main(["file", str(source), str(tmp_path / "out.png")]) == 1
    says = "in.png has 400 megapixels; the most is 200, make it smaller first"
    assert says in capfd.readouterr().err
    assert main(["file", str(source), str(tmp_path / "out.mp4")]) == 1
    assert says in capfd.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["in.png"]


def test_the_length_of_a_pause_is_right(tmp_path: Path) -> None:
    assert extent(str(pause(tmp_path))).video_s == pytest.approx(4.6)
