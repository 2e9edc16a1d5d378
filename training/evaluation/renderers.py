"""Ways to edit a face that are compared: none at all, the warp, own and real people's faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from engine.errors import MienError, UsageError
from engine.node import Context, Node
from engine.parameters import build
from engine.types import U8, VideoFrame
from face.types import FaceEdit, FaceTrack
from inference.weight_sets import folder_of
from nodes.face.compositor import Compositor
from nodes.face.expression_editor import ExpressionEditor
from training.data.clip import STEP_NS

KINDS: Final = ("none", "warp", "faces")


class Renderer(Protocol):
    """Edits one picture after another; a frame's ``cut`` begins another face."""

    @property
    def label(self) -> str:
        """What it is and what it runs on."""
        ...

    def process(self, frame: VideoFrame, face: FaceTrack, edit: FaceEdit) -> VideoFrame: ...


class Untouched:
    """No edit: what every other way is compared with."""

    label: Final = "the pictures as they were"

    def process(self, frame: VideoFrame, face: FaceTrack, edit: FaceEdit) -> VideoFrame:
        return frame


class Edited:
    """The live graph's own compositor. ``label`` says what it runs on."""

    def __init__(self, renderer: str, weights: str = "", remember: bool = True) -> None:
        """``weights`` is a folder of exported networks; "" takes those that ship. Without
        ``remember`` nobody's own faces are used. Raises MienError where the networks cannot be
        loaded: a comparison never falls back to the warp."""
        self._why = ""
        gauges: dict[str, object] = {}

        def status(condition: str, text: str) -> None:
            self._why = text if condition == "degraded" else ""

        context = Context(status=status, gauge=gauges.__setitem__)
        values = {"renderer": renderer, "weights": weights, "threads": 1, "remember": remember}
        self._node = ready(Compositor, context, **values)
        self.label = ", ".join(part for part in (weights, str(gauges.get("backend", ""))) if part)

    def process(self, frame: VideoFrame, face: FaceTrack, edit: FaceEdit) -> VideoFrame:
        out: VideoFrame = self._node.process(frame, face, edit)
        if self._why:
            raise MienError(self._why)
        return out


def renderers(kinds: Sequence[str], weights: Sequence[str]) -> dict[str, Renderer]:
    """Renderers by the name of their row.

    ``weights`` are folders of exported networks, FOLDER or NAME=FOLDER; each is a row of the kind
    faces. Raises MienError.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"a renderer is one of {', '.join(KINDS)}, not {unknown[0]}")
    rows: dict[str, Renderer] = {}
    if "none" in kinds:
        rows["none"] = Untouched()
    if "warp" in kinds:
        rows["warp"] = Edited("warp")
    if "faces" in kinds and not weights:
        rows["faces"] = Edited("faces")
    for given in weights:
        name, _, folder = given.rpartition("=")
        name = name or Path(folder).name
        folder_of(folder)
        if name in rows:
            raise UsageError(f"two rows are called {name}; name them with --weights NAME=FOLDER")
        rows[name] = Edited("faces", folder)
    return rows


def ready(node_type: type[Node], context: Context | None = None, **values: Any) -> Any:
    """A node, set up, outside of a graph."""
    node = node_type(build(node_type.Config, values), context)
    node.setup()
    return node


def to_frames(pictures: Sequence[U8], name: str = "picture") -> list[VideoFrame]:
    """Pictures as the frames of one recording, the first a cut; one alone is a still."""
    alone = len(pictures) == 1
    return [
        VideoFrame(
            capture_ns=(t + 1) * STEP_NS, pixels=pixels, cut=t == 0, name=name if alone else ""
        )
        for t, pixels in enumerate(pictures)
    ]


def wear(tracks: Sequence[FaceTrack], emotion: str, intensity: float) -> list[FaceEdit]:
    """The editor's own edits: neutralize, then wear an emotion."""
    editor = ready(ExpressionEditor, emotion=emotion, intensity=intensity)
    return [editor.process(face=track) for track in tracks]


def render(
    renderer: Renderer,
    frames: Sequence[VideoFrame],
    tracks: Sequence[FaceTrack],
    edits: Sequence[FaceEdit],
) -> list[U8]:
    """The edited pictures."""
    rows = zip(frames, tracks, edits, strict=True)
    return [renderer.process(frame, track, edit).pixels for frame, track, edit in rows]
