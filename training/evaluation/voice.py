"""Judge faces that voices move: `python -m training.evaluate voice SHARDS ...`.

    python -m training.evaluate voice SHARDS --split test --weights weights
    python -m training.evaluate voice SHARDS --flow full=runs/flow without-sync=runs/other \\
        --space runs/emotion_space --sync runs/lip_sync --rig runs/voice_rig

Each method is a row: the truth itself, the regression (--rig, a run), generators (--flow), and what
ships with --weights, given nothing, given the labelled feeling, or given what the speech encoder of
--speech hears, at its own intensity frame by frame (EAP's ERA) or always whole. Columns need what
they are named by: faces of clips for correlation and lips, phones for closures, labels for
emotions, --space for VE-FID, --sync for LSE. Neither the emotion space nor the sync expert is the
papers' network, and the judge of emotions reads shapes, not pictures.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from engine.errors import MienError
from engine.files import atomic_write
from engine.types import F32
from face.affect.answers import from_network
from face.affect.speech_steps import STEP_SAMPLES as SPEECH_SAMPLES
from face.emotions import amounts_in
from face.types import EMOTIONS
from face.voice.lips import parted
from face.voice.style import amplitude, gain
from inference.model import Model
from training import command
from training.data.clip import SPLITS, open_clips
from training.data.talk import JAW, MOUTH, STEP_SAMPLES, STEPS_HZ, Talk, talks_of
from training.evaluation.sync import AudioFeatureCache, Expert
from training.metrics import voice as metrics
from training.metrics.statistics import frechet_distance
from training.models.emotion_space import EmotionSpace
from training.models.lip_sync import LipSync
from training.models.voice_flow import VoiceFlow
from training.models.voice_rig import LOOK_AHEAD_STEPS, VoiceRigNet
from training.restore import restore
from training.trainers.talks import audible, kind_of, recording_of, stills_of

if TYPE_CHECKING:
    from face.voice.talking import VoiceRig

Method = Callable[[Talk], F32]
"""the face of a talk: shapes [T, 52], of the end of each step"""
STILLS: Final = 10
"""recordings that nobody speaks in, others than those that are learned from"""
QUIET_S: Final = 1.0


@dataclass(frozen=True)
class Judges:
    """Who tells of emotions and of lips in time, where they are given."""

    space: EmotionSpace | None = None
    expert: Expert | None = None
    features: AudioFeatureCache = field(default_factory=AudioFeatureCache)


@dataclass
class Row:
    """Figures of a method by name, and how many things each is of."""

    figures: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, values: Sequence[float]) -> None:
        """The mean of what is a number."""
        good = [value for value in values if np.isfinite(value)]
        if good:
            self.figures[name], self.counts[name] = float(np.mean(good)), len(good)


def main(argv: Sequence[str]) -> int:
    """The exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("training.evaluate voice", __doc__)
    parser.add_argument("input", metavar="SHARDS", type=Path)
    parser.add_argument("--split", default="", help="train, val or test; default: all")
    parser.add_argument("--sources", nargs="*", default=[], help="only clips of these")
    parser.add_argument("--rig", type=Path, help="a run of voice_rig")
    parser.add_argument(
        "--flow", nargs="*", default=[], metavar="NAME=RUN[,SPACE]", help="of voice_flow"
    )
    parser.add_argument("--weights", type=Path, help="a folder with voice_rig")
    parser.add_argument("--speech", type=Path, help="a folder with speech, to hear feelings by")
    parser.add_argument("--space", type=Path, help="a run of emotion_space, the judge")
    parser.add_argument("--sync", type=Path, help="a run of lip_sync, the judge")
    parser.add_argument("--every", type=int, default=1, help="take each n-th clip")
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args(list(argv))
    return command.run("evaluate", lambda: evaluate(options))


def evaluate(options: argparse.Namespace) -> None:
    """Judge, and print a table. Raises MienError."""
    if options.split and options.split not in SPLITS:
        raise MienError(f"a split is one of {', '.join(SPLITS)}, not {options.split}")
    talks = talks_in(options.input, options.split, options.sources, options.every)
    features = AudioFeatureCache()
    judges = Judges(
        restore(options.space, "emotion_space", EmotionSpace) if options.space else None,
        Expert(restore(options.sync, "lip_sync", LipSync), features) if options.sync else None,
        features,
    )
    rows = {
        name: judged(method, talks, judges, name != "truth")
        for name, method in methods(options, judges).items()
    }
    print(as_text(rows))
    if options.out:
        found = {name: {"figures": row.figures, "of": row.counts} for name, row in rows.items()}
        with atomic_write(options.out) as part:
            part.write_text(json.dumps(found, indent=1), encoding="utf-8")


def talks_in(folder: Path, split: str, sources: Sequence[str], every: int) -> list[Talk]:
    """The talk of a folder. Raises MienError where there is none."""
    clips = open_clips(folder)
    chosen = [
        index
        for index, info in enumerate(clips.infos)
        if split in ("", info.split) and (not sources or info.source in sources)
    ][:: max(1, every)]
    found = talks_of(clips[index] for index in chosen)
    talks = [talk for talk in found if len(talk) > STEPS_HZ and audible(talk)]
    if not talks:
        raise MienError(f"{folder} has no talk of that kind; prepare clips with faces or phones")
    return talks


def methods(options: argparse.Namespace, judges: Judges) -> dict[str, Method]:
    """What is compared, by name. Raises MienError."""
    found: dict[str, Method] = {"truth": truth}
    features = judges.features
    if options.rig:
        found["regression"] = regression(restore(options.rig, "voice_rig", VoiceRigNet), features)
    for given in options.flow:
        name, _, runs = given.rpartition("=")
        run, _, own = runs.partition(",")
        space = restore(Path(own), "emotion_space", EmotionSpace) if own else judges.space
        if space is None:
            raise MienError("a generator needs emotions: --space, or NAME=RUN,SPACE")
        net = restore(Path(run), "voice_flow", VoiceFlow)
        found[name or Path(run).name] = generated(net, space, features)
    if options.weights:
        found |= shipped(options.weights, options.speech)
    if len(found) < 2:
        raise MienError("nothing to judge: give --rig, --flow or --weights")
    return found


def truth(talk: Talk) -> F32:
    """What the face did."""
    rig = talk.rig if talk.felt is None else np.clip(talk.rig + talk.felt, 0, 1)
    return np.concatenate([rig[1:], rig[-1:]])


def regression(net: VoiceRigNet, features: AudioFeatureCache) -> Method:
    """The regression, with no feeling."""

    def prediction(talk: Talk) -> F32:
        with torch.no_grad():
            rig = net.follow(features(net.hearing, talk)).clamp(0, 1)
        return np.asarray(rig[0, LOOK_AHEAD_STEPS:][: len(talk)])

    return prediction


def generated(net: VoiceFlow, space: EmotionSpace, features: AudioFeatureCache) -> Method:
    """A generator that is given what the voice feels, in nobody's style."""

    def prediction(talk: Talk) -> F32:
        with torch.no_grad():
            heard = features(net.hearing, talk)
            style = torch.zeros(1, net.size.styles)
            rig = net.generate(heard, space.voice(heard), style).clamp(0, 1)
        return np.asarray(rig[0, LOOK_AHEAD_STEPS:][: len(talk)])

    return prediction


def shipped(weights: Path, speech: Path | None) -> dict[str, Method]:
    """What ships, as it is used live."""
    from face.voice.talking import VoiceRig

    rig = VoiceRig(Model(weights / "voice_rig", threads=1, log=lambda _: None))
    found: dict[str, Method] = {
        "live": lambda talk: stepped(rig, talk, None, None),
        "live, told its label": lambda talk: stepped(rig, talk, *labelled(talk)),
    }
    if speech:
        reader = Model(speech / "speech", threads=1, log=lambda _: None)
        found |= {
            "live, heard, whole": lambda talk: stepped(rig, talk, heard(reader, talk)[0], None),
            "live, heard, ERA": lambda talk: stepped(rig, talk, *heard(reader, talk)),
        }
    return found


def labelled(talk: Talk) -> tuple[F32, F32]:
    """The labelled feeling as probabilities [1, 8], and its level as an intensity [1]."""
    probabilities = np.zeros((1, len(EMOTIONS)), np.float32)
    probabilities[0, EMOTIONS.index(talk.info.emotion or "neutral")] = 1
    return probabilities, np.array([(0.7, 0.4, 0.7, 1.0)[talk.info.level]], np.float32)


def heard(reader: Model, talk: Talk) -> tuple[F32, F32]:
    """What the speech encoder says [S, 8] and how intense it is [S], each 40 ms."""
    state, probabilities, strength = reader.begin(), [], []
    steps = talk.sound[: len(talk.sound) // SPEECH_SAMPLES * SPEECH_SAMPLES]
    for step in [*steps.reshape(-1, SPEECH_SAMPLES), np.zeros(SPEECH_SAMPLES, np.float32)]:
        answer = reader(sound=step[None], **state)
        state = reader.carry(answer)
        affect = from_network(answer, "voice", 0)
        probabilities.append(affect.probabilities)
        strength.append(affect.intensity)
    return np.stack(probabilities)[1:], np.array(strength[1:], np.float32)


def stepped(rig: VoiceRig, talk: Talk, emotion: F32 | None, intensity: F32 | None) -> F32:
    """A talk in steps; feelings are given as often as they are known, whole where not how much."""
    rig.reset()
    quiet = np.zeros((LOOK_AHEAD_STEPS, STEP_SAMPLES), np.float32)
    out = []
    for step, sound in enumerate([*talk.sound.reshape(-1, STEP_SAMPLES), *quiet]):
        at = 0 if emotion is None else min(step * len(emotion) // len(talk), len(emotion) - 1)
        felt = None if emotion is None else emotion[at]
        strength = 1.0 if intensity is None else float(intensity[at])
        out.append(rig.step(sound, felt, strength))
    return np.stack(out[LOOK_AHEAD_STEPS:])


def judged(method: Method, talks: Sequence[Talk], judges: Judges, unspoken: bool) -> Row:
    """All figures of a method; ``unspoken``: also of what nobody says and of silence."""
    row, made = Row(), [(talk, method(talk)) for talk in talks]
    faces = [
        (talk, prediction)
        for talk, prediction in made
        if kind_of(talk.info) in ("tracked", "rigged")
    ]
    _against_truth(row, faces)
    row.add("closed at p b m", [float(x) for t, s in made for x in metrics.closures(s, t.phones)])
    _felt(row, made, judges.space)
    if judges.expert is not None:
        _in_sync(row, faces, judges.expert)
    if unspoken:
        still = [method(talk) for talk in stills_of(STILLS, seed=8)]
        row.add("open in noise", [metrics.opens_share(prediction) for prediction in still])
        row.add("shut within ms", [_shuts(method, talk) for talk, _ in faces])
    return row


def _against_truth(row: Row, faces: Sequence[tuple[Talk, F32]]) -> None:
    recordings: dict[str, list[tuple[F32, F32, Talk]]] = defaultdict(list)
    for talk, prediction in faces:
        now = truth(talk)
        recordings[recording_of(talk.info)].append((prediction[talk.known], now[talk.known], talk))
    columns: dict[str, list[float]] = defaultdict(list)
    for pieces in recordings.values():
        prediction, now = (np.concatenate([piece[i] for piece in pieces]) for i in range(2))
        if len(prediction) < STEPS_HZ:
            continue
        shapes = pieces[0][2].shapes
        columns["jaw r"].append(metrics.correlation(prediction[:, JAW], now[:, JAW]))
        columns["lips r"].append(metrics.correlation(parted(prediction), parted(now)))
        late, agrees = metrics.offset_ms(parted(prediction), parted(now))
        columns["lips late ms"].append(late)
        columns["lips r, in step"].append(agrees)
        moved = round(late * STEPS_HZ / 1000)
        a, b = metrics.moved(prediction, now, moved)
        columns["jaw r, in step"].append(metrics.correlation(a[:, JAW], b[:, JAW]))
        columns["mouth MAE"].append(metrics.error(prediction, now, shapes & MOUTH))
        own = gain(amplitude(now), np.maximum(amplitude(prediction), 0.01))
        columns["mouth MAE, own gain"].append(metrics.error(prediction * own, now, shapes & MOUTH))
        only = shapes.astype(np.float32)
        eyes, mm = metrics.lip_error(prediction * only, now * only)
        columns["LVE eyes"].append(eyes)
        columns["LVE mm"].append(mm)
    for name, values in columns.items():
        row.add(name, values)


def _shuts(method: Method, talk: Talk) -> float:
    """How long after a talk that is cut off the mouth is shut."""
    from dataclasses import replace

    steps = round(QUIET_S * STEPS_HZ)
    half = len(talk) // 2
    sound = np.concatenate([talk.sound[: half * STEP_SAMPLES], np.zeros(steps * STEP_SAMPLES)])
    cut = replace(
        talk, sound=sound.astype(np.float32), rig=np.zeros((half + steps, 52), np.float32),
        known=np.ones(half + steps, np.bool_), felt=None,
    )  # fmt: skip
    return metrics.shuts_after_ms(method(cut), half)


def _felt(row: Row, made: Sequence[tuple[Talk, F32]], space: EmotionSpace | None) -> None:
    """Emotions: VE-FID over what has a truth, which emotion is read, how much levels differ."""
    labels = [(talk, prediction) for talk, prediction in made if talk.info.emotion]
    if space is not None and len(made) > 1:
        row.figures["VE-FID"] = 100 * frechet_distance(
            places(space, [prediction for _, prediction in made]),
            places(space, [truth(t) for t, _ in made]),
        )
        row.counts["VE-FID"] = len(made)
    names = [index for index, name in enumerate(EMOTIONS) if name != "neutral"]
    right, strength = [], dict[tuple[str, ...], dict[int, float]]()
    for talk, prediction in labels:
        info, amounts = talk.info, amounts_in(prediction[len(prediction) // 3 :].mean(axis=0))
        if info.emotion != "neutral":
            best = names[int(np.argmax(amounts[names]))]
            right.append(float(EMOTIONS[best] == info.emotion and amounts[best] > 0.1))
        pair = (info.key.split("-")[0], info.emotion, info.sentence, info.take, recording_key(talk))
        strength.setdefault(pair, {})[info.level] = float(amounts.sum())
    row.add("emotion read", right)
    pairs = [felt for felt in strength.values() if len(felt) > 1]
    row.add("strong above normal", [float(felt[max(felt)] > felt[min(felt)]) for felt in pairs])
    if labels:
        spread = np.stack([prediction.mean(axis=0) for _, prediction in labels]).std(axis=0)
        row.figures["diversity"], row.counts["diversity"] = float(spread.mean()), len(labels)


def recording_key(talk: Talk) -> str:
    """Who acted it, as far as a key tells, since voices without a face share a speaker."""
    return talk.info.key.rpartition("-")[0][-2:]


def places(space: EmotionSpace, rigs: Sequence[F32]) -> F32:
    """Where in the emotion space rigs lie, step by step."""
    with torch.no_grad():
        return np.concatenate([space(torch.from_numpy(rig)[None]).numpy() for rig in rigs])


def _in_sync(row: Row, faces: Sequence[tuple[Talk, F32]], expert: Expert) -> None:
    """LSE-D and LSE-C by the expert."""
    heard = [expert(talk, prediction) for talk, prediction in faces]
    row.add("LSE-D", [one.distance for one in heard])
    row.add("LSE-C", [one.confidence for one in heard])
    row.add("late by expert ms", [one.late_ms for one in heard])


def as_text(rows: Mapping[str, Row]) -> str:
    """A table: a line for each figure, a column for each method."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row.figures))
    body = [[name, *(_number(row.figures.get(name)) for row in rows.values())] for name in names]
    head = ["", *rows]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *body]
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
