"""Feeling as another take does: intra-ID and cross-ID, as SSERD and CDRL (section 4.1) define them.

A source is given the expression of an emotional reference of the same person, or of somebody else;
sources are calm where the emotion isn't, and emotional where the reference is calm. FD dlib
compares the made faces with recorded ones in that emotion (the papers' FAD, whose network is
ArcFace), CSIM the emotion features of what was made with those of the reference. LSE-D is the
distance of mouth and sound by a sync expert that was trained here, on rigs; LVE is against the
source's own lips.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from face.types import FaceTrack
from training.data.align import frames_in_step
from training.evaluation.look import Look
from training.evaluation.protocols import Row, Show, Stage, who_of
from training.evaluation.reference_methods import Cast, OwnFaces
from training.evaluation.renderers import to_frames
from training.evaluation.takes import Take
from training.evaluation.tally import Figures, Seen, Tally, frechet, merged
from training.metrics import statistics

REFERENCE: Final = "reference"
"""its column on a sheet"""
AVERAGE: Final = "avg"
SHOWN: Final = 4
"""pictures of a clip, about, that are remembered of its person"""

InSync = Callable[[Take, Sequence[FaceTrack]], float | None]
"""LSE-D of a take's sound and a face; None where nothing is heard"""


def by_reference(
    takes: Sequence[Take],
    cast: Cast,
    emotions: Sequence[str],
    setting: str,
    stage: Stage,
    most: int,
    show: Show,
    in_sync: InSync | None = None,
) -> list[Row]:
    """A row for each method and emotion of intra-ID or cross-ID, and one over all, "avg".

    ``most`` bounds the sources per emotion. Raises MienError where no two takes make a pair.
    """
    pairs = {name: pair_up(takes, name, setting, most) for name in emotions}
    if not any(pairs.values()):
        whose = "one person" if setting == "intra" else "different people"
        raise MienError(f"no two takes of {whose} differ in emotion; {setting}-ID needs such")
    rows, every = [], dict[str, list[Tally]]()
    for name, chosen in pairs.items():
        tallies = {way: Tally(name) for way in cast.names}
        for source, reference in stage.along(chosen, f"{setting}-ID, {name}"):
            own = [take for take in takes if take.subject == source.subject]
            known = [take for take in own if take not in (source, reference)]
            _edit(source, reference, known, cast, tallies, stage, show, setting, in_sync)
        people = {source.subject for source, _ in chosen}
        own = [take for take in takes if take.emotion == name and take.subject in people]
        real = [stage.recorded(take) for take in own or [pair[1] for pair in chosen]]
        for way, tally in tallies.items():
            if tally.takes:
                every.setdefault(way, []).append(tally)
                rows.append(Row(setting, way, name, tally.row() | _fd_dlib(tally, real)))
    return rows + [
        Row(setting, way, AVERAGE, _over_all(parts, [row for row in rows if row.method == way]))
        for way, parts in every.items()
    ]


def _edit(
    source: Take,
    reference: Take,
    known: Sequence[Take],
    cast: Cast,
    tallies: Mapping[str, Tally],
    stage: Stage,
    show: Show,
    setting: str,
    in_sync: InSync | None,
) -> None:
    """One pair, by all methods or, where one can't use the reference, by none. ``known``: the
    person's other takes."""
    found, felt = stage.before(source), stage.recorded(reference)
    if found is None or felt is None:
        return
    before, tracks = found
    looks = stage.looks(reference)
    places = in_step(source, reference, len(tracks), felt)
    frames = to_frames(before.pictures, name="")
    for method in cast.of(source.subject).values():
        if isinstance(method, OwnFaces):
            method.show(_shown(known, stage))
    try:
        made = {
            way: [
                method(frame, track, looks[place])
                for frame, track, place in zip(frames, tracks, places, strict=True)
            ]
            for way, method in cast.of(source.subject).items()
        }
    except MienError as error:
        stage.leave(f"{reference.name} as a reference: {error}")
        return
    who, middle = who_of(source), int(np.flatnonzero(before.found)[before.found.sum() // 2])
    sheet, face = f"{setting}-{reference.emotion}", before.tracks[middle]
    show(source, "", sheet, before.pictures[middle], face)
    shown = looks[places[middle]]
    show(source, REFERENCE, sheet, shown.pixels, shown.track)
    for way, pictures in made.items():
        same = all(one is other for one, other in zip(pictures, before.pictures, strict=True))
        after = before if same else stage.after(pictures)
        tally = tallies[way]
        tally.add(before, after, who)
        _as_the_reference(tally, after, felt, who)
        if in_sync is not None and (apart := in_sync(source, after.tracks)) is not None:
            tally.note("lse_d", who, apart)
        show(source, way, sheet, pictures[middle], face)


def _shown(takes: Sequence[Take], stage: Stage) -> Iterator[tuple[Look, str]]:
    """Some pictures of each take, with what they show."""
    for take in takes:
        looks = [look for look in stage.looks(take) if look.track.found]
        yield from ((look, take.emotion) for look in looks[:: max(1, len(looks) // SHOWN)])


def pair_up(
    takes: Sequence[Take], emotion: str, setting: str, most: int
) -> list[tuple[Take, Take]]:
    """(source, reference): the source is calm, or, where the reference is or nobody is calm, feels
    something else; the reference feels ``emotion``.

    Drawn by the takes' names alone, so that every run compares the same pairs. Where the same
    person's reference says the same sentence, it is taken.
    """
    references = [take for take in takes if take.emotion == emotion]
    others = [take for take in takes if take.emotion != emotion]
    pairs = []
    for source in [take for take in others if take.emotion == "neutral"] or others:
        same = setting == "intra"
        fitting = [one for one in references if (one.subject == source.subject) == same]
        same_words = [one for one in fitting if same and source.sentence == one.sentence != ""]
        if choice := same_words or fitting:
            draw = zlib.crc32(f"{source.name}>{emotion}".encode())
            pairs.append((source, choice[draw % len(choice)]))
    pairs.sort(key=lambda pair: zlib.crc32(pair[0].name.encode()))
    return pairs[:most]


def in_step(source: Take, reference: Take, frames: int, felt: Seen) -> NDArray[np.int64]:
    """Which picture of the reference [frames] goes with each of the source: in step by what is
    heard where both say one sentence (CDRL, section 4.2), else one by one, going round."""
    found = np.flatnonzero(felt.found)
    places: NDArray[np.int64] = found[np.arange(frames) % len(found)]
    if source.mel and reference.mel and source.sentence == reference.sentence != "":
        step = frames_in_step(source.mel(), reference.mel(), frames, len(felt.tracks))
        if len(step):
            nearest = np.searchsorted(found, step).clip(0, len(found) - 1)
            places = found[nearest]
    return places


def _as_the_reference(tally: Tally, made: Seen, reference: Seen, who: str) -> None:
    """CSIM: the cosine of the emotion features of two takes, each the mean over its looks; and how
    often the reference itself is read as what it is."""
    means = []
    for seen in (made, reference):
        features = seen.answers.get("feeling")
        good = None if features is None else features[np.isfinite(features).all(axis=1)]
        if good is not None and len(good):
            means.append(good.mean(axis=0, keepdims=True))
    if len(means) == 2:
        tally.note("csim", who, statistics.cosine(means[0], means[1]))
    tally.read_reference(who, reference.answers.get("emotion"))


def _fd_dlib(tally: Tally, real: Iterable[Seen | None]) -> Figures:
    """Frechet distance of identity features between what was made and what was recorded."""
    features = [
        seen.answers["dlib"] for seen in real if seen is not None and "dlib" in seen.answers
    ]
    looks = [rows[np.isfinite(rows).all(axis=1)] for rows in features]
    recorded = [rows for rows in looks if len(rows)]
    made = tally.after.get("dlib")
    if not made or not recorded:
        return {"fd_dlib": None}
    return {"fd_dlib": None} | frechet("fd_dlib", np.concatenate(made), np.concatenate(recorded))


def _over_all(parts: Sequence[Tally], rows: Sequence[Row]) -> Figures:
    """All emotions' pairs as one, with intervals; of distances of sets the mean over emotions, as
    the papers' last column."""
    out = merged(parts).row()
    for name in ("fd_dlib", "fd_lite0"):
        known = [value for row in rows if (value := row.figures.get(name)) is not None]
        out |= {f"{name}_faces": None, f"{name}_dimensions": None}
        out[name] = float(np.mean(known)) if known else None
    return out
