"""ImageWriter: pictures into a folder, each under its own name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from engine import files
from engine.errors import MienError, UsageError
from engine.node import Node
from engine.parameters import parameter
from engine.types import Fifo, VideoFrame
from nodes.image_folder import SUFFIXES, read_picture


class ImageWriter(Node):
    """Write every picture as it comes. video -> files named like the pictures.

    The suffix decides the format. Pictures without a name are numbered and written as png.
    """

    inputs: ClassVar = {"video": Fifo(VideoFrame, depth=8)}
    runs = "thread"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter(
            "", "the folder to write to (made if need be), or one picture", live=False
        )
        quality: int = parameter(95, "of jpg and webp", low=1, high=100)
        originals: str = parameter(
            "",
            "where the pictures came from: those that nothing changed are copied byte for byte",
            live=False,
        )

    def setup(self) -> None:
        self._count = 0
        if not self.config.path:
            raise UsageError("no output folder is named; set its path")
        path = Path(self.config.path)
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
        content = self._original(video, goal)
        if content is None:
            content = self._encoded(video, goal)
        with files.whole(goal) as part:
            part.write_bytes(content)
        self.context.count("frames_written", 1)

    def _original(self, video: VideoFrame, goal: Path) -> bytes | None:
        """The bytes that the picture came from, if it is still the same."""
        import numpy as np

        if not (self.config.originals and video.name):
            return None
        origin = Path(self.config.originals)
        origin = origin / video.name if origin.is_dir() else origin
        if origin.suffix.lower() != goal.suffix.lower() or not origin.is_file():
            return None
        if not np.array_equal(read_picture(origin), video.pixels):
            return None
        self.context.count("unchanged", 1)
        return origin.read_bytes()

    def _encoded(self, video: VideoFrame, goal: Path) -> Any:
        import cv2

        suffix = goal.suffix.lower()
        options: list[int] = []
        if suffix in (".jpg", ".jpeg"):
            options = [cv2.IMWRITE_JPEG_QUALITY, self.config.quality]
            options += [
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                int(cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
            ]
        elif suffix == ".webp":
            options = [cv2.IMWRITE_WEBP_QUALITY, self.config.quality]
        done, content = cv2.imencode(suffix, video.pixels, options)
        if not done:
            raise MienError(f"{goal} cannot be encoded as {suffix}")
        return content.tobytes()
