"""What is asked of every way to edit: to wear each emotion, or to feel as another take does.

*wear*: each take is given each emotion by the editor, as a user of the live graph would.
*intra* and *cross* are in `by_reference`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track as progress

from engine.errors import MienError
from engine.types import U8
from face.types import EMOTIONS, FaceTrack
from nodes.face.face_tracker import FaceTracker
from training.evaluation.look import Look
from training.evaluation.renderers import Renderer, ready, render, to_frames, wear
from training.evaluation.takes import Take
from training.evaluation.tally import Eyes, Figures, Seen, Tally
from training.metrics import statistics

SETTINGS: Final = ("intra", "cross")
PROTOCOLS: Final = ("wear", *SETTINGS, "read")

T = TypeVar("T")

Show = Callable[[Take, str, str, U8, FaceTrack], None]
"""takes (take, method, emotion, a picture of it, the face in it): for a sheet"""


@dataclass(frozen=True)
class Row:
    """Figures of one method under one protocol; ``emotion`` is the one asked for."""

    protocol: str
    method: str
    emotion: str
    figures: Figures


class Stage:
    """Takes as they are needed: loaded, followed as the live graph does, and seen by the judges."""

    def __init__(self, eyes: Eyes, minutes: float | None = None) -> None:
        """``minutes``: how long there is for all of it; what isn't done by then is left out."""
        self._eyes = eyes
        self._ends_s = None if minutes is None else time.monotonic() + 60 * minutes
        self._tracker = ready(FaceTracker, search_interval_ms=0.0)
        self._seen: dict[int, Seen] = {}
        self._stills: dict[int, tuple[Seen, list[FaceTrack]]] = {}
        self._looks: dict[int, list[Look]] = {}
        self.names = eyes.names
        self.left: list[str] = []
        """why takes were left out, a line each"""

    def along(self, items: Sequence[T], what: str) -> Iterator[T]:
        """The items while there is time, one at least, with a progress bar where a person looks."""
        shown = sys.stderr.isatty()
        bar = progress(items, what, console=Console(stderr=True), disable=not shown)
        for done, item in enumerate(bar):
            if done and self._ends_s is not None and time.monotonic() >= self._ends_s:
                self.leave(f"{len(items) - done} of {len(items)}, {what}: the time was over")
                return
            yield item

    def pictures(self, take: Take) -> Sequence[U8]:
        """() where the take can't be read, which is noted."""
        try:
            return take.load()
        except MienError as error:
            self.leave(str(error))
            return ()

    def before(self, take: Take) -> tuple[Seen, list[FaceTrack]] | None:
        """How the judges see it, and the tracks that an edit starts from; None without a face.

        Stills are kept: they are many people's source and reference.
        """
        if id(take) in self._stills:
            return self._stills[id(take)]
        pictures = self.pictures(take)
        if not pictures:
            return None
        tracks = [self._tracker.process(frame=frame) for frame in to_frames(pictures)]
        seen = self._eyes.see(pictures)
        if not seen.found.any() or not any(track.found for track in tracks):
            self.leave(f"{take.name} shows no face")
            return None
        if len(pictures) == 1:
            self._stills[id(take)] = (seen, tracks)
        return seen, tracks

    def after(self, pictures: Sequence[U8]) -> Seen:
        return self._eyes.see(pictures)

    def recorded(self, take: Take) -> Seen | None:
        """A take that serves as reference or truth; its pictures aren't kept."""
        if id(take) not in self._seen:
            found = self.before(take)
            if found is None:
                return None
            self._seen[id(take)] = Seen((), found[0].tracks, found[0].answers)
        return self._seen[id(take)]

    def looks(self, take: Take) -> list[Look]:
        """A take whose face was found as methods see a reference; of one that can't be read
        nothing."""
        if id(take) in self._looks:
            return self._looks[id(take)]
        felt, pictures = self.recorded(take), self.pictures(take)
        looks = [Look(*both) for both in zip(pictures, felt.tracks, strict=True)] if felt else []
        if len(looks) == 1:
            self._looks[id(take)] = looks
        return looks

    def leave(self, line: str) -> None:
        """Note why something was left out."""
        if line not in self.left:
            self.left.append(line)


def worn(
    takes: Sequence[Take],
    methods: Mapping[str, Renderer],
    emotions: Sequence[str],
    intensity: float,
    stage: Stage,
    show: Show,
) -> list[Row]:
    """A row for each method and emotion, and one over all emotions with the readings' agreement.

    Raises MienError where no take shows a face.
    """
    tallies = {(way, name): Tally(name) for way in methods for name in emotions}
    for take in stage.along(takes, "wearing"):
        found = stage.before(take)
        if found is None:
            continue
        before, tracks = found
        frames = to_frames(before.pictures)
        middle = int(np.flatnonzero(before.found)[before.found.sum() // 2])
        for name in emotions:
            edits = wear(tracks, name, intensity)
            asked = np.stack([edit.target for edit in edits])
            show(take, "", name, before.pictures[middle], before.tracks[middle])
            for way, renderer in methods.items():
                after = stage.after(render(renderer, frames, tracks, edits))
                tallies[way, name].add(before, after, who_of(take), asked)
                show(take, way, name, after.pictures[middle], before.tracks[middle])
    if not any(tally.takes for tally in tallies.values()):
        raise MienError(f"not one of {len(takes)} takes shows a face; there is nothing to judge")
    rows = [Row("wear", way, name, tally.row()) for (way, name), tally in tallies.items()]
    for way in methods:
        rows_read = [
            (EMOTIONS.index(name), place, who)
            for name in emotions
            for place, who in zip(
                tallies[way, name].predicted(), tallies[way, name].people, strict=True
            )
        ]
        if len(emotions) > 1 and rows_read:
            rows.append(Row("wear", way, "all", agreement(*zip(*rows_read, strict=True))))
    return rows


def who_of(take: Take) -> str:
    """Whose it is, or else itself."""
    return take.subject or take.name


def agreement(truth: Sequence[int], predicted: Sequence[int], people: Sequence[str]) -> Figures:
    """Accuracy and macro F1 of readings against what was asked for or recorded, with 95 %
    intervals; ``people`` says whose each is."""
    right, read = np.array(truth), np.array(predicted)
    _, person = np.unique(np.asarray(people), return_inverse=True)
    confusions = np.zeros((person.max() + 1, len(EMOTIONS), len(EMOTIONS)), np.int64)
    np.add.at(confusions, (person, right, read), 1)
    out: Figures = {
        "looks": len(right),
        "people": len(confusions),
        "accuracy": statistics.accuracy(right, read),
        "macro_f1": statistics.macro_f1(right, read),
    }
    if len(confusions) > 1:
        hits, count = np.trace(confusions, axis1=1, axis2=2), confusions.sum(axis=(1, 2))
        both = statistics.ratio_interval(hits, count), statistics.f1_interval(confusions)
        for name, (low, high) in zip(("accuracy", "macro_f1"), both, strict=True):
            out |= {f"{name}_low": low, f"{name}_high": high}
    return out


def compared(pairs: Sequence[tuple[Take, Take]], stage: Stage, name: str) -> list[Row]:
    """Takes against what another program made of them; a row per emotion of the source."""
    tallies: dict[str, Tally] = {}
    for take, edited in stage.along(pairs, "comparing"):
        found, pictures = stage.before(take), stage.pictures(edited)
        if found is None or not pictures:
            continue
        length = min(len(found[0].pictures), len(pictures))
        before = found[0]
        if len(before.pictures) != length:
            before = Seen(before.pictures[:length], before.tracks[:length], {})
        tally = tallies.setdefault(take.emotion or "unknown", Tally())
        tally.add(before, stage.after(pictures[:length]), who_of(take))
    if not any(tally.takes for tally in tallies.values()):
        raise MienError("not one of the takes shows a face before and after")
    return [
        Row("compare", name, emotion, tally.row()) for emotion, tally in sorted(tallies.items())
    ]
