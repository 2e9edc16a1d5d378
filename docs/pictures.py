"""Make docs/faces.jpg, a public-domain portrait through `run_engine.py file`, once per emotion, and
docs/portrait.jpg, the same that talks with a synthetic voice (espeak-ng).

python docs/pictures.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data, io

from engine.types import U8

DOCS = Path(__file__).resolve().parent
EMOTIONS = ("neutral", "happy", "angry", "disgusted", "fear", "sad", "surprised", "contempt")
FACE = np.s_[20:240, 118:318]
SIZE = (300, 330)


def read(path: Path) -> U8:
    """A picture as uint8 [H, W, 3], BGR."""
    picture = cv2.imread(str(path))
    assert picture is not None, path
    return np.asarray(picture, np.uint8)


def tile(picture: U8, words: str) -> U8:
    """The face of a picture, with its name."""
    face = cv2.resize(picture[FACE], SIZE, interpolation=cv2.INTER_CUBIC)
    cv2.putText(
        face, words, (10, 26), cv2.FONT_HERSHEY_DUPLEX, 0.7, (255, 255, 255), 1, cv2.LINE_AA
    )
    return np.asarray(face, np.uint8)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source.png")
        io.imsave(str(source), data.astronaut())  # type: ignore[no-untyped-call]  # has no types
        tiles = [tile(read(source), "the camera")]
        for emotion in EMOTIONS:
            out = Path(folder, f"{emotion}.png")
            command = [sys.executable, str(DOCS.parent / "run_engine.py"), "file", str(source)]
            subprocess.run([*command, str(out), "--emotion", emotion], check=True)
            tiles.append(tile(read(out), emotion))
        rows = [np.hstack(tiles[start : start + 3]) for start in (0, 3, 6)]
        cv2.imwrite(str(DOCS / "faces.jpg"), np.vstack(rows))
        cv2.imwrite(str(DOCS / "portrait.jpg"), talking(source, Path(folder)))


def talking(source: Path, folder: Path) -> U8:
    """The still, and five moments of a sentence."""
    voice, film = folder / "voice.wav", folder / "talk.mp4"
    words = "Good morning everybody, what a beautiful day to fly above the clouds."
    subprocess.run(["espeak-ng", "-w", str(voice), words], check=True)
    command = [sys.executable, str(DOCS.parent / "run_engine.py"), "file", str(voice), str(film)]
    subprocess.run([*command, "--portrait", str(source), "--consent"], check=True)
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    chosen = np.linspace(8, len(frames) - 25, 5).astype(int)
    tiles = [tile(read(source), "the picture")]
    tiles += [tile(np.asarray(frames[k], np.uint8), f"{k / 25:.1f} s") for k in chosen]
    return np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])])


if __name__ == "__main__":
    main()
