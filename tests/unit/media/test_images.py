"""ImageFolder and ImageWriter: the same names out, unchanged pictures byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.errors import MienError, UsageError
from engine.harness import run_node
from engine.node import Context
from engine.types import U8, VideoFrame
from media.image_file import read_picture
from nodes.sinks.image_writer import ImageWriter
from nodes.sources.image_folder import ImageFolder
from tests.made_media import bar_errors, bars


def read(path: Path, statuses: list[str] | None = None) -> list[VideoFrame]:
    context = Context()
    if statuses is not None:
        context.status = lambda condition, text: statuses.append(text)
    messages = run_node(ImageFolder, config={"path": str(path)}, context=context)
    return [message for _, message in messages if isinstance(message, VideoFrame)]


def write(path: Path, frames: list[VideoFrame], **config: Any) -> dict[str, int]:
    counted: dict[str, int] = {}

    def count(name: str, number: int) -> None:
        counted[name] = counted.get(name, 0) + number

    messages = [{"video": frame} for frame in frames]
    run_node(
        ImageWriter, messages, config={"path": str(path), **config}, context=Context(count=count)
    )
    return counted


def picture(name: str, pixels: U8) -> VideoFrame:
    return VideoFrame(capture_ns=1, pixels=pixels, name=name, cut=True)


def some_pictures(folder: Path) -> Path:
    folder.mkdir()
    for name in ("b.png", "a.jpg", "C.WEBP", "d.bmp", "e.jpeg"):
        done, content = cv2.imencode(Path(name).suffix.lower(), bars())
        assert done
        (folder / name).write_bytes(content.tobytes())
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "sub.png").mkdir()
    return folder


def test_every_picture_by_name(tmp_path: Path) -> None:
    frames = read(some_pictures(tmp_path / "in"))
    assert [frame.name for frame in frames] == ["C.WEBP", "a.jpg", "b.png", "d.bmp", "e.jpeg"]
    assert all(frame.cut for frame in frames)
    assert len({frame.capture_ns for frame in frames}) == 5
    assert bar_errors(frames[2].pixels).max() == 0


def test_unreadable_is_named_and_the_others_come(tmp_path: Path) -> None:
    folder = some_pictures(tmp_path / "in")
    (folder / "a.jpg").write_bytes(b"no jpeg")
    (folder / "b.png").write_bytes(b"")
    statuses: list[str] = []
    frames = read(folder, statuses)
    assert [frame.name for frame in frames] == ["C.WEBP", "d.bmp", "e.jpeg"]
    assert any("a.jpg is no picture" in text for text in statuses)
    assert any("b.png is empty" in text for text in statuses)


@pytest.mark.parametrize(("name", "words"), [("none", "no such file"), ("empty", "no pictures in")])
def test_nothing_to_read(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MienError, match=words):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((8, 8), 77, np.uint8), (77, 77, 77)),
        (np.full((8, 8), 77 * 257, np.uint16), (77, 77, 77)),
        (np.full((8, 8, 3), (300 * 85, 0, 65535), np.uint16), (99, 0, 255)),
        (np.full((8, 8, 4), (9, 8, 7, 255), np.uint8), (9, 8, 7)),
        (np.full((8, 8, 4), (9, 8, 7, 0), np.uint8), (255, 255, 255)),
        (np.full((8, 8, 4), (0, 0, 0, 51), np.uint8), (204, 204, 204)),
    ],
)
def test_kinds_of_png(tmp_path: Path, pixels: Any, expected: tuple[int, int, int]) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), pixels)
    found = read_picture(path).pixels
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_of_a_gif_the_first_picture_counts(tmp_path: Path) -> None:
    first, second = (Image.fromarray(np.full((8, 12, 3), grey, np.uint8)) for grey in (200, 30))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second], duration=100)
    found = read_picture(tmp_path / "a.gif").pixels
    assert found.shape == (8, 12, 3) and (found == 200).all()


def test_a_turned_photograph_stands_upright(tmp_path: Path) -> None:
    """Orientation 6 in EXIF: it is shown turned by a quarter to the right."""
    done, content = cv2.imencode(".jpg", bars(), [cv2.IMWRITE_JPEG_QUALITY, 98])
    assert done
    tiff = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    plain = content.tobytes()
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path = tmp_path / "turned.jpg"
    path.write_bytes(plain[:2] + segment + plain[2:])
    found = read_picture(path).pixels
    assert found.shape == (160, 96, 3)
    assert np.abs(found.astype(int) - np.rot90(bars(), -1)).mean() < 4


def test_written_under_their_names(tmp_path: Path) -> None:
    names = ["a.jpg", "b.png", "c.webp", "d.bmp", "E.JPG"]
    counted = write(tmp_path / "out", [picture(name, bars()) for name in names])
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == sorted(names)
    assert counted["frames_written"] == 5
    for name in names:
        assert bar_errors(read_picture(tmp_path / "out" / name).pixels).max() <= 12, name
    assert bar_errors(read_picture(tmp_path / "out" / "b.png").pixels).max() == 0


def test_pictures_without_names_are_numbered(tmp_path: Path) -> None:
    write(tmp_path / "out", [picture("", bars()) for _ in range(2)])
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == [
        "000001.png",
        "000002.png",
    ]


def test_a_name_stays_in_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "out", [picture("../../escaped.png", bars())])
    assert (tmp_path / "out" / "escaped.png").exists()
    assert not (tmp_path / "escaped.png").exists()


def test_unchanged_is_copied_byte_for_byte(tmp_path: Path) -> None:
    folder = some_pictures(tmp_path / "in")
    frames = read(folder)
    changed = frames[1].pixels.copy()
    changed[10, 10] = 0
    frames[1] = picture(frames[1].name, changed)
    counted = write(tmp_path / "out", frames, originals=str(folder))
    same = [
        name
        for name in ("C.WEBP", "a.jpg", "b.png", "d.bmp", "e.jpeg")
        if (folder / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    ]
    assert same == ["C.WEBP", "b.png", "d.bmp", "e.jpeg"]
    assert counted["unchanged"] == 4


def test_one_picture_to_one_file(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), bars())
    frames = read(tmp_path / "in.png")
    write(tmp_path / "out.jpg", frames)
    assert read_picture(tmp_path / "out.jpg").pixels.shape == (96, 160, 3)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["in.png", "out.jpg"]


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(MienError, match="is a file, not a folder"):
        write(tmp_path / "out", [picture("a.png", bars())])


def test_no_path() -> None:
    with pytest.raises(UsageError, match="no output folder"):
        run_node(ImageWriter, [])
