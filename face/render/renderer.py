"""Render an edit of a face: the person's own faces first, real people's statistics where they are
missing, the camera's pixels wherever they are right already.

For each picture: which shape the face should have (memory, else statistics; speech keeps the mouth,
blinks keep the lids), which skin goes with it (memory, else light and shade that the skin network
or nothing adds to the camera's own), in this picture's light.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from engine.types import F32, U8
from face.emotions import FEELING
from face.expression.people import People
from face.expression.speech import Speech, head_angles, shut
from face.ramps import ramp, smoothstep
from face.render.layer import Layer, Overlay, fits, light_gain
from face.render.own import by_own, wanted
from face.render.repertoire import (
    NEUTRAL,
    Recalled,
    Repertoire,
    coarse,
    mixed,
    mouth,
    mouth_aperture,
)
from face.render.request import Request
from face.render.surface import HEIGHT, MOUTH_BOX, WIDTH, Surface
from face.render.teeth import Teeth
from face.rig import Placement, Rig
from face.smoothing import OneEuro
from face.types import EMOTIONS

DROPPING: Final = ("fear", "surprised")
"""emotions of which a jaw drops"""
PAINTED: Final = 0.85
"""how much of a dropped jaw's mouth is painted, the rest is what people show there"""
STEADY: Final = (1.5, 0.6)
"""One-Euro filter of what an edit moves: Hz at rest, and Hz more per cm a second"""
STEADY_LIGHT: Final = (0.8, 0.5)
STEADY_TEXTURE_S: Final = 0.08
"""in which time one remembered skin passes into another"""
TURNED_DEG: Final = (28.0, 55.0)
"""from which turn of a head statistics fade out"""
CALM: Final = (0.3, 1.2)
"""from where to where the sum of feeling shapes, beyond the person's own at rest, makes way for the
remembered calm face: who is calm is left alone"""
OPENS_CM: Final = (0.05, 0.2)
"""from where to where a mouth opens beyond the camera's: what is behind the lips comes from memory
or statistics"""
DARK: Final = (0.62, 0.64, 1.18)
LIGHT: Final = (0.90, 0.98, 1.04)
"""blue, green, red of what is dark and what is light in a mouth, to its brightness"""
DEEPEST: Final = 0.22
"""how dark a mouth is at most, to the skin"""
SHADE: Final = np.array([0.12, 0.04, -0.25], np.float32)
"""how much more blue and green, and less red, a fold takes from warm skin"""
DEEPER: Final = (-0.7, 0.6)
"""by how much the logarithm of light may change: folds do less, what is beyond is no fold"""
ROOM: Final = 1.6
"""how soon what is bright leaves no room for more light"""
FAINT: Final = 0.002
"""an emotion that fades never ends: with less of it there is none"""
LEAST_SEEN: Final = 0.5
"""the least that a tracker is taken to see of a motion of pixels"""
WARMTH: Final = 0.4
"""how much more red than blue, to its brightness, a skin is in white light: in less colour, a mouth
has less, too"""
TEETH: Final = (0.45, 0.85)
"""from which brightness, to the skin's, to which something is light"""


class SkinModel(Protocol):
    """Light and shade, as a logarithm [HEIGHT / 2, WIDTH / 2], that a request brings where the face
    moves by ``displacement`` [478, 3] cm (`Skin`)."""

    def __call__(self, request: Request, displacement: F32) -> F32: ...

    def reset(self) -> None: ...


@dataclass(frozen=True, eq=False)
class Appearance:
    """What a face becomes: ``shape`` [478, 3] cm in head coordinates, and what is laid over it;
    ``parts`` [478, 3] cm: what parts lips that it shut, of the feeling."""

    shape: F32
    overlay: Overlay
    parts: F32 | None = None


class FaceRenderer:
    """Draws one person's face, picture after picture, until ``reset``."""

    def __init__(
        self, rig: Rig, surface: Surface, people: People, skin: SkinModel | None = None
    ) -> None:
        self._rig = rig
        self._surface = surface
        self._people = people
        self._skin = skin
        self._layer = Layer(surface)
        self._speech = Speech()
        self.repertoire = Repertoire()
        self._steady = OneEuro(*STEADY)
        self._steady_light = OneEuro(*STEADY_LIGHT)
        self.reset()

    def reset(self) -> None:
        """Another picture, or another scene; the repertoire stays."""
        self._speech.reset()
        self._steady.reset()
        self._steady_light.reset()
        self._texture: U8 | None = None
        self._seen: U8 | None = None
        if self._skin is not None:
            self._skin.reset()

    def render(self, request: Request, out: U8 | None = None) -> U8:
        """The picture [H, W, 3] whose face is what was asked for."""
        made = self.appearance(request)
        seen = mouth_aperture(self._rig.face(request.landmarks, request.placement))
        parted = ramp(*OPENS_CM, mouth_aperture(made.shape) - max(seen, 0.0))
        overlay = made.overlay
        if parted > 0:
            texture = self.with_mouth(overlay.texture, made.shape, request)
            overlay = replace(overlay, texture=texture, mouth=parted)
        target = placed(made.shape, request.placement)
        drawn = self._layer.draw(request.picture, request.landmarks, target, overlay, out)
        if parted > 0:
            self._paint_teeth(drawn, made.shape, target, request, parted)
        return drawn

    def draw(self, request: Request, overlay: Overlay, target: F32) -> U8:
        """The request's picture with its face at landmarks ``target`` [478, 3] px."""
        return self._layer.draw(request.picture, request.landmarks, target, overlay)

    def skin_colour(self, request: Request) -> F32:
        """The colour [3] of the face's skin, BGR."""
        return skin_colour(*self._surface.light(request.picture, request.landmarks))

    def appearance(self, request: Request) -> Appearance:
        """What the face becomes; nothing is drawn yet."""
        placement = request.placement
        shape = self._rig.face(request.landmarks, placement)
        turn = head_angles(placement.turn)
        self._speech.follow(request.rig, shape, 0.0 if request.still else request.step_s)
        lips = mouth(shape)
        lips[0] *= 1 - request.free
        calm = self.repertoire.recall(NEUTRAL, lips, turn)
        refers = calm if request.beyond.any() else None  # a reference is worn in one's own faces
        like = None if refers is None else refers.shapes + wanted(request, self._people)
        felt = {
            name: self.repertoire.recall(name, lips if request.free < 0.5 else _rest(), turn, like)
            for name, amount in zip(EMOTIONS, request.expression, strict=True)
            if amount > FAINT and name != NEUTRAL
        }
        if refers is not None:
            request = by_own(request, refers, felt, self._people)
        displacement = self._displacement(shape, request, calm, felt, turn)
        if not request.still:
            displacement = self._steady(displacement, request.step_s)
        smile_goes = max(request.removed - float(request.expression[EMOTIONS.index("happy")]), 0.0)
        felt_share = min(float(request.expression[1:].sum()), 1.0)
        guessed = float(np.clip(request.removed, 0, 1)) * (1 - felt_share)
        if calm is not None:
            guessed *= 1 - calm.trust
        asked, own = shape + displacement, (smile_goes, request.still, guessed)
        made, parts = self._speech.keep(asked, shape, request.free, *own), None
        if request.shut:
            rest = shape + self._displacement(shape, request, calm, {}, turn)
            wide = self._speech.keep(asked, shape, 1.0, *own)
            made = shut(wide, rest)
            parts = np.float32(felt_share) * (wide - made)
        return Appearance(made, self._overlay(shape, made, request, calm, felt), parts)

    def _displacement(
        self,
        shape: F32,
        request: Request,
        calm: Recalled | None,
        felt: dict[str, Recalled | None],
        turn: F32,
    ) -> F32:
        """Displacement [478, 3] cm of what is asked for, the mouth's opening not yet kept."""
        shown = 1 - ramp(*TURNED_DEG, abs(float(turn[0])))
        to_calm = shown * self._people.to_neutral(shape, request.rig)
        if calm is not None:
            to_calm += calm.trust * (calm.shape - shape - to_calm)
        displacement = np.float32(request.removed) * to_calm
        for name, amount in zip(EMOTIONS, request.expression, strict=True):
            if name not in felt:
                continue
            own = felt[name]
            change = shown * self._people.to_emotion(name)
            if own is not None and calm is not None:
                change = change + own.trust * (own.shape - calm.shape - change)
            displacement = displacement + np.float32(amount) * change
        if request.beyond.any():
            moved = np.tensordot(request.beyond, self._rig.basis, axes=1)
            displacement += shown * moved / np.maximum(self._rig.response, LEAST_SEEN)[:, None]
        return displacement.astype(np.float32)

    def _overlay(
        self,
        shape: F32,
        made: F32,
        request: Request,
        calm: Recalled | None,
        felt: dict[str, Recalled | None],
    ) -> Overlay:
        amounts = {name: float(request.expression[EMOTIONS.index(name)]) for name in felt}
        own = {name: face for name, face in felt.items() if face is not None}
        by_memory = min(sum(amounts[name] for name in own), 1.0)
        foreign = {name: amount for name, amount in amounts.items() if name not in own}
        layers, weights, trust = [], [], []
        for name, face in own.items():
            layers.append((face.texture, face.seen))
            weights.append(amounts[name])
            trust.append(face.trust)
        calmed = float(np.clip(request.removed, 0, 1))
        if calm is not None and (rest := max(1 - by_memory, 0.0)) > 0:
            excess = np.maximum(request.rig - calm.nearest.shapes, 0)[FEELING].sum()
            not_neutral = 1.0 if request.still or by_memory > 0 else ramp(*CALM, float(excess))
            layers.append((calm.texture, calm.seen))
            weights.append(rest)
            trust.append(calm.trust * calmed * not_neutral)
        ratio = None
        # Without a calm face from memory there is less of it, the less emotion is worn.
        covered = float(np.dot(trust, weights)) / max(sum(weights), 1.0)
        if self._skin is not None and (covered < 1 or foreign):
            expression = np.zeros(len(EMOTIONS), np.float32)
            for name, amount in foreign.items():
                expression[EMOTIONS.index(name)] = amount
            removed = (1 - covered) * request.removed
            asked = replace(request, expression=expression, removed=removed)
            ratio = self._skin(asked, made - shape)
        here, how_well = self._surface.light(request.picture, request.landmarks)
        factor = None if ratio is None else light_factors(ratio, here)
        eyes = 1.0 if request.still else 0.0
        if not layers or covered <= 0:
            return Overlay(ratio=factor, eyes=eyes)
        shares = np.multiply(trust, weights)
        texture, seen = mixed(layers, shares / shares.sum())
        if not request.still:
            texture, seen = self._passing(texture, seen, request.step_s)
        there, known = coarse(texture, seen)
        gain = light_gain(here, how_well, there, known)
        alpha = seen.astype(np.float32) * np.float32(covered / 255)
        if not request.still:
            gain = self._steady_light(gain, request.step_s)
        alpha *= at_texels(fits(here, there, gain, np.minimum(how_well, known)))
        return Overlay(texture, alpha, factor, gain, eyes=eyes)

    def with_mouth(self, texture: U8 | None, made: F32, request: Request) -> U8:
        """A texture whose mouth shows what is behind opened lips: the person's own if it was ever
        seen, else what real people show there, in the light of this skin."""
        import cv2

        out = np.zeros((HEIGHT, WIDTH, 3), np.uint8) if texture is None else texture.copy()
        left, top, right, bottom = MOUTH_BOX
        patch = out[top : bottom + 1, left : right + 1]
        own = self.repertoire.opened(mouth(made))
        skin = skin_colour(*self._surface.light(request.picture, request.landmarks))
        if own is not None:
            theirs, known = coarse(own.texture, own.seen)
            there = np.average(
                theirs[17:22, 15:33], axis=(0, 1), weights=known[17:22, 15:33] + 1e-3
            )
            mine = own.texture[top : bottom + 1, left : right + 1]
            patch[:] = np.clip(mine * (skin / np.maximum(there, 1)), 0, 255)
            return out
        likeliest = int(np.argmax(request.expression))
        bright = cv2.resize(self._people.mouths[likeliest], patch.shape[1::-1])
        bright = np.maximum(bright, DEEPEST)
        light = smoothstep(*TEETH, bright)[..., None]
        colour = np.array(DARK, np.float32) * (1 - light) + np.array(LIGHT, np.float32) * light
        colour = 1 + np.float32(warmth(skin)) * (colour - 1)
        patch[:] = np.clip(bright[..., None] * colour * skin.mean(), 0, 255)
        return out

    def _paint_teeth(
        self, drawn: U8, shape: F32, target: F32, request: Request, parted: float
    ) -> None:
        """Where a jaw drops and the person's own mouth was never seen: what people's mouths have in
        common there is a grey haze, and so are a photograph's own smiling teeth, stretched."""
        if request.still:
            parted = ramp(*OPENS_CM, mouth_aperture(shape))
        drops = sum(float(request.expression[EMOTIONS.index(name)]) for name in DROPPING)
        share = PAINTED * parted * drops / max(float(request.expression[1:].sum()), 1e-6)
        if share <= 0 or self.repertoire.opened(mouth(shape)) is not None:
            return
        skin = self.skin_colour(request)
        teeth = Teeth(shut(shape))
        teeth.paint(drawn, shape, target, request.placement, skin, warmth(skin), share)

    def _passing(self, texture: U8, seen: U8, step_s: float) -> tuple[U8, U8]:
        """One remembered skin passes into the next instead of giving way at once."""
        import cv2

        if self._texture is not None and self._seen is not None and step_s > 0:
            keep = float(np.exp(-step_s / STEADY_TEXTURE_S))
            texture = cv2.addWeighted(texture, 1 - keep, self._texture, keep, 0).astype(np.uint8)
            seen = cv2.addWeighted(seen, 1 - keep, self._seen, keep, 0).astype(np.uint8)
        self._texture, self._seen = texture, seen
        return texture, seen


def placed(shape: F32, placement: Placement) -> F32:
    """A face [478, 3] cm in head coordinates as landmarks [478, 3] px."""
    there = shape @ placement.turn.T * placement.scale + placement.offset
    return (there * np.array([1, -1, -1], np.float32)).astype(np.float32)


def light_factors(ratio: F32, colours: F32) -> F32:
    """A logarithm of light [ROWS, COLUMNS] as factors [ROWS, COLUMNS, 3] of what
    has these ``colours`` on the coarse grid.

    What is bright already has less room to become brighter, in each colour by itself: light that
    fills a fold is paler than the fold. Shade on warm skin is red.
    """
    import cv2

    size = ratio.shape[::-1]
    bright = cv2.resize(colours, size, interpolation=cv2.INTER_LINEAR) / np.float32(255)
    more = np.expm1(np.clip(ratio, *DEEPER))[..., None]
    tint = 1 + np.float32(warmth(colours[17:22, 15:33].mean(axis=(0, 1)))) * SHADE
    factor = 1 + np.where(more > 0, more * np.clip(ROOM * (1 - bright), 0, 1), more * tint)
    left, top, right, bottom = (place // 2 for place in MOUTH_BOX)
    factor[top - 1 : bottom + 2, left - 1 : right + 2] = 1
    factors: F32 = factor.astype(np.float32)
    return factors


def at_texels(cells: F32) -> F32:
    """Values of the coarse grid at every texel [HEIGHT, WIDTH]."""
    import cv2

    return cv2.resize(cells, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def warmth(skin: F32) -> float:
    """How much redder than grey a skin's colour [3] is, 0..1."""
    return float(np.clip((skin[2] - skin[0]) / max(float(skin.mean()), 1) / WARMTH, 0, 1))


def skin_colour(colours: F32, seen: F32) -> F32:
    """The mean colour [3] of nose and cheeks, from the coarse grid."""
    middle = np.s_[17:22, 15:33]
    weights = seen[middle] + np.float32(1e-3)
    return np.tensordot(weights / weights.sum(), colours[middle], 2).astype(np.float32)


def _rest() -> F32:
    """A mouth of no particular opening: the nearest of an emotion's own."""
    return np.zeros(3, np.float32)
