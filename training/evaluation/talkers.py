"""Films of people who talk calmly, asked about frame by frame: how often a reader calls them so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from face.types import EMOTIONS
from training.data.clip import Clip, ClipInfo
from training.metrics.statistics import ratio_interval
from training.models.visual import VisualEncoder
from training.people import folds
from training.trainers.samples import Augmentation

Floats = NDArray[np.floating[Any]]

EVERY: Final = 3
"""of so many frames one is looked at, as the live graph does"""
MOSTLY: Final = 0.8
"""from which share of its frames a film counts as read right"""


def talks_calmly(info: ClipInfo, frames: int) -> bool:
    return frames > 1 and info.emotion == "neutral" and not info.synthetic


def divided(films: Sequence[Clip], count: int, seed: int) -> dict[str, int]:
    """The fold of each person who is seen in them."""
    labels: dict[str, list[str]] = {film.info.subject: [] for film in films}
    for film in films:
        labels[film.info.subject].append(film.info.label)
    return folds(labels, count, seed)


def watched(visual: VisualEncoder, film: Clip) -> Floats:
    """Log-probabilities [T, 8] of EMOTIONS, in a row, of the frames that show a face."""
    side, state, answers = visual.size.crop_px, visual.begin(1), []
    augmentation = Augmentation.plain(side)
    for t in np.flatnonzero(film.found)[::EVERY]:
        crop = torch.from_numpy(augmentation.picture(film.frame(int(t)), side))[None]
        with torch.no_grad():
            out = visual(crop, torch.from_numpy(film.blendshapes[t : t + 1]), state)
        state = out.state
        answers.append(torch.log_softmax(out.emotion[0], dim=0).numpy())
    return np.asarray(answers)


@dataclass(frozen=True)
class Calm:
    """How often neutral is named in films of calm talk, which count alike; ``low`` and ``high``:
    between what it may lie (95 %, people drawn anew). ``mostly`` films are named so in MOSTLY of
    their frames; ``others``: shares of all frames by what else they are called."""

    named: float
    low: float
    high: float
    films: int
    people: int
    mostly: int
    others: Mapping[str, float]

    def line(self) -> str:
        others = ", ".join(f"{name} {share:.3f}" for name, share in self.others.items())
        return (
            f"neutral is named in {self.named:.3f} of the frames (95 %: {self.low:.3f} to "
            f"{self.high:.3f}, {self.films} films of {self.people} people), in {self.mostly} films "
            f"in {MOSTLY} of them; otherwise {others or 'nothing'}"
        )

    def figures(self) -> dict[str, float]:
        return {
            "films": self.films,
            "people": self.people,
            "named_neutral": self.named,
            "named_neutral_low": self.low,
            "named_neutral_high": self.high,
        }


def verdict(answers: Sequence[tuple[Clip, Floats]]) -> Calm:
    """Of films and what was answered about their frames."""
    named = [answer.argmax(axis=1) for _, answer in answers]
    calm = [float((name == EMOTIONS.index("neutral")).mean()) for name in named]
    by_person: Mapping[str, list[float]] = {film.info.subject: [] for film, _ in answers}
    for (film, _), share in zip(answers, calm, strict=True):
        by_person[film.info.subject].append(share)
    low, high = ratio_interval(
        np.array([sum(own) for own in by_person.values()]),
        np.array([len(own) for own in by_person.values()]),
    )
    counts = Counter(EMOTIONS[place] for name in named for place in name)
    frames = counts.total()
    del counts["neutral"]
    return Calm(
        float(np.mean(calm)), low, high, len(calm), len(by_person),
        sum(share >= MOSTLY for share in calm),
        {name: count / frames for name, count in counts.most_common()},
    )  # fmt: skip
