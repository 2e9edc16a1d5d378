"""Calls as in real use, from clips: to calibrate int8 with, and to compare runtimes on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from engine.errors import MienError
from export.networks import Call, Network, chained
from training.models.ear import STEP_SAMPLES
from training.models.generator import IDENTITY_PX, IdentityEncoder
from training.restore import restore
from training.trainers.edits import Edits
from training.trainers.generator import CONDITIONS
from training.trainers.samples import Clips, Look, Sample

FRAMES_IN_A_ROW = 8


def calls(network: Network, run: Path, data: Path, count: int, seed: int = 0) -> list[Call]:
    """``count`` calls from clips, those of the val split where there are any. Raises MienError."""
    clips = _clips(data, faces=network.name != "speech")
    rng = np.random.default_rng(seed)
    drawn = {
        "visual": _visual,
        "speech": _speech,
        "intensity": _intensity,
        "identity": _identity,
        "generator": _generator,
    }[network.name](network, run, clips, rng)
    return list(islice(chained(network, drawn), count))


def _clips(data: Path, faces: bool) -> Clips:
    try:
        return Clips(data, "val", lambda info, frames: frames > 0 or not faces)
    except MienError:
        return Clips(data, "train", lambda info, frames: frames > 0 or not faces)


def _visual(network: Network, run: Path, clips: Clips, rng: np.random.Generator) -> Iterator[Call]:
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


def _speech(network: Network, run: Path, clips: Clips, rng: np.random.Generator) -> Iterator[Call]:
    silent = 0
    while silent < 1000:
        sound = clips[clips.draw(rng)].clip.samples
        steps = len(sound) // STEP_SAMPLES
        silent = 0 if steps else silent + 1
        for step in range(steps):
            part = sound[step * STEP_SAMPLES : (step + 1) * STEP_SAMPLES][None]
            yield {"sound": part} if step else {"sound": part, "begin": np.ones(1, np.float32)}
    raise MienError("no clip has sound; give others with --data")


def _intensity(
    network: Network, run: Path, clips: Clips, rng: np.random.Generator
) -> Iterator[Call]:
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


def _identity(
    network: Network, run: Path, clips: Clips, rng: np.random.Generator
) -> Iterator[Call]:
    look = Look.plain(IDENTITY_PX)
    for sample in _faces(clips, rng):
        t = int(rng.choice(np.flatnonzero(sample.clip.found)))
        yield {"reference": look.picture(sample.clip.frame(t), IDENTITY_PX)[None]}


def _generator(
    network: Network, run: Path, clips: Clips, rng: np.random.Generator
) -> Iterator[Call]:
    import torch

    edits = Edits(clips, 0.0)
    encoder = restore(run, "identity", IdentityEncoder)
    for sample in _faces(clips, rng):
        edit = edits.neutralized(sample, int(rng.choice(np.flatnonzero(sample.clip.found))), rng)
        with torch.no_grad():
            identity, identity_map = encoder(torch.from_numpy(edit["reference"])[None])
        call = {name: edit[name][None].astype(np.float32) for name in CONDITIONS}
        yield call | {"identity": identity.numpy(), "identity_map": identity_map.numpy()}


def _faces(clips: Clips, rng: np.random.Generator) -> Iterator[Sample]:
    unseen = 0
    while unseen < 1000:
        sample = clips[clips.draw(rng)]
        unseen = 0 if sample.clip.found.any() else unseen + 1
        if not unseen:
            yield sample
    raise MienError("no clip shows a face; give others with --data")
