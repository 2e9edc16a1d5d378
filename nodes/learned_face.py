"""Render an edit with the neutralizing generator: its flow moves the picture's own pixels at their
full resolution, its paint is added to them, and skin that folds is shaded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.node import Context
from engine.types import F32, U8, FaceEdit
from nodes.conditions import HALF_PX, edit_flow, feeling, line_map
from nodes.emotions import FEELING, JAW
from nodes.eyes import keep_eyes
from nodes.face_crop import crop_landmarks
from nodes.mouth import keep_mouth
from nodes.paint import cover, lighten, move, shade
from nodes.person import Person, tension
from nodes.ramps import ramp, smoothstep
from nodes.rig import Placement, Rig
from nodes.shading import load_shading
from nodes.smoothing import MAX_STEP_S, OneEuro
from nodes.steady_crop import SteadyCrop, cut_out, to_tensor
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
STEADY_FLOW: Final = (0.7, 0.1)
"""One-Euro filter of what is learned of the flow: Hz at rest, and Hz more per px of the crop a
second"""
STEADY_PAINT: Final = (0.7, 5.0)
"""the same of paint, mask and shading, per unit a second"""
STEADY_TINT: Final = (0.3, 0.0)
"""the same of the colour of shade"""
CHANGED: Final = (0.5, 3.5)
"""from where to where the sum of shapes that change brings in the generator's correction: somebody
calm is left alone"""
OPENED: Final = (0.0, 0.1)
"""from where to where a jaw that drops shows what is behind the lips"""


class LearnedFace:
    """Generator and identity encoder of one face in video. Raises MienError without weights."""

    def __init__(
        self,
        rig: Rig,
        weights: str,
        context: Context,
        backend: Backend = "auto",
        threads: int = 2,
        aside: bool = False,
    ) -> None:
        """``aside``: what is learned of a picture is worked out beside it, and comes with a later
        one; only the first of a face waits."""
        self._rig = rig
        self._shading = load_shading()
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
        self._aside = ThreadPoolExecutor(1, "generator") if aside else None
        self._asked: Future[_Answer] | None = None
        self._person = Person(identity)
        self._crop = SteadyCrop()
        self._border = _fade_to_border()
        self._steady_flow = OneEuro(*STEADY_FLOW)
        self._steady_paint = OneEuro(*STEADY_PAINT)
        self._steady_shade = OneEuro(*STEADY_PAINT)
        self._steady_tint = OneEuro(*STEADY_TINT)
        self.reset()

    def reset(self) -> None:
        """Another face, or another picture."""
        self._wait()
        self._person.reset()
        self._crop.reset()
        self._last_ns: int | None = None
        self._steady_flow.reset()
        self._steady_paint.reset()
        self._steady_shade.reset()
        self._steady_tint.reset()
        self._since_asked_s = 0.0
        self._fresh, self._next_in = True, 0

    def _wait(self) -> None:
        """Let a question be answered, and forget the answer."""
        if self._asked is not None:
            wait([self._asked])
            self._asked = None

    def close(self) -> None:
        """Free the networks."""
        self._wait()
        if self._aside is not None:
            self._aside.shutdown()
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
        strength: float = 1.0,
        correction: float = 1.0,
        shading: float = 1.0,
        every: int = 1,
        out: U8 | None = None,
    ) -> U8:
        """The picture [H, W, 3] BGR whose landmarks [478, 3] px move by ``moves`` [478, 2] px.

        ``felt``: how intensely somebody feels at the moment, 0..1, as far as it is known.
        ``strength``: by how much ``moves`` were made smaller or larger than the edit asks for.
        ``correction``: how much of what the generator would change in the warp is done, 0..1, where
        a face changes much.
        ``shading``: how deeply skin is shaded by the shapes that come.
        ``every``: it is asked about each n-th picture, aside no sooner than it has answered; what
        it said holds in between.
        """
        import cv2

        worn = (edit.target - edit.source) * np.float32(strength)
        step_s = 0.0 if self._last_ns is None else (edit.capture_ns - self._last_ns) / 1e9
        self._last_ns = edit.capture_ns
        transform = self._crop(placement, step_s)
        patch = cut_out(pixels, transform)
        source = crop_landmarks(landmarks, transform)
        target = source.copy()
        target[:, :2] += moves @ transform[:, :2].T
        flow = edit_flow(source, target, self._rig.triangles)
        question = partial(
            self._ask, patch, source, target, flow, edit, placement, felt, worn, shading
        )
        if (answer := self._answer(question, every, step_s)) is not None:
            change = self._steady_flow(answer.change, step_s)
            mask, paint = self._steady_paint(answer.light, step_s)
            folds = self._steady_shade(answer.folds, step_s)
            tint = self._steady_tint(answer.tint, step_s)
        else:
            change = self._steady_flow.hold(step_s)
            mask, paint = self._steady_paint.hold(step_s)
            folds = self._steady_shade.hold(step_s)
            tint = self._steady_tint.hold(step_s)
        near = _near_face(source, target) * self._border
        folds = folds * near
        near *= np.float32(correction * ramp(*CHANGED, np.abs(worn[FEELING]).sum()))
        shift = flow * self._border + change * near
        pull = np.asarray(cv2.merge([*shift]), np.float32)
        out = move(pixels, transform, pull, out)
        cover(out, transform, patch, pull, near, mask)
        lighten(out, transform, near, paint)
        shade(out, transform, folds, tint)
        corrected = _at(target, change * near) @ np.linalg.inv(transform[:, :2]).T
        moved = landmarks[:, :2] + moves - corrected
        keep_eyes(out, pixels, landmarks, moved)
        keep_mouth(out, pixels, landmarks, moved, ramp(*OPENED, worn[JAW]))
        return out

    def _answer(
        self, question: Callable[[float], _Answer], every: int, step_s: float
    ) -> _Answer | None:
        """What is said anew of a picture; None: what was said before holds.

        ``question`` takes the seconds since one was asked before.
        """
        first = self._fresh or step_s > MAX_STEP_S
        self._fresh = False
        self._since_asked_s += step_s
        if first:
            self._wait()
        answer = None
        if self._asked is not None and self._asked.done():
            answer, self._asked = self._asked.result(), None
        self._next_in -= 1
        if not first and (self._next_in > 0 or self._asked is not None):
            return answer
        self._next_in = every
        since_s, self._since_asked_s = self._since_asked_s, 0.0
        if first or self._aside is None:
            return question(since_s)
        self._asked = self._aside.submit(question, since_s)
        return answer

    def _ask(
        self,
        patch: U8,
        source: F32,
        target: F32,
        flow: F32,
        edit: FaceEdit,
        placement: Placement,
        felt: float,
        worn: F32,
        shading: float,
        since_s: float,
    ) -> _Answer:
        """What generator and shading say of an edit of a crop [256, 256, 3]."""
        unfit = tension(edit.source, placement) + felt
        person = self._person(patch, unfit, since_s)
        direction, alpha = feeling(edit.target)
        said = self._generator(
            source=to_tensor(patch),
            flow=flow[None],
            lines=np.stack([line_map(source), line_map(target)])[None],
            expression=direction[None],
            intensity=np.array([[min(alpha, 2.0)]], np.float32),
            **person,
        )
        return _Answer(
            change=said["flow_out"][0] - flow,
            light=np.concatenate([said["mask"][0], said["paint"][0]]),
            folds=self._shading(target, self._rig.triangles, worn, shading),
            tint=self._shading.tint(patch, source),
        )


@dataclass(frozen=True, eq=False)
class _Answer:
    """What is learned of an edit, over the crop."""

    change: F32
    """of the rig's flow [2, 128, 128] px"""
    light: F32
    """mask and paint [2, 256, 256]"""
    folds: F32
    """logarithm of the ratio of brightness [128, 128]"""
    tint: F32
    """of that, in each channel [3]"""


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
    return smoothstep(0, 1, 1 - apart * np.float32(2 / REACH_PX))


def _fade_to_border() -> F32:
    """1 inside the crop, falling to 0 at its border [128, 128]."""
    inward = np.minimum(np.arange(HALF_PX), np.arange(HALF_PX)[::-1])
    ramp = smoothstep(0, 1, 2 * inward / BORDER_PX)
    return np.minimum(ramp[:, None], ramp)
