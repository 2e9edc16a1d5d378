"""References in files: a picture is one, a clip a row of them in time, several become one."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from engine.errors import MienError
from engine.types import F32, U8, VideoFrame
from face.reference import Reference, ReferenceReader, blended
from face.types import BLENDSHAPES, EMOTIONS, ReferenceTrack
from media.image_file import is_picture, read_picture, srgb
from media.reader import MediaReader

STEP_NS: Final = 80_000_000
"""so far apart a clip is read: expressions change slower"""
CLIP_NS: Final = 30_000_000_000
"""of a longer clip the beginning is taken"""
LONGEST_PX: Final = 1280
"""a reference's longer side, as it is read"""

Clip = Literal["loop", "mean"]


def read_file(
    path: Path, reader: ReferenceReader, name: str = ""
) -> tuple[list[Reference], list[str]]:
    """What a picture or a clip shows, a row for each ``STEP_NS``, and lines on what was left out;
    it is called ``name`` in them. Raises MienError."""
    name = name or path.name
    if is_picture(path):
        reference, faces = reader.read(smaller(srgb(read_picture(path)).pixels), name)
        notes = [f"{faces} faces in {name}; the largest is taken"] if faces > 1 else []
        return [reference], notes
    media = MediaReader(str(path), sound=False)
    try:
        return _read_clip(_stepped(media), reader, name)
    finally:
        media.close()


def _read_clip(
    frames: Iterator[U8], reader: ReferenceReader, name: str
) -> tuple[list[Reference], list[str]]:
    """A step in which no face can be read is as the one before. Whoever talks in it opens the mouth
    to speak: how far it is open is what it is in the middle of all steps."""
    rows: list[Reference | None] = []
    why, several = MienError(f"{name} has no pictures"), 0
    for pixels in frames:
        try:
            reference, faces = reader.read(smaller(pixels), name)
        except MienError as error:
            why = error
            rows.append(rows[-1] if rows else None)
        else:
            several = max(several, faces)
            rows.append(reference)
    first = next((row for row in rows if row is not None), None)
    if first is None:
        raise why
    notes = [f"{several} faces in {name}; the largest is taken"] if several > 1 else []
    if len(rows) * STEP_NS >= CLIP_NS:
        notes.append(f"of {name} the first {CLIP_NS // 10**9} s are taken")
    seen = [row or first for row in rows]
    parts = float(np.median([row.parts for row in seen]))
    return [replace(row, parts=parts) for row in seen], notes


def _stepped(media: MediaReader) -> Iterator[U8]:
    """The picture that is to be seen at each step."""
    due: int | None = None
    begin = 0
    for _, at_ns, make in media:
        if due is None:
            due = begin = at_ns
        if at_ns - begin >= CLIP_NS:
            return
        if at_ns < due:
            continue
        frame = make(at_ns)
        assert isinstance(frame, VideoFrame)
        yield frame.pixels
        due += STEP_NS * (1 + (at_ns - due) // STEP_NS)


def smaller(pixels: U8) -> U8:
    """A picture of at most ``LONGEST_PX`` on its longer side."""
    import cv2

    scale = LONGEST_PX / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def track_of(
    rows: Sequence[Sequence[Reference]], shares: Sequence[float], capture_ns: int, clip: Clip
) -> ReferenceTrack:
    """Several references, each a picture's one row or a clip's, blended by share into one track as
    long as the longest; shorter clips begin anew meanwhile. Without any it is empty."""
    kept = [(row, share) for row, share in zip(rows, shares, strict=True) if share > 0]
    if clip == "mean":
        kept = [([blended(row, [1.0] * len(row))], share) for row, share in kept]
    steps = [
        blended([row[step % len(row)] for row, _ in kept], [share for _, share in kept])
        for step in range(max((len(row) for row, _ in kept), default=0))
    ]

    def stacked(values: list[F32], width: int) -> F32:
        return np.asarray(values, np.float32).reshape(len(steps), width)

    return ReferenceTrack(
        capture_ns=capture_ns,
        step_ns=STEP_NS,
        shapes=stacked([one.shapes for one in steps], len(BLENDSHAPES)),
        probabilities=stacked([one.probabilities for one in steps], len(EMOTIONS)),
        valence=np.array([one.valence for one in steps], np.float32),
        arousal=np.array([one.arousal for one in steps], np.float32),
        intensity=np.array([one.intensity for one in steps], np.float32),
        expression=stacked([one.expression for one in steps], len(EMOTIONS)),
        beyond=stacked([one.beyond for one in steps], len(BLENDSHAPES)),
        parts=np.array([one.parts for one in steps], np.float32),
    )


def shared(text: str) -> tuple[Path, float]:
    """FILE, or FILE:SHARE, how much of it comes in a blend. Raises MienError where there is no such
    file, or the share is none."""
    name, _, tail = text.rpartition(":")
    path, share = Path(text), 1.0
    if name and not path.exists():
        with contextlib.suppress(ValueError):
            path, share = Path(name), float(tail)
    if not path.is_file():
        raise MienError(f"no such file: {path}; a reference is a picture or a clip of a face")
    if not 0 < share < math.inf:
        raise MienError(f"{text}: a share is a number above 0, as FILE:0.5")
    return path, share


def absolute(text: str) -> str:
    """FILE or FILE:SHARE for processes that run elsewhere. Raises MienError."""
    path, share = shared(text)
    return f"{path.resolve()}:{share}"
