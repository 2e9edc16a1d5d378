"""Edits of films against the person's own talk: made calm against their own calm moments, wearing
an emotion against their own talk in it.

Each film is edited by the live graph's own nodes. What is remembered of the person comes from the
film itself or from another one: where an emotion is worn, that in which they really feel it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track as progress

from engine.errors import MienError
from engine.node import Context
from engine.types import F32, U8, VideoFrame
from face.emotions import sides
from face.render.actor import Actor
from face.render.repertoire import Repertoire
from face.rig import load_rig
from face.types import EMOTIONS, FaceTrack
from nodes.face.expression_editor import ExpressionEditor
from nodes.face.face_tracker import FaceTracker
from training.data.clip import STEP_NS
from training.data.media import pictures
from training.evaluation.own_neutral import Eyes, Seen
from training.evaluation.renderers import ready, to_frames
from training.evaluation.report import columns, write_rows
from training.metrics.faces import feeling_energy, flicker, inside, relative_aperture
from training.metrics.networks import Judge

PROTOCOL: Final = "own-talk"
SUFFIXES: Final = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".mpg")
EVERY: Final = 3
"""each so manieth frame is judged"""
CALMEST, STRONGEST = 0.1, 0.25
"""share of the frames that are calm, and that show most"""
LEAST_FRAMES: Final = 4
BLINK, LESS = 0.45, 0.2
"""a blink shuts the eyes so far, and that much further than a quarter of a second around it"""
AROUND: Final = 6
FIGURES: Final = (
    "identity", "identity_before", "read", "read_before", "read_own", "mouth", "blinks", "flicker",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Film:
    """A recording [T], and where the face is in it."""

    frames: Sequence[VideoFrame]
    tracks: Sequence[FaceTrack]

    def found(self) -> list[int]:
        return [t for t, track in enumerate(self.tracks) if track.found]


@dataclass(frozen=True)
class Line:
    """``identity`` (and ``identity_before`` the edit) to the person's own talk, ``read`` as what
    was asked and ``read_own`` of that own talk, 0..1; ``mouth``, the correlation of its opening
    before and after; ``blinks``, the share that is kept within a frame, of ``blinked``; ``flicker``
    beyond the film's own, 0..255."""

    film: str
    asked: str
    blinked: int
    figures: dict[str, float]


def own_talk(
    films: Path, judges: Sequence[Judge], weights: str = "", memory: Path | None = None,
    emotion: str = "neutral", seconds: float = 10.0,
) -> list[Line]:  # fmt: skip
    """The table of a film, or of a folder of films. Raises MienError where one can't be read, or
    where an emotion is to be worn of which no ``memory`` shows the own."""
    if emotion != "neutral" and memory is None:
        raise MienError(f"own-talk needs to be shown the own {emotion} talk: --memory FILM")
    eyes = Eyes(judges)
    lines = []
    bar = progress(
        _files(films), "films", console=Console(stderr=True), disable=not sys.stderr.isatty()
    )
    for file in bar:
        other = memory / file.name if memory is not None and memory.is_dir() else memory
        film = watched(file, seconds)
        shown = film if other is None else watched(other, seconds)
        actor = Actor(load_rig(), Context(), weights=weights, threads=2)
        try:
            lines.append(_line(file.name, film, shown, emotion, actor, eyes))
        finally:
            actor.close()
    return lines


def watched(file: Path, seconds: float) -> Film:
    """The first seconds of a film, tracked. Raises MienError."""
    frames = to_frames(list(islice(pictures(file), max(2, round(seconds * 1e9 / STEP_NS)))))
    film = Film(frames, _tracks(frames))
    if len(film.found()) < 2 * LEAST_FRAMES:
        raise MienError(f"{file} shows no face for long enough")
    return film


def _files(films: Path) -> list[Path]:
    if films.is_file():
        return [films]
    found = sorted(file for file in films.glob("*") if file.suffix.lower() in SUFFIXES)
    if not found:
        raise MienError(f"no film in {films}; give one, or a folder of them")
    return found


def _tracks(frames: Sequence[VideoFrame]) -> list[FaceTrack]:
    tracker = ready(FaceTracker, search_interval_ms=0.0)
    return [tracker.process(frame=frame) for frame in frames]


def _line(name: str, film: Film, shown: Film, emotion: str, actor: Actor, eyes: Eyes) -> Line:
    place = EMOTIONS.index(emotion)
    actor.stage(Repertoire())
    _watch(actor, film)
    if shown is not film:
        _watch(actor, shown, emotion if place else "")
    actor.stage(actor.repertoire)
    made = _edited(actor, film, emotion)
    seen = film.found()[::EVERY]
    felt = feeling_energy(np.stack([film.tracks[t].blendshapes for t in seen]))
    judged = [seen[k] for k in _most(felt)] if not place else seen
    own_seen = shown.found()[::EVERY]
    own_felt = feeling_energy(np.stack([shown.tracks[t].blendshapes for t in own_seen]))
    chosen = _most(own_felt) if place else _least(own_felt)
    own = [eyes.asked(*_at(shown, own_seen[k])) for k in chosen]
    before = [eyes.asked(*_at(film, t)) for t in judged]
    after = [one for t in judged if (one := eyes.look(made[t])) is not None]
    if not after:
        raise MienError(f"no face is left in what became of {name}")
    tracked = Film(film.frames, _tracks(to_frames(made)))
    kept = [t for t in film.found() if tracked.tracks[t].found]
    apertures = [
        relative_aperture(np.stack([one.tracks[t].landmarks for t in kept]))
        for one in (film, tracked)
    ]
    blinked, blinks = _blinks(film, tracked)
    size = film.frames[0].pixels.shape[:2]
    masks = np.stack([inside(track.landmarks, *size) & track.found for track in film.tracks])
    figures = {
        "identity": _likeness(after, own),
        "identity_before": _likeness(before, own),
        "read": _read(after, place),
        "read_before": _read(before, place),
        "read_own": _read(own, place),
        "mouth": _correlation(*apertures),
        "blinks": blinks,
        "flicker": flicker([frame.pixels for frame in film.frames], made, masks),
    }
    return Line(name, emotion, blinked, figures)


def _watch(actor: Actor, film: Film, emotion: str = "") -> None:
    rig = load_rig()
    for t in film.found():
        track = film.tracks[t]
        placement = rig.place(track.landmarks)
        actor.watch(
            film.frames[t].pixels,
            track.landmarks,
            placement,
            track.blendshapes,
            STEP_NS / 1e9,
            emotion,
        )


def _edited(actor: Actor, film: Film, emotion: str) -> list[U8]:
    rig, editor = load_rig(), ready(ExpressionEditor, emotion=emotion, intensity=1.0)
    made = []
    for frame, track in zip(film.frames, film.tracks, strict=True):
        edit = editor.process(face=track)
        if track.found:
            placement = rig.place(track.landmarks)
            step_s = STEP_NS / 1e9
            made.append(actor.render(frame.pixels, track.landmarks, placement, edit, step_s=step_s))
        else:
            made.append(frame.pixels)
    return made


def _at(film: Film, t: int) -> tuple[U8, F32]:
    return film.frames[t].pixels, film.tracks[t].landmarks


def _most(felt: NDArray[np.float32]) -> NDArray[np.intp]:
    return np.argsort(felt)[-max(LEAST_FRAMES, round(STRONGEST * len(felt))) :]


def _least(felt: NDArray[np.float32]) -> NDArray[np.intp]:
    return np.argsort(felt)[: max(LEAST_FRAMES, round(CALMEST * len(felt)))]


def _likeness(seen: Sequence[Seen], own: Sequence[Seen]) -> float:
    mean = Seen(0, np.mean([one.identity for one in own], axis=0))
    return float(np.mean([one.likeness(mean) for one in seen]))


def _read(seen: Sequence[Seen], place: int) -> float:
    return float(np.mean([one.emotion == place for one in seen]))


def _correlation(x: F32, y: F32) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-9))


def _blinks(film: Film, made: Film) -> tuple[int, float]:
    """How many blinks there are, and the share of them that is seen within a frame of its time."""
    lids = list(sides("eyeBlink"))
    before, after = (
        np.array([track.blendshapes[lids].mean() for track in one.tracks]) for one in (film, made)
    )
    there = []
    for t in range(1, len(before) - 1):
        around = before[max(0, t - AROUND) : t + AROUND + 1]
        shut = before[t] >= BLINK and before[t] == before[t - 1 : t + 2].max()
        if shut and film.tracks[t].found and before[t] - np.median(around) > LESS:
            there.append(t)
    kept = [after[t - 1 : t + 2].max() > BLINK for t in there]
    return len(there), float(np.mean(kept)) if there else float("nan")


def as_text(lines: Sequence[Line]) -> str:
    """The table for a terminal."""
    rows: list[tuple[str, ...]] = [("film", "asked", *FIGURES, "of blinks")]
    for line in lines:
        cells = [f"{line.figures[name]:.3f}" for name in FIGURES]
        rows.append((line.film, line.asked, *cells, str(line.blinked)))
    return columns(rows)


def write(out: Path, lines: Sequence[Line], facts: dict[str, Any]) -> None:
    """results.json. Raises MienError."""
    rows = [
        {"film": line.film, "asked": line.asked, "blinked": line.blinked, "figures": line.figures}
        for line in lines
    ]
    write_rows(out, rows, facts)
