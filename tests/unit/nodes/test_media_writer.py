"""MediaWriter: what went in comes back, in time and colour; whole at the end or not at all."""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engine import files
from engine.errors import EndOfStream, MienError, UsageError
from engine.harness import run_node
from engine.node import Context
from engine.parameters import build
from engine.types import AudioFrame, VideoFrame
from media.probing import extent
from nodes.sinks.media_writer import MediaWriter
from nodes.sources.media_file import MediaFile
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

RATE_HZ = 48_000


def video(number: int, pts: int | None = None, **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"pixels": numbered(number), "time_base": Fraction(1, 25)} | more
    at = number if pts is None else pts
    return {"video": VideoFrame(capture_ns=at * 40_000_000, pts=at, **values)}


def audio(samples: Any, at: int, rate_hz: int = RATE_HZ) -> dict[str, Any]:
    base = Fraction(1, rate_hz)
    stamp = at * 1_000_000_000 // rate_hz
    return {
        "audio": AudioFrame(
            capture_ns=stamp, samples=samples, rate_hz=rate_hz, pts=at, time_base=base
        )
    }


def write(path: Path, messages: Any, counted: dict[str, int] | None = None, **config: Any) -> None:
    def count(name: str, number: int) -> None:
        if counted is not None:
            counted[name] = counted.get(name, 0) + number

    context = Context(count=count)
    run_node(MediaWriter, messages, config={"path": str(path), **config}, context=context)


def convert(source: Path, goal: Path, **config: Any) -> None:
    """From MediaFile to MediaWriter, as the graph does."""
    reader = MediaFile(build(MediaFile.Config, {"path": str(source)}))
    writer = MediaWriter(
        build(MediaWriter.Config, {"path": str(goal), "like": str(source), **config})
    )
    writer.setup()
    reader.setup()
    try:
        with contextlib.suppress(EndOfStream):
            while True:
                for port, message in (reader.read() or {}).items():
                    getattr(writer, f"on_{port}")(message)
        writer.finish()
    finally:
        writer.close()
        reader.close()


def folder(path: Path) -> list[str]:
    return sorted(item.name for item in path.iterdir())


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm"])
def test_pictures_and_sound_come_back(tmp_path: Path, suffix: str) -> None:
    goal = tmp_path / f"a{suffix}"
    sound = clicks(2, [0.5, 1.2], channels=2)
    messages: list[Any] = []
    for number in range(30):
        messages.append(video(number))
        first = number * 1920
        if first < len(sound):
            messages.append(audio(sound[first : first + 1920], first))
    write(goal, messages, quality=12)
    assert folder(tmp_path) == [goal.name]
    pictures, times = read_video(goal)
    assert [number_in(picture) for picture in pictures] == list(range(30))
    assert [round(float(time), 3) for time in times] == [round(i / 25, 3) for i in range(30)]
    heard, rate_hz, first_s = read_sound(goal)
    moments = [first_s + moment for moment in clicks_in(heard, rate_hz)]
    assert moments == pytest.approx([0.5], abs=0.012)
    codecs = {".webm": ("vp9", "opus"), ".mkv": ("h264", "opus")}.get(suffix, ("h264", "aac"))
    with av.open(str(goal)) as found:
        assert found.streams[0].codec_context.name.removeprefix("lib") == codecs[0]
        assert found.streams[1].codec_context.name.removeprefix("lib") == codecs[1]


@pytest.mark.parametrize(
    "make",
    [
        {"matrix": 5, "tag": 6},
        {"matrix": 5},
        {"matrix": 1, "tag": 1},
        {"matrix": 5, "tag": 6, "full_range": True},
        {"matrix": 5, "pixel_format": "yuv420p10le"},
        {"matrix": 5, "pixel_format": "yuv444p"},
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_colours_survive(tmp_path: Path, make: dict[str, Any], suffix: str) -> None:
    source = make_video(tmp_path / "in.mp4", [bars()] * 8, **make)
    goal = tmp_path / f"out{suffix}"
    convert(source, goal, quality=8)
    out = run_node(MediaFile, config={"path": str(goal)})
    last = [message for _, message in out if isinstance(message, VideoFrame)][-1]
    assert bar_errors(last.pixels).max() <= 9
    with av.open(str(source)) as before, av.open(str(goal)) as after:
        one, two = next(before.decode(video=0)), next(after.decode(video=0))
        if suffix == ".mp4":
            assert int(one.colorspace) == int(two.colorspace)
        assert (int(one.color_range) == 2) == (int(two.color_range) == 2)


def test_odd_size_is_kept(tmp_path: Path) -> None:
    for suffix in (".mp4", ".webm"):
        goal = tmp_path / f"odd{suffix}"
        write(goal, [video(i, pixels=bars(161, 97)) for i in range(3)])
        pictures, _ = read_video(goal)
        assert [picture.shape for picture in pictures] == [(97, 161, 3)] * 3


def test_variable_rate_is_kept(tmp_path: Path) -> None:
    pts = [0, 10, 11, 50, 51, 90, 400, 401, 402, 500]
    source = make_video(
        tmp_path / "in.mp4", [numbered(i) for i in range(10)], pts=pts, time_base=Fraction(1, 300)
    )
    for suffix in (".mp4", ".mkv"):
        goal = tmp_path / f"out{suffix}"
        convert(source, goal)
        pictures, times = read_video(goal)
        assert [number_in(picture) for picture in pictures] == list(range(10))
        assert [float(time) for time in times] == pytest.approx([p / 300 for p in pts], abs=0.0006)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_length_is_kept(tmp_path: Path, suffix: str) -> None:
    source = make_video(
        tmp_path / "in.mp4", [numbered(i % 36) for i in range(47)], sound=clicks(1.88, [0.4, 1.6])
    )
    goal = tmp_path / f"out{suffix}"
    convert(source, goal)
    before, after = extent(str(source)), extent(str(goal))
    assert after.frames == before.frames == 47
    assert after.video_s == pytest.approx(before.video_s, abs=0.002)
    assert after.audio_s == pytest.approx(before.audio_s, abs=0.04)
    heard, rate_hz, first_s = read_sound(goal)
    moments = [first_s + moment for moment in clicks_in(heard, rate_hz)]
    assert moments == pytest.approx([0.4, 1.6], abs=0.015)


def test_sound_is_copied_bit_for_bit(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4", [numbered(i) for i in range(25)], sound=clicks(1, [0.3])
    )
    goal = tmp_path / "out.mov"
    convert(source, goal, sound="copy")

    def packets(path: Path) -> list[tuple[int, bytes]]:
        with av.open(str(path)) as found:
            return [(p.pts or 0, bytes(p)) for p in found.demux(audio=0) if p.size]

    assert packets(goal) == packets(source)


def test_sound_that_does_not_fit_is_encoded(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mpg",
        [numbered(i) for i in range(25)],
        encoder="mpeg1video",
        sound=clicks(1, [0.3]),
        sound_encoder="mp2",
    )
    convert(source, tmp_path / "out.mp4", sound="copy")
    with av.open(str(tmp_path / "out.mp4")) as found:
        assert found.streams.audio[0].codec_context.name == "aac"
    heard, rate_hz, first_s = read_sound(tmp_path / "out.mp4")
    assert [first_s + at for at in clicks_in(heard, rate_hz)] == pytest.approx([0.3], abs=0.03)


def test_pixel_shape_is_kept(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", [bars()] * 2, aspect=Fraction(15, 16))
    convert(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as found:
        assert found.streams.video[0].sample_aspect_ratio == Fraction(15, 16)


def test_the_title_is_kept(tmp_path: Path) -> None:
    source = make_video(tmp_path / "plain.mp4", [bars()] * 2)
    with av.open(str(source)) as plain, av.open(str(tmp_path / "in.mp4"), "w") as titled:
        titled.metadata["title"] = "Grüße"
        stream = titled.add_stream_from_template(plain.streams.video[0])
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = stream
                titled.mux(packet)
    convert(tmp_path / "in.mp4", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as found:
        assert found.metadata["title"] == "Grüße"


def test_holes_in_the_sound_are_filled(tmp_path: Path) -> None:
    block = clicks(0.2, [0.0])
    late = round(1.0 * RATE_HZ)
    messages = [video(0), audio(block, 0), audio(block, late), *[video(i) for i in range(1, 35)]]
    write(tmp_path / "a.mp4", messages)
    heard, rate_hz, first_s = read_sound(tmp_path / "a.mp4")
    moments = [first_s + moment for moment in clicks_in(heard, rate_hz)]
    assert moments == pytest.approx([0.0, 1.0], abs=0.012)


def test_captured_messages_are_placed_by_capture(tmp_path: Path) -> None:
    """Live streams: stamps from two clocks of media, one clock of capture."""
    start_ns = 77_000_000_000
    messages: list[Any] = []
    for number in range(25):
        stamp = start_ns + number * 40_000_000
        messages.append(
            {"video": VideoFrame(capture_ns=stamp, pixels=numbered(number), pts=number * 999)}
        )
        sound = clicks(0.04, [0.0]) if number == 10 else np.zeros((1920, 1), np.int16)
        messages.append(
            {"audio": AudioFrame(capture_ns=stamp, samples=sound, rate_hz=RATE_HZ, pts=5)}
        )
    write(tmp_path / "a.mp4", messages, stamps="capture")
    _, times = read_video(tmp_path / "a.mp4")
    assert [float(time) for time in times] == pytest.approx([i / 25 for i in range(25)], abs=1e-4)
    heard, rate_hz, first_s = read_sound(tmp_path / "a.mp4")
    assert [first_s + at for at in clicks_in(heard, rate_hz)] == pytest.approx([0.4], abs=0.012)


def test_stamps_that_repeat_are_mended(tmp_path: Path) -> None:
    counted: dict[str, int] = {}
    stamps = [0, 1, 1, 0, 2, 3]
    write(tmp_path / "a.mp4", [video(i, pts) for i, pts in enumerate(stamps)], counted)
    pictures, times = read_video(tmp_path / "a.mp4")
    assert len(pictures) == 6
    assert times == sorted(set(times))
    assert counted["stamps_mended"] == 4


def test_another_size_is_fitted(tmp_path: Path) -> None:
    counted: dict[str, int] = {}
    messages = [video(0), video(1, pixels=bars(320, 320)), video(2, pixels=bars(40, 20))]
    write(tmp_path / "a.mp4", messages, counted)
    pictures, _ = read_video(tmp_path / "a.mp4")
    assert [picture.shape for picture in pictures] == [(96, 160, 3)] * 3
    assert counted["resized"] == 2
    assert pictures[1][48, 4].max() < 40  # a bar at the side


def test_one_picture_is_a_video(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [video(0)])
    assert extent(str(tmp_path / "a.mp4")).video_s == pytest.approx(0.04, abs=0.001)


def test_unfinished_leaves_nothing(tmp_path: Path) -> None:
    node = MediaWriter(build(MediaWriter.Config, {"path": str(tmp_path / "a.mp4")}))
    node.setup()
    (part,) = folder(tmp_path)
    assert part.startswith(".a.mp4.") and part.endswith(".part")
    for number in range(5):
        node.on_video(video(number)["video"])
    node.close()
    assert folder(tmp_path) == []


def test_what_was_there_stays_until_the_new_is_whole(tmp_path: Path) -> None:
    goal = tmp_path / "a.mp4"
    goal.write_bytes(b"old")
    node = MediaWriter(build(MediaWriter.Config, {"path": str(goal)}))
    node.setup()
    node.on_video(video(0)["video"])
    assert goal.read_bytes() == b"old"
    node.finish()
    node.close()
    assert len(read_video(goal)[0]) == 1


def test_no_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="not one picture"):
        write(tmp_path / "a.mp4", [])
    assert folder(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("a.avi", {}, "cannot write '.avi'"),
        ("a", {}, "cannot write ''"),
        ("none/a.mp4", {}, "does not exist; make it first"),
        ("", {}, "is a folder"),
        ("a.mp4", {"sound": "copy"}, "needs `like`"),
        ("a.mp4", {"quality": 99}, "out of range"),
    ],
)
def test_wrong_use(tmp_path: Path, name: str, config: dict[str, Any], words: str) -> None:
    goal = tmp_path / name if name else tmp_path / "folder.mp4"
    if not name:
        goal.mkdir()
    with pytest.raises(MienError, match=words):
        write(goal, [video(0)], **config)


def test_no_path_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="no output file"):
        run_node(MediaWriter, [])


@contextlib.contextmanager
def files_up_to(limit_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_no_room_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 160, 3), np.uint8)
    messages = [video(i, pixels=np.roll(noise, i * 7, axis=1)) for i in range(60)]
    with files_up_to(30_000), pytest.raises(MienError, match="grew past the size"):
        write(tmp_path / f"a{suffix}", messages, quality=5)
    assert folder(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left for a.mp4; free some"),
        (errno.EDQUOT, "no space left"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "no permission"),
        (errno.EIO, "cannot be written: Input/output error"),
    ],
)
def test_refusals_are_said_in_words(number: int, words: str) -> None:
    error = files.explain(OSError(number, "Input/output error"), "a.mp4")
    assert words in str(error)
    assert "\n" not in str(error)
