"""What `file` says about bad input: one line that names the fix, an exit code, nothing left."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from run_engine import main
from tests.made_media import bars, clicks, make_video, numbered


@dataclass(frozen=True)
class Bad:
    """``prepare`` fills a folder and gives the arguments of `file`."""

    name: str
    prepare: Callable[[Path], list[str]]
    says: str
    exit_code: int = 1
    not_as_root: bool = False


def video(folder: Path, name: str = "in.mp4", **make: Any) -> str:
    return str(make_video(folder / name, [numbered(i) for i in range(10)], **make))


def plain(content: bytes, name: str = "in.mp4") -> Callable[[Path], list[str]]:
    def prepare(folder: Path) -> list[str]:
        (folder / name).write_bytes(content)
        return [str(folder / name), str(folder / "out.mp4")]

    return prepare


def only_sound(folder: Path) -> list[str]:
    with av.open(str(folder / "in.m4a"), "w", format="mp4") as output:
        stream: Any = output.add_stream("aac", rate=48_000, layout="mono")
        sound = np.ascontiguousarray(clicks(0.5, [0.1])).reshape(1, -1)
        block = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
        block.sample_rate = 48_000
        output.mux(stream.encode(block))
        output.mux(stream.encode(None))
    return [str(folder / "in.m4a"), str(folder / "out.mp4")]


def headless(folder: Path) -> list[str]:
    """The first half of an mp4 whose index was to come at its end."""
    path = Path(video(folder))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])
    return [str(path), str(folder / "out.mp4")]


def nothing_decodes(folder: Path) -> list[str]:
    """A whole container around noise."""
    path = Path(video(folder, options={"crf": "10", "g": "1"}))
    content = bytearray(path.read_bytes())
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    content[start:end] = b"\xff" * (end - start)
    path.write_bytes(content)
    return [str(path), str(folder / "out.mp4")]


def to(*goal: str, more: tuple[str, ...] = ()) -> Callable[[Path], list[str]]:
    """A good video and this output."""
    return lambda folder: [video(folder), str(folder.joinpath(*goal)), *more]


def over_itself(folder: Path) -> list[str]:
    return [video(folder), str(folder / "." / "in.mp4")]


def through_a_link(folder: Path) -> list[str]:
    path = video(folder)
    (folder / "link.mp4").symlink_to(path)
    return [path, str(folder / "link.mp4")]


def locked(folder: Path) -> list[str]:
    path = video(folder)
    (folder / "locked").mkdir(mode=0o500)
    return [path, str(folder / "locked" / "out.mp4")]


def unreadable(folder: Path) -> list[str]:
    path = video(folder)
    Path(path).chmod(0)
    return [path, str(folder / "out.mp4")]


def folder_to_video(folder: Path) -> list[str]:
    (folder / "in").mkdir()
    cv2.imwrite(str(folder / "in" / "a.png"), bars())
    return [str(folder / "in"), str(folder / "out.mp4")]


def folder_to_itself(folder: Path) -> list[str]:
    (folder / "in").mkdir()
    cv2.imwrite(str(folder / "in" / "a.png"), bars())
    return [str(folder / "in"), str(folder / "in")]


def no_pictures(folder: Path) -> list[str]:
    (folder / "in").mkdir()
    (folder / "in" / "notes.txt").write_text("nothing here")
    return [str(folder / "in"), str(folder / "out")]


def only_bad_pictures(folder: Path) -> list[str]:
    (folder / "in").mkdir()
    (folder / "in" / "a.png").write_bytes(b"no png")
    return [str(folder / "in"), str(folder / "out")]


def report_in_no_folder(folder: Path) -> list[str]:
    return [video(folder), str(folder / "out.mp4"), "--report", str(folder / "none" / "r.json")]


def report_over_input(folder: Path) -> list[str]:
    return [video(folder), str(folder / "out.mp4"), "--report", str(folder / "in.mp4")]


def from_a_pipe(name: str) -> Callable[[Path], list[str]]:
    def prepare(folder: Path) -> list[str]:
        os.mkfifo(folder / name)
        return [str(folder / name), str(folder / f"out{Path(name).suffix}")]

    return prepare


def into_a_pipe(folder: Path) -> list[str]:
    os.mkfifo(folder / "out.mp4")
    return [video(folder), str(folder / "out.mp4")]


def report_into_a_pipe(folder: Path) -> list[str]:
    os.mkfifo(folder / "r.json")
    return [video(folder), str(folder / "out.mp4"), "--report", str(folder / "r.json")]


TABLE = [
    Bad("no file", lambda f: [str(f / "x.mp4"), str(f / "out.mp4")], "no such file or folder"),
    Bad("empty", plain(b""), "is empty (0 bytes); copy or record it again"),
    Bad("text", plain(b"Dear Sir or Madam, " * 500), "is it a whole video or sound file?"),
    Bad("noise", plain(np.random.default_rng(5).bytes(20_000), "in.webm"), "cannot read"),
    Bad("cut off before its index", headless, "is it a whole video or sound file?"),
    Bad("nothing decodes", nothing_decodes, "the file is damaged"),
    Bad("sound only", only_sound, "has no video; a video or a picture is needed"),
    Bad("unreadable", unreadable, "cannot read", not_as_root=True),
    Bad("output is input", over_itself, "IN and OUT are the same", 2),
    Bad("output links to input", through_a_link, "IN and OUT are the same", 2),
    Bad("no output folder", to("none", "out.mp4"), "does not exist; make it first"),
    Bad("output in a file", to("in.mp4", "out.mp4"), "does not exist; make it first"),
    Bad("locked folder", locked, "no permission; choose another place", not_as_root=True),
    Bad("a place of the system", to("/sys/out.mp4"), "no permission; choose another place"),
    Bad("wrong suffix", to("out.avi"), "name the output .mp4 .m4v .mov .mkv .webm", 2),
    Bad("no suffix", to("out"), "cannot write '' files; name the output .mp4", 2),
    Bad("folder to video", folder_to_video, "is a folder, so OUT is a folder too", 2),
    Bad("folder to itself", folder_to_itself, "IN and OUT are the same", 2),
    Bad("no pictures", no_pictures, "it should hold .jpg .jpeg .jpe .jfif .png .webp .bmp .tif"),
    Bad("only bad pictures", only_bad_pictures, "a.png is no picture that can be read"),
    Bad("report in no folder", report_in_no_folder, "does not exist; make it first"),
    Bad("report over input", report_over_input, "is also IN or OUT", 2),
    Bad("a video from a pipe", from_a_pipe("in.mp4"), "is a pipe, not a file; save what comes"),
    Bad("a picture from a pipe", from_a_pipe("in.png"), "is a pipe, not a file; save what comes"),
    Bad("output into a pipe", into_a_pipe, "is a pipe, which nothing may replace; name a file"),
    Bad("report into a pipe", report_into_a_pipe, "is a pipe, which nothing may replace"),
    Bad(
        "report into a device",
        to("out.mp4", more=("--report", "/dev/null")),
        "/dev/null is a device, which nothing may replace",
    ),
    Bad(
        "report into standard output",
        to("out.mp4", more=("--report", "/dev/stdout")),
        "/dev/stdout is a device, which nothing may replace",
    ),
    Bad(
        "another output by --set",
        to("out.mp4", more=("--set", "writer.path=other.mp4")),
        "--set writer.path: OUT names that file; change it there",
        2,
    ),
    Bad(
        "intensity out of range",
        to("out.mp4", more=("--intensity", "7")),
        "editor.intensity: '7.0' is out of range",
        2,
    ),
    Bad(
        "unknown node",
        to("out.mp4", more=("--set", "writter.quality=3")),
        "did you mean 'writer'?",
        2,
    ),
    Bad(
        "unknown parameter",
        to("out.mp4", more=("--set", "writer.qualty=3")),
        "did you mean 'quality'?",
        2,
    ),
]


def everything(folder: Path) -> dict[str, int]:
    return {
        str(item.relative_to(folder)): item.stat().st_size if item.is_file() else -1
        for item in folder.rglob("*")
    }


@pytest.mark.parametrize("bad", TABLE, ids=[bad.name for bad in TABLE])
def test_bad_input(bad: Bad, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if bad.not_as_root and os.geteuid() == 0:
        pytest.skip("root may read and write everything")
    if bad.name == "a place of the system" and sys.platform != "linux":
        pytest.skip("needs a folder that even root can't write to")
    arguments = bad.prepare(tmp_path)
    before = everything(tmp_path)
    capfd.readouterr()
    assert main(["file", *arguments]) == bad.exit_code
    printed = capfd.readouterr()
    assert bad.says in printed.err
    ours = [line for line in printed.err.splitlines() if line.startswith("mien: ")]
    assert len(ours) == (2 if bad.name == "only bad pictures" else 1)
    assert "Traceback" not in printed.err
    assert printed.out == ""
    left = everything(tmp_path)
    if bad.name == "only bad pictures":
        assert left.pop("out") == -1  # the folder, with nothing in it
    assert left == before


def test_the_manual_has_the_table() -> None:
    rows = (Path(__file__).parents[3] / "docs" / "bad-input.md").read_text().splitlines()
    for bad in TABLE:
        (row,) = [row for row in rows if row.startswith(f"| {bad.name} |")]
        assert bad.says in row
        assert row.endswith(f"| {bad.exit_code} |")


def test_unknown_emotion(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["file", "in.mp4", "out.mp4", "--emotion", "bored"])
    assert ended.value.code == 2
    assert "invalid choice: 'bored'" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["out.mp4", "out.webm"])
def test_no_room(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(2).integers(0, 255, (96, 160, 3), np.uint8)
    pictures = [np.roll(noise, 5 * i, axis=1) for i in range(40)]
    source = make_video(tmp_path / "in.mp4", pictures)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        code = main(["file", str(source), str(tmp_path / name)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 1
    assert "grew past the size that is allowed here" in capfd.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["in.mp4"]
