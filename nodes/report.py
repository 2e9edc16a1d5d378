"""Report: what was seen and asked for in every picture, as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TextIO

import numpy as np

from engine.node import Node
from engine.parameters import parameter
from engine.types import BLENDSHAPES, F32, FaceEdit, FaceTrack, Fifo, VideoFrame
from nodes import files


class Report(Node):
    """Collect per picture: face found, blendshapes as measured, the edit asked for.

    frame, face, edit -> a file with the key ``frames``: a list, or an object by name where the
    pictures have names. An edit that leaves the picture as it is stands as null.
    """

    inputs: ClassVar = {
        "frame": Fifo(VideoFrame, depth=8),
        "face": Fifo(FaceTrack, depth=8),
        "edit": Fifo(FaceEdit, depth=8),
    }

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter("", "the JSON file to write; empty: count only", live=False)

    _part: Path | None = None

    def setup(self) -> None:
        self._rows: list[tuple[str, float, F32 | None, F32 | None]] = []
        if self.config.path:
            self._part = files.begin(Path(self.config.path))

    def process(self, frame: VideoFrame, face: FaceTrack, edit: FaceEdit) -> None:
        """Take one picture's figures."""
        self.context.count("faces" if face.found else "without_face", 1)
        if self._part is None:
            return
        seconds = float(frame.pts * frame.time_base)
        measured = face.blendshapes if face.found else None
        self._rows.append((frame.name, seconds, measured, edit.target if edit.active else None))

    def finish(self) -> None:
        if self._part is None:
            return
        try:
            with self._part.open("w", encoding="utf-8") as file:
                self._write(file)
        except OSError as error:
            raise files.explain(error, self.config.path) from None
        files.complete(self._part, Path(self.config.path))
        self._part = None

    def close(self) -> None:
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None

    def _write(self, file: TextIO) -> None:
        named = any(name for name, *_ in self._rows)
        file.write('{"frames": ' + ("{" if named else "["))
        for number, (name, seconds, measured, target) in enumerate(self._rows):
            row = {
                "time_s": round(seconds, 6),
                "face": measured is not None,
                "blendshapes": _by_name(measured),
                "edit": _by_name(target),
            }
            file.write(",\n" if number else "\n")
            file.write((json.dumps(name) + ": " if named else "") + json.dumps(row))
        file.write(("\n}" if named else "\n]") + "}\n")


def _by_name(values: F32 | None) -> dict[str, Any] | None:
    if values is None:
        return None
    rounded = np.round(values.astype(float), 5)
    return dict(zip(BLENDSHAPES, rounded.tolist(), strict=True))
