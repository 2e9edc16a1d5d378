"""A recording as clips: tracked by the live path's own tracker, cropped, cut into pieces."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from engine.errors import MienError
from engine.node import Context
from engine.parameters import build
from engine.types import F32, U8, VideoFrame
from face.crop import CROP_PX, crop, crop_landmarks
from face.rig import camera_pose, load_rig
from face.steady_crop import SteadyCrop
from face.topology import LANDMARKS
from face.types import BLENDSHAPES, FaceTrack
from media.image_file import read_picture
from media.mel import HOP, RATE_HZ, log_mel
from nodes.face.face_tracker import FaceTracker
from training.data.clip import FPS, STEP_NS, Clip, ClipInfo, encode, to_int16
from training.data.layouts import SOUND, STILL, Entry
from training.data.media import pictures, sound
from training.data.phones import phones_of

PIECE_FRAMES = 10 * FPS
LEAST_FRAMES = FPS // 2
LEAST_FOUND = 0.6
_NO_INDEX = np.zeros(1, np.int64)


def clips_of(
    entry: Entry, info: ClipInfo, landmarker: str = "", phones: bool = True
) -> Iterator[Clip]:
    """The clips of a recording, ten seconds at most each; a leap to another face begins a new one.
    A still picture is a clip of one frame.

    ``info``'s key is the recording's; that of piece n gets ``-n``. Raises MienError where a file
    can't be read or shows no face.
    """
    suffix = entry.file.suffix.lower()
    if suffix in STILL:
        yield _clip(info, [_still(entry.file, landmarker)], np.zeros(0, np.float32), False)
        return
    samples = sound(entry.sound or entry.file)
    if suffix in SOUND:
        if not len(samples):
            raise MienError(f"{entry.file.name}: no sound in it")
        yield _clip(info, [], samples, phones)
        return
    number, kept = 0, 0
    start, piece = 0, list[tuple[U8, FaceTrack]]()
    for index, (pixels, track) in enumerate(_follow(entry.file, landmarker)):
        leapt = track.cut and track.found and any(face.found for _, face in piece)
        if len(piece) == PIECE_FRAMES or leapt:
            if _usable(piece):
                kept += 1
                part = _part(samples, start, len(piece))
                yield _clip(_numbered(info, number), piece, part, phones)
            start, piece, number = index, [], number + 1
        piece.append((pixels, track))
    if _usable(piece):
        kept += 1
        yield _clip(_numbered(info, number), piece, _part(samples, start, len(piece)), phones)
    if not kept:
        raise MienError(f"{entry.file.name}: no face is seen for long enough")


def _still(file: Path, landmarker: str) -> tuple[U8, FaceTrack]:
    """A picture as `frames_of` gives frames. Looked at three times: a tracker settles on a face."""
    pixels = read_picture(file).pixels
    tracker = _kept_tracker(landmarker)
    tracker.reset()
    *_, last = frames_of(tracker, iter([pixels] * 3))
    if not last[1].found:
        raise MienError(f"{file.name}: no face is seen")
    return last


def _follow(file: Path, landmarker: str) -> Iterator[tuple[U8, FaceTrack]]:
    """Those of a film."""
    tracker = tracker_of(landmarker)
    try:
        yield from frames_of(tracker, pictures(file))
    finally:
        tracker.close()


def tracker_of(landmarker: str) -> FaceTracker:
    """The live path's tracker, which looks for a lost face in every picture."""
    config = build(FaceTracker.Config, {"landmarker": landmarker, "search_interval_ms": 0.0})
    tracker = FaceTracker(config, Context())
    tracker.setup()
    return tracker


_kept_tracker = lru_cache(maxsize=1)(tracker_of)


def frames_of(tracker: FaceTracker, frames: Iterator[U8]) -> Iterator[tuple[U8, FaceTrack]]:
    """Crops [256, 256, 3] RGB of BGR pictures in a row, and the track in the crop's pixels."""
    rig, steady = load_rig(), SteadyCrop()
    for index, pixels in enumerate(frames):
        frame = VideoFrame(capture_ns=index * STEP_NS, pixels=pixels)
        track = tracker.process(frame)
        if not track.found:
            steady.reset()
            yield np.zeros((CROP_PX, CROP_PX, 3), np.uint8), track
            continue
        if track.cut:
            steady.reset()
        transform = steady(rig.place(track.landmarks), 1 / FPS)
        yield in_crop(pixels, track, transform)


def in_crop(pixels: U8, track: FaceTrack, transform: F32) -> tuple[U8, FaceTrack]:
    """A BGR picture's crop [256, 256, 3] RGB, and the track in the crop's pixels."""
    cropped = np.ascontiguousarray(crop(pixels, transform)[..., ::-1])
    if not track.found:
        return cropped, track
    points = crop_landmarks(track.landmarks, transform)
    pose = camera_pose(load_rig().place(points), CROP_PX, CROP_PX)
    return cropped, dataclasses.replace(track, landmarks=points, pose=pose)


def _usable(piece: list[tuple[U8, FaceTrack]]) -> bool:
    seen = sum(track.found for _, track in piece)
    return len(piece) >= LEAST_FRAMES and seen >= LEAST_FOUND * len(piece)


def _numbered(info: ClipInfo, number: int) -> ClipInfo:
    return dataclasses.replace(info, key=f"{info.key[:112]}-{number}")


def _part(samples: F32, start: int, frames: int) -> F32:
    step = RATE_HZ // FPS
    return samples[start * step : (start + frames) * step + 2 * HOP]


def _clip(info: ClipInfo, piece: list[tuple[U8, FaceTrack]], samples: F32, phones: bool) -> Clip:
    tracks = [track for _, track in piece]
    jpegs, index = encode(pixels for pixels, _ in piece) if piece else (b"", _NO_INDEX)
    return Clip(
        info=info,
        jpegs=jpegs,
        index=index,
        landmarks=_stack([track.landmarks for track in tracks], (LANDMARKS, 3)),
        blendshapes=_stack([track.blendshapes for track in tracks], (len(BLENDSHAPES),)),
        pose=_stack([track.pose for track in tracks], (4, 4)),
        found=np.array([track.found for track in tracks], np.bool_),
        mel=log_mel(samples),
        sound=to_int16(samples),
        phones=phones_of(samples) if phones else (),
    )


def _stack(arrays: list[F32], shape: tuple[int, ...]) -> F32:
    return np.stack(arrays) if arrays else np.zeros((0, *shape), np.float32)
