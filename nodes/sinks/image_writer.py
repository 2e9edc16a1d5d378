"""ImageWriter: pictures into a folder, each under its own name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from engine import files
from engine.errors import MienError, UsageError
from engine.node import Node
from engine.parameters import parameter
from engine.types import Fifo, VideoFrame
from media import credentials
from media.image_file import FORMATS, SUFFIXES, Picture, encode, format_of, read_picture


class ImageWriter(Node):
    """Write every picture as it comes. video -> files named like the pictures.

    The suffix decides the format; without a known one it is that of the original. Colour profiles
    are kept. Pictures without a name are numbered and written as png.
    """

    inputs: ClassVar = {"video": Fifo(VideoFrame, depth=8)}
    runs = "thread"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter(
            "", "the folder to write to (made if need be), or one picture", live=False
        )
        quality: int = parameter(95, "of jpg, webp and avif", low=1, high=100)
        originals: str = parameter(
            "",
            "where the pictures came from: unchanged pictures are copied byte for byte",
            live=False,
        )
        mark: Literal["none", "c2pa"] = parameter(
            "none", "c2pa: sign a note into changed pictures (Content Credentials)", live=False
        )

    def setup(self) -> None:
        self._count = 0
        if not self.config.path:
            raise UsageError("no output folder is named; set its path")
        path = Path(self.config.path)
        if self.config.mark == "c2pa":
            credentials.check(path if path.suffix else path / "name.png")
        self._single = path.suffix.lower() in SUFFIXES and not path.is_dir()
        self._folder = path.parent if self._single else path
        try:
            if not self._single:
                path.mkdir(parents=True, exist_ok=True)
            files.check(self._folder / "write-test")
        except FileExistsError:
            raise MienError(f"{path} is a file, not a folder; name a folder") from None
        except OSError as error:
            raise files.explain(error, path) from None

    def process(self, video: VideoFrame) -> None:
        """Write one picture."""
        self._count += 1
        name = Path(video.name).name or f"{self._count:06d}.png"
        goal = Path(self.config.path) if self._single else self._folder / name
        origin = self._origin(video)
        content, changed = self._content(video, goal, origin)
        with files.atomic_write(goal) as part:
            part.write_bytes(content)
            if changed and self.config.mark == "c2pa":
                self._sign(part, goal, origin)
        self.context.count("frames_written", 1)

    def _sign(self, part: Path, goal: Path, origin: Path | None) -> None:
        try:
            credentials.sign(part, goal, "", origin)
        except MienError as error:  # the picture itself is well
            self.context.status("degraded", str(error))

    def _content(self, video: VideoFrame, goal: Path, origin: Path | None) -> tuple[bytes, bool]:
        """The bytes that the picture came from, if it is still the same; else it is encoded. And
        whether it was."""
        import numpy as np

        if origin is None:
            kind = FORMATS.get(goal.suffix.lower(), "PNG")
            return encode(Picture(pixels=video.pixels), kind, self.config.quality), True
        before = read_picture(origin)
        same_kind = origin.suffix.lower() == goal.suffix.lower()
        if same_kind and np.array_equal(before.pixels, video.pixels):
            self.context.count("unchanged", 1)
            return origin.read_bytes(), False
        kind = FORMATS.get(goal.suffix.lower()) or format_of(origin)
        after = Picture(pixels=video.pixels, icc=before.icc)
        return encode(after, kind, self.config.quality), True

    def _origin(self, video: VideoFrame) -> Path | None:
        if not (self.config.originals and video.name):
            return None
        origin = Path(self.config.originals)
        origin = origin / video.name if origin.is_dir() else origin
        return origin if origin.is_file() else None
