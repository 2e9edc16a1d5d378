"""How light and shade of a face's skin change with what it expresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from face.render.detail import COLUMNS, ROWS, skin_mask
from training.data.own import portraits, source_of
from training.examples import Examples, apart
from training.models.skin import PLACES, SkinNet, SkinSize
from training.recipe import Ports, Recipe, Schedule, Tolerance, spec
from training.trainers.skin import Edits, SkinLosses, SkinPlan, SkinTrainer


@dataclass(frozen=True, kw_only=True)
class Skin(Recipe):
    name = "skin"
    task = "light and shade of a face's skin as its expression changes"
    halved = True
    quantized = True
    precision = "int8"
    tolerance = Tolerance("change", 0.2, skin_mask)

    size: SkinSize
    schedule: Schedule
    plan: SkinPlan
    losses: SkinLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=SkinSize(channels=(32, 48, 64, 96)),
            schedule=Schedule(
                steps=1_800,
                batch=12,
                lr=1e-3,
                weight_decay=0.02,
                warmup_steps=100,
                ema_decay=0.995,
                save_every=200,
                log_every=50,
                workers=1,
                bf16=True,
            ),
            plan=SkinPlan(strengths=(0.7, 1.35), noise=0.12, shift=3),
            losses=SkinLosses(light=1.0, folds=0.5),
        )

    @classmethod
    def debug(cls) -> Self:
        return replace(
            cls.full(),
            size=SkinSize(channels=(8, 8)),
            schedule=Schedule.debug(batch=2, lr=1e-3),
        )

    def build(self) -> SkinNet:
        return SkinNet(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> SkinTrainer:
        return SkinTrainer(self, data)

    def ports(self, module: SkinNet) -> Ports:
        whole = (ROWS, COLUMNS)
        inputs = (
            spec(
                "detail",
                (1, 1, *whole),
                -4,
                4,
                "logarithm of brightness to that around, by skin",
            ),
            spec("displacement", (1, 3, *whole), -10, 10, "where the skin goes, x, y, z, cm"),
            spec("places", (1, PLACES, *whole), -1, 1, "x, y, and where there is skin"),
            spec("rig", (1, 52), 0, 1, "blendshapes of the face that is seen"),
            spec("emotion", (1, 8), 0, 1, "1 for the one that it becomes, by face.types.EMOTIONS"),
        )
        return inputs, (spec("change", (1, 1, *whole), -4, 4, "of the logarithm of brightness"),)

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        found, source = portraits(data), source_of(data)
        learn, judge = apart(data, {one.person for one in found})
        return (
            Edits([one for one in found if one.person in learn], source, self.plan),
            Edits([one for one in found if one.person in judge], source, self.plan),
        )
