"""Calls as in real use: to calibrate int8 with, and to compare runtimes on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from engine.errors import MienError
from engine.types import F32
from inference.terms import Nc, together
from training.data.clip import SPLITS, ClipInfo
from training.trainers.samples import Augmentation, Clips, Sample

HELD_OUT: Final = 3
"""of so many people one is held out where no split says who"""
_TRIES: Final = 1000

Call = dict[str, F32]
"""a network's inputs but its state, by name"""


@dataclass(frozen=True, eq=False)
class Example:
    """A call. ``begins``: nothing came before it. Where kinds are compared apart: of what ``kind``
    it is, and whose."""

    call: Call
    begins: bool = False
    kind: str = ""
    subject: str = ""


class Examples(ABC):
    """Examples of some ``people``, and what ``licences`` their data has."""

    people: set[str]
    nc: Nc
    licences: list[str]

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Iterator[Example]:
        """As many as are wanted, one after another. Raises MienError."""


Drawn = Callable[[Clips, np.random.Generator], Iterator[Example]]


class ClipExamples(Examples):
    """Examples of clips, as ``drawn`` draws them."""

    def __init__(self, clips: Clips, drawn: Drawn) -> None:
        infos = [clips.infos[index] for index in clips.chosen]
        self._clips, self._drawn = clips, drawn
        self.people = {info.subject for info in infos}
        self.nc = together(info.nc for info in infos)
        self.licences = sorted({info.licence or "unknown" for info in infos})

    def draw(self, rng: np.random.Generator) -> Iterator[Example]:
        return self._drawn(self._clips, rng)


def of_clips(
    data: Path, fits: Callable[[ClipInfo, int], bool], drawn: Drawn, divided: bool = False
) -> tuple[Examples, Examples]:
    """Of the clips that fit (info, frames): the train split and the others; where there is only
    one, a part of the people; where those are one, the same twice, unless it is to be ``divided``.
    Raises MienError."""
    try:
        both = Clips(data, "train", fits), Clips(data, ("val", "test"), fits)
    except MienError:
        every = Clips(data, SPLITS, fits)
        people = {every.infos[index].subject for index in every.chosen}
        if len(people) < 2 and not divided:
            both = every, every
        else:
            learn, judge = (frozenset(part) for part in apart(data, people))
            both = (
                Clips(data, SPLITS, lambda info, n: fits(info, n) and info.subject in learn),
                Clips(data, SPLITS, lambda info, n: fits(info, n) and info.subject in judge),
            )
    return ClipExamples(both[0], drawn), ClipExamples(both[1], drawn)


def apart(data: Path, people: set[str]) -> tuple[set[str], set[str]]:
    """People to calibrate with, and others. Raises MienError where there is one."""
    if len(people) < 2:
        raise MienError(f"{data} shows one person; int8 is compared on others: add some")
    held = set(sorted(people)[::HELD_OUT])
    return people - held, held


def faces(clips: Clips, rng: np.random.Generator) -> Iterator[Sample]:
    """Samples with a face. Raises MienError where there are none."""
    unseen = 0
    while unseen < _TRIES:
        sample = clips[clips.draw(rng)]
        unseen = 0 if sample.clip.found.any() else unseen + 1
        if not unseen:
            yield sample
    raise MienError("no clip shows a face; give others with --data")


def crops(clips: Clips, rng: np.random.Generator, side: int) -> Iterator[tuple[Sample, int, F32]]:
    """A moment of each sample with a face: the sample, its frame, and the crop [1, 3, side, side].
    Raises MienError where there are none."""
    augmentation = Augmentation.plain(side)
    for sample in faces(clips, rng):
        t = int(rng.choice(np.flatnonzero(sample.clip.found)))
        yield sample, t, augmentation.picture(sample.clip.frame(t), side)[None]


def voices(clips: Clips, rng: np.random.Generator, samples: int) -> Iterator[F32]:
    """Recordings [N] of at least so many ``samples``. Raises MienError where there are none."""
    silent = 0
    while silent < _TRIES:
        sound = clips[clips.draw(rng)].clip.samples
        silent = 0 if len(sound) >= samples else silent + 1
        if not silent:
            yield sound
    raise MienError("no clip has sound; give others with --data")


def in_steps(
    step_samples: int,
) -> Callable[[Clips, np.random.Generator], Iterator[Example]]:
    """Calls of a network that hears ``step_samples`` at a time, each voice from its beginning."""

    def drawn(clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
        for sound in voices(clips, rng, step_samples):
            for start in range(0, len(sound) - step_samples + 1, step_samples):
                call = {"sound": sound[None, start : start + step_samples]}
                yield Example(call, begins=not start)

    return drawn
