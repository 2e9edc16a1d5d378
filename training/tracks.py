"""Raw landmark tracks of clips, kept in a folder so that a fit needn't track twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track as progress

from engine.errors import MienError
from engine.files import atomic_write, make_folder
from engine.types import F32, U8, VideoFrame
from face.landmarker import Landmarker, region_of
from media.reader import MediaReader

CLIP_SUFFIXES = (".mp4", ".mov", ".mpg", ".avi", ".webm", ".mkv")
MIN_PRESENCE = 0.5
_MARKED = re.compile(r"(?:man|woman|boy|girl) [A-Z]?\d*")


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
            with atomic_write(kept) as part, part.open("wb") as opened:
                np.savez(opened, p=points, b=shapes)
        with np.load(kept) as data:
            points, shapes = data["p"], data["b"]
        if len(points) >= 8:
            tracks.append(Track(file.name, named.get(file.name, file.stem), points, shapes))
    return tracks


def identities(clips: Path) -> dict[str, str]:
    """Who is in which clip, from the `id NAME` notes of a manifest.tsv beside the folder.

    "id Ann Bo (other day)" is Ann Bo wherever it stands. What begins with no capital describes
    somebody: with a mark ("man F1", "woman 2") within its repository, else in that file alone
    ("man", "per file").
    """
    named = {}
    for file, row in noted(clips).items():
        notes = [part.strip() for part in list(row.values())[-1].split(";")]
        name = next((note[3:] for note in notes if note.startswith("id ")), "")
        named[file] = _person(name, row.get("repo", ""), Path(file).stem)
    return named


def noted(clips: Path) -> dict[str, dict[str, str]]:
    """The rows of a manifest.tsv beside the folder, by file name and column; {} without one."""
    manifest = clips.parent / "manifest.tsv"
    if not manifest.is_file():
        return {}
    lines = manifest.read_text(encoding="utf-8").splitlines()
    columns = lines[0].split("\t") if lines else []
    rows = (dict(zip(columns, line.split("\t"), strict=False)) for line in lines[1:])
    return {Path(next(iter(row.values()))).name: row for row in rows}


def _person(noted: str, repo: str, own: str) -> str:
    """Whoever a note names, else a description that tells people apart, else ``own``."""
    person = " ".join(re.sub(r"\([^)]*\)", "", noted).split()).strip(" ?")
    if person[:1].isupper():
        return person
    return f"{repo}:{person}" if _MARKED.fullmatch(person) else own


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
    """Every ``stride``-th picture of a video, BGR [H, W, 3]."""
    reader = MediaReader(str(file), sound=False)
    try:
        for index, (_, media_ns, make) in enumerate(reader):
            if index % stride == 0:
                frame = make(media_ns)
                assert isinstance(frame, VideoFrame)
                yield frame.pixels
    finally:
        reader.close()
