"""Render an edit with the neutralizing generator: its flow moves the picture's own pixels at their
full resolution, and its paint, light and shade, is added to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.node import Context
from engine.types import F32, U8, FaceEdit
from nodes.conditions import HALF_PX, edit_flow, feeling, line_map
from nodes.eyes import keep_eyes
from nodes.face_crop import crop_landmarks
from nodes.person import Person, tension
from nodes.rig import Placement, Rig
from nodes.smoothing import MAX_STEP_S, OneEuro
from nodes.steady_crop import SteadyCrop, cut_out, moved_origin, to_tensor
from nodes.warp import Flow, apply_flow
from nodes.weights import open_model

if TYPE_CHECKING:
    from nodes.model import Backend

TAKES: Final = (
    "source", "flow", "lines", "identity", "identity_map", "expression", "intensity",
)  # fmt: skip
BORDER_PX: Final = 24
"""over what distance an edit fades out towards the crop's border, px of the crop"""
REACH_PX: Final = 20
"""how far beyond the face what is learned may reach, px of the crop"""
DETAIL: Final = (0.4, 0.9)
"""between these values of the mask the camera's own detail gives way to paint"""
STILL_PX: Final = 0.01
STEADY_FLOW: Final = (0.7, 0.1)
"""One-Euro filter of what is learned of the flow: Hz at rest, and Hz more per px of the crop a
second"""
STEADY_PAINT: Final = (0.7, 5.0)
"""the same of paint and mask, per unit a second"""

_Box = tuple[int, int, int, int]
"""left, top, right, bottom"""


class LearnedFace:
    """Generator and identity encoder of one face in video. Raises MienError without weights."""

    def __init__(
        self, rig: Rig, weights: str, context: Context, backend: Backend = "auto", threads: int = 2
    ) -> None:
        self._rig = rig
        identity = open_model(
            "identity", weights, context, backend=backend, threads=threads,
            takes=("reference",), gives=("identity", "identity_map"),
        )  # fmt: skip
        try:
            self._generator = open_model(
                "generator", weights, context, backend=backend, threads=threads,
                takes=TAKES, gives=("flow_out", "mask", "paint"),
            )  # fmt: skip
        except BaseException:
            identity.close()
            raise
        self._identity = identity
        self._person = Person(identity)
        self._crop = SteadyCrop()
        self._border = _fade_to_border()
        self._steady_flow = OneEuro(*STEADY_FLOW)
        self._steady_paint = OneEuro(*STEADY_PAINT)
        self.reset()

    def reset(self) -> None:
        """Another face, or another picture."""
        self._person.reset()
        self._crop.reset()
        self._last_ns: int | None = None
        self._steady_flow.reset()
        self._steady_paint.reset()
        self._since_asked_s = 0.0
        self._pictures = 0

    def close(self) -> None:
        """Free the networks."""
        self._generator.close()
        self._identity.close()

    def render(
        self,
        pixels: U8,
        landmarks: F32,
        moves: F32,
        placement: Placement,
        edit: FaceEdit,
        felt: float = 0.0,
        correction: float = 1.0,
        every: int = 1,
        out: U8 | None = None,
    ) -> U8:
        """The picture [H, W, 3] BGR whose landmarks [478, 3] px move by ``moves`` [478, 2] px.

        ``felt``: how intensely somebody feels at the moment, 0..1, as far as it is known.
        ``correction``: how much of what the generator would change in the warp is done, 0..1.
        ``every``: it is asked about each n-th picture; what it said holds in between.
        """
        step_s = 0.0 if self._last_ns is None else (edit.capture_ns - self._last_ns) / 1e9
        self._last_ns = edit.capture_ns
        transform = self._crop(placement, step_s)
        patch = cut_out(pixels, transform)
        source = crop_landmarks(landmarks, transform)
        target = source.copy()
        target[:, :2] += moves @ transform[:, :2].T
        flow = edit_flow(source, target, self._rig.triangles)
        self._since_asked_s += step_s
        if self._pictures % every == 0 or step_s > MAX_STEP_S:
            answer = self._ask(patch, source, target, flow, edit, placement, felt)
            light = np.concatenate([answer["mask"][0], answer["paint"][0]])
            change = self._steady_flow(answer["flow_out"][0] - flow, step_s)
            mask, paint = self._steady_paint(light, step_s)
        else:
            change = self._steady_flow.hold(step_s)
            mask, paint = self._steady_paint.hold(step_s)
        self._pictures += 1
        near = _near_face(source, target) * self._border * np.float32(correction)
        shift = flow * self._border + change * near
        moved = np.ascontiguousarray(shift.transpose(1, 2, 0))
        out = move(pixels, transform, moved, out)
        cover(out, transform, patch, moved, near, mask)
        lighten(out, transform, near, paint)
        corrected = _at(target, change * near) @ np.linalg.inv(transform[:, :2]).T
        keep_eyes(out, pixels, landmarks, landmarks[:, :2] + moves - corrected)
        return out

    def _ask(
        self,
        patch: U8,
        source: F32,
        target: F32,
        flow: F32,
        edit: FaceEdit,
        placement: Placement,
        felt: float,
    ) -> Mapping[str, F32]:
        """The generator's answer to an edit of a crop [256, 256, 3]."""
        unfit = tension(edit.source, placement) + felt
        person = self._person(patch, unfit, self._since_asked_s)
        self._since_asked_s = 0.0
        direction, alpha = feeling(edit.target)
        return self._generator(
            source=to_tensor(patch),
            flow=flow[None],
            lines=np.stack([line_map(source), line_map(target)])[None],
            expression=direction[None],
            intensity=np.array([[min(alpha, 2.0)]], np.float32),
            **person,
        )


def move(pixels: U8, transform: F32, shift: F32, out: U8 | None = None) -> U8:
    """The whole picture [H, W, 3], moved by the flow of a crop: ``shift`` [128, 128, 2] px of the
    crop, added to a pixel's place. What doesn't move stays bit by bit."""
    import cv2

    out = np.empty_like(pixels) if out is None else out
    inside = _box(np.abs(shift).max(axis=2) > STILL_PX)
    place = None if inside is None else _in_picture(2 * np.array(inside), transform, pixels.shape)
    if place is None:
        np.copyto(out, pixels)
        return out
    left, top, right, bottom = place
    to_half = moved_origin(transform, left, top) / 2
    to_half[:, 2] -= 0.25  # centres of pixels at half the side
    to_picture = np.linalg.inv(transform[:, :2]).T.astype(np.float32)
    dense = cv2.warpAffine(
        np.ascontiguousarray(shift @ to_picture),
        to_half,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    return apply_flow(pixels, Flow(left, top, dense.astype(np.float32, copy=False)), out)


def cover(picture: U8, transform: F32, patch: U8, shift: F32, near: F32, mask: F32) -> None:
    """Take the camera's own detail out of a moved picture [H, W, 3], in place, where the ``mask``
    [256, 256] is nearly shut to it: what was moved there is seen as coarsely as by the crop.

    ``patch`` [256, 256, 3] is the crop, ``shift`` [128, 128, 2] its flow, ``near`` [128, 128] how
    much may be done.
    """
    import cv2

    low, high = DETAIL
    shut = _box(mask > low)
    if shut is None:
        return
    left, top, right, bottom = shut
    half, full, size = _part((left // 2, top // 2, (right + 1) // 2, (bottom + 1) // 2))
    sure = np.clip((mask[full] - low) / (high - low), 0, 1)
    share = sure * sure * (3 - 2 * sure) * cv2.resize(near[half], size)
    places = cv2.resize(shift[half], size)
    moved = cv2.remap(
        patch,
        places[..., 0] + np.arange(full[1].start, full[1].stop, dtype=np.float32),
        places[..., 1] + np.arange(full[0].start, full[0].stop, dtype=np.float32)[:, None],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    seen = _in_view(picture, transform, np.dstack([moved * share[..., None], share]), full)
    if seen is not None:
        part, laid = seen
        kept = part * (np.float32(1) - laid[..., 3:])
        cv2.add(kept, np.ascontiguousarray(laid[..., :3]), dst=part, dtype=cv2.CV_8U)


def lighten(picture: U8, transform: F32, near: F32, light: F32) -> None:
    """Add ``light`` [256, 256] of the crop, 1 is white, to a picture [H, W, 3], in place, as far
    as ``near`` [128, 128] lets it."""
    import cv2

    inside = _box(near > 0)
    if inside is None:
        return
    half, full, size = _part(inside)
    levels = light[full] * (cv2.resize(near[half], size) * np.float32(255))
    both = np.stack([levels, -levels], axis=2)
    seen = _in_view(picture, transform, np.rint(both).clip(0, 255).astype(np.uint8), full)
    if seen is not None:
        part, laid = seen
        brighter, darker = (cv2.merge([one] * 3) for one in cv2.split(laid))
        cv2.add(part, brighter, dst=part)
        cv2.subtract(part, darker, dst=part)


def _part(box: _Box) -> tuple[tuple[slice, slice], tuple[slice, slice], tuple[int, int]]:
    """A box at half size as slices there and at full size, and its width and height at full
    size."""
    left, top, right, bottom = box
    half = slice(top, bottom), slice(left, right)
    full = slice(2 * top, 2 * bottom), slice(2 * left, 2 * right)
    return half, full, (2 * (right - left), 2 * (bottom - top))


def _in_view(
    picture: U8, transform: F32, values: NDArray[Any], full: tuple[slice, slice]
) -> tuple[U8, NDArray[Any]] | None:
    """The part of a picture where the crop's part ``full`` lies, to be written to, and the values
    [h, w, C] of that as the picture has them; None where they don't meet."""
    import cv2

    rows, columns = full
    box = np.array([columns.start, rows.start, columns.stop, rows.stop])
    place = _in_picture(box, transform, picture.shape)
    if place is None:
        return None
    left, top, right, bottom = place
    to_values = moved_origin(transform, left, top)
    to_values[:, 2] -= box[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(values, to_values, (right - left, bottom - top), flags=flags)
    return picture[top:bottom, left:right], laid


def _at(points: F32, flow: F32) -> F32:
    """A flow [2, 128, 128] at points of the crop [N, 2..3]: [N, 2]."""
    column, row = np.clip(np.rint(points[:, :2] / 2 - 0.25), 0, HALF_PX - 1).astype(int).T
    return flow[:, row, column].T


def _near_face(source: F32, target: F32) -> F32:
    """1 on the face before and after, fading out around it [128, 128]."""
    import cv2

    points = np.concatenate([source[:, :2], target[:, :2]]) / 2 - 0.25
    hull = cv2.convexHull(np.rint(points).astype(np.int32))
    canvas = np.zeros((HALF_PX, HALF_PX), np.uint8)
    cv2.fillConvexPoly(canvas, hull, 1)
    apart = cv2.distanceTransform(1 - canvas, cv2.DIST_L2, 3)
    near = np.clip(1 - apart * np.float32(2 / REACH_PX), 0, 1)
    faded: F32 = (near * near * (3 - 2 * near)).astype(np.float32)
    return faded


def _fade_to_border() -> F32:
    """1 inside the crop, falling to 0 at its border [128, 128]."""
    inward = np.minimum(np.arange(HALF_PX), np.arange(HALF_PX)[::-1])
    ramp = np.clip(2 * inward / BORDER_PX, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.minimum(ramp[:, None], ramp).astype(np.float32)


def _box(there: NDArray[np.bool_]) -> _Box | None:
    """Left, top, right, bottom of what is True, and a pixel around it; None where nothing is."""
    columns, rows = np.flatnonzero(there.any(axis=0)), np.flatnonzero(there.any(axis=1))
    if not len(rows):
        return None
    height, width = there.shape
    return (
        max(int(columns[0]) - 1, 0),
        max(int(rows[0]) - 1, 0),
        min(int(columns[-1]) + 2, width),
        min(int(rows[-1]) + 2, height),
    )


def _in_picture(box: NDArray[np.int_], transform: F32, shape: tuple[int, ...]) -> _Box | None:
    """A box of the crop as one of the picture [H, W, ...]; None where they don't meet."""
    corners = np.array([[x, y] for x in box[[0, 2]] for y in box[[1, 3]]], np.float32) - 0.5
    places = (corners - transform[:, 2]) @ np.linalg.inv(transform[:, :2]).T
    low = np.clip(np.floor(places.min(axis=0)), 0, shape[1::-1]).astype(int)
    high = np.clip(np.ceil(places.max(axis=0)) + 1, 0, shape[1::-1]).astype(int)
    if (high - low).min() < 1:
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
