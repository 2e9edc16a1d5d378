"""The latent space and its generators: what is drawn is as the project's renderer draws it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from engine.errors import MienError
from engine.types import F32
from face.crop import crop, crop_transform
from face.emotions import FEELING
from face.expression.people import load_people
from face.render.detail import COLUMNS, ROWS
from face.render.renderer import FaceRenderer
from face.render.request import Request
from face.render.surface import load_surface
from face.rig import load_rig
from face.types import BLENDSHAPES, EMOTIONS
from tests.faces import astronaut
from training.data.own import tracked
from training.models.generator import SurfaceGenerator, batched, canvas_of, fields_of
from training.models.intensity import READING
from training.models.latent import (
    PLACES,
    TOKENS,
    WIDTH,
    LatentEncoder,
    LatentSize,
    centred_logits,
    drawn,
    packed,
)
from training.models.stylegan2 import StyleGAN2

SIDE_PX = 128


def test_a_latent_holds_each_number_once_and_gives_it_back() -> None:
    assert len(set(PLACES)) == len(PLACES) == len(BLENDSHAPES) + READING + len(EMOTIONS)
    shapes, amounts = torch.rand(2, len(BLENDSHAPES)), torch.rand(2, len(EMOTIONS))
    w = packed(shapes, centred_logits(torch.rand(2, READING)), amounts)
    assert w.shape == (2, TOKENS, WIDTH)
    assert torch.equal(drawn(w), torch.cat([shapes, amounts], dim=1))


def test_a_fresh_encoder_says_the_shapes_as_they_are_tracked() -> None:
    shapes = torch.rand(3, len(BLENDSHAPES))
    w = LatentEncoder(LatentSize(features=8))(shapes, torch.rand(3, READING))
    assert torch.equal(drawn(w)[:, : len(BLENDSHAPES)], shapes)
    assert not drawn(w)[:, len(BLENDSHAPES) + EMOTIONS.index("neutral")].any()


def test_the_generator_draws_as_the_projects_renderer_does() -> None:
    """On a photograph, each emotion: how far the two are apart is a part of what the edit does."""
    rig, people, surface = load_rig(), load_people(), load_surface()
    found = tracked(astronaut())
    assert found is not None
    picture = crop(astronaut(), crop_transform(found.placement))
    face = tracked(picture)
    assert face is not None
    light = np.zeros((len(EMOTIONS), ROWS, COLUMNS), np.float32)
    generator = SurfaceGenerator(fields_of(people, rig, light))
    canvas = batched([canvas_of(picture, face.landmarks, face.placement, len(picture))])
    renderer = FaceRenderer(rig, surface, people)
    for place in range(1, len(EMOTIONS)):
        expression = np.zeros(len(EMOTIONS), np.float32)
        expression[place] = 0.8
        request = Request(
            picture=picture, landmarks=face.landmarks, placement=face.placement, rig=face.rig,
            expression=expression, removed=0.0, still=True,
        )  # fmt: skip
        theirs = renderer.render(request).astype(np.float32)
        shapes = 0.8 * (people.rigs[place] - people.rigs[0]) * FEELING
        change = torch.from_numpy(np.concatenate([shapes, expression]))[None].float()
        made = generator.draw(change, canvas)[0].permute(1, 2, 0).numpy() * 255
        edit = np.abs(theirs - picture).mean()
        off = np.abs(made - theirs).mean()
        assert edit > 1 and off < 0.4 * edit, EMOTIONS[place]


def test_no_change_is_the_canvas_and_every_change_has_a_gradient() -> None:
    fields = np.random.default_rng(0).normal(0, 0.3, (60, 4, ROWS, COLUMNS)).astype(np.float32)
    generator = SurfaceGenerator(smooth(fields))
    face = tracked(astronaut())
    assert face is not None
    canvas = batched([canvas_of(astronaut(), face.landmarks, face.placement, SIDE_PX)])
    still = generator.draw(torch.zeros(1, 60), canvas)
    assert torch.allclose(still, canvas["picture"], atol=1e-4)
    change = torch.full((1, 60), 0.05, requires_grad=True)
    [slope] = torch.autograd.grad((generator.draw(change, canvas) - still).square().sum(), change)
    assert (slope != 0).all()


def smooth(fields: F32) -> F32:
    """So that a derivative means something."""
    flat = fields.reshape(-1, ROWS, COLUMNS)
    soft = np.stack([cv2.GaussianBlur(one, (0, 0), 8) for one in flat])
    return soft.reshape(fields.shape).astype(np.float32)


def test_a_stylegan2_takes_the_generators_place(tmp_path: Path) -> None:
    torch.manual_seed(0)
    random = StyleGAN2((8, 6, 4), 16)
    stored = {f"synthesis.{name}": value for name, value in random.state_dict().items()}
    stored["mapping.w_avg"] = torch.zeros(16)
    save_file(stored, tmp_path / "tiny.safetensors")
    generator = StyleGAN2.load(tmp_path / "tiny.safetensors")
    w = torch.randn(2, generator.layers, 16, requires_grad=True)
    with torch.no_grad():
        assert torch.equal(generator(w), random(w))
    picture = generator(w, w, {})
    assert picture.shape == (2, 3, 16, 16) and picture.min() >= 0 and picture.max() <= 1
    [slope] = torch.autograd.grad(picture[0].sum(), w)
    assert slope[0].abs().sum() > 0 and not slope[1].any()


def test_a_modulated_convolution_is_the_papers() -> None:
    """One sample at a time, straight from eq. 1 and 3."""
    torch.manual_seed(0)
    layer: Any = StyleGAN2((4, 5), 6).get_submodule("b8.conv1")
    x, w = torch.randn(2, 5, 8, 8), torch.randn(2, 6)
    both = layer(x, w)
    for one in range(2):
        style = w[one] @ layer.affine.weight.T / 6**0.5 + layer.affine.bias
        weight = layer.weight * style[None, :, None, None]
        weight = weight / weight.square().sum(dim=(1, 2, 3), keepdim=True).add(1e-8).sqrt()
        alone = F.conv2d(x[one : one + 1], weight, layer.bias, padding=1)
        assert torch.allclose(both[one : one + 1], alone, atol=1e-5)


def test_what_is_no_stylegan2_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(MienError, match="no safetensors file"):
        StyleGAN2.load(tmp_path / "junk.safetensors")
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(MienError, match="holds no StyleGAN2"):
        StyleGAN2.load(tmp_path / "other.safetensors")
    stored = StyleGAN2((4, 4), 8).state_dict()
    del stored["b8.conv0.weight"]
    save_file(stored, tmp_path / "part.safetensors")
    with pytest.raises(MienError, match=r"b8\.conv0\.weight is missing"):
        StyleGAN2.load(tmp_path / "part.safetensors")
