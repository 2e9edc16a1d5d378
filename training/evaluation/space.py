"""What an emotion space says of people held out: `python -m training.evaluate space SHARDS ...`.

    python -m training.evaluate space LABELLED --space runs/emotion_space --split val test

Of crops, of the same faces' rigs and of voices, real people apart from synthetic heads: how often
the nearest of the space's emotions is the labelled one (mean over emotions; by chance one in as
many as it knows); how often of two other people's, one in the same emotion and one in another, the
former is nearer (by chance .5); the same of happy faces, happy ones and sad ones, and of a voice
and other people's crops. With no label asked: how often what is heard is nearer to the speaker's
own face at that moment than to another person's, and a crop to its own rig (by chance .5). Look at
these before a distance in the space, such as VE-FID, is believed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import MienError, UsageError
from engine.types import F32
from face.types import EMOTIONS
from training import command
from training.data.clip import SPLITS, Clip, open_clips
from training.data.talk import STEP_SAMPLES
from training.evaluation.watched import Place, Watcher
from training.labels import own_neutral
from training.metrics.statistics import mean_recall, ratio_interval, recall_interval
from training.models.audio_backbone import BACKBONE_WIDTH, pretrained_backbone
from training.models.emotion_space import STEPS_A_PICTURE, EmotionSpace, hearing_of
from training.restore import restore
from training.trainers.talks import heard

Array = NDArray[np.floating[Any]]
SIDES: Final = ("crop", "rig", "voice")
Places = dict[str, dict[str, list[Place]]]
"""of each kind of people, of each side"""


def main(argv: Sequence[str]) -> int:
    """The exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("training.evaluate space", __doc__)
    parser.add_argument("input", metavar="SHARDS", type=Path)
    parser.add_argument("--space", type=Path, required=True, help="a run of emotion_space")
    parser.add_argument("--split", nargs="+", default=["val", "test"], help=" ".join(SPLITS))
    parser.add_argument("--pictures", type=int, default=25, help="in a row, 25 a second")
    options = parser.parse_args(list(argv))
    return command.run("evaluate space", lambda: judge(options))


def judge(options: argparse.Namespace) -> None:
    """Look and listen, and print figures. Raises MienError."""
    if unknown := set(options.split) - set(SPLITS):
        raise UsageError(f"a split is one of {', '.join(SPLITS)}, not {min(unknown)}")
    if options.pictures < 1:
        raise UsageError(f"--pictures is at least 1, not {options.pictures}")
    space = restore(options.space, "emotion_space", EmotionSpace)
    clips = open_clips(options.input).where(lambda info: info.split in options.split)
    found = places_of(list(clips), space, options.pictures)
    if not any(side for sides in found.values() for side in sides.values()):
        raise MienError(f"{options.input} shows and says nothing in {' or '.join(options.split)}")
    known = [place for place in range(len(EMOTIONS)) if space.places[place].any()]
    for kind, sides in found.items():
        for side in SIDES:
            if any(one.info.emotion for one in sides[side]):
                print(f"{kind}, {side}: {labelled(sides[side], space.places.numpy(), known)}")
        voices, crops = (
            [one for one in sides[side] if one.info.emotion] for side in ("voice", "crop")
        )
        if voices and crops:
            to_crops = _share(nearer(voices, crops))
            print(f"{kind}, voice to crops of others: {to_crops} nearer to those of its emotion")
        for first, second in (("voice", "crop"), ("crop", "rig")):
            if {one.moment for one in sides[first]} & {one.moment for one in sides[second]}:
                print(f"{kind}, {first} to its own {second}: {together(sides, first, second)}")


def places_of(clips: Sequence[Clip], space: EmotionSpace, length: int) -> Places:
    """Of all that is seen and heard, ``length`` pictures at a time: crops, their rigs, voices (by
    the learned audio backbone, where the space was trained with it)."""
    watcher, hearing = Watcher(space), hearing_of(space.size)
    hears = space.size.width == BACKBONE_WIDTH
    if hears:
        old = hearing.backbone
        hearing.backbone = pretrained_backbone(old.layers, old.past, STEP_SAMPLES)
    rests = rests_of(clips)
    found: Places = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        sides = found["synthetic heads" if clip.info.synthetic else "real people"]
        for crop in watcher.places(clip, length):
            shapes = clip.blendshapes[crop.first : crop.first + length] - rests[clip.info.subject]
            rig = np.clip(shapes, 0, 1).repeat(STEPS_A_PICTURE, axis=0).astype(np.float32)
            with torch.no_grad():
                at = space(torch.from_numpy(rig)[None])[0].numpy()
            sides["crop"].append(crop)
            sides["rig"].append(Place(clip.info, at, crop.first))
        if hears and len(clip.sound) >= STEP_SAMPLES:
            steps = torch.from_numpy(heard(hearing, clip.samples).astype(np.float32))
            with torch.no_grad():
                z_TD = space.voice(steps[None])[0].numpy()
            for first in range(0, len(z_TD) // STEPS_A_PICTURE - length + 1, length):
                piece = z_TD[STEPS_A_PICTURE * first : STEPS_A_PICTURE * (first + length)]
                sides["voice"].append(Place(clip.info, piece.mean(axis=0), first))
    return found


def rests_of(clips: Sequence[Clip]) -> dict[str, F32]:
    """Everybody's own calm face [52]; of those known from stills alone that of all such people who
    look neutral."""
    frames: dict[str, list[F32]] = defaultdict(list)
    stills, moving = list[F32](), set[str]()
    for clip in clips:
        if clip.found.any():
            frames[clip.info.subject].append(clip.blendshapes[clip.found])
            moving |= {clip.info.subject} if len(clip) > 1 else set()
            if len(clip) == 1 and clip.info.emotion == "neutral":
                stills.append(clip.blendshapes)
    usual = np.concatenate(stills).mean(axis=0) if stills else None
    return {
        name: own_neutral(np.concatenate(own)) if name in moving or usual is None else usual
        for name, own in frames.items()
    }


def labelled(places: Sequence[Place], middles: F32, known: Sequence[int]) -> str:
    """What is said of labelled places by where emotions lie, and by each other."""
    own = [one for one in places if one.info.emotion]
    people = sorted({one.info.subject for one in own})
    confusions = np.zeros((len(people), len(EMOTIONS), len(EMOTIONS)), np.int64)
    for one in own:
        said = known[int(((middles[list(known)] - one.place) ** 2).sum(axis=1).argmin())]
        confusions[people.index(one.info.subject), EMOTIONS.index(one.info.emotion), said] += 1
    low, high = recall_interval(confusions)
    told = f"{float(mean_recall(confusions.sum(axis=0))):.2f} ({low:.2f} to {high:.2f})"
    pair = [one for one in own if one.info.emotion in ("happy", "sad")]
    happy = _share(nearer(pair, pair, "happy"))
    return (
        f"{told} are nearest to their emotion (chance {1 / len(known):.2f}), "
        f"{_share(nearer(own, own))} nearer to others of it than of another, happy to "
        f"happy than sad {happy}; {len(own)} of {len(people)} people"
    )


def nearer(
    asked: Sequence[Place], among: Sequence[Place], emotion: str = ""
) -> Iterator[tuple[str, float]]:
    """Of each place that is asked about, or of those of one ``emotion``: whose it is, and in what
    share of pairs of other people's places, one of its emotion and one of another, the first is
    nearer."""
    at = np.array([one.place for one in among])
    label = np.array([one.info.emotion for one in among])
    who = np.array([one.info.subject for one in among])
    for one in asked:
        apart = ((at - one.place) ** 2).sum(axis=1)
        others, alike = who != one.info.subject, label == one.info.emotion
        same, other = apart[others & alike], apart[others & ~alike]
        if emotion in ("", one.info.emotion) and len(same) and len(other):
            yield one.info.subject, _below(same, other)


def together(sides: dict[str, list[Place]], first: str, second: str) -> str:
    """How often what is told by one side is nearer to the other side of the same moment than to
    another person's."""
    theirs = {one.moment: one for one in sides[second]}
    at = np.stack([one.place for one in sides[second]])
    who = np.array([one.info.subject for one in sides[second]])
    rows = list[tuple[str, float]]()
    for one in sides[first]:
        others = at[who != one.info.subject]
        if one.moment in theirs and len(others):
            own = theirs[one.moment].place
            apart = ((np.stack([own, *others]) - one.place) ** 2).sum(axis=1)
            rows.append((one.info.subject, _below(apart[:1], apart[1:])))
    return f"{_share(rows)} than to another's (chance .50); {len(rows)} moments"


def _below(first: Array, second: Array) -> float:
    """The share of pairs in which the first is the smaller; equal ones count half."""
    order = np.sort(second)
    under, upto = (np.searchsorted(order, first, side) for side in ("left", "right"))
    return float(1 - (under + upto).mean() / 2 / len(second))


def _share(rows: Iterable[tuple[str, float]]) -> str:
    """The mean over people of theirs, and between what it may lie."""
    own: dict[str, list[float]] = defaultdict(list)
    for name, value in rows:
        own[name].append(value)
    if not own:
        return "-"
    means = np.array([np.mean(values) for values in own.values()])
    low, high = ratio_interval(means, np.ones(len(means)))
    return f"{means.mean():.2f} ({low:.2f} to {high:.2f})"
