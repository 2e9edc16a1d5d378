"""Generators that CDRL regularizes as rows of intra-ID and cross-ID, from their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import torch

from engine.errors import MienError
from engine.types import F32, U8, VideoFrame
from face.crop import crop, crop_transform
from face.reference import Reference, ReferenceReader
from face.rig import load_rig
from face.types import FaceEdit, FaceTrack
from training.evaluation.look import Look
from training.models.reference_picture import ReferencePicture
from training.models.reference_rig import ReferenceRig
from training.restore import restore

READER: Final = "clean"
"""the set of weights that references are read with, as in training"""
_FADE: Final = 0.08
"""share of a crop's side over which what was drawn passes into the picture"""


def first_stage(run: str) -> FirstStage:
    """A run of reference_rig. Raises MienError."""
    return FirstStage(restore(_given(run), "reference_rig", ReferenceRig))


def one_stage(run: str) -> OneStage:
    """A run of reference_picture. Raises MienError."""
    return OneStage(restore(_given(run), "reference_picture", ReferencePicture))


def _given(run: str) -> Path:
    if not run:
        raise MienError("one-stage and two-stage are runs: give some with --weights [NAME=]RUN")
    return Path(run)


class FirstStage:
    """Asks for the shapes that the first of two stages says."""

    def __init__(self, net: ReferenceRig) -> None:
        self._net, self._reader = net, ReferenceReader(READER)
        self._read: WeakKeyDictionary[Look, F32] = WeakKeyDictionary()

    def __call__(self, face: FaceTrack, look: Look) -> FaceEdit:
        if look not in self._read:
            self._read[look] = numbers_of(self._reader.read(look.pixels, "the reference")[0])
        given = (torch.from_numpy(a.copy())[None] for a in (face.blendshapes, self._read[look]))
        with torch.no_grad():
            rig = self._net(*given)[0].numpy()
        return FaceEdit(
            capture_ns=face.capture_ns, active=face.found, source=face.blendshapes, target=rig
        )


def numbers_of(reference: Reference) -> F32:
    """What a reference was read as [63], as the first stage takes it."""
    felt = [reference.valence, reference.arousal, reference.intensity]
    return np.concatenate([reference.shapes, reference.probabilities, felt]).astype(np.float32)


class OneStage:
    """The crop that the generator draws, pasted back."""

    label: Final = "reference -> picture"

    def __init__(self, net: ReferencePicture) -> None:
        self._net, self._rig = net, load_rig()

    def __call__(self, frame: VideoFrame, face: FaceTrack, look: Look) -> U8:
        if not face.found:
            return frame.pixels
        side = self._net.size.crop_px
        there = self._transform(face, side)
        shown = [crop(frame.pixels, there, side)]
        shown.append(crop(look.pixels, self._transform(look.track, side), side))
        given = [torch.from_numpy(_tensor(one))[None] for one in shown]
        with torch.no_grad():
            made = self._net(*given)[0].numpy()
        return pasted(frame.pixels, shown[0], _picture(made), there)

    def _transform(self, face: FaceTrack, side: int) -> F32:
        whole = crop_transform(self._rig.place(face.landmarks))
        return whole * np.float32(side / 256)


def pasted(picture: U8, before: U8, after: U8, transform: F32) -> U8:
    """A picture whose crop has changed: what changed is added, faded out to the crop's border, so
    that nothing else is sampled anew."""
    import cv2

    height, width = picture.shape[:2]
    side = before.shape[0]
    edge = np.minimum(np.arange(side), np.arange(side)[::-1]) / (_FADE * side)
    fade = np.minimum(np.clip(edge, 0, 1)[:, None], np.clip(edge, 0, 1))
    change = (after.astype(np.float32) - before) * fade[..., None].astype(np.float32)
    moved = cv2.warpAffine(
        change, transform, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return np.asarray(np.clip(np.rint(picture + moved), 0, 255), np.uint8)


def _tensor(bgr: U8) -> F32:
    """A picture [S, S, 3] BGR as [3, S, S] RGB in 0..1."""
    return np.ascontiguousarray(bgr[..., ::-1].transpose(2, 0, 1), np.float32) / np.float32(255)


def _picture(rgb: F32) -> U8:
    out = np.rint(rgb.transpose(1, 2, 0)[..., ::-1] * 255)
    return np.ascontiguousarray(out.astype(np.uint8))
