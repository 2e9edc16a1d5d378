"""ImageFolder: every picture of a folder once, in the order of names."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from engine.errors import EndOfStream, MienError
from engine.files import check_source
from engine.node import Source
from engine.parameters import parameter
from engine.types import U8, VideoFrame
from nodes.colours import over_white

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_SPACING_NS: Final = 40_000_000


def pictures_in(path: Path) -> list[Path]:
    """The pictures of a folder, or the one that ``path`` is. Raises MienError."""
    if path.is_file():
        return [path]
    check_source(path)
    try:
        found = sorted(
            item
            for item in path.iterdir()
            if item.suffix.lower() in SUFFIXES and item.is_file() and not item.name.startswith(".")
        )
    except FileNotFoundError:
        raise MienError(f"no such file or folder: {path}") from None
    except OSError as error:
        raise MienError(f"cannot read {path}: {error.strerror}") from None
    if not found:
        raise MienError(f"no pictures in {path}; it should hold {' '.join(SUFFIXES)}")
    return found


def read_picture(path: Path) -> U8:
    """One upright BGR picture [H, W, 3]; transparent parts are white. Raises MienError."""
    import cv2
    import numpy as np

    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise MienError(f"{path.name} cannot be read: {error.strerror}") from None
    if not len(content):
        raise MienError(f"{path.name} is empty (0 bytes)")
    try:
        pixels: Any = cv2.imdecode(content, cv2.IMREAD_COLOR)
        if pixels is not None and path.suffix.lower() in (".png", ".webp"):
            layered: Any = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
            if layered is not None and layered.ndim == 3 and layered.shape[2] == 4:
                if layered.dtype == np.uint16:
                    layered = (layered // 257).astype(np.uint8)
                if layered.shape[:2] == pixels.shape[:2]:
                    pixels = over_white(layered)
    except cv2.error as error:
        raise MienError(f"{path.name} cannot be read: {error.err}") from None
    if pixels is None:
        raise MienError(f"{path.name} is no picture that can be read, or it is damaged")
    picture: U8 = np.ascontiguousarray(pixels)
    picture.flags.writeable = False
    return picture


class ImageFolder(Source):
    """Read a folder of pictures, or one picture. -> video; each is a cut and carries its name.

    A picture that cannot be read is counted (``unreadable``), named in the status and left out.
    """

    outputs: ClassVar = {"video": VideoFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter("", "the folder, or one picture", live=False)

    def setup(self) -> None:
        self._left = deque(pictures_in(Path(self.config.path)))
        self._next_ns = self.context.clock.now_ns()
        self.context.gauge("ready_ns", self._next_ns)
        self._count = 0

    def read(self) -> VideoFrame | None:
        if not self._left:
            raise EndOfStream
        path = self._left.popleft()
        began_ns = self.context.clock.now_ns()
        try:
            pixels = read_picture(path)
        except MienError as error:
            self.context.count("unreadable", 1)
            self.context.status("degraded", str(error))
            return None
        self.context.observe("decode", (self.context.clock.now_ns() - began_ns) / 1e6)
        frame = VideoFrame(
            capture_ns=self._next_ns,
            pixels=pixels,
            pts=self._count * _SPACING_NS,
            cut=True,
            name=path.name,
        )
        self._next_ns += _SPACING_NS
        self._count += 1
        return frame
