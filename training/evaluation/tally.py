"""Faces before and after an edit, brought to the figures of one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from face.types import EMOTIONS, FaceTrack
from nodes.face.face_tracker import FaceTracker
from training.evaluation.renderers import ready, to_frames
from training.metrics import faces, statistics
from training.metrics.networks import Judge

LOOKS: Final = 8
"""how many pictures of a take the networks look at, spread over it"""

MEASURED: Final = (
    "energy_ratio", "mouth_change", "mouth_change_expressive", "lip_error", "blendshape_error",
    "flicker",
)  # fmt: skip

Figures = dict[str, float | None]
F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """A take as it was seen: its pictures, a raw track of each, and what the judges answered about
    LOOKS of them [K, D] (a row of nan where no face was found)."""

    pictures: Sequence[U8]
    tracks: Sequence[FaceTrack]
    answers: Mapping[str, F32]

    @property
    def found(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.array([track.found for track in self.tracks], np.bool_)

    @property
    def landmarks(self) -> F32:
        return np.stack([track.landmarks for track in self.tracks])

    @property
    def blendshapes(self) -> F32:
        return np.stack([track.blendshapes for track in self.tracks])


class Eyes:
    """Sees takes: an unsmoothed tracker and some judges."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        self._tracker = ready(FaceTracker, smoothing=0.0, search_interval_ms=0.0)
        self._judges = judges
        self.names = {"landmarker": faces.NETWORK} | {
            answer: name for judge in judges for answer, name in judge.names.items()
        }

    def see(self, pictures: Sequence[U8]) -> Seen:
        tracks = [self._tracker.process(frame=frame) for frame in to_frames(pictures)]
        looks = np.unique(np.linspace(0, len(pictures) - 1, LOOKS).round().astype(int))
        rows: dict[str, list[F32 | None]] = {}
        for judge in self._judges:
            for t in looks:
                answers = judge(pictures[t], tracks[t].landmarks) if tracks[t].found else {}
                for name in judge.names:
                    rows.setdefault(name, []).append(answers.get(name))
        return Seen(pictures, tracks, {name: _stack(row) for name, row in rows.items()})


@dataclass
class Tally:
    """What came of one way to edit, for one emotion that was asked for."""

    emotion: str = ""
    takes: int = 0
    lost: int = 0
    expressive: int = 0
    parts: dict[str, dict[str, F64]] = field(default_factory=dict)
    """of each figure, by person: what is summed over what, [2]"""
    before: dict[str, list[F32]] = field(default_factory=dict)
    after: dict[str, list[F32]] = field(default_factory=dict)
    people: list[str] = field(default_factory=list)
    """whose each reading of an emotion is"""

    def add(self, before: Seen, after: Seen, who: str, asked: F32 | None = None) -> None:
        """A take of somebody before and after; ``asked`` [T, 52] are the shapes that were asked
        for."""
        both = np.flatnonzero(before.found & after.found)
        if not len(both):
            self.lost += 1
            return
        self.takes += 1
        was, now = before.landmarks[both], after.landmarks[both]
        had, has = before.blendshapes[both], after.blendshapes[both]
        strong = faces.feeling_energy(had) >= faces.LEAST_ENERGY
        self.expressive += int(strong.sum())
        self.note("mouth_change", who, faces.mouth_opening_change(was, now))
        if strong.any():
            energy = [float(faces.feeling_energy(x[strong]).sum()) for x in (has, had)]
            self.note("energy_ratio", who, *energy)
            change = faces.mouth_opening_change(was[strong], now[strong])
            self.note("mouth_change_expressive", who, change)
        self.note("lip_error", who, faces.lip_error(was, now))
        if asked is not None:
            self.note("blendshape_error", who, faces.blendshape_error(asked[both], has))
        if len(both) == len(before.tracks) >= 3:
            self.note("flicker", who, _flicker(before, after))
        for name in before.answers.keys() & after.answers.keys():
            first, second = before.answers[name], after.answers[name]
            good = np.isfinite(first).any(axis=1) & np.isfinite(second).any(axis=1)
            if good.any():
                self._said(name, who, first[good], second[good])

    def note(self, name: str, who: str, over: float, under: float = 1.0) -> None:
        """A part of a figure, which is the sum of all ``over`` by that of all ``under``."""
        own = self.parts.setdefault(name, {})
        own[who] = own.get(who, np.zeros(2)) + np.array([over, under])

    def read_reference(self, who: str, answers: F32 | None) -> None:
        """What the emotion judge says [N, 8] of the reference: whether what was asked for."""
        asked = EMOTIONS.index(self.emotion)
        if answers is not None and (good := np.isfinite(answers[:, asked])).any():
            hits = np.nanargmax(answers[good], axis=1) == asked
            self.note("read_reference", who, float(hits.sum()), float(good.sum()))

    def row(self) -> Figures:
        """The figures, with NAME_low and NAME_high where there are people to be drawn anew; what
        couldn't be measured is None, or not there."""
        out: Figures = dict.fromkeys(MEASURED)
        out |= {"takes": self.takes, "lost": self.lost, "expressive": self.expressive}
        out["people"] = len(self.parts.get("mouth_change", {}))
        for name, own in self.parts.items():
            over, under = np.array(list(own.values())).T
            out[name] = float(over.sum() / under.sum()) if under.sum() else None
            if len(own) > 1:
                out[f"{name}_low"], out[f"{name}_high"] = statistics.ratio_interval(over, under)
        for name, features in (("fd_dlib", "dlib"), ("fd_lite0", "lite0")):
            if features in self.before:
                sides = (self.before[features], self.after[features])
                out |= frechet(name, *map(np.concatenate, sides))
        return out

    def predicted(self) -> list[int]:
        """What each face was read as afterwards, as places in EMOTIONS; ``people`` says whose."""
        if "emotion" not in self.after:
            return []
        answers = np.concatenate(self.after["emotion"])
        return [int(place) for place in np.nanargmax(answers, axis=1)]

    def _said(self, name: str, who: str, before: F32, after: F32) -> None:
        """What a network answered about both [N, D]."""
        self.before.setdefault(name, []).append(before)
        self.after.setdefault(name, []).append(after)
        count = len(before)
        if name in ("dlib", "faceres"):
            self.note(f"{name}_cosine", who, count * statistics.cosine(before, after), count)
        if name == "dlib":
            apart = float(np.linalg.norm(before - after, axis=1).sum())
            self.note("dlib_distance", who, apart, count)
        if name == "emotion":
            self.people += [who] * count
            self._read(who, before, after)

    def _read(self, who: str, before: F32, after: F32) -> None:
        """Probabilities [N, 8] before and after: neutral, and what was asked for."""
        asked = EMOTIONS.index(self.emotion) if self.emotion in EMOTIONS else None
        known = asked is not None and bool(np.isfinite(after[:, asked]).all())
        for when, answers in (("before", before), ("after", after)):
            self.note(f"neutral_{when}", who, float(answers[:, 0].sum()), len(answers))
            if known and asked is not None:
                hits = int((np.nanargmax(answers, axis=1) == asked).sum())
                self.note(f"read_{when}", who, hits, len(answers))
                self.note(f"share_{when}", who, float(answers[:, asked].sum()), len(answers))


def merged(tallies: Sequence[Tally]) -> Tally:
    """Several emotions as one: all but what the networks answered about each face."""
    out = Tally(
        takes=sum(tally.takes for tally in tallies),
        lost=sum(tally.lost for tally in tallies),
        expressive=sum(tally.expressive for tally in tallies),
    )
    for tally in tallies:
        for name, own in tally.parts.items():
            for who, (over, under) in own.items():
                out.note(name, who, over, under)
    return out


def frechet(name: str, first: F32, second: F32) -> Figures:
    """The distance as the figure ``name``, of how many faces in how many dimensions it is; nothing
    where there are too few."""
    faces_there, dimensions = min(len(first), len(second)), first.shape[1]
    if faces_there < 2:
        return {}
    return {
        name: statistics.frechet_distance(first, second),
        f"{name}_faces": faces_there,
        f"{name}_dimensions": dimensions,
    }


def _flicker(before: Seen, after: Seen) -> float:
    height, width = before.pictures[0].shape[:2]
    inside = [faces.inside(track.landmarks, height, width) for track in before.tracks]
    return faces.flicker(before.pictures, after.pictures, inside)


def _stack(rows: list[F32 | None]) -> F32:
    width = next((len(row) for row in rows if row is not None), 1)
    nothing = np.full(width, np.nan, np.float32)
    return np.stack([nothing if row is None else row for row in rows])
