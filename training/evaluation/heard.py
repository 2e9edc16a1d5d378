"""Follow feelings from voices to drawn faces: `python -m training.evaluate heard SHARDS ...`.

    python -m training.evaluate heard RAVDESS --portraits FACES --speech weights
    python -m training.evaluate heard VOICES --portraits FACES --sources ravdess \\
        --speech "folds/{}" --folds 4 --of emodb ravdess
    python -m training.evaluate heard RAVDESS --portraits FACES --speech weights \\
        --space runs/emotion_space --real LABELLED

Each labelled voice goes through the nodes of `file VOICE --portrait FACE`. At each stage it is
asked which feeling that is, of four: what the encoder of the voice says, the expression that the
face is told to wear, its shapes (the nearest mixture of prototypes), and what is drawn, as the
emotion judge reads it in a few pictures of each portrait (then also of all that it knows, neutral
among them). Rows are the voice by itself, the same told its label, and nothing worn, which is
what a judge says of the portraits anyway. The last columns tell in how many pairs of takes, alike
but for their level, the stronger one shows more. With --folds, people are divided as
`training.evaluate_readers speech --folds` divides them, and folder K of --speech is of the reader
that never heard those of fold K. With --space and --real, half a second of pictures is drawn at
each moment, and a second table is VE-FID of pictures: how far those of each way are from real
people's calm and emotional faces (labelled clips of the val and test splits of --real).
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from engine.errors import MienError, UsageError
from engine.files import atomic_write
from engine.types import F32, AudioFrame
from face.emotions import amounts_in
from face.types import EMOTIONS, Affect, FaceRig
from media.mel import RATE_HZ
from nodes.face.face_tracker import FaceTracker
from nodes.face.portrait import Portrait
from nodes.face.voice_face import VoiceFace
from nodes.readers.voice_reader import VoiceReader
from training import command
from training.data.clip import STEP_NS, Clip, ClipInfo, StoredClips, open_clips
from training.data.track import frames_of
from training.evaluation import watched
from training.evaluation.reader_figures import VOICES
from training.evaluation.renderers import ready, to_frames
from training.evaluation.watched import Place, Watcher
from training.metrics.networks import Judge, judges
from training.metrics.statistics import ratio_interval
from training.models.emotion_space import EmotionSpace
from training.people import folds
from training.restore import restore

ASKED: Final = ("angry", "fear", "happy", "sad")
STAGES: Final = ("heard", "asked", "shapes", "drawn")
OF_ALL: Final = "drawn, of all"
WAYS: Final = ("voice", "label", "nothing")
LEVELS: Final = (0.7, 0.4, 0.7, 1.0)
"""how strongly a label is worn, by its level; 0: unknown"""
AHEAD_MS: Final = 1600
"""by how much a file's face knows what the voice will feel"""
RUN: Final = 12
"""pictures in a row, 40 ms each, that VE-FID is of"""
BLOCK: Final = RATE_HZ * STEP_NS // 1_000_000_000
NEUTRAL: Final = EMOTIONS.index("neutral")


@dataclass(frozen=True, eq=False)
class Followed:
    """Of a voice on one way: how likely each emotion is [8] at each stage that there is, by name;
    neutral counts at ``heard`` and ``drawn``."""

    clip: Clip
    way: str
    stages: Mapping[str, F32]
    places: Sequence[Place] = ()
    """of what is drawn, in the emotion space"""

    def right(self, stage: str) -> float:
        """Whether the labelled emotion is the first of those asked about."""
        names = EMOTIONS if stage == OF_ALL else ASKED
        shares = self.stages[stage.split(",")[0]][[EMOTIONS.index(name) for name in names]]
        return float(shares.max() > 0 and names[int(shares.argmax())] == self.clip.info.emotion)

    def strength(self, stage: str) -> float:
        """How much is felt, whatever it is."""
        shares = self.stages[stage]
        return float(1 - shares[NEUTRAL] if stage in ("heard", "drawn") else shares.sum())


class Stage:
    """Portraits, and who looks at them."""

    def __init__(
        self,
        portraits: Sequence[Path],
        judge: Judge,
        moments: int,
        watcher: Watcher | None = None,
    ) -> None:
        self._portraits = [ready(Portrait, path=str(path), threads=1) for path in portraits]
        self._tracker = ready(FaceTracker, smoothing=0.0, search_interval_ms=0.0)
        self._judge, self._moments, self._watcher = judge, moments, watcher

    def shown(self, rigs: Sequence[FaceRig]) -> F32:
        """What the judge says [8] of some moments of a voice, over all portraits."""
        said = []
        for at in self._when(rigs):
            for portrait in self._portraits:
                pixels = portrait.process(rigs[at]).pixels
                track = self._tracker.process(frame=to_frames([pixels], "look")[0])
                if track.found:
                    said.append(self._judge(pixels, track.landmarks)["emotion"])
        if not said:
            raise MienError("no face is found in what is drawn; give other portraits")
        return np.asarray(np.nan_to_num(np.mean(said, axis=0)), np.float32)

    def _when(self, rigs: Sequence[FaceRig]) -> list[int]:
        first, last = len(rigs) // 3, len(rigs) - 1
        return [int(at) for at in np.linspace(first, last, self._moments + 2)[1:-1]]

    def watched(self, rigs: Sequence[FaceRig], info: ClipInfo) -> Iterator[Place]:
        """Where half a second of pictures from each moment on lies, of each portrait."""
        if self._watcher is None:
            return
        for at in self._when(rigs):
            for portrait in self._portraits:
                self._tracker.reset()
                drawn = (portrait.process(rig).pixels for rig in rigs[at : at + RUN])
                seen = list(frames_of(self._tracker, drawn))
                if seen and all(track.found for _, track in seen):
                    yield Place(info, self._watcher([crop for crop, _ in seen]))

    def close(self) -> None:
        for node in (*self._portraits, self._tracker):
            node.close()


def main(argv: Sequence[str]) -> int:
    """The exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("training.evaluate heard", __doc__)
    parser.add_argument("input", metavar="SHARDS", type=Path)
    parser.add_argument("--portraits", nargs="+", type=Path, required=True, help="calm pictures")
    parser.add_argument("--speech", default="", help="a folder with speech; default: what ships")
    parser.add_argument("--folds", type=int, default=0, help="folders of --speech")
    parser.add_argument("--of", nargs="*", default=[], help="sources whose people folds divide")
    parser.add_argument("--sources", nargs="*", default=[], help="only voices of these")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), help=" ".join(WAYS))
    parser.add_argument(
        "--gain", type=float, default=VoiceFace.Config().voice_gain, help="voice_face.voice_gain"
    )
    parser.add_argument("--moments", type=int, default=3, help="pictures of each portrait")
    parser.add_argument("--every", type=int, default=1, help="take each n-th pair of takes")
    parser.add_argument("--space", type=Path, help="a run of emotion_space, for VE-FID")
    parser.add_argument("--real", type=Path, help="shards of labelled real talk, for VE-FID")
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args(list(argv))
    return command.run("evaluate heard", lambda: heard(options))


def heard(options: argparse.Namespace) -> None:
    """Follow, and print a table. Raises MienError."""
    if unknown := set(options.ways) - set(WAYS):
        raise UsageError(f"a way is one of {', '.join(WAYS)}, not {min(unknown)}")
    if bool(options.space) != bool(options.real):
        raise UsageError("VE-FID takes --space and --real")
    watcher, real = None, list[Place]()
    if options.space:
        watcher = Watcher(restore(options.space, "emotion_space", EmotionSpace))
        real = talk_of(open_clips(options.real), watcher)
    every = open_clips(options.input)
    readers = readers_of(every, options)
    sources = options.sources or {info.source for info in every.infos}
    acted = every.where(
        lambda info: info.emotion in ASKED and info.source in sources and info.subject in readers
    )
    pairs = defaultdict[tuple[str, ...], list[Clip]](list)
    for clip in acted:
        if len(clip.sound):
            pairs[_pair(clip.info)].append(clip)
    mixed = sorted(pairs, key=lambda pair: zlib.crc32(repr(pair).encode()))
    clips = [clip for pair in mixed[:: max(1, options.every)] for clip in pairs[pair]]
    if not clips:
        raise MienError(f"{options.input} has no voice that is {', '.join(ASKED)}; prepare others")
    stage = Stage(options.portraits, judges(["emotion"])[0], options.moments, watcher)
    rows = list(followed(clips, options.ways, readers, stage, options.gain))
    stage.close()
    print(as_text(rows))
    if watcher:
        drawn = {way: [one for row in rows if row.way == way for one in row.places] for way in WAYS}
        print(watched.as_text({way: own for way, own in drawn.items() if own}, real))
    if options.out:
        told = [
            {"key": row.clip.info.key, "way": row.way}
            | {name: [round(float(x), 4) for x in row.stages[name]] for name in row.stages}
            for row in rows
        ]
        with atomic_write(options.out) as part:
            part.write_text(json.dumps(told), encoding="utf-8")


def talk_of(clips: StoredClips, watcher: Watcher) -> list[Place]:
    """Real people's labelled talk, half seconds of it, of those held out. Raises MienError."""
    talk = clips.where(
        lambda info: info.split != "train" and info.emotion != "" and not info.synthetic
    )
    found = [one for clip in talk if len(clip) > 1 for one in watcher.places(clip, RUN)]
    if not found:
        raise MienError("--real has no labelled film of real people in its val and test splits")
    return found


def readers_of(clips: StoredClips, options: argparse.Namespace) -> dict[str, str]:
    """The folder of who hears each speaker. Raises UsageError."""
    labels: dict[str, list[str]] = defaultdict(list)
    for info in clips.infos:
        if info.label in VOICES and (not options.of or info.source in options.of):
            labels[info.subject].append(info.label)
    if not options.folds:
        return dict.fromkeys(labels, options.speech)
    if "{}" not in options.speech:
        raise UsageError("--folds takes --speech with {} in the place of a fold's number")
    return {
        name: options.speech.replace("{}", str(fold))
        for name, fold in folds(labels, options.folds, 0).items()
    }


def followed(
    clips: Sequence[Clip],
    ways: Sequence[str],
    readers: Mapping[str, str],
    stage: Stage,
    gain: float,
) -> Iterator[Followed]:
    """Each voice on each way."""
    face: VoiceFace = ready(VoiceFace, feels_ahead_ms=AHEAD_MS, voice_gain=gain)
    hearers: dict[str, VoiceReader] = {}
    for clip in clips:
        for way in ways:
            folder = readers[clip.info.subject]
            if way == "voice" and folder not in hearers:
                hearers[folder] = ready(VoiceReader, weights=folder)
            felt, rigs = face_of(clip, face, way, hearers[folder] if way == "voice" else None)
            later = rigs[len(rigs) // 3 :]
            made = np.mean([rig.blendshapes for rig in later], axis=0)
            stages = {
                "asked": np.mean([rig.expression for rig in later], axis=0),
                "shapes": amounts_in(np.asarray(made, np.float32)),
                "drawn": stage.shown(rigs),
            }
            if felt:
                said = felt[len(felt) // 3 :]
                stages["heard"] = np.mean([affect.probabilities for affect in said], axis=0)
            yield Followed(clip, way, stages, tuple(stage.watched(rigs, clip.info)))
    for node in (face, *hearers.values()):
        node.close()


def face_of(
    clip: Clip, face: VoiceFace, way: str, reader: VoiceReader | None
) -> tuple[list[Affect], list[FaceRig]]:
    """What is heard in a voice, and the face that it moves, as a file's graph has it."""
    level = LEVELS[clip.info.level] if way == "label" else 0.0
    mode: Literal["voice", "emotion"] = "voice" if way == "voice" else "emotion"
    asked: Any = clip.info.emotion
    face.reconfigure(replace(face.config, mode=mode, emotion=asked, intensity=level))
    face.reset()
    heard_of, rigs = list[Affect](), list[FaceRig]()

    def hear(affects: Iterator[Affect]) -> None:
        for affect in affects:
            face.on_voice(affect)
            if affect.known:
                heard_of.append(affect)

    samples = (np.clip(clip.samples, -1, 1) * 32767).astype(np.int16)[:, None]
    if reader is not None:
        reader.reset()
    for number, first in enumerate(range(0, len(samples), BLOCK)):
        block = AudioFrame(
            capture_ns=number * STEP_NS, samples=samples[first : first + BLOCK], rate_hz=RATE_HZ
        )
        if reader is not None:
            hear(reader.process(block))
        rigs += face.process(block)
    if reader is not None:
        hear(reader.finish())
    rigs += face.finish()
    return heard_of, rigs


@dataclass
class Counted:
    """Of each speaker: how often something holds, and of how many."""

    over: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    under: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, speaker: str, holds: float) -> None:
        self.over[speaker] += holds
        self.under[speaker] += 1

    def __str__(self) -> str:
        over, under = (np.array([part[s] for s in self.under]) for part in (self.over, self.under))
        low, high = ratio_interval(over, under)
        return f"{over.sum() / under.sum():.2f} ({low:.2f} to {high:.2f})"


def as_text(rows: Sequence[Followed]) -> str:
    """A table in Markdown: shares of voices, with what 95 % of draws of speakers give."""
    count = len({row.clip.info.key for row in rows})
    titles = [*STAGES, OF_ALL, *(f"{stage}, stronger shows more" for stage in STAGES)]
    lines = [f"| {count} voices | {' | '.join(titles)} |", "| --- " * (1 + len(titles)) + "|"]
    for way in dict.fromkeys(row.way for row in rows):
        mine = [row for row in rows if row.way == way]
        cells = []
        for stage in (*STAGES, OF_ALL):
            known = [row for row in mine if stage.split(",")[0] in row.stages]
            cells.append(_right(known, stage))
        for stage in STAGES:
            cells.append(_stronger([row for row in mine if stage in row.stages], stage))
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _right(rows: Sequence[Followed], stage: str) -> str:
    counted = Counted()
    for row in rows:
        counted.add(row.clip.info.subject, row.right(stage))
    return str(counted) if rows else "-"


def _stronger(rows: Sequence[Followed], stage: str) -> str:
    """Over pairs of takes that are alike but for their level."""
    pairs: dict[tuple[str, ...], dict[int, float]] = defaultdict(dict)
    for row in rows:
        info = row.clip.info
        pairs[info.subject, info.emotion, info.sentence, info.take][info.level] = row.strength(
            stage
        )
    counted = Counted()
    for (speaker, *_), levels in pairs.items():
        if len(levels) > 1:
            counted.add(speaker, float(levels[max(levels)] > levels[min(levels)]))
    return str(counted) if counted.under else "-"


def _pair(info: ClipInfo) -> tuple[str, ...]:
    """What takes share that are alike but for their level."""
    return info.subject, info.emotion, info.sentence, info.take
