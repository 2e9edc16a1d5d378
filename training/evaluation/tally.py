"""Faces before and after an edit, brought to the figures of one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from engine.types import EMOTIONS, F32, U8, FaceTrack
from nodes.face_tracker import FaceTracker
from training.evaluation.renderers import ready, to_frames
from training.metrics import faces, statistics
from training.metrics.networks import Judge

LOOKS: Final = 8
"""how many pictures of a take the networks look at, spread over it"""

Figures = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Seen:
    """A take as it was seen: its pictures, a raw track of each, and what the judges said of
    LOOKS of them [K, D] (a row of nan where no face was found)."""

    pictures: Sequence[U8]
    tracks: Sequence[FaceTrack]
    said: Mapping[str, F32]

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
            said: name for judge in judges for said, name in judge.names.items()
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
    figures: dict[str, list[float]] = field(default_factory=dict)
    before: dict[str, list[F32]] = field(default_factory=dict)
    after: dict[str, list[F32]] = field(default_factory=dict)

    def add(self, before: Seen, after: Seen, asked: F32 | None = None) -> None:
        """A take before and after; ``asked`` [T, 52] are the shapes that were asked for."""
        both = np.flatnonzero(before.found & after.found)
        if not len(both):
            self.lost += 1
            return
        self.takes += 1
        was, now = before.landmarks[both], after.landmarks[both]
        had, has = before.blendshapes[both], after.blendshapes[both]
        self._keep("shapes", had, has)
        strong = faces.feeling_energy(had) >= faces.LEAST_ENERGY
        self._note("mouth_change", faces.mouth_opening_change(was, now))
        if strong.any():
            change = faces.mouth_opening_change(was[strong], now[strong])
            self._note("mouth_change_expressive", change)
        self._note("lip_error", faces.lip_error(was, now))
        if asked is not None:
            self._note("control_error", faces.control_error(asked[both], has))
        if len(both) == len(before.tracks) >= 3:
            self._note("flicker", _flicker(before, after))
        for name in before.said.keys() & after.said.keys():
            pair = before.said[name], after.said[name]
            good = np.isfinite(pair[0]).any(axis=1) & np.isfinite(pair[1]).any(axis=1)
            if good.any():
                self._keep(name, pair[0][good], pair[1][good])

    def row(self) -> Figures:
        """The figures; None where nothing could be measured."""
        shapes = self._pair("shapes")
        energy = faces.feeling_energy(shapes[0]) if shapes else np.zeros(0)
        strong = int((energy >= faces.LEAST_ENERGY).sum())
        out: Figures = {"takes": self.takes, "lost": self.lost, "expressive": strong}
        out["energy_ratio"] = faces.feeling_energy_ratio(*shapes) if shapes and strong else None
        for name in ("mouth_change", "mouth_change_expressive", "lip_error", "control_error",
                     "flicker"):  # fmt: skip
            values = self.figures.get(name, [])
            out[name] = float(np.mean(values)) if values else None
        dlib = self._pair("dlib")
        if dlib:
            out["dlib_distance"] = float(np.linalg.norm(dlib[0] - dlib[1], axis=1).mean())
            out["dlib_cosine"] = statistics.cosine(*dlib)
            out["fad"] = frechet(*dlib)
        if pair := self._pair("faceres"):
            out["faceres_cosine"] = statistics.cosine(*pair)
        if pair := self._pair("lite0"):
            out["fid"] = frechet(*pair)
        if pair := self._pair("emotion"):
            out |= self._read(*pair)
        return out

    def told(self) -> list[int]:
        """What each face was read as afterwards, as places in EMOTIONS."""
        pair = self._pair("emotion")
        return [int(place) for place in np.nanargmax(pair[1], axis=1)] if pair else []

    def _read(self, before: F32, after: F32) -> Figures:
        """Probabilities [N, 8] before and after: neutral, and what was asked for."""
        out: Figures = {
            "neutral_before": float(before[:, 0].mean()),
            "neutral_after": float(after[:, 0].mean()),
        }
        if self.emotion in EMOTIONS:
            asked = EMOTIONS.index(self.emotion)
            known = bool(np.isfinite(after[:, asked]).all())
            for when, said in (("before", before), ("after", after)):
                hit = np.nanargmax(said, axis=1) == asked
                out[f"read_{when}"] = float(hit.mean()) if known else None
                out[f"share_{when}"] = float(said[:, asked].mean()) if known else None
        return out

    def _keep(self, name: str, before: F32, after: F32) -> None:
        self.before.setdefault(name, []).append(before)
        self.after.setdefault(name, []).append(after)

    def _note(self, name: str, value: float) -> None:
        self.figures.setdefault(name, []).append(value)

    def _pair(self, name: str) -> tuple[F32, F32] | None:
        if name not in self.before:
            return None
        return np.concatenate(self.before[name]), np.concatenate(self.after[name])


def frechet(first: F32, second: F32) -> float | None:
    """None where there are too few."""
    return statistics.frechet_distance(first, second) if min(len(first), len(second)) > 1 else None


def _flicker(before: Seen, after: Seen) -> float:
    height, width = before.pictures[0].shape[:2]
    inside = [faces.inside(track.landmarks, height, width) for track in before.tracks]
    return faces.flicker(before.pictures, after.pictures, inside)


def _stack(rows: list[F32 | None]) -> F32:
    width = next((len(row) for row in rows if row is not None), 1)
    nothing = np.full(width, np.nan, np.float32)
    return np.stack([nothing if row is None else row for row in rows])
