"""ImageFolder: every picture of a folder once, in the order of names."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from engine.errors import EndOfStream, MienError
from engine.files import check_source
from engine.node import Source
from engine.parameters import parameter
from engine.types import VideoFrame
from media.image_file import SUFFIXES, is_picture, read_picture

_SPACING_NS: Final = 40_000_000


def pictures_in(path: Path) -> list[Path]:
    """The pictures of a folder, or the one that ``path`` is. Raises MienError."""
    if path.is_file():
        return [path]
    found = [item for item in files_in(path) if is_picture(item)]
    if not found:
        raise MienError(f"no pictures in {path}; it should hold {' '.join(SUFFIXES)}")
    return found


def files_in(path: Path) -> list[Path]:
    """What isn't hidden in a folder, by name; folders in it too. Raises MienError."""
    check_source(path)
    try:
        return sorted(item for item in path.iterdir() if not item.name.startswith("."))
    except FileNotFoundError:
        raise MienError(f"no such file or folder: {path}") from None
    except OSError as error:
        raise MienError(f"cannot read {path}: {error.strerror}") from None


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
            pixels = read_picture(path).pixels
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
