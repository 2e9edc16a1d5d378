"""How well emotions are read from recordings whose label is known: by the encoders of face and
voice, and by the packaged judge, on the same takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.errors import MienError
from engine.node import Context
from engine.types import F32
from face.affect.answers import from_network
from face.affect.speech_steps import STEP_SAMPLES
from face.types import EMOTIONS
from inference.card import CARD, read_card
from inference.model import Model
from inference.weight_sets import SHIPPED, folder_of, weight_folder
from nodes.readers.face_reader import FaceReader
from training.evaluation.protocols import Row, Stage, agreement, who_of
from training.evaluation.renderers import ready, to_frames
from training.evaluation.takes import Take
from training.evaluation.tally import Figures, Seen
from training.metrics import statistics


@dataclass(frozen=True, eq=False)
class Reading:
    """``emotion`` [T, 8] probabilities; ``intensity`` [T'] for each picture, where known."""

    emotion: F32
    intensity: F32 | None = None


class EmotionReader(Protocol):
    """None where a take has nothing to read."""

    network: str

    def __call__(self, take: Take, seen: Seen | None) -> Reading | None: ...


def shown(folder: Path) -> str:
    """A folder as it is shown: one that ships by its place in there."""
    ships = folder.resolve().is_relative_to(SHIPPED.parent)
    return str(folder.resolve().relative_to(SHIPPED.parent) if ships else folder)


class FaceEncoder:
    """The visual encoder as the live graph runs it, frame by frame through a take."""

    def __init__(self, weights: str) -> None:
        folder = weight_folder("visual", weights)
        read_card(folder)
        gauges: dict[str, object] = {}
        self._node = ready(FaceReader, Context(gauge=gauges.__setitem__), weights=weights)
        self.network = f"{shown(folder)} on {gauges.get('backend', '')}"

    def __call__(self, take: Take, seen: Seen | None) -> Reading | None:
        if seen is None:
            return None
        pairs = zip(to_frames(seen.pictures), seen.tracks, strict=True)
        answers = [self._node.process(frame, track) for frame, track in pairs]
        emotion = [affect.probabilities for affect in answers if affect.known]
        intensity = [affect.intensity if affect.known else np.nan for affect in answers]
        return Reading(np.stack(emotion), np.array(intensity, np.float32)) if emotion else None


class VoiceEncoder:
    """The speech encoder, 40 ms by 40 ms; its answer belongs to the step before."""

    def __init__(self, weights: str) -> None:
        folder = weight_folder("speech", weights)
        self._model = Model(folder, threads=1, log=lambda _: None)
        self.network = f"{shown(folder)} on {self._model.label}"

    def __call__(self, take: Take, seen: Seen | None) -> Reading | None:
        sound = take.sound() if take.sound else np.zeros(0, np.float32)
        steps = sound[: len(sound) // STEP_SAMPLES * STEP_SAMPLES].reshape(-1, STEP_SAMPLES)
        if not len(steps):
            return None
        state, answers = self._model.begin(), []
        for step in [*steps, np.zeros_like(steps[0])]:
            answer = self._model(sound=step[None], **state)
            state = self._model.carry(answer)
            answers.append(from_network(answer, "voice", 0))
        emotion = np.stack([affect.probabilities for affect in answers[1:]])
        return Reading(emotion, np.array([affect.intensity for affect in answers[1:]], np.float32))


class JudgedFace:
    """The judge that ways to edit are compared by."""

    def __init__(self, network: str) -> None:
        self.network = network

    def __call__(self, take: Take, seen: Seen | None) -> Reading | None:
        answers = None if seen is None else seen.answers.get("emotion")
        if answers is None:
            return None
        good = answers[np.isfinite(answers).any(axis=1)]
        return Reading(np.nan_to_num(good)) if len(good) else None


def readers(weights: Sequence[str], names: dict[str, str]) -> dict[str, EmotionReader]:
    """The judge, and the encoders that the folders hold. Raises MienError where they hold none."""
    found: dict[str, EmotionReader] = {}
    if "emotion" in names:
        found["judge"] = JudgedFace(names["emotion"])
    for given in weights or [str(folder_of())]:
        name, _, place = given.rpartition("=")
        prefix = f"{name} " if name else ""
        here = [
            kind for kind in ("visual", "speech") if (weight_folder(kind, place) / CARD).is_file()
        ]
        if weights and not here:
            raise MienError(f"no visual and no speech encoder in {place}; export one there")
        if "visual" in here:
            found[f"{prefix}face"] = FaceEncoder(place)
        if "speech" in here:
            found[f"{prefix}voice"] = VoiceEncoder(place)
    if not found:
        raise MienError("nothing here reads emotions: no encoder in weights, no judge; give some")
    return found


@dataclass
class _Told:
    truth: list[int] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)
    target: list[F32] = field(default_factory=list)
    whose: list[str] = field(default_factory=list)
    prediction: list[F32] = field(default_factory=list)


def read(
    takes: Sequence[Take], emotions: Sequence[str], stage: Stage, by: dict[str, EmotionReader]
) -> list[Row]:
    """A row per reader over the takes that are labelled with one of ``emotions``, among which it
    has to choose; a take counts once, by its mean probabilities. Where the intensity of each frame
    is known, the concordance with it is measured too."""
    places = [EMOTIONS.index(name) for name in emotions]
    notes = {name: _Told() for name in by}
    for take in stage.along([one for one in takes if one.emotion in emotions], "reading"):
        found = stage.before(take)
        seen = None if found is None else found[0]
        truth = take.intensity() if take.intensity else None
        for name, reader in by.items():
            reading = reader(take, seen)
            if reading is None:
                continue
            note = notes[name]
            mean = reading.emotion.mean(axis=0)
            note.truth.append(EMOTIONS.index(take.emotion))
            note.people.append(who_of(take))
            note.predicted.append(places[int(np.argmax(mean[places]))])
            if truth is not None and reading.intensity is not None:
                length = min(len(truth), len(reading.intensity))
                good = np.isfinite(reading.intensity[:length])
                note.target.append(truth[:length][good])
                note.prediction.append(reading.intensity[:length][good])
                note.whose.append(who_of(take))
    rows = [Row("read", name, "all", _figures(note)) for name, note in notes.items() if note.truth]
    if not rows:
        raise MienError("no take that is labelled with one of the emotions could be read")
    return rows


def _figures(note: _Told) -> Figures:
    figures = agreement(note.truth, note.predicted, note.people)
    if note.target:
        target, prediction = np.concatenate(note.target), np.concatenate(note.prediction)
        figures["intensity"] = statistics.concordance(target, prediction)
        if len(set(note.whose)) > 1:
            low, high = statistics.concordance_interval(note.target, note.prediction, note.whose)
            figures |= {"intensity_low": low, "intensity_high": high}
    return figures


def networks_of(by: dict[str, EmotionReader]) -> dict[str, str]:
    """What each reader is."""
    return {name: reader.network for name, reader in by.items()}
