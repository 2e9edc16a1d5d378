"""A still picture that talks: its person's face as a rig says, head and hair with it, the rest of
the picture where it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from engine.types import F32, U8
from face.emotions import sides
from face.ramps import ramp
from face.render.renderer import Appearance, FaceRenderer, placed, warmth
from face.render.repertoire import mouth, mouth_aperture
from face.render.request import Request
from face.render.sway import Sway
from face.render.teeth import Teeth
from face.rig import Placement, Rig
from face.topology import LIDS
from face.voice.lips import parted
from face.voice.wearing import APART, MOUTH_SHARE

OPENS_CM: Final = (0.03, 0.12)
"""from where to where parted lips show what is behind them"""
BLINKS: Final = tuple(reversed(sides("eyeBlink")))
"""right, left: as LIDS"""
MEET: Final = 0.88
"""where lids meet, from the upper to the lower one's place"""
CHANGED: Final = 0.02
"""by how much an expression changes before its appearance is made anew"""
GONE_AT: Final = 0.5
"""how much of another expression leaves nothing of the picture's own"""
NECK_CM: Final = np.array([0, -11, -7], np.float32)
"""around what a head turns"""


class Portrait:
    """Draws one still face again and again: ``request`` is its picture with the face in it, and
    how much of its own feeling goes; ``renderer`` may know more of its person."""

    def __init__(self, request: Request, renderer: FaceRenderer, rig: Rig) -> None:
        self._request = replace(request, still=True, shut=True)
        self._renderer, self._removed = renderer, request.removed
        self._sway = Sway(request.picture, request.landmarks, request.placement)
        self._skin = renderer.skin_colour(request)
        self._basis = rig.basis.copy()
        self._basis[list(BLINKS)] = 0  # lids shut by where they are, not by how far lids go usually
        self._made: Appearance | None = None

    def draw(self, spoken: F32, expression: F32, turn: F32, out: U8 | None = None) -> U8:
        """The picture [H, W, 3] with a face that wears an ``expression`` [8], moved by the shapes
        ``spoken`` [52], of a head that is turned by ``turn`` [3, 3] from where it was."""
        made = self._appearance(expression)
        shape = made.shape + np.tensordot(spoken, self._basis, axes=1)
        if made.parts is not None:
            shape += np.float32(MOUTH_SHARE * ramp(*APART, float(parted(spoken)))) * made.parts
        shape = blink(shape.astype(np.float32), spoken)
        pose = turned(self._request.placement, turn)
        target = placed(shape, pose)
        opened = ramp(*OPENS_CM, mouth_aperture(shape))
        overlay, own = made.overlay, self._renderer.repertoire.opened(mouth(shape)) is not None
        if opened > 0 and own:
            texture = self._renderer.with_mouth(overlay.texture, shape, self._request)
            overlay = replace(overlay, texture=texture, mouth=opened)
        drawn = self._renderer.draw(self._request, overlay, self._sway.undone(target, pose))
        whole = self._sway(drawn, pose, out)
        if opened > 0 and not own:
            light = (self._skin, warmth(self._skin))
            Teeth(made.shape).paint(whole, shape, target, pose, *light, share=opened)
        return whole

    def _appearance(self, expression: F32) -> Appearance:
        before = self._request.expression
        if self._made is None or np.abs(expression - before).max() > CHANGED:
            # As another expression comes, the picture's own goes, or they would add up.
            comes = min(float(expression.sum()) / GONE_AT, 1.0)
            removed = self._removed + (1 - self._removed) * comes
            self._request = replace(self._request, expression=expression, removed=removed)
            self._made = self._renderer.appearance(self._request)
        return self._made


def turned(placement: Placement, turn: F32) -> Placement:
    """Where a head stands that turns [3, 3] on its neck."""
    whole = (placement.turn @ turn).astype(np.float32)
    shift = placement.scale * (placement.turn @ NECK_CM - whole @ NECK_CM)
    return Placement(whole, placement.scale, (placement.offset + shift).astype(np.float32))


def blink(shape: F32, shapes: F32) -> F32:
    """A face [478, 3] cm with lids as far shut as its shapes [52] say."""
    for (upper, lower), place in zip(LIDS, BLINKS, strict=True):
        shut = float(np.clip(shapes[place], 0, 1))
        if shut <= 0:
            continue
        apart = shape[list(lower)] - shape[list(upper)]
        shape[list(upper)] += np.float32(shut * MEET) * apart
        shape[list(lower)] -= np.float32(shut * (1 - MEET)) * apart
    return shape
