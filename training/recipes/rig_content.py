"""What a rig says, whatever it feels (CDRL's CCRL for a generator's first stage, section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from training.recipes.content import ContentRecipe
from training.trainers.content import RigContentTrainer


@dataclass(frozen=True, kw_only=True)
class RigContentRecipe(ContentRecipe):
    name = "rig_content"
    task = "what a rig says at a moment, whatever it feels: a representation"

    @classmethod
    def full(cls) -> Self:
        return cls._of_rigs(super().full())

    @classmethod
    def debug(cls) -> Self:
        return cls._of_rigs(super().debug())

    @classmethod
    def _of_rigs(cls, recipe: Self) -> Self:
        return replace(
            recipe,
            size=replace(recipe.size, rigged=True),
            plan=replace(recipe.plan, views=1),
        )

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> RigContentTrainer:
        return RigContentTrainer(self, data)
