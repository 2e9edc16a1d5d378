"""Edits against the person's own photographs: made neutral against their own neutral, wearing an
emotion against their own real expression of it, sessions apart.

Each photograph is edited; with memory, what the person showed in their other sessions is what was
remembered at enrolment. Nothing of a person that is judged may have been fitted on: give weights
that were made without them and the fold that they left out, or those of all folds at once.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import track as progress

from engine.errors import MienError
from engine.node import Context
from engine.program import tool
from engine.types import F32, U8
from face.expression.people import load_people
from face.render.actor import Actor
from face.render.repertoire import Repertoire
from face.render.surface import load_surface
from face.render.watch import Watch
from face.rig import load_rig
from face.types import EMOTIONS, FaceEdit
from training.data.own import Portrait, in_fold, portraits, tracked
from training.evaluation.report import columns, write_rows
from training.metrics import statistics
from training.metrics.networks import Judge

PROTOCOL: Final = "own-neutral"
MEMORIES: Final = ("none", "own")
ANY: Final = "any emotion"
FIGURES: Final = ("read", "read_own", "identity", "identity_before", "gain")

Answers = dict[str, list[dict[str, float]]]
"""by person, a row of figures per edit"""


@dataclass(frozen=True)
class Line:
    """One row of the table: figures with their 95 % interval, people drawn anew."""

    memory: str
    asked: str
    edits: int
    people: int
    figures: dict[str, tuple[float, float, float]]


def own_neutral(
    folder: Path, judges: Sequence[Judge], weights: str = "", fold: str = ""
) -> list[Line]:
    """The table. ``fold``: of every Nth person, "K/N"; of everybody, "N": those of each fold are
    edited with ``weights`` in whose name {} stands for K. Raises MienError where the photographs or
    the judges don't suffice."""
    found = portraits(folder)
    people = sorted({one.person for one in found})
    by_key = {(one.person, one.session, one.emotion): one for one in found}
    sessions = sorted({one.session for one in found})
    eyes = Eyes(judges)
    answers: dict[tuple[str, str], Answers] = defaultdict(lambda: defaultdict(list))
    for weights_of, chosen in _parts(people, weights, fold):
        actor = Actor(load_rig(), Context(), weights=weights_of, threads=1)
        watch = Watch(load_rig(), load_surface(), load_people(weights_of))
        bar = progress(
            chosen, "people", console=Console(stderr=True), disable=not sys.stderr.isatty()
        )
        try:
            for person, session in product(bar, sessions):
                shown = Repertoire(
                    watch.face(one.pixels, one.landmarks, one.placement, one.rig, one.emotion)
                    for one in found
                    if one.person == person and one.session != session
                )
                for memory in MEMORIES if len(shown) else MEMORIES[:1]:
                    actor.stage(shown if memory == "own" else Repertoire())
                    for asked, row in _of_person(person, session, by_key, actor, eyes):
                        answers[memory, asked][person].append(row)
                        if asked != EMOTIONS[0]:
                            answers[memory, ANY][person].append(row)
        finally:
            actor.close()
    if not answers:
        raise MienError(f"nobody in {folder} is seen neutral and in an emotion, in one session")
    order = [(memory, asked) for memory in MEMORIES for asked in (*EMOTIONS, ANY)]
    return [_line(*key, answers[key]) for key in order if key in answers]


def _parts(people: Sequence[str], weights: str, fold: str) -> list[tuple[str, Sequence[str]]]:
    """Weights, and whom they edit."""
    if not fold.isdecimal():
        return [(weights, in_fold(people, fold) if fold else people)]
    if "{}" not in weights:
        raise MienError(
            f"--fold {fold} wants --weights with {{}} for a fold's number: runs/fold-{{}}"
        )
    return [
        (weights.replace("{}", str(k)), in_fold(people, f"{k}/{fold}")) for k in range(int(fold))
    ]


def _of_person(
    person: str,
    session: str,
    by_key: dict[tuple[str, str, str], Portrait],
    actor: Actor,
    eyes: Eyes,
) -> list[tuple[str, dict[str, float]]]:
    calm = by_key.get((person, session, "neutral"))
    rows: list[tuple[str, dict[str, float]]] = []
    if calm is None:
        return rows
    calm_seen = eyes.see(calm)
    for place, emotion in enumerate(EMOTIONS[1:], 1):
        felt = by_key.get((person, session, emotion))
        if felt is None:
            continue
        felt_seen = eyes.see(felt)
        edits = (
            ("neutral", 0, felt, calm_seen, felt_seen),
            (emotion, place, calm, felt_seen, calm_seen),
        )
        for asked, target, start, own, before in edits:
            made = eyes.look(_edited(actor, start, target))
            if made is None:
                continue
            rows.append(
                (asked, {
                    "read": float(made.emotion == target),
                    "read_own": float(own.emotion == target),
                    "identity": made.likeness(own),
                    "identity_before": before.likeness(own),
                    "gain": made.likeness(own) - before.likeness(own),
                })
            )  # fmt: skip
    return rows


def _edited(actor: Actor, one: Portrait, emotion: int) -> U8:
    """The photograph neutralized, and wearing an emotion where one is named."""
    asked = np.zeros(len(EMOTIONS), np.float32)
    asked[emotion] = float(emotion > 0)
    edit = FaceEdit(capture_ns=1, active=True, source=one.rig, target=one.rig, expression=asked)
    return actor.render(one.pixels, one.landmarks, one.placement, edit, still=True)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the judges say of a face: its emotion's place in EMOTIONS, and a descriptor."""

    emotion: int
    identity: F32

    def likeness(self, other: Seen) -> float:
        return statistics.cosine(self.identity[None], other.identity[None])


class Eyes:
    """The judges that are asked: which emotion is seen, and who."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        self._judges = judges
        self._known: dict[int, Seen] = {}
        names = {name for judge in judges for name in judge.names}
        if not {"emotion", "faceres"} <= names:
            raise MienError(f"two judges are needed: {tool('training.metrics.fetch')}")

    def see(self, one: Portrait) -> Seen:
        if id(one) not in self._known:
            self._known[id(one)] = self.asked(one.pixels, one.landmarks)
        return self._known[id(one)]

    def look(self, pixels: U8) -> Seen | None:
        """None where no face is found any more."""
        found = tracked(pixels)
        return None if found is None else self.asked(pixels, found.landmarks)

    def asked(self, pixels: U8, landmarks: F32) -> Seen:
        """The face at landmarks [478, 3] px."""
        answers: dict[str, F32] = {}
        for judge in self._judges:
            answers |= judge(pixels, landmarks)
        return Seen(int(np.nanargmax(answers["emotion"])), answers["faceres"])


def _line(memory: str, asked: str, by_person: Answers) -> Line:
    sums = {
        name: np.array([[sum(row[name] for row in rows), len(rows)] for rows in by_person.values()])
        for name in FIGURES
    }
    figures = {}
    for name, parts in sums.items():
        value = float(parts[:, 0].sum() / parts[:, 1].sum())
        drawn = statistics.redrawn(parts)
        low, high = statistics.interval(drawn[:, 0] / np.maximum(drawn[:, 1], 1))
        figures[name] = (value, low, high)
    return Line(memory, asked, sum(map(len, by_person.values())), len(by_person), figures)


def as_text(lines: Sequence[Line]) -> str:
    """The table for a terminal."""
    head = ("memory", "asked", "edits", "read so (95 %)", "own photographs", "identity (95 %)",
            "before", "gain (95 %)")  # fmt: skip
    rows = [head]
    for line in lines:
        read, own, like, before, gain = (line.figures[name] for name in FIGURES)
        rows.append(
            (line.memory, line.asked, str(line.edits),
             f"{read[0]:.2f} ({read[1]:.2f} to {read[2]:.2f})", f"{own[0]:.2f}",
             f"{like[0]:.3f} ({like[1]:.3f} to {like[2]:.3f})", f"{before[0]:.3f}",
             f"{gain[0]:+.3f} ({gain[1]:+.3f} to {gain[2]:+.3f})")
        )  # fmt: skip
    return columns(rows)


def write(out: Path, lines: Sequence[Line], facts: dict[str, Any]) -> None:
    """results.json. Raises MienError."""
    rows = [
        {"memory": line.memory, "asked": line.asked, "edits": line.edits, "people": line.people,
         "figures": line.figures}
        for line in lines
    ]  # fmt: skip
    write_rows(out, rows, facts)
