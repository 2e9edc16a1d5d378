"""Calls as in real use, from clips: to calibrate int8 with, and to compare runtimes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from engine.errors import MienError
from engine.types import EMOTIONS, F32
from export.names import QUANTIZED
from export.networks import Call, Network, chained
from face.render.skin import INPUTS, places
from nodes.emotions import FEELING, worn
from training.models.ear import STEP_SAMPLES
from training.models.generator import IDENTITY_PX
from training.trainers.edits import Edits
from training.trainers.generator import CONDITIONS
from training.trainers.samples import Clips, Look, Sample
from training.trainers.skin import SkinTrainer

FRAMES_IN_A_ROW: Final = 8
HELD_OUT: Final = 3
"""of so many people one is held out where no split says who"""
KINDS: Final = (*EMOTIONS, "own")
"""edits in turn: made neutral, wearing each emotion, more or less of one's own"""

Identify = Callable[[Call], Call]
"""the network `identity`: a reference to who that is"""


@dataclass(frozen=True, eq=False)
class Asked:
    """An edit as the live path asks for it: the generator's ``call``, of what ``kind``, of whom,
    and where the face is [256, 256]."""

    call: Call
    kind: str
    subject: str
    face: F32


def divided(data: Path, name: str) -> tuple[Clips, Clips]:
    """Clips to calibrate with, and those of other people to compare on: the train split and the
    others; where there is only one, a part of its people. Raises MienError where all is one
    person's and the network is to be calibrated."""

    def fits(frames: int) -> bool:
        return frames > 0 or name == "speech"

    try:
        return (
            Clips(data, "train", lambda info, frames: fits(frames)),
            Clips(data, ("val", "test"), lambda info, frames: fits(frames)),
        )
    except MienError:
        every = Clips(data, ("train", "val", "test"), lambda info, frames: fits(frames))
    people = sorted({every.infos[index].subject for index in every.chosen})
    if len(people) < 2 and name not in QUANTIZED:
        return every, every
    if len(people) < 2:
        raise MienError(f"{data} shows one person; int8 is compared on others: prepare more")
    held = set(people[::HELD_OUT])
    splits = ("train", "val", "test")
    return (
        Clips(data, splits, lambda info, frames: fits(frames) and info.subject not in held),
        Clips(data, splits, lambda info, frames: fits(frames) and info.subject in held),
    )


def calls(
    network: Network, clips: Clips, count: int, identify: Identify | None = None, seed: int = 0
) -> list[Call]:
    """``count`` calls in a row; a generator's need its ``identify``. Raises MienError."""
    rng = np.random.default_rng(seed)
    if network.name == "generator":
        assert identify is not None
        return [edit.call for edit in edits(clips, count, identify, seed)]
    drawn = {"visual": _visual, "speech": _speech, "intensity": _intensity, "identity": _identity}
    return list(islice(chained(network, drawn[network.name](network, clips, rng)), count))


def skin_calls(data: Path, count: int, seed: int = 0) -> list[Call]:
    """``count`` calls of the skin network from photographs, EMOTION/PERSON_SESSION.jpg, each with
    the emotion that it becomes in turn. Raises MienError."""
    trainer, rng = SkinTrainer(data, "debug"), np.random.default_rng(seed)
    out: list[Call] = []
    while len(out) < count:
        drawn = trainer.draw(rng, 0)
        for row in range(len(drawn["rig"])):
            call = {name: drawn[name][row : row + 1] for name in INPUTS if name != "places"}
            out.append(call | {"places": places()[None]})
    return out[:count]


def edits(clips: Clips, count: int, identify: Identify, seed: int = 0) -> list[Asked]:
    """``count`` edits, of KINDS in turn, of faces as they come. Raises MienError."""
    rng, asks = np.random.default_rng(seed), Edits(clips, 0.0)
    out: list[Asked] = []
    for kind, sample in zip(_in_turn(), _faces(clips, rng), strict=False):
        if len(out) == count:
            break
        time = int(rng.choice(np.flatnonzero(sample.clip.found)))
        shapes, gone = np.zeros(len(FEELING), np.float32), 1.0
        if kind == "own":
            gone = float(rng.uniform(-1, 1))
        else:
            shapes = worn(kind) * np.float32(rng.uniform(0.4, 1))
        edit = asks.edit(sample, time, shapes, gone, rng, opens=float(rng.integers(2)))
        call = {name: edit[name][None].astype(np.float32) for name in CONDITIONS}
        call |= identify({"reference": edit["reference"][None]})
        face = (edit["weight"][0] < 1).astype(np.float32)
        out.append(Asked(call, kind, sample.clip.info.subject, face))
    return out


def _in_turn() -> Iterator[str]:
    while True:
        yield from KINDS


def _visual(network: Network, clips: Clips, rng: np.random.Generator) -> Iterator[Call]:
    side = network.inputs[0].shape[-1]
    look = Look.plain(side)
    for sample in _faces(clips, rng):
        clip = sample.clip
        found = np.flatnonzero(clip.found)
        start = int(rng.integers(len(found)))
        for position, t in enumerate(found[start : start + FRAMES_IN_A_ROW]):
            call = {
                "crop": look.picture(clip.frame(int(t)), side)[None],
                "rig": clip.blendshapes[t][None].astype(np.float32),
            }
            yield call if position else call | {"begin": np.ones(1, np.float32)}


def _speech(network: Network, clips: Clips, rng: np.random.Generator) -> Iterator[Call]:
    silent = 0
    while silent < 1000:
        sound = clips[clips.draw(rng)].clip.samples
        steps = len(sound) // STEP_SAMPLES
        silent = 0 if steps else silent + 1
        for step in range(steps):
            part = sound[step * STEP_SAMPLES : (step + 1) * STEP_SAMPLES][None]
            yield {"sound": part} if step else {"sound": part, "begin": np.ones(1, np.float32)}
    raise MienError("no clip has sound; give others with --data")


def _intensity(network: Network, clips: Clips, rng: np.random.Generator) -> Iterator[Call]:
    """Readings around the clips' own labels; the encoders needn't be at hand."""
    for sample in _faces(clips, rng):
        labels = sample.labels
        for t in np.flatnonzero(sample.clip.found)[:FRAMES_IN_A_ROW]:
            affect = np.array([labels.valence[t], labels.arousal[t], labels.intensity[t]])
            readings = []
            for _ in range(2):
                share = rng.dirichlet(np.full(8, 0.3))
                readings.append(np.concatenate([share, affect * rng.uniform(0.7, 1, 3)]))
            face, voice = (reading[None].astype(np.float32) for reading in readings)
            present = np.array([[1, rng.random() < 0.7]], np.float32)
            yield {"face": face, "voice": voice, "present": present}


def _identity(network: Network, clips: Clips, rng: np.random.Generator) -> Iterator[Call]:
    look = Look.plain(IDENTITY_PX)
    for sample in _faces(clips, rng):
        t = int(rng.choice(np.flatnonzero(sample.clip.found)))
        yield {"reference": look.picture(sample.clip.frame(t), IDENTITY_PX)[None]}


def _faces(clips: Clips, rng: np.random.Generator) -> Iterator[Sample]:
    unseen = 0
    while unseen < 1000:
        sample = clips[clips.draw(rng)]
        unseen = 0 if sample.clip.found.any() else unseen + 1
        if not unseen:
            yield sample
    raise MienError("no clip shows a face; give others with --data")
