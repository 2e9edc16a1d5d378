"""How long one face takes on this machine, measured on a drawn one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from engine.node import Node
from engine.outputs import each_output
from engine.parameters import build
from engine.types import U8, VideoFrame

_PICTURES = 40
_WARM_UP = 8


def measure_face_ms(pictures: int = _PICTURES) -> float:
    """Median time [ms] to track, edit and redraw a face at 640x480. Raises MienError."""
    from nodes.face.compositor import Compositor
    from nodes.face.expression_editor import ExpressionEditor
    from nodes.face.face_tracker import FaceTracker

    editing = build(ExpressionEditor.Config, {"emotion": "happy"})
    tracker, editor = FaceTracker(build(FaceTracker.Config, {})), ExpressionEditor(editing)
    compositor = Compositor(build(Compositor.Config, {}))
    nodes: list[Node] = [tracker, editor, compositor]
    started = 0
    times_ms = []
    drawing = drawn_face()
    try:
        for node in nodes:
            started += 1
            node.setup()
        for number in range(pictures):
            pixels = np.roll(drawing, number % 8, axis=1)
            frame = VideoFrame(capture_ns=number * 33_000_000 + 1, pixels=pixels, cut=not number)
            began_ns = time.perf_counter_ns()
            face = _only(tracker, tracker.process(frame=frame))
            edit = _only(editor, editor.process(face=face))
            _only(compositor, compositor.process(frame=frame, face=face, edit=edit))
            times_ms.append((time.perf_counter_ns() - began_ns) / 1e6)
    finally:
        for node in nodes[:started]:
            node.close()
    return float(np.median(times_ms[min(_WARM_UP, pictures - 1) :]))


def _only(node: Node, returned: object) -> Any:
    return next(message for _, message in each_output(node, returned))


def drawn_face(width_px: int = 640, height_px: int = 480) -> U8:
    """A drawn head that the tracker takes for a face: BGR [H, W, 3]."""
    import cv2

    picture = np.full((height_px, width_px, 3), (150, 140, 120), np.uint8)
    scale = min(height_px / 480, width_px / 360)

    def oval(
        x: float, y: float, a: float, b: float, colour: tuple[int, int, int],
        arc: tuple[int, int] = (0, 360), thick: int = -1,
    ) -> None:  # fmt: skip
        centre = int(width_px / 2 + x * scale), int(height_px / 2 + y * scale)
        axes = int(a * scale), int(b * scale)
        cv2.ellipse(picture, centre, axes, 0, *arc, colour, thick, cv2.LINE_AA)

    oval(0, -35, 112, 140, (30, 45, 60))
    oval(0, 10, 98, 130, (140, 170, 215))
    oval(0, 20, 94, 118, (150, 180, 225))
    for side in (-1, 1):
        oval(side * 40, -15, 22, 11, (240, 240, 240))
        oval(side * 40, -15, 10, 10, (60, 60, 40))
        oval(side * 40, -15, 5, 5, (10, 10, 10))
        oval(side * 40, -15, 24, 13, (60, 70, 90), (180, 360), 3)
        oval(side * 40, -38, 28, 10, (40, 50, 70), (200, 340), 7)
        oval(side * 10, 45, 7, 4, (90, 110, 150))
    oval(0, 38, 16, 10, (120, 150, 195), (0, 180), 3)
    oval(0, 85, 38, 12, (90, 90, 180))
    oval(0, 85, 38, 3, (50, 50, 110))
    return cv2.GaussianBlur(picture, (0, 0), 1.5 * scale).astype(np.uint8)
