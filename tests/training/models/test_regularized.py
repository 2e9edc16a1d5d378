"""Generators that CDRL regularizes: what they begin as, and that both losses reach them."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")

import numpy as np
import torch

from engine.errors import MienError
from face.types import BLENDSHAPES
from tests.faces import astronaut
from tests.training.models.conftest import Made
from training.evaluation.cdrl_methods import one_stage, pasted
from training.evaluation.reference_methods import METHODS, Cast
from training.models.reference_rig import REFERENCE
from training.recipe import Recipe
from training.recipes.reference_picture import ReferencePictureRecipe
from training.recipes.reference_rig import ReferenceRigRecipe

KINDS: list[type[Recipe]] = [ReferenceRigRecipe, ReferencePictureRecipe]


def test_who_has_learned_nothing_changes_nothing() -> None:
    rig = ReferenceRigRecipe.debug().build().eval()
    shapes, reference = torch.rand(2, 52), torch.rand(2, REFERENCE)
    with torch.no_grad():
        torch.testing.assert_close(rig(shapes, reference), shapes)
        picture = ReferencePictureRecipe.debug().build().eval()
        crop, other = torch.rand(2, 2, 3, 64, 64)
        made = picture(crop, other)
    assert float((made - crop).abs().max()) < 0.05


def test_looks_and_blinks_are_the_sources() -> None:
    net = ReferenceRigRecipe.debug().build().eval()
    shapes, reference = torch.full((1, 52), 0.5), torch.rand(1, REFERENCE)
    with torch.no_grad():
        net.leave.bias.fill_(1.0)
        made = net(shapes, reference)[0]
    for place, name in enumerate(BLENDSHAPES):
        kept = name.startswith(("eyeBlink", "eyeLook", "_neutral"))
        assert (float(made[place]) == 0.5) == kept, name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("left", ["content", "emotion"])
def test_each_representation_is_a_loss_that_reaches_the_generator(
    made: Made, kind: type[Recipe], left: str
) -> None:
    recipe = kind.debug()
    other = {"content": "emotion", "emotion": "content"}[left]
    recipe = replace(recipe, losses=replace(recipe.losses, **{other: 0.0}))
    trainer = recipe.trainer(made.data, {name: made.runs / name for name in kind.leans_on})
    rows = trainer.draw(np.random.default_rng(0), 0)
    batch = {name: torch.from_numpy(value) for name, value in rows.items()}
    net = trainer.modules[kind.name]
    with torch.no_grad():  # away from where the loss is flat
        for parameter in net.leave.parameters():  # type: ignore[union-attr]
            parameter.copy_(0.3 * torch.randn_like(parameter))
    parts = next(parts for group, parts, _ in trainer.losses(batch, 0) if group == kind.name)
    assert left in parts and other not in parts
    torch.autograd.backward(parts[left])
    reached = [p.grad for p in net.leave.parameters()]  # type: ignore[union-attr]
    assert max(float(grad.abs().max()) for grad in reached if grad is not None) > 0


def test_what_is_pasted_changes_the_crop_alone() -> None:
    picture = astronaut()
    before = np.ascontiguousarray(picture[40:168, 60:188])
    there = np.array([[1, 0, -60], [0, 1, -40]], np.float32)
    np.testing.assert_array_equal(pasted(picture, before, before, there), picture)
    brighter = np.clip(before.astype(int) + 20, 0, 255).astype(np.uint8)
    after = pasted(picture, before, brighter, there)
    changed = np.abs(after.astype(int) - picture).max(axis=2) > 0
    assert changed[90:110, 110:140].all()
    changed[40:168, 60:188] = False
    assert not changed.any()


def test_a_generator_without_a_run_is_a_line(made: Made) -> None:
    with pytest.raises(MienError, match="give some with --weights"):
        Cast(["one-stage"], [], ["ann"]).of("ann")
    assert not METHODS["two-stage"].ships
    with pytest.raises(MienError, match="is a run of reference_rig"):
        one_stage(str(made.runs / "reference_rig"))
