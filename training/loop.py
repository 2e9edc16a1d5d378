"""What every trainer is: what it draws, and what it minimizes.

What happens at a step depends on (seed, step, rank) and the state alone, so a training that was
interrupted and resumed ends bit by bit as one that wasn't.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import checkpoint
from training.provenance import CODE, Stage, code_hash, plain, seen
from training.recipe import Recipe

if TYPE_CHECKING:
    from training.trainers.samples import Clips

Batch = dict[str, Tensor]
Parts = Mapping[str, Tensor]


class Trainer(ABC):
    """One model's training, as its recipe has it. ``modules`` are trained and saved by name; those
    in ``averaged`` get an EMA, which is what is exported. Modules that are attributes are asked
    where the others are trained. A trainer only sequences; losses live in training.losses."""

    averaged: ClassVar[tuple[str, ...]]
    modules: dict[str, nn.Module]
    clips: Clips
    """what is learned from, where it is clips"""
    leans_on: Mapping[str, Path] = {}
    """runs of other networks that are asked, by name"""
    began: Sequence[Stage] = ()
    """the stages of the run whose weights this one began with"""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.weights: dict[str, float] = asdict(recipe.losses)
        """of the losses"""

    @property
    def name(self) -> str:
        """The network's."""
        return self.recipe.name

    @property
    def size(self) -> dict[str, Any]:
        """What the modules were made with, to make them again."""
        found: dict[str, Any] = plain(asdict(self.recipe.size))
        return found

    @abstractmethod
    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, NDArray[Any]]:
        """One batch as arrays; called from other threads, so it reads and changes nothing."""

    @abstractmethod
    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        """(group, parts, their weights), one after another within a step. A group is the modules
        to be stepped, by name, with + between them."""

    def held_out(self) -> Trainer | None:
        """The same on people who aren't learned from, whose `losses` choose the best checkpoint;
        None where the data has none."""
        return None

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Pictures [3, H, W] in 0..1 for TensorBoard, where there are any."""
        return {}

    def learned_from(self) -> dict[str, Any]:
        """The data, as a stage tells of it."""
        return seen(self.clips)

    def stage(self, command: str, step: int = 0) -> Stage:
        """What this training is, for its checkpoints. Raises MienError."""
        files = sorted({inspect.getfile(type(one)) for one in (self, self.recipe)})
        recipe = {
            **plain(self.recipe.choices()),
            "code": code_hash(*CODE, *(str(Path(file).resolve()) for file in files)),
            "began_with": [stage["command"] for stage in self.began],
            "torch": str(torch.__version__),
        }
        return {
            "command": command,
            "from_step": step,
            "data": self.learned_from(),
            "recipe": recipe,
            "leans_on": {
                name: checkpoint.load(run)["stages"] for name, run in self.leans_on.items()
            },
        }
