"""How synthetic heads look to the tracker: found faces, and what each emotion moves.

    python -m training.data.heads.check DATA

Against the neutral clip of the same head and sentence, frame by frame, each emotion is a row: the
share of faces found, then for the shapes of its prototype how much was asked for and how much the
tracker sees, both per unit of intensity.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np

from engine.errors import MienError
from engine.types import F32
from face.emotions import prototype
from face.types import BLENDSHAPES, EMOTIONS
from training import command
from training.data.clip import Clip, open_clips

TELLING: Final = 0.2
"""least share of a shape in a prototype for it to be shown"""


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.data.heads.check", __doc__)
    parser.add_argument("data", type=Path, help="a folder of shards")
    options = parser.parse_args(argv)
    return command.run("check", lambda: print("\n".join(table(options.data))))


def table(data: Path) -> list[str]:
    """The table's lines. Raises MienError where there are no pairs."""
    groups: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in open_clips(data):
        if clip.info.synthetic and clip.rig is not None:
            groups[clip.info.subject, clip.info.sentence].append(clip)
    found: dict[str, list[float]] = defaultdict(list)
    seen: dict[str, list[F32]] = defaultdict(list)
    asked: dict[str, list[F32]] = defaultdict(list)
    for clips in groups.values():
        calm = next((clip for clip in clips if clip.info.emotion == "neutral"), None)
        for clip in clips:
            found[clip.info.emotion].append(float(clip.found.mean()))
            if calm is None or clip is calm:
                continue
            assert clip.rig is not None and calm.rig is not None and clip.intensity is not None
            strong = clip.found & calm.found & (clip.intensity > 0.2)
            size = clip.intensity[strong, None]
            seen[clip.info.emotion].append((clip.blendshapes - calm.blendshapes)[strong] / size)
            asked[clip.info.emotion].append((clip.rig - calm.rig)[strong] / size)
    if not seen:
        raise MienError(f"{data} has no synthetic emotion beside its neutral")
    lines = []
    for emotion in EMOTIONS:
        if emotion not in found:
            continue
        line = f"{emotion}: {100 * float(np.mean(found[emotion])):.1f} % found"
        if seen[emotion]:
            seen_mean, target = (
                np.concatenate(rows[emotion]).mean(axis=0) for rows in (seen, asked)
            )
            for index in np.argsort(-prototype(emotion), kind="stable"):
                if prototype(emotion)[index] >= TELLING:
                    name = BLENDSHAPES[index]
                    line += f"; {name} {target[index]:.2f} -> {seen_mean[index]:+.2f}"
        lines.append(line)
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
