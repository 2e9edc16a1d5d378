"""Train the neutralizing generator: reconstruction, lips, features, what a tracker sees of an
edit, an adversary, N-pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.types import BLENDSHAPES, EMOTIONS, F32
from training.loop import Batch, Parts, Schedule, Trainer
from training.losses import faces, labels, pixels
from training.models.discriminator import PatchDiscriminator
from training.models.generator import (
    CROP_PX,
    Edit,
    Generator,
    GeneratorSize,
    IdentityEncoder,
    sample,
)
from training.models.landmarker import TorchLandmarker
from training.models.lite0 import Lite0
from training.models.visual import Affect, VisualEncoder
from training.restore import restore
from training.trainers.edits import Edits
from training.trainers.samples import Array, Clips, Look


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``paired_share`` of rows are strict pairs where synthetic heads are there; ``asked`` rows a
    step are edits without a truth, judged by the tracker's networks and, in turns, by the visual
    encoder and an adversary, which wakes after the share ``adversary_after`` of all steps; every
    ``steady_every``th step draws three frames in a row; ``levels`` are the blocks of the ImageNet
    network whose features are compared, in a window of ``window_px`` at a random place, at full
    resolution and for less than half of the price, in ``likened`` of the edits too."""

    paired_share: float = 0.25
    asked: int = 6
    likened: int = 3
    steady_every: int = 4
    adversary_after: float = 0.2
    imagenet: bool = True
    levels: tuple[int, ...] = (0, 2, 4, 10)
    window_px: int = 128


SCHEDULES: Final = {
    "debug": Schedule(steps=3, batch=3, rate=1e-3, ema=0.9, save_every=2, log_every=1, loaders=1),
    "full": Schedule(steps=60_000, batch=3, rate=5e-4, warm_up=200, ema=0.999, bf16=True),
}
PLANS: Final = {
    "debug": Plan(
        asked=1,
        likened=1,
        steady_every=2,
        imagenet=False,
        levels=(0,),
        window_px=64,
    ),
    "full": Plan(),
}
SIZES: Final = {
    "debug": GeneratorSize(channels=(8, 8, 8, 8), features=16),
    "full": GeneratorSize(),
}
WEIGHTS: Final = {
    "reconstruction": 6.0,
    "edges": 6.0,
    "lip": 5.0,
    "perceptual": 0.6,
    "smooth": 0.02,
    "painted": 0.001,
    "steadiness": 5.0,
    "control": 0.8,
    "opening": 12.0,
    "kept": 4.0,
    "likeness": 1.0,
    "light": 150.0,
    "smooth_asked": 0.02,
    "adversarial": 0.2,
    "metric": 0.1,
    "felt": 0.1,
}
SMOOTHING: Final = 0.1
SHARPNESS: Final = 8.0
"""one over the temperature that features of unit length need"""
CONDITIONS: Final = ("source", "flow", "lines", "expression", "intensity")


class GeneratorTrainer(Trainer):
    name: ClassVar[str] = "generator"
    averaged: ClassVar[tuple[str, ...]] = ("generator", "identity")

    def __init__(
        self,
        data: Path,
        config: str,
        visual: Path | None,
        say: Callable[[str], None],
        paired_share: float | None = None,
    ) -> None:
        self.schedule, self.plan, size = SCHEDULES[config], PLANS[config], SIZES[config]
        if paired_share is not None:
            self.plan = replace(self.plan, paired_share=paired_share)
        self.size = asdict(size) | {"channels": list(size.channels)}
        self.leans_on = {} if visual is None else {"visual": visual}
        self.clips = Clips(data, "train", lambda info, frames: frames > 0)
        self.edits = Edits(self.clips, self.plan.paired_share)
        self.modules: dict[str, nn.Module] = {
            "generator": Generator(size),
            "identity": IdentityEncoder(size),
            "discriminator": PatchDiscriminator(8 if config == "debug" else 32),
        }
        self.features = Lite0(self.plan.levels[-1] + 1).eval().requires_grad_(False)
        if self.plan.imagenet:
            self.features.load_imagenet()
        self.landmarker = TorchLandmarker()
        self.in_a_row = any(self.clips.lengths[index] >= 3 for index in self.clips.chosen)
        self.visual: VisualEncoder | None = None
        if visual is None:
            say("without --visual RUN edits aren't asked for their emotion (no eq. 3)")
        else:
            self.visual = restore(visual, "visual", VisualEncoder)
        labelled = self.clips.by_emotion
        self.others = [name for name in EMOTIONS[1:] if labelled.get(name)]
        if self.visual is not None and not (self.others and labelled.get("neutral")):
            say("no clips labelled neutral and otherwise: the N-pair loss (eq. 3) is left out")
            self.visual = None

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        frames = self._frames(step)
        count, lacking = max(1, self.schedule.batch // frames), "shows a face"
        batch = self.clips.gather(
            count, lambda: self.edits.row(rng, frames), lacking, np.concatenate
        )
        asked = self.clips.gather(self.plan.asked, lambda: self.edits.asked(rng), lacking)
        batch |= {f"asked_{name}": value for name, value in asked.items()}
        if self.visual is not None and step % 2:
            batch |= self._contrast(rng)
        return batch

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        self._place(batch["source"].device)
        both = {
            name: torch.cat([batch[name], batch[f"asked_{name}"]])
            for name in (*CONDITIONS, "reference")
        }
        made, asked = _parted(self._edit(both), len(batch["source"]))
        picture, edited = made.picture.float(), asked.picture.float()
        parts = self._compared(made, picture, batch, self._frames(step))
        parts |= self._judged(asked, edited, batch)
        judge = self.modules["discriminator"]
        adversary = step % 2 == 0 and step >= self.plan.adversary_after * self.schedule.steps
        if adversary:
            parts["adversarial"] = faces.adversarial(judge(torch.cat([picture, edited])).float())
        if self.visual is not None and step % 2:
            parts |= self._read(edited, batch, self.visual)
        yield "generator+identity", parts, WEIGHTS
        if adversary:
            real = judge(torch.cat([batch["truth"], batch["asked_source"]]))
            fake = judge(torch.cat([picture, edited]).detach())
            hinge = faces.discriminator(real.float(), fake.float())
            yield "discriminator", {"discriminator": hinge}, {"discriminator": 1.0}

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        made = self._edit(batch, averaged)
        warp = self._edit(batch | {"intensity": torch.zeros_like(batch["intensity"])}, averaged)
        rows = [
            torch.cat([batch["source"][i], batch["truth"][i], made.picture[i], warp.picture[i]], 2)
            for i in range(min(4, len(batch["source"])))
        ]
        asked = self._edit(batch, averaged, "asked_")
        edits = [
            torch.cat(
                [batch["asked_source"][i], asked.picture[i], asked.mask[i].expand(3, -1, -1)], 2
            )
            for i in range(min(4, len(asked.picture)))
        ]
        mask = torch.cat([made.mask[i].expand(3, -1, -1) for i in range(len(rows))], 2)
        return {
            "source, truth, made, made with alpha 0": torch.cat(rows, 1),
            "mask": mask,
            "asked: source, made, mask": torch.cat(edits, 1),
        }

    def _edit(
        self, batch: Batch, modules: Mapping[str, nn.Module] | None = None, prefix: str = ""
    ) -> Edit:
        modules = modules or self.modules
        identity, identity_map = modules["identity"](batch[prefix + "reference"])
        source, flow, lines, expression, alpha = (batch[prefix + name] for name in CONDITIONS)
        made = modules["generator"](source, flow, lines, identity, identity_map, expression, alpha)
        assert isinstance(made, Edit)
        return made

    def _compared(
        self, made: Edit, picture: Tensor, batch: Batch, frames: int
    ) -> dict[str, Tensor]:
        """Everything that has a truth."""
        truth, weight = batch["truth"], batch["weight"]
        shift = faces.flow_at(made.flow.float(), batch["points"], CROP_PX)
        parts = {
            "reconstruction": pixels.reconstruction(picture, truth, weight),
            "edges": pixels.edges(picture, truth, weight),
            "lip": faces.lip(shift, batch["shift"], batch["eyes"]),
            "perceptual": self._unlike(picture, truth),
            "smooth": pixels.smoothness(made.flow.float(), batch["flow"]),
            "painted": pixels.sparsity(made.mask.float()),
        }
        if frames == 3:
            out, goal = (x.reshape(-1, 3, *x.shape[1:]) for x in (picture, truth))
            parts["steadiness"] = pixels.steadiness(out, goal)
        return parts

    def _judged(self, made: Edit, picture: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Edits without a truth: the rig that a tracker finds in them against the one asked for,
        the mouth as open as it was, and elsewhere what the warp shows."""
        with torch.autocast(picture.device.type, enabled=False):
            seen = self.landmarker(_disturbed(picture), batch["asked_region"])
        shift = F.interpolate(batch["asked_flow"], scale_factor=2, mode="bilinear")
        generator = self.modules["generator"]
        assert isinstance(generator, Generator)
        warp = sample(batch["asked_source"], shift, generator.grid)
        few = self.plan.likened
        return {
            "control": faces.control(seen.shapes, batch["asked_wanted"]),
            "opening": (faces.opening(seen.landmarks) - batch["asked_opening"]).abs().mean(),
            "kept": pixels.reconstruction(picture, warp, batch["asked_weight"]),
            "likeness": self._unlike(picture[:few], warp[:few]),
            "light": pixels.sparsity(made.paint.float().abs() * batch["asked_weight"]),
            "smooth_asked": pixels.smoothness(made.flow.float(), batch["asked_flow"]),
        }

    def _unlike(self, picture: Tensor, wanted: Tensor) -> Tensor:
        """L_per in a window at a random place."""
        side = self.plan.window_px
        top, left = torch.randint(CROP_PX - side + 1, (2,)).tolist()
        window = (..., slice(top, top + side), slice(left, left + side))
        seen = self.features.levels(picture[window], self.plan.levels)
        with torch.no_grad():
            goal = self.features.levels(wanted[window], self.plan.levels)
        return pixels.perceptual(
            [level.float() for level in seen], [level.float() for level in goal]
        )

    def _read(self, picture: Tensor, batch: Batch, judge: VisualEncoder) -> dict[str, Tensor]:
        """What the visual encoder sees in edits: the emotion asked for, as far as it was asked for;
        and eq. 3, features of neutralized faces (one frame each) against a neutral one and one of
        every other emotion, of other people."""
        seen, felt = _look(judge, _disturbed(picture)), batch["asked_felt"]
        shares = torch.log_softmax(seen.emotion.float(), dim=1)
        wanted = labels.one_hot(felt, len(EMOTIONS), SMOOTHING)
        parts = {
            "felt": labels.soft_classification(
                shares[:, None], wanted, batch["asked_strength"][:, None]
            ),
        }
        if (calm := felt == 0).any():
            with torch.no_grad():
                others = _look(judge, batch["contrast"]).embedding.float()
            anchor = SHARPNESS * seen.embedding.float()[calm]
            count = len(anchor)
            parts["metric"] = faces.n_pair(
                anchor, others[:1].expand(count, -1), others[None, 1:].expand(count, -1, -1)
            )
        return parts

    def _contrast(self, rng: np.random.Generator) -> dict[str, Array]:
        """A neutral face and one of each other emotion, as the visual encoder wants them."""

        def row() -> dict[str, Array]:
            crops = [
                self._crop(self.clips.by_emotion[name], rng, emotional=name != "neutral")
                for name in ("neutral", *self.others)
            ]
            return {"contrast": np.stack(crops)}

        return self.clips.gather(1, row, "shows a face", np.concatenate)

    def _frames(self, step: int) -> int:
        """How many frames in a row the samples of a step have."""
        return 3 if self.in_a_row and step % self.plan.steady_every == 0 else 1

    def _crop(self, indices: list[int], rng: np.random.Generator, emotional: bool) -> F32:
        """A frame of one of some clips as the visual encoder wants it."""
        assert self.visual is not None
        index, side = int(rng.choice(indices)), self.visual.size.crop_px
        picture = self.clips[index].clip.frame(self._frame(index, rng, emotional))
        return Look.plain(side).picture(picture, side)

    def _frame(self, index: int, rng: np.random.Generator, emotional: bool) -> int:
        """A frame of a clip out of its stronger, or calmer, half."""
        sample = self.clips[index]
        found = np.flatnonzero(sample.clip.found)
        if not len(found):
            return 0
        order = found[np.argsort(sample.labels.intensity[found], kind="stable")]
        half = max(1, len(order) // 2)
        return int(rng.choice(order[-half:] if emotional else order[:half]))

    def _place(self, device: torch.device) -> None:
        self.features.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.landmarker.to(device)
        if self.visual is not None:
            self.visual.to(device)


def _parted(made: Edit, count: int) -> tuple[Edit, Edit]:
    """The first ``count`` rows, and the others."""
    return Edit(*(part[:count] for part in made)), Edit(*(part[count:] for part in made))


def _look(judge: VisualEncoder, picture_BCHW: Tensor) -> Affect:
    """What the visual encoder says of pictures, judged without their rig and one by one."""
    side = judge.size.crop_px
    if picture_BCHW.shape[-1] != side:
        picture_BCHW = F.interpolate(
            picture_BCHW, (side, side), mode="bilinear", antialias=True, align_corners=False
        )
    rig = picture_BCHW.new_zeros(len(picture_BCHW), len(BLENDSHAPES))
    seen: Affect = judge(picture_BCHW, rig, judge.begin(len(picture_BCHW)))
    return seen


def _disturbed(picture_BCHW: Tensor) -> Tensor:
    """Pictures as another camera might take them, a little blurred, noisy, lighter or darker: what
    is read in an edit must not hang on fine patterns."""
    out = picture_BCHW
    for share in torch.rand(2).tolist():
        out = torch.lerp(out, F.avg_pool2d(out, 3, 1, 1, count_include_pad=False), share)
    gain = 1 + 0.15 * torch.randn(len(out), 1, 1, 1, device=out.device)
    noise = 0.03 * float(torch.rand(())) * torch.randn_like(out)
    return (out * gain + noise).clamp(0, 1)
