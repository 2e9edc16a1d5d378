"""What ten seconds of a speaker are good for: `python -m training.evaluate style SHARDS --rig RUN`.

Of each tracked speaker the first seconds tell a style (`face/voice/style.py`), and the rest is
judged: the regression in the usual style with the others' mean rest, in the speaker's own, and in
each other speaker's. Mouth MAE and LVE are of faces as they were tracked, rest and all; with
--space VE-FID, too, over everybody. Intervals are of people drawn anew.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import F32
from face.voice.style import Style, style_of
from training import command
from training.data.talk import MOUTH, STEPS_HZ, Talk, speaker_of
from training.evaluation.sync import AudioFeatureCache
from training.evaluation.voice import Method, places, regression, talks_in
from training.metrics import voice as metrics
from training.metrics.statistics import frechet_distance, ratio_interval
from training.models.emotion_space import EmotionSpace
from training.models.voice_rig import VoiceRigNet
from training.restore import restore
from training.trainers.talks import kind_of

STYLES: Final = ("usual", "own", "another's")
LEAST_S: Final = 3.0
"""that are left to be judged"""


@dataclass(frozen=True, eq=False)
class Speaker:
    """``style`` of the first seconds; of the rest what the face did [T, 52], what is made of the
    sound in the usual style [T, 52], and which shapes are known [52]."""

    name: str
    style: Style
    truth: F32
    prediction: F32
    shapes: NDArray[np.bool_]

    def in_style(self, style: Style) -> F32:
        return np.asarray(np.clip(self.prediction * style.gain + style.rest, 0, 1), np.float32)


def main(argv: Sequence[str]) -> int:
    """The exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("training.evaluate style", __doc__)
    parser.add_argument("input", metavar="SHARDS", type=Path)
    parser.add_argument("--split", nargs="+", default=["val", "test"], help="train, val, test")
    parser.add_argument("--rig", type=Path, required=True, help="a run of voice_rig")
    parser.add_argument("--space", type=Path, help="a run of emotion_space, for VE-FID")
    parser.add_argument("--seconds", type=float, default=10.0, help="that tell a style")
    options = parser.parse_args(list(argv))
    return command.run("evaluate style", lambda: style(options))


def style(options: argparse.Namespace) -> None:
    """Judge, and print a table. Raises MienError."""
    talks = [talk for split in options.split for talk in talks_in(options.input, split, [], 1)]
    net = restore(options.rig, "voice_rig", VoiceRigNet)
    usual = np.asarray(net.usual.numpy(), np.float32)
    say = regression(net, AudioFeatureCache())
    speakers = speakers_of(talks, say, usual, round(options.seconds * STEPS_HZ))
    if len(speakers) < 2:
        raise MienError(f"{options.input} has no two people who talk for so long; prepare others")
    space = restore(options.space, "emotion_space", EmotionSpace) if options.space else None
    print(as_text(speakers, space))


def speakers_of(talks: Sequence[Talk], say: Method, usual: F32, steps: int) -> list[Speaker]:
    """Those tracked people of whom more than ``steps`` are known."""
    own: dict[str, list[tuple[F32, F32, Talk]]] = defaultdict(list)
    for talk in talks:
        if kind_of(talk.info) == "tracked":
            face, prediction = talk.rig + talk.rest, say(talk)
            seen = talk.known[1:] & talk.known[:-1]
            pair = face[1:][seen], prediction[: len(talk) - 1][seen]
            own[speaker_of(talk.info)].append((*pair, talk))
    found = []
    for name, pieces in own.items():
        face, prediction = (np.concatenate([piece[i] for piece in pieces]) for i in range(2))
        if len(face) >= steps + LEAST_S * STEPS_HZ:
            first = style_of(face[:steps], usual)
            shapes = pieces[0][2].shapes
            found.append(Speaker(name, first, face[steps:], prediction[steps:], shapes))
    return found


def made(speaker: Speaker, others: Sequence[Speaker], kind: str) -> list[F32]:
    """The speaker's face by a kind of style; one for each of the others, where it is theirs."""
    if kind == "own":
        return [speaker.in_style(speaker.style)]
    if kind == "another's":
        return [speaker.in_style(other.style) for other in others]
    rest = np.mean([other.style.rest for other in others], axis=0)
    return [speaker.in_style(Style(np.ones_like(rest), rest.astype(np.float32)))]


def as_text(speakers: Sequence[Speaker], space: EmotionSpace | None) -> str:
    """A table in Markdown."""
    names = ["mouth MAE", "LVE eyes", "LVE mm", *(["VE-FID"] if space else [])]
    seconds = sum(len(one.truth) for one in speakers) / STEPS_HZ
    lines = [f"| {len(speakers)} people, {seconds:.0f} s | " + " | ".join(names) + " |"]
    lines.append("| --- " * (1 + len(names)) + "|")
    first: F32 | None = None
    for kind in STYLES:
        rows, faces = list[F32](), list[F32]()
        for one in speakers:
            others = [other for other in speakers if other is not one]
            now = made(one, others, kind)
            rows.append(np.mean([_figures(one, face) for face in now], axis=0))
            faces += now
        table = np.stack(rows)
        lines.append(f"| {kind} | " + " | ".join(_cells(table)))
        if space is not None:
            real = places(space, [one.truth for one in speakers])
            lines[-1] += f" | {100 * frechet_distance(places(space, faces), real):.1f}"
        lines[-1] += " |"
        if first is None:
            first = table
        else:
            lines.append(f"| {kind}, less usual | " + " | ".join(_cells(table - first)))
            lines[-1] += " | |" if space else " |"
    return "\n".join(lines)


def _figures(speaker: Speaker, face: F32) -> tuple[float, float, float]:
    only = speaker.shapes.astype(np.float32)
    mae = metrics.error(face, speaker.truth, speaker.shapes & MOUTH)
    return mae, *metrics.lip_error(face * only, speaker.truth * only)


def _cells(table_PF: F32) -> list[str]:
    """Means over people, and between what they may lie."""
    found = []
    for values in table_PF.T:
        low, high = ratio_interval(values, np.ones(len(values)))
        found.append(f"{values.mean():.3f} ({low:.3f} to {high:.3f})")
    return found
