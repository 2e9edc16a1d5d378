"""What an edit did to faces: two prepared sets compared, the same clips before and after.

    python -m training.evaluate BEFORE AFTER

Both are folders of shards from training.data.prepare, of recordings and of the same recordings
edited, under the same names. Clips meet by subject and name; the table has a row per emotion of
the source. Figures rest on the networks that are named below the table: others give others.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import F32
from training.data.clip import FRAME_PX, Clip, open_clips
from training.metrics import faces

COLUMNS = ("clips", "feeling energy ratio", "mouth-opening change", "LVE", "flicker")
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
        152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67,
        109)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", metavar="BEFORE", type=Path)
    parser.add_argument("after", metavar="AFTER", type=Path)
    options = parser.parse_args(argv)
    try:
        print(table(compare(options.before, options.after)))
    except MienError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def compare(before: Path, after: Path) -> dict[str, list[dict[str, float]]]:
    """Figures of each clip that both sets have, by the source's emotion ("" unknown)."""
    sources, edited = open_clips(before), open_clips(after)
    places = {info.key: place for place, info in enumerate(edited.infos)}
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for place, info in enumerate(sources.infos):
        if info.key in places and sources.lengths[place] and edited.lengths[places[info.key]]:
            rows[info.emotion].append(measure(sources[place], edited[places[info.key]]))
    if not rows:
        raise MienError(f"{before} and {after} share no clip; prepare both under the same names")
    return rows


def measure(before: Clip, after: Clip) -> dict[str, float]:
    """The figures of one clip; the sums of feeling energy, from which ratios are made, too."""
    length = min(len(before), len(after))
    both = before.found[:length] & after.found[:length]
    if not both.any():
        return {"energy before": 0.0, "energy after": 0.0}
    chosen = np.flatnonzero(both)
    was, now = before.landmarks[chosen], after.landmarks[chosen]
    energy = faces.feeling_energy(before.blendshapes[chosen])
    strong = energy >= faces.LEAST_ENERGY
    figures = {
        "energy before": float(energy[strong].sum()),
        "energy after": float(faces.feeling_energy(after.blendshapes[chosen])[strong].sum()),
        "mouth-opening change": faces.mouth_opening_change(was, now),
        "LVE": faces.lip_error(was, now),
    }
    if len(chosen) == length >= 3:
        inside = np.stack([_inside(points) for points in was])
        frames = [clip.frames_THWC[:length].astype(np.float32) for clip in (before, after)]
        figures["flicker"] = faces.flicker(frames[0], frames[1], inside)
    return figures


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: a row per emotion and one for all."""
    lines = [
        "| emotion | " + " | ".join(COLUMNS) + " |",
        "| --- |" + " ---: |" * len(COLUMNS),
    ]
    everything = [figures for group in rows.values() for figures in group]
    for name, group in [*sorted(rows.items()), ("all", everything)]:
        energy = sum(figures["energy before"] for figures in group)
        left = sum(figures["energy after"] for figures in group)
        cells = [str(len(group)), f"{left / energy:.3f}" if energy else "-"]
        for column in COLUMNS[2:]:
            values = [figures[column] for figures in group if column in figures]
            cells.append(f"{np.mean(values):.4f}" if values else "-")
        lines.append(f"| {name or 'unknown'} | " + " | ".join(cells) + " |")
    lines.append(f"\nLandmarks and shapes: {faces.NETWORK}. Lengths in eye distances.")
    return "\n".join(lines)


def _inside(points: F32) -> NDArray[np.bool_]:
    import cv2

    mask = np.zeros((FRAME_PX, FRAME_PX), np.uint8)
    cv2.fillPoly(mask, [np.round(points[list(OVAL), :2]).astype(np.int32)], 1)
    return mask.astype(np.bool_)


if __name__ == "__main__":
    sys.exit(main())
