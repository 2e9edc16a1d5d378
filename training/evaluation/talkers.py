"""Films of people who talk calmly, asked about frame by frame: how often a reader calls them so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
    side, state, said = visual.size.crop_px, visual.begin(1), []
    look = Augmentation.plain(side)
    for t in np.flatnonzero(film.found)[::EVERY]:
        crop = torch.from_numpy(look.picture(film.frame(int(t)), side))[None]
        with torch.no_grad():
            out = visual(crop, torch.from_numpy(film.blendshapes[t : t + 1]), state)
        state = out.state
        said.append(torch.log_softmax(out.emotion[0], dim=0).numpy())
    return np.asarray(said)


def verdict(title: str, answers: Sequence[tuple[Clip, Floats]]) -> Iterator[str]:
    """How often neutral is named; films count alike, people are drawn anew."""
    named = [answer.argmax(axis=1) for _, answer in answers]
    calm = [float((name == EMOTIONS.index("neutral")).mean()) for name in named]
    shares: Mapping[str, list[float]] = {film.info.subject: [] for film, _ in answers}
    for (film, _), share in zip(answers, calm, strict=True):
        shares[film.info.subject].append(share)
    low, high = ratio_interval(
        np.array([sum(own) for own in shares.values()]),
        np.array([len(own) for own in shares.values()]),
    )
    others = Counter(EMOTIONS[place] for name in named for place in name)
    frames, mostly = others.total(), sum(share >= MOSTLY for share in calm)
    del others["neutral"]
    told = ", ".join(f"{name} {count / frames:.3f}" for name, count in others.most_common())
    yield (
        f"{title}: neutral is named in {np.mean(calm):.3f} of the frames (95 %: {low:.3f} to "
        f"{high:.3f}, {len(calm)} films of {len(shares)} people), in {mostly} films in "
        f"{MOSTLY} of them; otherwise {told or 'nothing'}"
    )
