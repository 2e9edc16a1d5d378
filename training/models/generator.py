"""The generator G that latents are drawn by (SSERD, eq. 7): the project's renderer, made
differentiable, or any other that takes a latent.

What real people's faces do is linear in how much they do it: the flow of a face's points is, on the
surface laid flat, a sum of displacement fields, and so is the logarithm of its light. So a latent's
change against that of a picture moves the picture's own pixels and lights them anew. The mouth's
opening is the shapes' alone, as in the renderer (`face.expression.speech`).
Legend: B batch, K shapes and amounts, H W texels of the surface, G cells, S pixels of a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.types import F32, U8
from face.emotions import FEELING
from face.expression.people import People
from face.expression.speech import Speech
from face.ramps import smoothstep
from face.render.detail import COLUMNS, ROWS
from face.render.grid import FADE
from face.render.skin import displacement_map
from face.render.surface import HEIGHT, WIDTH, load_surface, vertices
from face.render.warp import apply_flow, dense_flow, rasterize
from face.rig import Placement, Rig
from face.types import EMOTIONS
from training.models.latent import DRAWN, drawn

CELLS: Final = 64
"""G: cells of a canvas's side"""
STEPS: Final = 2
"""of the flow's inversion: where a pixel comes from, by where it would go"""
DEEPEST: Final = 0.7
"""by how much the logarithm of light may change"""
SKIN: Final = 1.5
"""cells over which the light passes into what isn't skin"""

Canvas = Mapping[str, Tensor]
"""``picture`` [B, 3, S, S] RGB 0..1, ``uv`` [B, 2, G, G] where a cell lies on the surface (-1..1),
``weight`` and ``skin`` [B, 1, G, G] how much it moves and is lit, ``project`` [B, 2, 3] half
sides of the picture per cm"""


class Generator(Protocol):
    """G: a latent to a picture [B, 3, S, S] in 0..1. ``canvas`` is the picture whose person it is,
    and ``w_canvas`` that picture's own latent; who has persons in the latent needs neither."""

    def __call__(self, w: Tensor, w_canvas: Tensor, canvas: Canvas) -> Tensor: ...


class SurfaceGenerator(nn.Module):
    """G of this project. ``fields`` [K, 4, H, W]: displacement x, y, z in cm, and the change of the
    logarithm of light, that one unit of each number brings."""

    fields: Tensor

    def __init__(self, fields: F32 | None = None) -> None:
        super().__init__()
        empty = np.zeros((DRAWN, 4, ROWS, COLUMNS), np.float32)
        self.register_buffer("fields", torch.from_numpy(empty if fields is None else fields))

    def forward(self, w: Tensor, w_canvas: Tensor, canvas: Canvas) -> Tensor:
        return self.draw(drawn(w) - drawn(w_canvas), canvas)

    def draw(self, change_BK: Tensor, canvas: Canvas) -> Tensor:
        """The canvas after a change of shapes and amounts [B, K]."""
        flat = torch.einsum("bk,kchw->bchw", change_BK, self.fields)
        here = _sample(flat, canvas["uv"].permute(0, 2, 3, 1))
        flow = torch.einsum("bij,bjgh->bigh", canvas["project"], here[:, :3]) * canvas["weight"]
        light = here[:, 3:].clamp(-DEEPEST, DEEPEST) * canvas["skin"]
        side = canvas["picture"].shape[-1]
        places = _places(side, flow)
        start = places
        for _ in range(STEPS):
            start = places - _sample(flow, start).permute(0, 2, 3, 1)
        out = _sample(canvas["picture"], start) * torch.exp(_sample(light, start))
        return out.clamp(0, 1)


def fields_of(people: People, rig: Rig, light: F32) -> F32:
    """``fields`` from the statistics; ``light`` [8, H, W] is what each emotion brings.

    An emotion's own field is what its shapes don't explain: with the shapes that it is tracked as
    it is the whole displacement. What feels leaves the lips' opening alone; what speaks doesn't.
    """

    def kept(moved: F32) -> F32:
        return Speech().keep(rig.mean + moved, rig.mean, 0.0, 0.0) - rig.mean

    basis = np.stack(
        [kept(moved) if felt else moved for moved, felt in zip(rig.basis, FEELING, strict=True)]
    )
    tracked = (people.rigs - people.rigs[0]) * FEELING
    fields = np.zeros((DRAWN, 4, ROWS, COLUMNS), np.float32)
    for place, moved in enumerate(basis):
        fields[place, :3] = displacement_map(moved)
    for place in range(1, len(EMOTIONS)):
        own = kept(people.displacements[place]) - np.tensordot(tracked[place], basis, axes=1)
        fields[len(basis) + place, :3] = displacement_map(own)
        fields[len(basis) + place, 3] = light[place]
    return fields


def canvas_of(picture: U8, landmarks: F32, placement: Placement, side_px: int) -> dict[str, F32]:
    """A picture [H, H, 3] RGB with a face at landmarks [478, 3] px as a canvas without a batch."""
    import cv2

    surface, whole = load_surface(), picture.shape[0]
    points = vertices(landmarks)
    triangles = np.concatenate([surface.triangles, surface.seam])
    order = np.argsort(-points[triangles, 2].mean(axis=1), kind="stable")
    cells = ((points[:, :2] + 0.5) * CELLS / whole - 0.5).astype(np.float32)
    mesh, inside = rasterize(cells, surface.uv, triangles[order], CELLS, CELLS)
    size = float(np.ptp(cells, axis=0).max())
    away, nearest = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    known = np.zeros((nearest.max() + 1, 2), np.float32)
    known[nearest[inside]] = mesh[:, inside].T
    uv = (2 * known[nearest] + 1) / (WIDTH, HEIGHT) - 1
    weight = smoothstep(0, 1, 1 - away / np.float32(max(FADE * size, 1)))
    skin = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), SKIN) * inside
    small = cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA)
    project = placement.turn[:2] * placement.scale * np.array([[2], [-2]]) / whole
    return {
        "picture": small.transpose(2, 0, 1).astype(np.float32) / 255,
        "uv": uv.transpose(2, 0, 1).astype(np.float32),
        "weight": np.asarray(weight, np.float32)[None],
        "skin": skin[None].astype(np.float32),
        "project": project.astype(np.float32),
    }


def posed(picture: U8, landmarks: F32, target: F32, rig: Rig) -> U8:
    """A picture whose face at landmarks [478, 3] px is moved to those of another pose."""
    height, width = picture.shape[:2]
    moved = (target - landmarks)[:, :2].astype(np.float32)
    flow = dense_flow(landmarks, moved, rig.triangles, width, height)
    return picture if flow is None else apply_flow(picture, flow)


def batched(canvases: list[dict[str, F32]]) -> dict[str, Tensor]:
    """Canvases as one batch."""
    return {n: torch.from_numpy(np.stack([one[n] for one in canvases])) for n in canvases[0]}


def _sample(maps: Tensor, places_BHW2: Tensor) -> Tensor:
    """Maps [B, C, h, w] at places in -1..1."""
    return F.grid_sample(
        maps, places_BHW2, mode="bilinear", padding_mode="border", align_corners=False
    )


def _places(side: int, like: Tensor) -> Tensor:
    """Where pixels lie [B, S, S, 2], in sides of the picture doubled: -1..1."""
    line = (2 * torch.arange(side, device=like.device, dtype=like.dtype) + 1) / side - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], dim=-1).expand(len(like), -1, -1, -1)
