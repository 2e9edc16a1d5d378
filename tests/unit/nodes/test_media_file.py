"""MediaFile: every picture once, upright, in its colours, in its time, whatever the file."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engine.clock import FakeClock
from engine.errors import EndOfStream, MienError
from engine.harness import run_node
from engine.node import Context
from engine.parameters import build
from engine.types import AudioFrame, VideoFrame
from media.probing import extent, probe
from nodes.sources.media_file import MediaFile
from tests.made_media import (
    bar_errors,
    bars,
    clicks,
    clicks_in,
    make_video,
    number_in,
    numbered,
    read_video,
)

SIZE = (160, 96)


def play(path: Path, counted: dict[str, int] | None = None, **config: Any) -> list[Any]:
    def count(name: str, number: int) -> None:
        if counted is not None:
            counted[name] = counted.get(name, 0) + number

    context = Context(count=count)
    return run_node(MediaFile, config={"path": str(path), **config}, context=context)


def pictures(messages: list[Any]) -> list[VideoFrame]:
    return [message for port, message in messages if port == "video"]


def sounds(messages: list[Any]) -> list[AudioFrame]:
    return [message for port, message in messages if port == "audio"]


def test_every_picture_comes_once_in_order(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [numbered(i) for i in range(30)])
    frames = pictures(play(path))
    assert [number_in(frame.pixels) for frame in frames] == list(range(30))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(i, 25) for i in range(30)]
    assert [frame.cut for frame in frames] == [True] + [False] * 29
    stamps = np.diff([frame.capture_ns for frame in frames])
    assert set(stamps) == {40_000_000}
    assert not frames[0].pixels.flags.writeable
    assert frames[0].pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("tagged601.mp4", {"matrix": 5, "tag": 6}),
        ("untagged.mp4", {"matrix": 5}),
        ("tagged709.mp4", {"matrix": 1, "tag": 1}),
        ("full.mp4", {"matrix": 5, "tag": 6, "full_range": True}),
        ("full709.mp4", {"matrix": 1, "tag": 1, "full_range": True}),
        ("ten.mp4", {"pixel_format": "yuv420p10le"}),
        ("fine.mp4", {"pixel_format": "yuv444p"}),
        ("h422.mp4", {"pixel_format": "yuv422p"}),
        ("vp9.webm", {"encoder": "libvpx-vp9", "options": {"crf": "5", "b": "0", "cpu-used": "8"}}),
        ("old.mpg", {"encoder": "mpeg2video", "options": {"qmin": "1"}}),
        ("jpeg.avi", {"encoder": "mjpeg", "pixel_format": "yuvj420p", "full_range": True,
                      "options": {"qmin": "1", "qmax": "2"}}),
        ("lossless.mkv", {"encoder": "ffv1", "pixel_format": "bgr0"}),
    ],
)  # fmt: skip
def test_colours_come_as_they_were(tmp_path: Path, name: str, make: dict[str, Any]) -> None:
    path = make_video(tmp_path / name, [bars()] * 5, **make)
    frame = pictures(play(path))[-1]
    assert bar_errors(frame.pixels).max() <= 6


def test_untagged_hd_is_bt709(tmp_path: Path) -> None:
    path = make_video(tmp_path / "hd.mp4", [bars(1280, 720)], matrix=1)
    assert bar_errors(pictures(play(path))[0].pixels).max() <= 6


def test_grey_stays_grey(tmp_path: Path) -> None:
    path = make_video(tmp_path / "grey.mkv", [bars()] * 2, encoder="ffv1", pixel_format="gray")
    pixels = pictures(play(path))[0].pixels.astype(int)
    assert np.ptp(pixels, axis=2).max() <= 1
    assert pixels[50, 5].min() >= 253


def test_transparent_is_white(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 4), np.uint8)
    pixels[:, 16:] = (10, 20, 200, 255)
    path = tmp_path / "a.png"
    frame = av.VideoFrame.from_ndarray(pixels, format="bgra").reformat(format="rgba")
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as output:
        stream: Any = output.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "rgba"
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    (still,) = pictures(play(path))
    assert (still.pixels[:, :16] == 255).all()
    assert (still.pixels[:, 16:] == (10, 20, 200)).all()


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_is_shown_upright(tmp_path: Path, rotation: int) -> None:
    upright = numbered(3)
    stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
    path = make_video(tmp_path / "turned.mp4", [stored] * 3, rotation=rotation)
    frame = pictures(play(path))[0]
    assert frame.pixels.shape == upright.shape
    assert np.abs(frame.pixels.astype(int) - upright).mean() < 6
    info = probe(str(path))
    assert (info.width_px, info.height_px) == SIZE


@pytest.mark.parametrize("size", [(161, 97), (33, 17), (2, 2)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make_video(tmp_path / "odd.mkv", [bars(*size)] * 2, encoder="ffv1", pixel_format="bgr0")
    frames = pictures(play(path))
    assert len(frames) == 2
    assert frames[0].pixels.shape == (size[1], size[0], 3)


def test_variable_rate_keeps_every_stamp(tmp_path: Path) -> None:
    pts = [0, 10, 11, 50, 51, 90, 400, 401]
    path = make_video(
        tmp_path / "v.mp4", [numbered(i) for i in range(8)], pts=pts, time_base=Fraction(1, 300)
    )
    frames = pictures(play(path))
    assert [frame.pts * frame.time_base * 300 for frame in frames] == pts
    assert [number_in(frame.pixels) for frame in frames] == list(range(8))


def test_missing_stamps_are_counted_on(tmp_path: Path) -> None:
    path = tmp_path / "raw.h264"
    make_video(path, [numbered(i) for i in range(10)], container="h264")
    frames = pictures(play(path))
    assert [number_in(frame.pixels) for frame in frames] == list(range(10))
    steps = np.diff([frame.capture_ns for frame in frames])
    assert (np.abs(steps - 40_000_000) < 1000).all()


def test_a_late_start_is_moved_to_zero(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "late.ts", [numbered(i) for i in range(10)], pts=[125 + i for i in range(10)]
    )
    frames = pictures(play(path))
    assert frames[0].pts == 0
    assert float(frames[-1].pts * frames[-1].time_base) == pytest.approx(0.36, abs=0.001)


@pytest.mark.parametrize(
    ("name", "encoder"), [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.mov", "pcm_s16le")]
)
def test_sound_stays_in_time(tmp_path: Path, name: str, encoder: str) -> None:
    sound = clicks(2, [0.5, 1.5], channels=2)
    path = make_video(
        tmp_path / name, [numbered(i) for i in range(30)], sound=sound, sound_encoder=encoder
    )
    blocks = sounds(play(path))
    assert blocks[0].samples.dtype == np.int16
    assert blocks[0].samples.shape[1] == 2
    heard = np.concatenate([block.samples for block in blocks])
    start_s = float(blocks[0].pts * blocks[0].time_base)
    moments = [start_s + moment for moment in clicks_in(heard, blocks[0].rate_hz)]
    assert moments == pytest.approx([0.5, 1.5], abs=0.012)
    assert play(path, sound=False)[0][0] == "video"
    assert not sounds(play(path, sound=False))


def test_streams_stored_apart_come_together(tmp_path: Path) -> None:
    """All sound after all pictures: they still come in turns, as far as a bounded store allows."""
    path = make_video(
        tmp_path / "a.mp4", [numbered(i) for i in range(20)], sound=clicks(0.8, [0.1])
    )
    ports = [port for port, _ in play(path)]
    assert "audio" in ports[:4]


def test_a_still_is_one_picture(tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "still.jpg"
    cv2.imwrite(str(path), bars(), [cv2.IMWRITE_JPEG_QUALITY, 98])
    (frame,) = pictures(play(path))
    assert frame.pixels.shape == (96, 160, 3)
    assert bar_errors(frame.pixels).max() <= 8


def test_gif(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.gif",
        [numbered(i) for i in range(6)],
        encoder="gif",
        pixel_format="rgb8",
        time_base=Fraction(1, 10),
    )
    frames = pictures(play(path))
    assert len(frames) == 6
    assert float(frames[5].pts * frames[5].time_base) == pytest.approx(0.5)


def test_a_cut_off_tail_gives_what_there_is(tmp_path: Path) -> None:
    whole = make_video(
        tmp_path / "a.mkv", [numbered(i) for i in range(30)], options={"g": "5", "crf": "10"}
    )
    short = tmp_path / "short.mkv"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    frames = pictures(play(short))
    assert 10 <= len(frames) < 30
    assert [number_in(frame.pixels) for frame in frames][:8] == list(range(8))
    assert extent(str(short)).frames < 30


def test_damage_is_skipped_and_counted(tmp_path: Path) -> None:
    whole = make_video(
        tmp_path / "a.mp4", [numbered(i) for i in range(30)], options={"g": "5", "crf": "4"}
    )
    content = bytearray(whole.read_bytes())
    start, end = content.index(b"mdat"), content.index(b"moov")
    middle, length = start + (end - start) // 3, (end - start) // 5
    content[middle : middle + length] = np.random.default_rng(1).bytes(length)
    whole.write_bytes(content)
    counted: dict[str, int] = {}
    frames = pictures(play(whole, counted))
    assert len(frames) >= 15
    assert sum(counted.get(name, 0) for name in ("damaged_packets", "damaged_frames")) >= 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.mp4", None, "no such file"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"this is a letter, not a film\n" * 99, "cannot read"),
        ("noise.mkv", bytes(range(256)) * 40, "cannot read"),
    ],
)
def test_unreadable(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MienError, match=words):
        play(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(
            np.zeros((1, 8000), np.int16), format="s16", layout="mono"
        )
        block.sample_rate = 8000
        output.mux(stream.encode(block))
    with pytest.raises(MienError, match="has no video"):
        play(path)


def test_paced_follows_the_clock(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [numbered(i) for i in range(10)], sound=clicks(0.4, [0]))
    clock = FakeClock(5_000_000_000)
    context = Context(clock=clock)
    node = MediaFile(build(MediaFile.Config, {"path": str(path), "paced": True}), context)
    node.setup()
    seen = []
    with pytest.raises(EndOfStream):
        while True:
            for message in (node.read() or {}).values():
                assert clock.now_ns() >= message.capture_ns
                seen.append((message.capture_ns, clock.now_ns()))
    node.close()
    assert len(seen) > 10
    assert max(now - stamp for stamp, now in seen) <= 1
    assert seen[-1][0] >= 5_000_000_000 + 9 * 40_000_000


def test_a_voice_alone_comes_as_from_a_microphone(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", [numbered(0)], sound=clicks(1.0, [0.5]))
    config = {"path": str(path), "pictures": False}
    whole: list[Any] = []
    paced: list[Any] = []
    for found, more in ((whole, {}), (paced, {"paced": True})):
        node = MediaFile(build(MediaFile.Config, config | more), Context(clock=FakeClock(0)))
        node.setup()
        with pytest.raises(EndOfStream):
            while True:
                found += (node.read() or {}).values()
        node.close()
    assert all(isinstance(block, AudioFrame) for block in (*whole, *paced))
    assert max(len(block.samples) for block in paced) <= paced[0].rate_hz // 50
    for blocks in (whole, paced):
        ends = [b.capture_ns + len(b.samples) * 1_000_000_000 // b.rate_hz for b in blocks]
        assert np.abs(np.subtract(ends[:-1], [b.capture_ns for b in blocks[1:]])).max() < 2e6
    one, other = (np.concatenate([b.samples for b in blocks]) for blocks in (whole, paced))
    assert np.array_equal(one, other)


def test_a_sleep_does_not_end_in_a_burst(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [numbered(i) for i in range(10)])
    clock = FakeClock(0)
    node = MediaFile(
        build(MediaFile.Config, {"path": str(path), "paced": True}), Context(clock=clock)
    )
    node.setup()
    node.read()
    clock.advance(60_000_000_000)
    moments = []
    for _ in range(5):
        node.read()
        moments.append(clock.now_ns())
    node.close()
    assert np.diff(moments).tolist() == [40_000_000] * 4


def test_loop_goes_on_in_time(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [numbered(i) for i in range(5)], sound=clicks(0.2, [0]))
    messages = play_some(path, 40)
    frames = pictures(messages)
    assert [number_in(frame.pixels) for frame in frames][:12] == [*range(5), *range(5), 0, 1]
    assert [frame.cut for frame in frames][:11] == ([True] + [False] * 4) * 2 + [True]
    times = [frame.pts * frame.time_base for frame in frames]
    assert all(0 < later - earlier < Fraction(1, 8) for earlier, later in itertools.pairwise(times))


def play_some(path: Path, count: int) -> list[Any]:
    node = MediaFile(build(MediaFile.Config, {"path": str(path), "loop": True}))
    node.setup()
    messages: list[Any] = []
    while len(messages) < count:
        messages.extend((node.read() or {}).items())
    node.close()
    return messages


def test_made_media_reads_back(tmp_path: Path) -> None:
    """The helper itself: what PyAV alone reads is what was drawn."""
    found, times = read_video(make_video(tmp_path / "a.mp4", [numbered(7)] * 2))
    assert number_in(found[1]) == 7
    assert times == [0, Fraction(1, 25)]
