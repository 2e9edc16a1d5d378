"""What is asked of every way to edit: to wear each emotion, or to feel as another take does.

*wear*: each take is given each emotion by the editor, as a user of the live graph would.
*intra-ID* and *cross-ID*, as SSERD (section 4.1) and CDRL (section 4.1) define them: a source take
is given the expression of an emotional reference of the same person, or of somebody else. FD dlib
compares the made faces with recorded ones in that emotion, CSIM the emotion features of what was
made with those of the reference. Both papers judge lips by LSE-D, whose network isn't to be had;
LVE against the source's own lips stands in its place.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track as progress

from engine.errors import MienError
from engine.types import F32, U8
from face.types import EMOTIONS, FaceTrack
from nodes.face.face_tracker import FaceTracker
from training.data.align import frames_in_step
from training.evaluation.renderers import Renderer, feel_as, ready, render, to_frames, wear
from training.evaluation.takes import Take
from training.evaluation.tally import Eyes, Figures, Seen, Tally, frechet
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
        self.names = eyes.names
        self.left: list[str] = []
        """why takes were left out, a line each"""

    def along(self, items: Sequence[T], what: str) -> Iterator[T]:
        """The items while there is time, one at least, with a progress bar where a person looks."""
        shown = sys.stderr.isatty()
        bar = progress(items, what, console=Console(stderr=True), disable=not shown)
        for done, item in enumerate(bar):
            if done and self._ends_s is not None and time.monotonic() >= self._ends_s:
                self._leave(f"{len(items) - done} of {len(items)}, {what}: the time was over")
                return
            yield item

    def pictures(self, take: Take) -> Sequence[U8]:
        """() where the take can't be read, which is noted."""
        try:
            return take.load()
        except MienError as error:
            self._leave(str(error))
            return ()

    def before(self, take: Take) -> tuple[Seen, list[FaceTrack]] | None:
        """How the judges see it, and the tracks that an edit starts from; None without a face."""
        pictures = self.pictures(take)
        if not pictures:
            return None
        tracks = [self._tracker.process(frame=frame) for frame in to_frames(pictures)]
        seen = self._eyes.see(pictures)
        if not seen.found.any() or not any(track.found for track in tracks):
            self._leave(f"{take.name} shows no face")
            return None
        return seen, tracks

    def after(self, pictures: Sequence[U8]) -> Seen:
        return self._eyes.see(pictures)

    def recorded(self, take: Take) -> Seen | None:
        """A take that serves as reference or truth; its pictures aren't kept."""
        if id(take) not in self._seen:
            found = self.before(take)
            if found is None:
                return None
            self._seen[id(take)] = Seen((), found[0].tracks, found[0].said)
        return self._seen[id(take)]

    def _leave(self, line: str) -> None:
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
        told = [
            (EMOTIONS.index(name), place, who)
            for name in emotions
            for place, who in zip(tallies[way, name].told(), tallies[way, name].people, strict=True)
        ]
        if len(emotions) > 1 and told:
            rows.append(Row("wear", way, "all", agreement(*zip(*told, strict=True))))
    return rows


def who_of(take: Take) -> str:
    """Whose it is, or else itself."""
    return take.subject or take.name


def agreement(truth: Sequence[int], told: Sequence[int], people: Sequence[str]) -> Figures:
    """Accuracy and macro F1 of readings against what was asked for or recorded, with 95 %
    intervals; ``people`` says whose each is."""
    right, said = np.array(truth), np.array(told)
    _, person = np.unique(np.asarray(people), return_inverse=True)
    confusions = np.zeros((person.max() + 1, len(EMOTIONS), len(EMOTIONS)), np.int64)
    np.add.at(confusions, (person, right, said), 1)
    out: Figures = {
        "looks": len(right),
        "people": len(confusions),
        "accuracy": statistics.accuracy(right, said),
        "macro_f1": statistics.macro_f1(right, said),
    }
    if len(confusions) > 1:
        hits, count = np.trace(confusions, axis1=1, axis2=2), confusions.sum(axis=(1, 2))
        both = statistics.ratio_interval(hits, count), statistics.f1_interval(confusions)
        for name, (low, high) in zip(("accuracy", "macro_f1"), both, strict=True):
            out |= {f"{name}_low": low, f"{name}_high": high}
    return out


def by_reference(
    takes: Sequence[Take],
    methods: Mapping[str, Renderer],
    emotions: Sequence[str],
    setting: str,
    stage: Stage,
    most: int,
) -> list[Row]:
    """A row for each method and emotion of intra-ID or cross-ID, and their mean, "avg".

    ``most`` bounds the sources per emotion. Raises MienError where no two takes make a pair.
    """
    pairs = {name: pair_up(takes, name, setting, most) for name in emotions}
    if not any(pairs.values()):
        whose = "one person" if setting == "intra" else "different people"
        raise MienError(f"no two takes of {whose} differ in emotion; {setting}-ID needs such")
    rows = []
    for name, chosen in pairs.items():
        if not chosen:
            continue
        tallies = {way: Tally(name) for way in methods}
        for source, reference in stage.along(chosen, f"{setting}-ID, {name}"):
            found, felt = stage.before(source), stage.recorded(reference)
            if found is None or felt is None:
                continue
            before, tracks = found
            edits = feel_as(tracks, shapes_in_step(source, reference, len(tracks), felt))
            asked = np.stack([edit.target for edit in edits])
            for way, renderer in methods.items():
                after = stage.after(render(renderer, to_frames(before.pictures), tracks, edits))
                tallies[way].add(before, after, who_of(source), asked)
                for cosine in csim(after, felt):
                    tallies[way].note("csim", who_of(source), cosine)
        people = {source.subject for source, _ in chosen}
        own = [take for take in takes if take.emotion == name and take.subject in people]
        real = [stage.recorded(take) for take in own or [pair[1] for pair in chosen]]
        for way, tally in tallies.items():
            if tally.takes:
                rows.append(Row(setting, way, name, tally.row() | _fd_dlib(tally, real)))
    return rows + [
        Row(setting, way, "avg", _average([row.figures for row in rows if row.method == way]))
        for way in methods
    ]


def pair_up(
    takes: Sequence[Take], emotion: str, setting: str, most: int
) -> list[tuple[Take, Take]]:
    """(source, reference): the source feels something else, the reference feels ``emotion``.

    Drawn by the takes' names alone, so that every run compares the same pairs. Where the same
    person's reference says the same sentence, it is taken.
    """
    references = [take for take in takes if take.emotion == emotion]
    pairs = []
    for source in takes:
        if source.emotion == emotion:
            continue
        same = setting == "intra"
        fitting = [one for one in references if (one.subject == source.subject) == same]
        said = [one for one in fitting if same and source.sentence == one.sentence != ""]
        if choice := said or fitting:
            draw = zlib.crc32(f"{source.name}>{emotion}".encode())
            pairs.append((source, choice[draw % len(choice)]))
    pairs.sort(key=lambda pair: zlib.crc32(pair[0].name.encode()))
    return pairs[:most]


def shapes_in_step(source: Take, reference: Take, frames: int, felt: Seen) -> F32:
    """The reference's shapes [frames, 52] for each picture of the source: in step by what is heard
    where both say one sentence (CDRL, section 4.2), else one by one, going round."""
    found = np.flatnonzero(felt.found)
    places = found[np.arange(frames) % len(found)]
    if source.mel and reference.mel and source.sentence == reference.sentence != "":
        step = frames_in_step(source.mel(), reference.mel(), frames, len(felt.tracks))
        if len(step):
            nearest = np.searchsorted(found, step).clip(0, len(found) - 1)
            places = found[nearest]
    return felt.blendshapes[places]


def csim(made: Seen, reference: Seen) -> list[float]:
    """Cosine of the emotion features of two takes, each the mean over its looks; [] unknown."""
    means = []
    for seen in (made, reference):
        features = seen.said.get("feeling")
        good = None if features is None else features[np.isfinite(features).all(axis=1)]
        if good is None or not len(good):
            return []
        means.append(good.mean(axis=0, keepdims=True))
    return [statistics.cosine(means[0], means[1])]


def _fd_dlib(tally: Tally, real: Iterable[Seen | None]) -> Figures:
    """Frechet distance of identity features between what was made and what was recorded."""
    said = [seen.said["dlib"] for seen in real if seen is not None and "dlib" in seen.said]
    looks = [rows[np.isfinite(rows).all(axis=1)] for rows in said]
    recorded = [rows for rows in looks if len(rows)]
    made = tally.after.get("dlib")
    if not made or not recorded:
        return {"fd_dlib": None}
    return {"fd_dlib": None} | frechet("fd_dlib", np.concatenate(made), np.concatenate(recorded))


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


def _average(rows: Sequence[Figures]) -> Figures:
    """The mean over emotions, as the papers' last column, without intervals."""
    names = dict.fromkeys(
        name for row in rows for name in row if not name.endswith(("_low", "_high"))
    )
    return {name: _mean([row[name] for row in rows if row.get(name) is not None]) for name in names}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
