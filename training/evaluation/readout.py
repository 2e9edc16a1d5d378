"""What representations tell to a straight line: `python -m training.evaluate readout SHARDS ...`.

    python -m training.evaluate readout SHARDS --split val test --content runs/content \\
        --rig-content runs/rig_content --emotion-priors runs/emotion_priors

Each representation is a row, that of emotion once of pictures and once of rigs, and so are what the
trunk sees of a picture, the rig and what the audio backbone hears, which the content is made of.
From each of them a linear read-out (multinomial logistic regression) tells the emotion that a take
is labelled with, and what its phones look like, of people it wasn't fitted on: a fifth of them at a
time. Figures are mean recalls, and what chance would tell. CDRL wants the emotion told by the
emotion representation and not by the content, and phones the other way round. Phones are the
recording's own, else pocketsphinx's; a still has none, and is told with a silence.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.errors import MienError, UsageError
from engine.types import F32, U8
from face.types import EMOTIONS
from training import command
from training.data.clip import FPS, SPLITS, Clip, Phone, open_clips, to_stderr
from training.data.phones import MOUTHS, phones_of
from training.data.talk import STEP_SAMPLES
from training.metrics.statistics import mean_recall, recall_interval
from training.models.audio_backbone import BACKBONE_WIDTH, pretrained_backbone
from training.models.content import STEPS, Content
from training.models.emotion_priors import EmotionPriors
from training.models.voice_rig import Hearing
from training.restore import M, restore
from training.trainers.lip_sync import AudioBackbonePlan, hearing_of
from training.trainers.moments import sound_at
from training.trainers.samples import Array, Augmentation
from training.trainers.talks import heard

Ints = NDArray[np.int64]
AUDIO_BACKBONE: Final = AudioBackbonePlan(width=BACKBONE_WIDTH, heads=8, layers=1, past=100)
FELT: Final = 0.3
"""intensity from which on a take whose truth is known shows its emotion"""
FOLDS: Final = 5
LEAST: Final = 3
"""people that a class is to be seen of"""
_WEIGHT: Final = 1e-2
_STEPS: Final = 50
_AT_ONCE: Final = 32
_MOUTHS: Final = tuple(dict.fromkeys(MOUTHS.values()))
CLASSES: Final[Mapping[str, Sequence[str]]] = {"emotion": EMOTIONS, "phones": _MOUTHS}


@dataclass(frozen=True)
class Runs:
    """Trained networks by the name of their row, where they are given."""

    content: Mapping[str, Content]
    priors: Mapping[str, EmotionPriors]


@dataclass(frozen=True, eq=False)
class Moments:
    """N moments: ``by`` row [N, D], ``person`` of each, what it is [N] of CLASSES; unknown: -1."""

    by: Mapping[str, F32]
    person: Sequence[str]
    truth: Mapping[str, Ints]


@dataclass(frozen=True)
class Figure:
    """Mean recall of a read-out with its 95 % interval, over so many looks of so many people, and
    what ``chance`` would tell."""

    recall: float
    low: float
    high: float
    looks: int
    people: int
    chance: float


def main(argv: list[str]) -> int:
    parser = command.parser_of("training.evaluate readout", __doc__)
    parser.add_argument("input", metavar="SHARDS", type=Path)
    parser.add_argument("--split", nargs="+", default=["val", "test"], help=" ".join(SPLITS))
    for name in ("content", "rig-content", "emotion-priors"):
        parser.add_argument(
            f"--{name}", nargs="+", default=[], metavar="[NAME=]RUN",
            help=f"runs of {name.replace('-', '_')}; each is a row of its own",
        )  # fmt: skip
    parser.add_argument("--every", type=int, default=3, help="take each n-th picture of a clip")
    parser.add_argument("--most", type=int, default=30, help="pictures of a clip at most")
    parser.add_argument(
        "--no-pictures", dest="pictures", action="store_false",
        help="of rigs and sounds alone, many moments in little time",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="figures as JSON")
    options = parser.parse_args(argv)
    return command.run("evaluate readout", lambda: readout(options))


def readout(options: argparse.Namespace) -> None:
    if unknown := set(options.split) - set(SPLITS):
        raise UsageError(f"a split is one of {', '.join(SPLITS)}, not {min(unknown)}")
    if options.content and not options.pictures:
        raise UsageError("--content is what pictures say; leave --no-pictures out")
    runs = Runs(
        {
            **_runs(options.content, "content", Content, "content"),
            **_runs(options.rig_content, "rig_content", Content, "content of rigs"),
        },
        _runs(options.emotion_priors, "emotion_priors", EmotionPriors, "emotion"),
    )
    hearing = hearing_of(AUDIO_BACKBONE)
    if any(net.size.features != hearing.features for net in runs.content.values()):
        raise MienError("that content hears with another audio backbone; train it anew")
    hearing.backbone = pretrained_backbone(AUDIO_BACKBONE.layers, AUDIO_BACKBONE.past, STEP_SAMPLES)
    moments = represented(
        options.input, options.split, runs, hearing, options.every, options.most, options.pictures
    )
    figures = {row: read(moments, row) for row in moments.by}
    print(as_text(figures))
    if options.out:
        made = {r: {c: vars(f) for c, f in row.items()} for r, row in figures.items()}
        options.out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def represented(
    folder: Path,
    splits: Sequence[str],
    runs: Runs,
    hearing: Hearing,
    every: int,
    most: int,
    pictures: bool = True,
) -> Moments:
    """All moments of a folder's clips in some splits. Raises MienError where there are none."""
    clips = open_clips(folder).where(lambda info: info.split in splits)
    rows: dict[str, list[F32]] = defaultdict(list)
    people: list[str] = []
    truth: dict[str, list[Ints]] = defaultdict(list)
    for clip in clips:
        frames = np.flatnonzero(clip.found)[:: max(1, every)][:most]
        if not len(frames):
            continue
        try:
            by = _by(clip, frames, runs, partial(heard, hearing), pictures)
        except MienError as error:
            to_stderr(f"left out: {error}")
            continue
        for name, values in by.items():
            rows[name].append(values)
        people += [clip.info.subject] * len(frames)
        truth["emotion"].append(_felt(clip, frames))
        truth["phones"].append(_said(clip, frames))
    if not people:
        raise MienError(f"{folder} has no face in its {' or '.join(splits)} split; prepare clips")
    return Moments(
        {name: np.concatenate(parts) for name, parts in rows.items()},
        people,
        {name: np.concatenate(parts) for name, parts in truth.items()},
    )


def _by(
    clip: Clip, frames: Ints, runs: Runs, hear: Callable[[F32], Array], look: bool
) -> dict[str, F32]:
    """What each representation says of some pictures [T, D]."""
    silent = len(clip.sound) < STEP_SAMPLES
    steps = hear(np.zeros(STEPS * STEP_SAMPLES, np.float32) if silent else clip.samples)
    sounds = torch.from_numpy(np.stack([sound_at(steps, 0 if silent else int(t)) for t in frames]))
    rigs = torch.from_numpy(clip.blendshapes[frames])
    out: dict[str, list[Tensor]] = defaultdict(list)
    sides = {net.size.crop_px for net in runs.content.values() if not net.size.rigged}
    sides |= {priors.size.crop_px for priors in runs.priors.values() if look}
    for start in range(0, len(frames), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        pictures = [clip.frame(int(t)) for t in frames[part]] if sides else []
        crops = {side: _crops(pictures, side) for side in sides}
        rig, sound = rigs[part], sounds[part]
        now = {"rig": rig, "sound": sound.mean(dim=1)}
        with torch.no_grad():
            for name, net in runs.content.items():
                seen = net.see(rig if net.size.rigged else crops[net.size.crop_px])
                if not net.size.rigged:
                    now["picture"] = F.adaptive_avg_pool2d(seen, 2).flatten(1)
                now[name] = net.answer(seen, net.ask(sound))
            for name, priors in runs.priors.items():
                if look:
                    now[name] = priors(crops[priors.size.crop_px])
                now[name.replace("emotion", "emotion of rigs", 1)] = priors.of_rig(rig)
        for name, values in now.items():
            out[name].append(values)
    return {name: torch.cat(parts).numpy() for name, parts in out.items()}


def _crops(pictures: Sequence[U8], side: int) -> Tensor:
    look = Augmentation.plain(side)
    return torch.from_numpy(np.stack([look.picture(picture, side) for picture in pictures]))


def _felt(clip: Clip, frames: Ints) -> Ints:
    if not clip.info.emotion:
        return np.full(len(frames), -1)
    emotion = EMOTIONS.index(clip.info.emotion)
    if clip.intensity is None or clip.info.emotion == "neutral":
        return np.full(len(frames), emotion)
    return np.where(clip.intensity[frames] >= FELT, emotion, -1)


def _said(clip: Clip, frames: Ints) -> Ints:
    out = np.full(len(frames), -1)
    phones: Sequence[Phone] = clip.phones or phones_of(clip.samples)
    for phone in phones:
        at = (frames + 0.5) / FPS
        if phone.name in MOUTHS:
            out[(at >= phone.start_s) & (at < phone.end_s)] = _MOUTHS.index(MOUTHS[phone.name])
    return out


def read(moments: Moments, row: str) -> dict[str, Figure]:
    """What a line tells from a representation: a figure each of what is known of enough people."""
    figures, person = {}, np.asarray(moments.person)
    for name, truth in moments.truth.items():
        seen = [
            kind for kind in range(len(CLASSES[name])) if _people(person, truth == kind) >= LEAST
        ]
        rows = np.flatnonzero(np.isin(truth, seen))
        if len(seen) < 2:
            continue
        labels = np.searchsorted(seen, truth[rows])
        who, index = np.unique(person[rows], return_inverse=True)
        confusions = np.zeros((len(who), len(seen), len(seen)), np.int64)
        x = moments.by[row][rows].astype(np.float32)
        for fold in range(min(FOLDS, len(who))):
            held = index % min(FOLDS, len(who)) == fold
            predicted = fitted(x[~held], labels[~held], len(seen))(x[held]).argmax(axis=1)
            np.add.at(confusions, (index[held], labels[held], predicted), 1)
        low, high = recall_interval(confusions)
        recall = float(mean_recall(confusions.sum(axis=0)))
        figures[name] = Figure(recall, low, high, len(rows), len(who), 1 / len(seen))
    return figures


def _people(person: NDArray[np.str_], there: NDArray[np.bool_]) -> int:
    return len(np.unique(person[there]))


def fitted(x: F32, label: Ints, classes: int) -> Callable[[F32], F32]:
    """A multinomial logistic regression in which classes count alike: features [N, D] to logits
    [N, C]."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-3
    count = np.bincount(label, minlength=classes)
    share = torch.from_numpy((1 / np.maximum(count, 1))[label].astype(np.float32))
    share /= share.sum()
    inputs, target = torch.from_numpy((x - mean) / spread), torch.from_numpy(label)
    line = torch.zeros(x.shape[1] + 1, classes, requires_grad=True)
    search = torch.optim.LBFGS([line], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def lost() -> Tensor:
        search.zero_grad()
        each = F.cross_entropy(inputs @ line[1:] + line[0], target, reduction="none")
        loss = (each * share).sum() + _WEIGHT * line[1:].square().sum() / 2
        torch.autograd.backward(loss)
        return loss

    search.step(lost)  # type: ignore[no-untyped-call]
    found = line.detach().numpy()
    return lambda rows: np.asarray((rows - mean) / spread @ found[1:] + found[0], np.float32)


def as_text(figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """The table in Markdown, and under it of how much it is."""
    columns = list(dict.fromkeys(name for row in figures.values() for name in row))
    if not columns:
        raise MienError(f"nothing is known of {LEAST} people or more; prepare labelled clips")
    lines = [
        "| representation | " + " | ".join(columns) + " |",
        "| --- " * (1 + len(columns)) + "|",
    ]
    for row, found in figures.items():
        cells = [
            f"{f.recall:.2f} ({f.low:.2f} to {f.high:.2f})" for f in (found[c] for c in columns)
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    some = next(iter(figures.values()))
    chance = [f"{some[name].chance:.2f}" for name in columns]
    lines.append("| chance | " + " | ".join(chance) + " |")
    told_of = [
        f"{name}: {some[name].looks} looks of {some[name].people} people" for name in columns
    ]
    return "\n".join([*lines, "", "; ".join(told_of) + ". Mean recall (95 %, people drawn anew)."])


def _runs(given: Sequence[str], recipe: str, kind: type[M], row: str) -> dict[str, M]:
    """Runs by the name of their row, that of NAME=RUN after it."""
    named = [one.rpartition("=") for one in given]
    return {f"{row}, {n}" if n else row: restore(Path(run), recipe, kind) for n, _, run in named}
