"""Calls as in real use: to calibrate int8 with, and to compare runtimes on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.errors import MienError
from export.faces import Faces
from export.names import QUANTIZED
from export.networks import Call, Network, chained
from training.data.own import portraits, source_of
from training.models.ear import STEP_SAMPLES
from training.trainers.samples import Clips, Look, Sample

FRAMES_IN_A_ROW: Final = 8
HELD_OUT: Final = 3
"""of so many people one is held out where no split says who"""

Source = Clips | Faces
"""what calls are made of"""


def divided(data: Path, name: str) -> tuple[Source, Source]:
    """What to calibrate with, and what of other people to compare on: the train split and the
    others; where there is only one, and of photographs, a part of the people. Raises MienError
    where all is one person's and the network is to be calibrated."""
    if name == "skin":
        found, terms = portraits(data), source_of(data)
        learn, judge = _apart(data, {one.person for one in found})
        return (
            Faces([one for one in found if one.person in learn], terms),
            Faces([one for one in found if one.person in judge], terms),
        )

    def fits(frames: int) -> bool:
        return frames > 0 or name == "speech"

    try:
        return (
            Clips(data, "train", lambda info, frames: fits(frames)),
            Clips(data, ("val", "test"), lambda info, frames: fits(frames)),
        )
    except MienError:
        every = Clips(data, ("train", "val", "test"), lambda info, frames: fits(frames))
    people = {every.infos[index].subject for index in every.chosen}
    if len(people) < 2 and name not in QUANTIZED:
        return every, every
    learn, judge = _apart(data, people)
    splits = ("train", "val", "test")
    return (
        Clips(data, splits, lambda info, frames: fits(frames) and info.subject in learn),
        Clips(data, splits, lambda info, frames: fits(frames) and info.subject in judge),
    )


def calls(network: Network, source: Source, count: int, seed: int = 0) -> list[Call]:
    """``count`` calls in a row. Raises MienError."""
    if isinstance(source, Faces):
        return [edit.call for edit in source.edits(count, seed)]
    rng = np.random.default_rng(seed)
    drawn = {"visual": _visual, "speech": _speech, "intensity": _intensity}
    return list(islice(chained(network, drawn[network.name](network, source, rng)), count))


def calibrated_on(source: Source, count: int) -> dict[str, Any]:
    """What int8 was calibrated on; ``nc`` of it is told apart from that of the training."""
    if isinstance(source, Faces):
        people, nc, licences = source.people, source.nc, set(source.licences)
    else:
        infos = [source.infos[index] for index in source.chosen]
        people = {info.subject for info in infos}
        nc = any(info.nc for info in infos)
        licences = {info.licence or "unknown" for info in infos}
    return {
        "calibration_calls": count,
        "calibration_people": len(people),
        "calibration_nc": nc,
        "calibration_licences": sorted(licences),
    }


def _apart(data: Path, people: set[str]) -> tuple[set[str], set[str]]:
    """People to calibrate with, and others. Raises MienError where there is one."""
    if len(people) < 2:
        raise MienError(f"{data} shows one person; int8 is compared on others: add some")
    held = set(sorted(people)[::HELD_OUT])
    return people - held, held


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


def _faces(clips: Clips, rng: np.random.Generator) -> Iterator[Sample]:
    unseen = 0
    while unseen < 1000:
        sample = clips[clips.draw(rng)]
        unseen = 0 if sample.clip.found.any() else unseen + 1
        if not unseen:
            yield sample
    raise MienError("no clip shows a face; give others with --data")
