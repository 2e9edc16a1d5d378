"""Three networks of the face landmarker: detector, 478 landmarks, 52 blendshapes.

Anchors, crop factors and the points that the blendshape network reads are those that the networks
were trained with (Bazarevsky et al. 2019, BlazeFace; Grishchenko et al. 2020, Attention Mesh;
Google's model cards for Face Landmarker).
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import F32, U8
from face.topology import BLENDSHAPE_POINTS, LANDMARKS, OUTER_EYE_LEFT, OUTER_EYE_RIGHT

DETECTOR_PX: Final = 128
MESH_PX: Final = 256
ROI_SCALE: Final = 1.5
MIN_FACE_PX: Final = 16.0


@dataclass(frozen=True)
class Region:
    """A turned square in a picture: centre and side in pixels, angle in radians (clockwise)."""

    x: float
    y: float
    side: float
    angle: float

    def overlap(self, other: Region) -> float:
        """Intersection over union, angles ignored."""
        half, theirs = self.side / 2, other.side / 2
        width = min(self.x + half, other.x + theirs) - max(self.x - half, other.x - theirs)
        height = min(self.y + half, other.y + theirs) - max(self.y - half, other.y - theirs)
        shared = max(width, 0.0) * max(height, 0.0)
        return shared / (self.side**2 + other.side**2 - shared)


def region_of(points: F32) -> Region:
    """The square around tracked landmarks [478, 2..3] that the landmark network wants to see."""
    eyes = points[OUTER_EYE_LEFT, :2] - points[OUTER_EYE_RIGHT, :2]
    angle = math.atan2(float(eyes[1]), float(eyes[0]))
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]], np.float32)
    upright = points[:, :2] @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    x, y = turn @ ((low + high) / 2)
    return Region(float(x), float(y), float((high - low).max()) * ROI_SCALE, angle)


class Landmarker:
    """The networks, loaded and warm. Not thread-safe: each thread needs its own."""

    def __init__(self, task: Path, threads: int = 1) -> None:
        """Load from the ``.task`` bundle. Raises MienError where it is none."""
        self._detector = _Net(task, "face_detector", threads)
        self._mesh = _Net(task, "face_landmarks_detector", threads)
        self._shapes = Blendshapes(task, threads)
        self._anchors = _anchors()

    @classmethod
    def take(cls, task: Path, threads: int = 1) -> Landmarker:
        """One that was made ahead for this bundle, else a new one. Raises MienError."""
        return _ahead.pop((task, threads), None) or cls(task, threads)

    @classmethod
    def make_ahead(cls, task: Path) -> None:
        """Let the next who takes one have it at once: processes that are forked from this one
        share what it has read. With one compute thread, as threads don't survive a fork."""
        _ahead[task, 1] = cls(task, 1)

    def detect(self, pixels: U8, min_score: float = 0.5) -> list[tuple[Region, float]]:
        """Faces in a BGR picture: the square to look at and a score, largest first."""
        import cv2

        height, width = pixels.shape[:2]
        scale = DETECTOR_PX / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (DETECTOR_PX - size[0]) // 2, (DETECTOR_PX - size[1]) // 2
        small = cv2.resize(
            pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        tensor = np.full((1, DETECTOR_PX, DETECTOR_PX, 3), -1, np.float32)
        tensor[0, top : top + size[1], left : left + size[0]] = small[..., ::-1] / 127.5 - 1
        boxes, logits = sorted(self._detector(tensor), key=lambda out: -out.shape[-1])
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0], -60, 60)))
        chosen = np.flatnonzero(scores >= min_score)
        raw = boxes[0, chosen].reshape(-1, 8, 2)  # centre, size, six key points
        raw[:, 0] += self._anchors[chosen] * DETECTOR_PX
        raw[:, 2:] += self._anchors[chosen, None] * DETECTOR_PX
        faces = []
        for score, merged in _suppress(scores[chosen], raw):
            centre = (merged[0] - (left, top)) / scale
            eyes = merged[3] - merged[2]
            side = float(merged[1].max()) / scale * ROI_SCALE
            region = Region(
                float(centre[0]), float(centre[1]), side, math.atan2(float(eyes[1]), float(eyes[0]))
            )
            faces.append((region, float(score)))
        return sorted(faces, key=lambda face: -face[0].side)

    def detect_in(self, pixels: U8, part: tuple[int, int, int]) -> list[tuple[Region, float]]:
        """The same in one square (left, top, side) of the picture, where small faces are larger."""
        left, top, side = part
        found = self.detect(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
        return [(Region(face.x + left, face.y + top, face.side, face.angle), score)
                for face, score in found]  # fmt: skip

    def search(self, pixels: U8) -> list[tuple[Region, float]]:
        """Faces as `detect` finds them, else in the first part of the picture that has any."""
        found = self.detect(pixels)
        for part in parts_of(*pixels.shape[:2]):
            if found:
                break
            found = self.detect_in(pixels, part)
        return found

    def landmarks(self, pixels: U8, region: Region) -> tuple[F32, float]:
        """Landmarks [478, 3] in pixels of the picture and how sure it is that a face is there."""
        import cv2

        cos, sin = math.cos(region.angle), math.sin(region.angle)
        step = region.side / MESH_PX
        to_picture = np.array([[cos, -sin], [sin, cos]], np.float32) * step
        half = (MESH_PX - 1) / 2
        offset = np.array([region.x, region.y], np.float32) - to_picture @ [half, half]
        crop = cv2.warpAffine(
            pixels,
            np.column_stack([to_picture, offset]).astype(np.float32),
            (MESH_PX, MESH_PX),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        rgb = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
        tensor = np.divide(rgb[None], np.float32(255), dtype=np.float32)
        outputs = self._mesh(tensor)
        mesh = next(out for out in outputs if out.size == LANDMARKS * 3).reshape(LANDMARKS, 3)
        points = np.empty((LANDMARKS, 3), np.float32)
        points[:, :2] = mesh[:, :2] @ to_picture.T + offset
        points[:, 2] = mesh[:, 2] * step
        presence = next(out for out in outputs if out.ndim == 4 and out.size == 1)
        return points, float(1 / (1 + math.exp(-float(presence.reshape(())))))

    def blendshapes(self, points: F32) -> F32:
        """The 52 shapes [52] in 0..1 of landmarks [478, 2..3]; place and size don't matter."""
        return self._shapes(points)


class Blendshapes:
    """The last network alone, for who has landmarks already. Not thread-safe."""

    def __init__(self, task: Path, threads: int = 1) -> None:
        """Raises MienError where ``task`` is no bundle."""
        self._net = _Net(task, "face_blendshapes", threads)

    def __call__(self, points: F32) -> F32:
        """The 52 shapes [52] in 0..1 of landmarks [478, 2..3]; place and size don't matter."""
        (shapes,) = self._net(np.ascontiguousarray(points[None, BLENDSHAPE_POINTS, :2]))
        return shapes


def parts_of(height: int, width: int) -> list[tuple[int, int, int]]:
    """Overlapping squares (left, top, side) of a picture, large ones first."""
    parts = []
    for side in (min(height, width), min(height, width) // 2):
        if side < 2 * MIN_FACE_PX:
            continue
        rows = np.linspace(0, height - side, math.ceil(2 * height / side) - 1)
        columns = np.linspace(0, width - side, math.ceil(2 * width / side) - 1)
        parts += [(int(left), int(top), side) for top in rows for left in columns]
    return parts if len(parts) > 1 else [(0, 0, max(height, width))]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT from writing notes to the terminal, which no option of it turns off."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


_ahead: dict[tuple[Path, int], Landmarker] = {}


class _Net:
    """One network of a bundle under LiteRT: arrays in, arrays out."""

    def __init__(self, task: Path, name: str, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with zipfile.ZipFile(task) as archive:
                model = archive.read(f"{name}.tflite")
        except (OSError, zipfile.BadZipFile, KeyError) as error:
            raise MienError(f"{task} is not a face landmarker bundle: {error}") from None
        with _quiet():
            self._interpreter: Any = Interpreter(model_content=model, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = [item["index"] for item in self._interpreter.get_output_details()]
        self(np.zeros(self._input["shape"], np.float32))

    def __call__(self, tensor: NDArray[np.floating[Any]]) -> list[F32]:
        self._interpreter.set_tensor(self._input["index"], tensor.astype(np.float32, copy=False))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def _anchors() -> F32:
    """Centres [896, 2] in 0..1: two per cell at stride 8, six at stride 16."""
    rows = []
    for stride, per_cell in ((8, 2), (16, 6)):
        cells = DETECTOR_PX // stride
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        rows.append(np.repeat(centres, per_cell, axis=0))
    return np.concatenate(rows).astype(np.float32)


def _suppress(
    scores: NDArray[np.floating[Any]], boxes: NDArray[np.floating[Any]], min_overlap: float = 0.3
) -> list[tuple[float, NDArray[np.floating[Any]]]]:
    """Merge overlapping detections [N, 8, 2] into their score-weighted means."""
    order = np.argsort(-scores)
    low, high = boxes[:, 0] - boxes[:, 1] / 2, boxes[:, 0] + boxes[:, 1] / 2
    area = boxes[:, 1].prod(axis=1)
    merged = []
    while order.size:
        best = order[0]
        inner = np.minimum(high[order], high[best]) - np.maximum(low[order], low[best])
        shared = np.clip(inner, 0, None).prod(axis=1)
        same = shared / (area[order] + area[best] - shared) > min_overlap
        same[0] = True
        group = order[same]
        weight = scores[group] / scores[group].sum()
        merged.append((float(scores[best]), np.einsum("n,nij->ij", weight, boxes[group])))
        order = order[~same]
    return merged
