"""Photographs of people whose own neutral is known: EMOTION/PERSON_SESSION.jpg."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from engine.errors import MienError
from engine.types import F32, U8
from face.expression.emotion_names import WORDS
from face.landmarker import Landmarker, region_of
from face.rig import Placement, load_rig
from inference.assets import FACE_LANDMARKER, locate
from inference.terms import STATES, Nc, nc_of
from media.image_file import FORMATS, read_picture, srgb
from training.provenance import sha256_of

SOURCE: Final = "source.toml"
LICENCE: Final = (
    "photographs of people whose own neutral is known, under research terms unless said otherwise; "
    "none of them can be drawn back from the weights"
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a folder of photographs says of itself in SOURCE; one that has none is taken to be
    under research terms."""

    licence: str = LICENCE
    nc: Nc = "yes"
    synthetic: bool = False


def source_of(folder: Path) -> Source:
    """Raises MienError where what it says can't be understood."""
    path = folder / SOURCE
    if not path.is_file():
        return Source()
    try:
        given = {"nc": "unknown", **tomllib.loads(path.read_text(encoding="utf-8"))}
        source = Source(**given)
    except (OSError, TypeError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MienError(
            f"{path} cannot be read ({error}); it says licence, nc, synthetic"
        ) from None
    if not (isinstance(source.licence, str) and isinstance(source.synthetic, bool)):
        raise MienError(f"{path}: licence is text, synthetic is true or false")
    if not isinstance(given["nc"], bool) and given["nc"] not in STATES:
        raise MienError(f"{path}: nc is {', '.join(STATES)}")
    return replace(source, nc=nc_of(given["nc"], source.licence))


@dataclass(frozen=True, eq=False)
class Portrait:
    """One photograph as the tracker sees it: ``landmarks`` [478, 3] px, ``shape`` [478, 3] cm in
    head coordinates, ``rig`` [52]."""

    person: str
    session: str
    emotion: str
    pixels: U8
    landmarks: F32
    placement: Placement
    shape: F32
    rig: F32


@dataclass(frozen=True, eq=False)
class Tracked:
    """A face as the tracker sees it."""

    landmarks: F32
    placement: Placement
    shape: F32
    rig: F32


def tracked(pixels: U8, landmarker: str = "") -> Tracked | None:
    """The largest face of a picture, looked at twice; None where there is none."""
    net, rig = _landmarker(landmarker), load_rig()
    faces = net.detect(pixels)
    if not faces:
        return None
    points, _ = net.landmarks(pixels, faces[0][0])
    points, _ = net.landmarks(pixels, region_of(points))
    placement = rig.place(points)
    return Tracked(points, placement, rig.face(points, placement), net.blendshapes(points))


@lru_cache(maxsize=2)
def _landmarker(path: str) -> Landmarker:
    return Landmarker(locate(FACE_LANDMARKER, path))


def portraits(folder: Path, landmarker: str = "") -> list[Portrait]:
    """All in which a face is found, by person. Raises MienError where there are none."""
    found = []
    for file in sorted(folder.glob("*/*")):
        emotion = WORDS.get(file.parent.name.lower())
        person, _, session = file.stem.rpartition("_")
        if emotion is None or not person or file.suffix.lower() not in FORMATS:
            continue
        pixels = srgb(read_picture(file)).pixels
        face = tracked(pixels, landmarker)
        if face is not None:
            found.append(
                Portrait(
                    person, session, emotion, pixels,
                    face.landmarks, face.placement, face.shape, face.rig,
                )
            )  # fmt: skip
    if not any(one.emotion == "neutral" for one in found):
        raise MienError(
            f"{folder} holds no neutral face; photographs are wanted as EMOTION/PERSON_SESSION.jpg"
        )
    return found


def folder_hash(folder: Path) -> str:
    """Of all that lies in EMOTION/."""
    files = sorted(folder.glob("*/*"))
    return hashlib.sha256("\n".join(sha256_of(path) for path in files).encode()).hexdigest()


def pairs(found: Sequence[Portrait]) -> list[tuple[Portrait, Portrait]]:
    """(emotional, neutral) of one person in one session."""
    calm = {(one.person, one.session): one for one in found if one.emotion == "neutral"}
    return [
        (one, calm[one.person, one.session])
        for one in found
        if one.emotion != "neutral" and (one.person, one.session) in calm
    ]


def in_fold(people: Sequence[str], fold: str) -> list[str]:
    """Every Nth of the people, from the Kth on, of "K/N"."""
    try:
        which, count = (int(part) for part in fold.split("/"))
    except ValueError:
        raise MienError(f"a fold is K/N, such as 0/5, not {fold}") from None
    if not 0 <= which < count:
        raise MienError(f"fold {which} of {count}: the first is 0, the last {count - 1}")
    return list(people)[which::count]
