"""Voices with mouth shapes that an animator's rig recorded, as shards of clips without pictures.

    python -m training.data.rig_speech IN OUT [--test 2_04]

IN holds NAME.flac (the sound) and NAME.npz (``weights`` [T, 28] in 0..1, ``names``, ``fps``), as
FACEGOOD's Audio2Face has them. The shapes become ARKit's where they mean the same, 25 a second;
OUT gets a shard of each split. --test names a recording that is kept back; several may be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.errors import MienError
from engine.types import F32
from face.topology import LANDMARKS
from face.types import BLENDSHAPES
from media.mel import log_mel
from training import command
from training.data.clip import FPS, Clip, ClipInfo, to_int16, write_shard
from training.data.media import sound

SOURCE: Final = "rig_speech"
LICENCE: Final = "MIT (FACEGOOD-Audio2Face)"
SPEAKER: Final = f"{SOURCE}:1"
TO_ARKIT: Final = {
    "jawLeft": ("jaw_sideways_l",),
    "jawOpen": ("mouth_stretch_c",),
    "mouthShrugLower": ("mouth_chinRaise_u",),
    "mouthFunnel": ("mouth_funnel_dl mouth_funnel_dr mouth_funnel_ul mouth_funnel_ur",
                    "mouth_oh_c"),
    "mouthPucker": ("mouth_pucker_l mouth_pucker_r", "mouth_oo_c"),
    "mouthSmileLeft": ("mouth_lipCornerPull_l",), "mouthSmileRight": ("mouth_lipCornerPull_r",),
    "mouthStretchLeft": ("mouth_lipStretch_l",), "mouthStretchRight": ("mouth_lipStretch_r",),
    "mouthLowerDownLeft": ("mouth_lowerLipDepress_l",),
    "mouthLowerDownRight": ("mouth_lowerLipDepress_r",),
    "mouthPressLeft": ("mouth_press_l",), "mouthPressRight": ("mouth_press_r",),
    "mouthRollLower": ("mouth_suck_dl mouth_suck_dr",),
    "mouthRollUpper": ("mouth_suck_ul mouth_suck_ur",),
    "mouthUpperUpLeft": ("mouth_upperLipRaise_l",),
    "mouthUpperUpRight": ("mouth_upperLipRaise_r",),
    "noseSneerLeft": ("nose_wrinkle_l",), "noseSneerRight": ("nose_wrinkle_r",),
}  # fmt: skip
"""the recorded shapes of each of ARKit's: the mean of those in one text; either of several texts"""


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.data.rig_speech", __doc__)
    parser.add_argument("input", metavar="IN", type=Path)
    parser.add_argument("output", metavar="OUT", type=Path)
    parser.add_argument("--test", nargs="*", default=[], help="recordings that are kept back")
    options = parser.parse_args(argv)
    return command.run("rig_speech", lambda: make(options))


def make(options: argparse.Namespace) -> None:
    """Write the shards. Raises MienError."""
    clips = list(clips_in(options.input, set(options.test)))
    for split in ("train", "test"):
        own = [clip for clip in clips if clip.info.split == split]
        if own:
            count = write_shard(options.output / f"{SOURCE}-{split}-00000.tar", own)
            print(f"{count} recordings, {sum(map(len, own)) / FPS:.0f} s in {split}")


def clips_in(folder: Path, held: set[str] = frozenset()) -> Iterator[Clip]:  # type: ignore[assignment]
    """A clip of each recording; those ``held`` are of the test split. Raises MienError."""
    files = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if not files:
        raise MienError(f"no recordings in {folder}; give a folder of NAME.npz and NAME.flac")
    if strangers := sorted(held - {file.stem for file in files}):
        raise MienError(f"{folder} has no recording {strangers[0]}")
    for file in files:
        rig, samples = read_rig(file), sound(file.with_suffix(".flac"))
        yield clip_of(file.stem, rig, samples, "test" if file.stem in held else "train")


def clip_of(name: str, rig: F32, samples: F32, split: str) -> Clip:
    """A recording as a clip: shapes [T, 52], 25 a second, and samples [N] at 16 kHz."""
    info = ClipInfo(
        key=f"{SOURCE}-{name}", subject=SPEAKER, sentence=name, source=SOURCE, split=split,
        licence=LICENCE,
    )  # fmt: skip
    frames = len(rig)
    return Clip(
        info=info,
        jpegs=b"",
        index=np.zeros(frames + 1, np.int64),
        landmarks=np.zeros((frames, LANDMARKS, 3), np.float32),
        blendshapes=np.zeros((frames, len(BLENDSHAPES)), np.float32),
        pose=np.zeros((frames, 4, 4), np.float32),
        found=np.zeros(frames, np.bool_),
        mel=log_mel(samples),
        sound=to_int16(samples),
        rig=rig,
        valence=np.zeros(frames, np.float32),
        arousal=np.zeros(frames, np.float32),
        intensity=np.zeros(frames, np.float32),
    )


def read_rig(file: Path) -> F32:
    """A recording's shapes as ARKit's [T, 52], 25 a second. Raises MienError."""
    try:
        with np.load(file, allow_pickle=False) as data:
            weights = data["weights"].astype(np.float32)
            names = [str(name) for name in data["names"]]
            fps = float(data["fps"])
        if weights.ndim != 2 or weights.shape[1] != len(names) or fps <= 0:
            raise ValueError(f"weights are {weights.shape} of {len(names)} names")
        rig = to_arkit(weights, names)
    except (OSError, ValueError, KeyError) as error:
        raise MienError(f"{file} cannot be read ({error})") from None
    return at_rate(rig, fps, FPS)


def to_arkit(weights: F32, names: list[str]) -> F32:
    """Recorded shapes [T, 28] as ARKit's [T, 52]."""
    at = {name: column for column, name in enumerate(names)}
    rig = np.zeros((len(weights), len(BLENDSHAPES)), np.float32)
    for name, texts in TO_ARKIT.items():
        closed: Any = 1.0
        for text in texts:
            mean = np.mean([weights[:, at[part]] for part in text.split()], axis=0)
            closed = closed * (1 - np.clip(mean, 0, 1))
        rig[:, BLENDSHAPES.index(name)] = 1 - closed
    return rig


def at_rate(rig: F32, fps: float, wanted_hz: float) -> F32:
    """Frames [T, 52] of one rate at another, between two in proportion."""
    last_s = (len(rig) - 1) / fps
    times_s = np.arange(int(last_s * wanted_hz) + 1) / wanted_hz
    at = np.arange(len(rig)) / fps
    return np.stack([np.interp(times_s, at, column) for column in rig.T], axis=1).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
