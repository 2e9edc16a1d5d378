"""Judge the first of two stages, rig for rig: `python -m training.evaluate rigs SHARDS ...`.

    python -m training.evaluate rigs SHARDS --split val test --judge FACES \\
        --run cdrl=runs/cdrl without-cerl=runs/without_cerl [--sync runs/lip_sync]

Sources are calm talk, references other takes, of the same person (intra-ID) or of somebody else
(cross-ID); rows are the source as it is, the reference's rig as it is, and runs of reference_rig.
FD is the Frechet distance to rigs that were recorded in the reference's emotion, LVE the mean
change of how far lips are apart, in jaws' openings, LSE-D by the sync expert of --sync. CSIM is the
cosine to the reference of what a judge says, and "read as" how often it names the reference's
emotion: a logistic regression on the rigs of labelled faces in --judge, other people than those
who are judged. Nothing is drawn, so realism and skin have no figure here.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from engine.errors import MienError, UsageError
from engine.types import F32
from face.types import BLENDSHAPES
from face.voice.lips import parted
from media.mel import RATE_HZ
from training import command
from training.data.clip import SPLITS, Clip, open_clips
from training.data.rig_speech import at_rate
from training.data.talk import STEP_SAMPLES, STEPS_HZ, Talk
from training.evaluation.readout import Ints, fitted
from training.evaluation.sync import AudioFeatureCache, Expert
from training.metrics.statistics import cosine, frechet_distance
from training.models.emotion_priors import PRIORS
from training.models.intensity import reading
from training.models.lip_sync import LipSync
from training.models.reference_rig import ReferenceRig
from training.models.visual import VisualEncoder
from training.restore import restore
from training.trainers.samples import Augmentation

SETTINGS: Final = ("intra", "cross")
Judge = Callable[[F32], F32]
"""rigs [N, 52] to a figure for each of PRIORS"""
Method = Callable[[F32, F32], F32]
"""the rigs [T, 52] of a source, and what was read of a reference [63], to the rigs to draw"""


@dataclass(frozen=True, eq=False)
class Asked:
    """A reference: its ``clip``, and what was read of the picture [63] that shows most."""

    clip: Clip
    read: F32


def main(argv: list[str]) -> int:
    parser = command.parser_of("training.evaluate rigs", __doc__)
    parser.add_argument("input", metavar="SHARDS", type=Path)
    parser.add_argument("--split", nargs="+", default=["val", "test"], help=" ".join(SPLITS))
    parser.add_argument("--judge", type=Path, required=True, help="shards of labelled faces")
    parser.add_argument("--visual", type=Path, required=True, help="a run of visual: who reads")
    parser.add_argument("--run", nargs="+", default=[], metavar="NAME=RUN", help="of reference_rig")
    parser.add_argument("--sync", type=Path, help="a run of lip_sync, for LSE-D")
    parser.add_argument("--out", type=Path, help="figures as JSON")
    options = parser.parse_args(argv)
    return command.run("evaluate rigs", lambda: rigs(options))


def rigs(options: argparse.Namespace) -> None:
    if unknown := set(options.split) - set(SPLITS):
        raise UsageError(f"a split is one of {', '.join(SPLITS)}, not {min(unknown)}")
    methods: dict[str, Method] = {"none": lambda rig, asked: rig, "rig copy": copied}
    for given in options.run:
        name, _, run = given.rpartition("=")
        methods[name or Path(run).name] = by(restore(Path(run), "reference_rig", ReferenceRig))
    net = restore(options.sync, "lip_sync", LipSync) if options.sync else None
    sync = Expert(net, AudioFeatureCache()) if net else None
    visual = restore(options.visual, "visual", VisualEncoder)
    clips = [
        clip
        for clip in open_clips(options.input).where(lambda info: info.split in options.split)
        if clip.found.any() and len(clip) > 1
    ]
    judge = judge_of(options.judge)
    figures = judged(clips, methods, judge, visual, sync)
    print(as_text(figures))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def copied(rig: F32, asked: F32) -> F32:
    return np.broadcast_to(asked[: len(BLENDSHAPES)], rig.shape).astype(np.float32)


def by(net: ReferenceRig) -> Method:
    def made(rig: F32, asked: F32) -> F32:
        with torch.no_grad():
            condition = torch.from_numpy(asked)[None].expand(len(rig), -1)
            out: F32 = net(torch.from_numpy(rig), condition).numpy()
        return out

    return made


def judge_of(folder: Path) -> Judge:
    """Fitted on the labelled faces of a folder. Raises MienError where there are too few."""
    rows, labels = list[F32](), list[Ints]()
    for clip in open_clips(folder).where(lambda info: info.emotion in PRIORS):
        if clip.found.any():
            rows.append(clip.blendshapes[clip.found])
            labels.append(np.full(len(rows[-1]), PRIORS.index(clip.info.emotion)))
    if len({int(own[0]) for own in labels}) < len(PRIORS):
        raise MienError(f"{folder} doesn't show all of {', '.join(PRIORS)}; give other faces")
    return fitted(np.concatenate(rows), np.concatenate(labels), len(PRIORS))


def judged(
    clips: Sequence[Clip],
    methods: Mapping[str, Method],
    judge: Judge,
    visual: VisualEncoder,
    sync: Expert | None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Figures by setting, row and name. Raises MienError where no two takes make a pair."""
    sources = [clip for clip in clips if clip.info.emotion in ("neutral", "")]
    asked = [read_of(clip, visual) for clip in clips if clip.info.emotion in PRIORS[1:]]
    out: dict[str, dict[str, dict[str, float]]] = {}
    for setting in SETTINGS:
        pairs = [
            (source, other)
            for emotion in PRIORS[1:]
            for source in sources
            if (other := _drawn(source, asked, emotion, setting == "intra")) is not None
        ]
        if pairs:
            out[setting] = {
                name: _figures(pairs, way, judge, sync) for name, way in methods.items()
            }
    if not out:
        raise MienError("no calm talk has a reference; prepare clips with labels")
    return out


def read_of(clip: Clip, visual: VisualEncoder) -> Asked:
    """The picture in the middle of what is felt most, or of the clip."""
    found = np.flatnonzero(clip.found)
    t = int(found[len(found) // 2])
    if clip.intensity is not None:
        t = int(found[int(np.argmax(clip.intensity[found]))])
    side = visual.size.crop_px
    crop = torch.from_numpy(Augmentation.plain(side).picture(clip.frame(t), side))[None]
    rig = torch.from_numpy(clip.blendshapes[t])[None]
    with torch.no_grad():
        seen = visual(crop, rig, visual.begin(1))
        readings = reading(seen.emotion, seen.valence_arousal, seen.intensity)
    return Asked(clip, torch.cat([rig, readings], dim=1)[0].numpy())


def _drawn(source: Clip, asked: Sequence[Asked], emotion: str, same: bool) -> Asked | None:
    """A reference of an emotion, by names alone."""
    info = source.info
    fitting = [
        one
        for one in asked
        if one.clip.info.emotion == emotion and (one.clip.info.subject == info.subject) == same
    ]
    draw = zlib.crc32(f"{info.key}>{emotion}".encode())
    return fitting[draw % len(fitting)] if fitting else None


def _figures(
    pairs: Sequence[tuple[Clip, Asked]], way: Method, judge: Judge, sync: Expert | None
) -> dict[str, float]:
    """Means over pairs; FD over emotions."""
    lips, alike, named, late = list[float](), list[float](), list[float](), list[float]()
    made: dict[str, list[F32]] = {}
    real: dict[str, list[F32]] = {}
    for source, asked in pairs:
        emotion = asked.clip.info.emotion
        rig = source.blendshapes[source.found]
        out = way(rig, asked.read)
        made.setdefault(emotion, []).append(out)
        real.setdefault(emotion, []).append(asked.clip.blendshapes[asked.clip.found])
        lips.append(float(np.abs(parted(out) - parted(rig)).mean()))
        predicted, target = judge(out), judge(asked.read[None, : len(BLENDSHAPES)])
        alike.append(cosine(predicted.mean(axis=0, keepdims=True), target))
        named.append(float((predicted.argmax(axis=1) == PRIORS.index(emotion)).mean()))
        if sync is not None and source.found.all() and len(source.sound) >= RATE_HZ:
            late.append(_apart(source, out, sync))
    apart = [frechet_distance(np.concatenate(made[e]), np.concatenate(real[e])) for e in made]
    figures = {"FD": apart, "LVE": lips, "LSE-D": late, "CSIM": alike, "read as": named}
    means = {name: float(np.mean(values)) for name, values in figures.items() if values}
    return means | {"pairs": float(len(pairs))}


def _apart(source: Clip, out: F32, sync: Expert) -> float:
    """LSE-D of rigs [T, 52] that say what a clip says."""
    dense = at_rate(out, source.fps, STEPS_HZ)
    steps = min(len(dense), len(source.sound) // STEP_SAMPLES)
    known = np.ones(steps, np.bool_)
    shapes = np.ones(len(BLENDSHAPES), np.bool_)
    sound = source.samples[: steps * STEP_SAMPLES]
    talk = Talk(source.info, sound, dense[:steps], known, shapes, np.zeros(52, np.float32))
    return sync(talk, dense[:steps]).distance


def as_text(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A table in Markdown for each setting."""
    tables = []
    for setting, rows in figures.items():
        names = [name for name in next(iter(rows.values())) if name != "pairs"]
        pairs = int(next(iter(rows.values()))["pairs"])
        lines = [f"| {setting}-ID, {pairs} pairs | " + " | ".join(names) + " |"]
        lines.append("| --- " * (1 + len(names)) + "|")
        for row, means in rows.items():
            lines.append(f"| {row} | " + " | ".join(f"{means[name]:.3f}" for name in names) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)
