"""RigWriter: the face as numbers in a file, for animation programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, TextIO

import numpy as np

from engine import files
from engine.node import Node
from engine.parameters import parameter
from engine.types import F32, Fifo
from face.expression.speech import head_angles
from face.rotations import roll
from face.types import BLENDSHAPES, EMOTIONS, FaceRig

SUFFIXES: Final = (".json", ".csv")
NAMES: Final = (*BLENDSHAPES[1:], "tongueOut")
"""ARKit's 52; what no network here measures stands as 0"""
LIVE_LINK: Final = (
    "EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft",
    "EyeSquintLeft", "EyeWideLeft", "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight",
    "EyeLookOutRight", "EyeLookUpRight", "EyeSquintRight", "EyeWideRight", "JawForward",
    "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker", "MouthRight",
    "MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight",
    "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight",
    "MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper", "MouthPressLeft",
    "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight", "MouthUpperUpLeft",
    "MouthUpperUpRight", "BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft",
    "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft",
    "NoseSneerRight", "TongueOut",
)  # fmt: skip
"""the columns of Live Link Face"""
ANGLES: Final = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw",
    "RightEyePitch", "RightEyeRoll",
)  # fmt: skip
_SHAPES: Final = len(NAMES)
EYE_RAD: Final = 0.5
"""how far an eye is turned by a shape of 1"""


class Row(NamedTuple):
    """A moment: ``values`` are weights as NAMES, ANGLES, and how much of EMOTIONS."""

    capture_ns: int
    values: F32


class RigWriter(Node):
    """rig -> a file: `.json` with fps, names and weights [T, 52], or `.csv` as Live Link Face
    writes it. Whole at the end, or not there at all, as where no rig came; without a path only
    counted."""

    inputs: ClassVar = {"rig": Fifo(FaceRig, depth=64)}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter("", "the file to write: .json or .csv; empty: none", live=False)

    _part: Path | None = None

    def setup(self) -> None:
        self._rows: list[Row] = []
        if self.config.path:
            self._part = files.begin(Path(self.config.path))

    def process(self, rig: FaceRig) -> None:
        """Take one moment."""
        self.context.count("rigs", 1)
        if self._part is not None:
            self._rows.append(row_of(rig))

    def finish(self) -> None:
        if self._part is None or not self._rows:
            return
        path = Path(self.config.path)
        write = _csv if path.suffix.lower() == ".csv" else _json
        try:
            with self._part.open("w", encoding="utf-8", newline="\n") as file:
                write(file, self._rows)
        except OSError as error:
            raise files.explain(error, self.config.path) from None
        files.complete(self._part, path)
        self._part = None

    def close(self) -> None:
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None


def row_of(rig: FaceRig) -> Row:
    """What a file says of a moment."""
    weights = np.append(rig.blendshapes[1:], np.float32(0))
    angles = np.array([*_angles(rig)], np.float32)
    return Row(rig.capture_ns, np.concatenate([weights, angles, rig.expression]))


def rate_of(rows: list[Row]) -> float:
    """How many there are a second."""
    if len(rows) < 2:
        return 25.0
    return round(1e9 * (len(rows) - 1) / (rows[-1].capture_ns - rows[0].capture_ns), 3)


def _json(file: TextIO, rows: list[Row]) -> None:
    head: dict[str, Any] = {"fps": rate_of(rows), "names": NAMES, "emotions": EMOTIONS}
    file.write(json.dumps(head)[:-1])
    for key, part, scale in (
        ("weights", slice(0, _SHAPES), 1.0),
        ("emotion", slice(-len(EMOTIONS), None), 1.0),
        ("head_degrees", slice(_SHAPES, _SHAPES + 3), 180 / np.pi),
    ):
        file.write(f',\n"{key}": [')
        for number, row in enumerate(rows):
            values = np.round(scale * row.values[part].astype(float), 4).tolist()
            file.write((",\n" if number else "\n") + json.dumps(values))
        file.write("\n]")
    file.write("}\n")


def _csv(file: TextIO, rows: list[Row]) -> None:
    file.write(",".join(("Timecode", "BlendShapeCount", *LIVE_LINK, *ANGLES)) + "\n")
    order = [[name.lower() for name in NAMES].index(column.lower()) for column in LIVE_LINK]
    order += range(_SHAPES, _SHAPES + len(ANGLES))
    rate = rate_of(rows)
    for number, row in enumerate(rows):
        values = ",".join(f"{value:.6f}" for value in row.values[order])
        file.write(f"{timecode(number, rate)},{len(LIVE_LINK)},{values}\n")


def timecode(number: int, rate: float) -> str:
    """Hours, minutes, seconds and the frame with its thousandths."""
    seconds, frame = divmod(number, round(rate))
    hours, rest = divmod(seconds, 3600)
    return f"{hours:02}:{rest // 60:02}:{rest % 60:02}:{frame:02}.000"


def _angles(rig: FaceRig) -> Iterator[float]:
    """Of ANGLES, radians: to the picture's right, down, over to its left; eyes to the face's left
    and down."""
    turn = rig.pose[:3, :3]
    yield from (float(angle) for angle in np.radians(head_angles(turn)))
    yield roll(turn)
    shape = dict(zip(BLENDSHAPES, rig.blendshapes, strict=True))
    for side, sign in (("Left", 1), ("Right", -1)):
        yield sign * EYE_RAD * float(shape[f"eyeLookOut{side}"] - shape[f"eyeLookIn{side}"])
        yield EYE_RAD * float(shape[f"eyeLookDown{side}"] - shape[f"eyeLookUp{side}"])
        yield 0.0
