"""Raw landmark tracks of clips, kept in a folder so that a fit needn't track twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track as progress

from engine.errors import MienError
from engine.files import make_folder, whole
from engine.types import F32, U8
from nodes.landmarker import Landmarker, region_of

CLIP_SUFFIXES = (".mp4", ".mov", ".mpg", ".avi", ".webm", ".mkv")
MIN_PRESENCE = 0.5


@dataclass(frozen=True)
class Track:
    """One face through a clip: ``landmarks`` [N, 478, 3] px, ``blendshapes`` [N, 52]."""

    name: str
    identity: str
    landmarks: F32
    blendshapes: F32


def load_tracks(clips: Path, cache: Path, landmarker: Landmarker, stride: int = 2) -> list[Track]:
    """Tracks of every clip in a folder; those that ``cache`` holds aren't tracked again."""
    files = sorted(file for file in clips.iterdir() if file.suffix.lower() in CLIP_SUFFIXES)
    if not files:
        raise MienError(f"no clips in {clips}; give a folder of videos")
    make_folder(cache)
    named = identities(clips)
    tracks = []
    for file in progress(files, description="tracking clips"):
        kept = cache / f"{file.name}.npz"
        if not kept.exists():
            points, shapes = _follow(file, landmarker, stride)
            with whole(kept) as part, part.open("wb") as opened:
                np.savez(opened, p=points, b=shapes)
        with np.load(kept) as data:
            points, shapes = data["p"], data["b"]
        if len(points) >= 8:
            tracks.append(Track(file.name, named.get(file.name, file.stem), points, shapes))
    return tracks


def identities(clips: Path) -> dict[str, str]:
    """Who is in which clip, from the `id NAME` notes of a manifest.tsv beside the folder."""
    manifest = clips.parent / "manifest.tsv"
    if not manifest.is_file():
        return {}
    named = {}
    for line in manifest.read_text(encoding="utf-8").splitlines()[1:]:
        columns = line.split("\t")
        notes = [part.strip() for part in columns[-1].split(";")]
        person = next((note[3:].strip(" ?") for note in notes if note.startswith("id ")), "")
        generic = person.lower() in ("", "man", "woman", "man glasses", "older man", "blond man")
        file = Path(columns[0]).name
        named[file] = Path(file).stem if generic else person
    return named


def _follow(file: Path, landmarker: Landmarker, stride: int) -> tuple[F32, F32]:
    points, shapes = [], []
    region = None
    for pixels in pictures(file, stride):
        if region is None:
            found = landmarker.detect(pixels)
            if not found:
                continue
            region = found[0][0]
            landmarks, presence = landmarker.landmarks(pixels, region)
            region = region_of(landmarks)
        landmarks, presence = landmarker.landmarks(pixels, region)
        if presence < MIN_PRESENCE:
            region = None
            continue
        region = region_of(landmarks)
        points.append(landmarks)
        shapes.append(landmarker.blendshapes(landmarks))
    if not points:
        return np.zeros((0, 478, 3), np.float32), np.zeros((0, 52), np.float32)
    return np.stack(points), np.stack(shapes)


def pictures(file: Path, stride: int) -> Iterator[U8]:
    import av

    with av.open(str(file)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % stride == 0:
                yield frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
