"""The learned renderer: it moves the camera's own pixels, paints where told, and can be missed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.errors import MienError
from engine.node import Context
from engine.parameters import build
from engine.types import F32, U8, Affect, FaceEdit, FaceTrack, VideoFrame
from nodes.compositor import WARP, Compositor, CompositorAside
from nodes.expression_editor import ExpressionEditor
from nodes.face_crop import crop_transform
from nodes.face_tracker import FaceTracker
from nodes.rig import load_rig
from nodes.steady_crop import crop_box, cut_out
from nodes.still_lips import LIPS, opening
from tests.faces import FRAME_NS, astronaut, frame
from tests.made_weights import make_weights


class Made:
    """A compositor and what it says."""

    def __init__(self, kind: type[Compositor] = Compositor, /, **values: Any) -> None:
        self.statuses: list[tuple[str, str]] = []
        self.gauges: dict[str, Any] = {}
        context = Context(
            status=lambda condition, text: self.statuses.append((condition, text)),
            gauge=self.gauges.__setitem__,
        )
        self.node = kind(build(kind.Config, values), context)

    def __enter__(self) -> Made:
        self.node.setup()
        return self

    def __exit__(self, *_: object) -> None:
        self.node.close()

    def render(self, pixels: U8, face: FaceTrack, edit: FaceEdit) -> U8:
        return self.node.process(frame(pixels, cut=True), face, edit).pixels


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights"), "identity", "generator")


@pytest.fixture(scope="module")
def tracker() -> Iterator[FaceTracker]:
    node = FaceTracker(build(FaceTracker.Config, {"smoothing": 0.0}))
    node.setup()
    yield node
    node.close()


def asked(tracker: FaceTracker, pixels: U8, **values: Any) -> tuple[FaceTrack, FaceEdit]:
    face = tracker.process(frame(pixels, cut=True))
    editor = ExpressionEditor(build(ExpressionEditor.Config, values))
    editor.setup()
    return face, editor.process(face=face)


def large(side: int = 1100) -> U8:
    """The astronaut's face several times larger than the generator's crop."""
    cut = np.ascontiguousarray(astronaut()[20:240, 115:335])
    return cv2.resize(cut, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def test_a_generator_that_changes_nothing_is_the_warp(weights: Path, tracker: FaceTracker) -> None:
    face, edit = asked(tracker, astronaut(), emotion="contempt", intensity=1.0)
    with Made(weights=str(weights), renderer="learned") as learned, Made(renderer="warp") as warp:
        drawn = learned.render(astronaut(), face, edit).astype(int)
        moved = warp.render(astronaut(), face, edit).astype(int)
        assert "OpenVINO" in learned.gauges["backend"] and learned.statuses[-1] == ("ok", "")
        assert warp.gauges["backend"] == WARP
    change = np.abs(moved - astronaut()).mean()
    assert np.abs(drawn - moved).mean() < 0.25 * change
    assert np.abs(drawn - astronaut()).mean() > 0.7 * change


def test_what_is_far_from_the_face_stays_bit_by_bit(weights: Path, tracker: FaceTracker) -> None:
    face, edit = asked(tracker, astronaut(), emotion="surprised", intensity=1.0)
    with Made(weights=str(weights)) as learned:
        drawn = learned.render(astronaut(), face, edit)
    changed = (drawn != astronaut()).any(axis=2)
    left, top, right, bottom = crop_box(crop_transform(load_rig().place(face.landmarks)), 512, 512)
    outside = np.ones((512, 512), bool)
    outside[top:bottom, left:right] = False
    assert changed.sum() > 3000 and not changed[outside].any()
    assert not changed[top : top + 3, left:right].any()  # no seam at the crop's border


def test_resolution_is_kept_where_nothing_is_painted(weights: Path, tracker: FaceTracker) -> None:
    pixels = large()
    noise = np.random.default_rng(0).normal(0, 12, pixels.shape)
    pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    face, edit = asked(tracker, pixels, emotion="happy", intensity=1.0)
    assert face.found
    with Made(weights=str(weights)) as learned:
        drawn = learned.render(pixels, face, edit)

    def grain(picture: U8) -> float:
        centre = face.landmarks[:, :2].mean(axis=0).astype(int)
        part = picture[centre[1] - 200 : centre[1] + 200, centre[0] - 200 : centre[0] + 200]
        return float(np.abs(cv2.Laplacian(part, cv2.CV_32F)).mean())

    assert (drawn != pixels).any(axis=2).sum() > 20_000
    transform = crop_transform(load_rig().place(face.landmarks))
    assert transform[0, 0] < 0.5
    small = cut_out(pixels, transform)
    coarse = cv2.warpAffine(small, cv2.invertAffineTransform(transform), pixels.shape[1::-1])
    assert grain(drawn) > 0.65 * grain(pixels)  # moving by parts of a pixel costs some
    assert grain(drawn) > 4 * grain(coarse.astype(np.uint8, copy=False))


def test_paint_covers_the_face_and_fades_out(tmp_path: Path, tracker: FaceTracker) -> None:
    weights = make_weights(tmp_path, "identity", "generator", painted=1.0)
    face, edit = asked(tracker, astronaut(), emotion="happy", intensity=1.0)
    with Made(weights=str(weights), correction=1.0) as learned:
        drawn = learned.render(astronaut(), face, edit)
    x, y = face.landmarks[1, :2].astype(int)
    assert drawn[y, x].min() > 250  # the made paint is light
    assert np.array_equal(drawn[400:], astronaut()[400:])
    grey = np.full_like(astronaut(), 128)
    with Made(weights=str(weights), correction=1.0) as learned:
        drawn = learned.render(grey, face, edit)
    steps = np.abs(np.diff(drawn.astype(int), axis=1)).max()
    assert drawn[y, x].min() > 250 and steps < 40  # it fades in over pixels, not at an edge


def test_light_is_added_as_far_as_it_is_wanted(tmp_path: Path, tracker: FaceTracker) -> None:
    """All of it, half of it, none of it; and none on somebody who hardly changes."""
    weights = make_weights(tmp_path, "identity", "generator", painted=0.3)
    grey = np.full_like(astronaut(), 100)

    def added(emotion: str, correction: float, **values: float) -> int:
        face, edit = asked(tracker, astronaut(), emotion=emotion, **values)
        x, y = face.landmarks[1, :2].astype(int)
        with Made(weights=str(weights), correction=correction, shading=0.0) as learned:
            return int(learned.render(grey, face, edit)[y, x, 0]) - 100

    whole = added("sad", 1.0, intensity=1.0)
    assert whole == pytest.approx(0.3 * 255, abs=8)
    assert added("sad", 0.5, intensity=1.0) == pytest.approx(whole / 2, abs=1)
    assert added("sad", 0.0, intensity=1.0) == 0
    assert added("happy", 1.0, intensity=0.1, neutralize=0.0) == 0


def test_skin_is_shaded_by_what_is_worn(weights: Path, tracker: FaceTracker) -> None:
    """Deeper with ``shading`` and ``strength``; a face that only loses a feeling isn't."""
    grey = np.full_like(astronaut(), 100)

    def shaded(asked_for: str, **values: float) -> float:
        face, edit = asked(tracker, astronaut(), emotion=asked_for, intensity=1.0)
        with Made(weights=str(weights), correction=0.0, **values) as learned:
            return float(np.abs(learned.render(grey, face, edit).astype(int) - 100).mean())

    angry = shaded("angry")
    assert angry > 0.05 and shaded("angry", shading=0.0) == shaded("neutral") == 0
    assert shaded("angry", shading=0.5) == pytest.approx(angry / 2, rel=0.3)
    assert shaded("angry", strength=0.5) == pytest.approx(angry / 2, rel=0.3)


def test_a_mouth_opens_in_surprise_where_it_can_be_painted(
    weights: Path, tracker: FaceTracker
) -> None:
    face, edit = asked(tracker, astronaut(), emotion="surprised", intensity=1.0)
    openings, dark = [], []
    for renderer in ("learned", "warp"):
        with Made(weights=str(weights), renderer=renderer) as made:
            drawn = made.render(astronaut(), face, edit)
        seen = tracker.process(frame(drawn, cut=True)).landmarks[:, :2]
        openings.append(opening(seen))
        x, y = np.rint(np.array([0.2, 0.8]) @ seen[list(LIPS)]).astype(int)
        dark.append(int(drawn[y - 1 : y + 2, x].max()))
    assert openings[0] > 1.5 * openings[1]
    assert dark[0] < 0.5 * dark[1]


class Told:
    """Stands in for the generator: says of every picture that it is lighter by ``light``."""

    def __init__(self) -> None:
        self.light, self.times = 0.1, 0

    def __call__(self, **inputs: F32) -> dict[str, F32]:
        self.times += 1
        paint = np.full((1, 1, 256, 256), self.light, np.float32)
        return {"flow_out": inputs["flow"], "mask": np.zeros_like(paint), "paint": paint}

    def close(self) -> None:
        pass


@pytest.mark.parametrize("every", [1, 2])
def test_what_the_generator_says_is_kept_steady(
    every: int, weights: Path, tracker: FaceTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey, told = np.full_like(astronaut(), 100), Told()
    face, edit = asked(tracker, astronaut(), emotion="sad", intensity=1.0)
    x, y = face.landmarks[1, :2].astype(int)
    added = []
    with Made(weights=str(weights), correction=1.0, shading=0.0, every=every) as learned:
        assert learned.node._learned is not None
        learned_face = learned.node._learned
        generator = learned_face._generator
        monkeypatch.setattr(learned_face, "_generator", told)
        for step in range(20):
            told.light = 0.1 + 0.01 * (-1) ** (step // every)  # it wavers
            later = replace(edit, capture_ns=edit.capture_ns + step * FRAME_NS)
            cut = step == 0
            out = learned.node.process(frame(grey, cut=cut), replace(face, cut=cut), later)
            added.append(float(out.pixels[y, x, 0]) - 100)
        monkeypatch.setattr(learned_face, "_generator", generator)
    assert told.times == 20 // every
    assert np.abs(np.diff(added[5:])).max() <= 2  # 0.02 of 255 is 5
    assert abs(np.mean(added[5:]) - 25.5) < 2.5


class Slow(Told):
    """Answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()
        self.may.set()

    def __call__(self, **inputs: F32) -> dict[str, F32]:
        answer = super().__call__(**inputs)
        assert self.may.wait(10)
        return answer


def test_live_pictures_go_on_while_the_generator_is_asked(
    weights: Path, tracker: FaceTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first picture of a face waits for it; what it says comes with later ones, and what it
    says of another face is forgotten."""
    grey, told = np.full_like(astronaut(), 100), Slow()
    face, edit = asked(tracker, astronaut(), emotion="sad", intensity=1.0)
    x, y = face.landmarks[1, :2].astype(int)
    values = {"weights": str(weights), "correction": 1.0, "shading": 0.0}
    with Made(CompositorAside, **values) as live:
        learned_face = live.node._learned
        assert learned_face is not None
        generator = learned_face._generator
        monkeypatch.setattr(learned_face, "_generator", told)

        def added(step: int, cut: bool = False) -> float:
            later = replace(edit, capture_ns=edit.capture_ns + step * FRAME_NS)
            out = live.node.process(frame(grey, cut=cut), replace(face, cut=cut), later)
            return float(out.pixels[y, x, 0]) - 100

        first = added(0, cut=True)
        assert first == pytest.approx(25, abs=2) and told.times == 1
        told.may.clear()
        told.light = 0.3
        assert [added(step) for step in range(1, 6)] == [first] * 5
        assert told.times == 2
        told.may.set()
        for step in range(6, 80):
            last = added(step)
            time.sleep(0.002)
        assert last == pytest.approx(76, abs=6) and told.times > 5
        told.light = 0.0
        assert added(80, cut=True) == pytest.approx(0, abs=2)
        monkeypatch.setattr(learned_face, "_generator", generator)


def test_a_missing_weight_is_said_and_the_face_is_warped(
    tmp_path: Path, tracker: FaceTracker
) -> None:
    face, edit = asked(tracker, astronaut(), emotion="happy", intensity=1.0)
    with Made(weights=str(tmp_path)) as compositor, Made(renderer="warp") as warp:
        condition, text = compositor.statuses[-1]
        assert condition == "degraded" and "\n" not in text
        assert "no weight in" in text and "the face is warped instead" in text
        assert compositor.gauges["backend"] == WARP
        warped = warp.render(astronaut(), face, edit)
        assert np.array_equal(compositor.render(astronaut(), face, edit), warped)


def test_a_damaged_weight_is_said_and_the_face_is_warped(weights: Path, tmp_path: Path) -> None:
    make_weights(tmp_path, "identity", "generator")
    (tmp_path / "generator" / "int8.bin").write_bytes(b"not what it was")
    with Made(weights=str(tmp_path)) as compositor:
        assert compositor.statuses[-1][0] == "degraded"
        assert "is damaged" in compositor.statuses[-1][1]


def test_another_networks_weight_is_refused(tmp_path: Path) -> None:
    make_weights(tmp_path, "identity", "visual")
    (tmp_path / "visual").rename(tmp_path / "generator")
    with Made(weights=str(tmp_path)) as compositor:
        assert "it is no generator" in compositor.statuses[-1][1]


def test_learned_alone_doesnt_fall_back(tmp_path: Path) -> None:
    made = Made(weights=str(tmp_path), renderer="learned")
    with pytest.raises(MienError, match="no weight in"):
        made.node.setup()
    made.node.close()


def test_the_renderer_changes_while_it_runs(weights: Path, tracker: FaceTracker) -> None:
    face, edit = asked(tracker, astronaut(), emotion="happy", intensity=1.0)
    with Made(weights=str(weights), renderer="warp") as made:
        warped = made.render(astronaut(), face, edit)
        made.node.reconfigure(
            build(Compositor.Config, {"weights": str(weights), "renderer": "learned"})
        )
        assert "OpenVINO" in made.gauges["backend"]
        learned = made.render(astronaut(), face, edit)
        made.node.reconfigure(build(Compositor.Config, {"renderer": "warp"}))
        assert made.gauges["backend"] == WARP
        assert np.array_equal(made.render(astronaut(), face, edit), warped)
    assert not np.array_equal(learned, warped)


def test_a_generator_that_fails_gives_way_to_the_warp(
    weights: Path, tracker: FaceTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    face, edit = asked(tracker, astronaut(), emotion="happy", intensity=1.0)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the driver\nwent away")

    with Made(weights=str(weights)) as made, Made(renderer="warp") as warp:
        monkeypatch.setattr("nodes.learned_face.LearnedFace.render", fail)
        drawn = made.render(astronaut(), face, edit)
        assert np.array_equal(drawn, warp.render(astronaut(), face, edit))
        assert made.statuses[-1] == (
            "degraded",
            "the generator failed (the driver went away); the face is warped instead",
        )
        assert made.render(astronaut(), face, edit).shape == astronaut().shape


@pytest.mark.parametrize("place", [(-150, 0), (200, 0), (0, -110), (0, 330)])
def test_faces_over_the_border(weights: Path, tracker: FaceTracker, place: tuple[int, int]) -> None:
    matrix = np.array([[1, 0, place[0]], [0, 1, place[1]]], np.float32)
    pixels = cv2.warpAffine(astronaut(), matrix, (512, 512)).astype(np.uint8, copy=False)
    face, edit = asked(tracker, pixels, emotion="angry", intensity=1.0)
    with Made(weights=str(weights)) as learned:
        assert learned.render(pixels, face, edit).shape == pixels.shape


def test_what_is_felt_puts_off_the_look(weights: Path, tracker: FaceTracker) -> None:
    """A frame in which somebody feels a lot is no reference once a calmer one has come."""
    face, edit = asked(tracker, astronaut(), emotion="angry")
    looks: list[float] = []
    with Made(weights=str(weights)) as learned:
        renderer = learned.node._learned
        assert renderer is not None
        person = renderer._person
        for index in range(90):
            stamp = (index + 1) * FRAME_NS
            felt = 0.9 if index < 30 else 0.1
            learned.node.on_feeling(
                Affect(
                    capture_ns=stamp, source="both", known=True,
                    probabilities=np.full(8, 0.125, np.float32), intensity=felt,
                )
            )  # fmt: skip
            learned.node.process(
                VideoFrame(capture_ns=stamp, pixels=astronaut()),
                replace(face, capture_ns=stamp, cut=False),
                replace(edit, capture_ns=stamp),
            )
            looks.append(person._best)
    assert looks[0] == looks[29] > looks[-1] + 0.7
    assert len(set(looks)) == 2


def test_pictures_of_a_still_are_steady(weights: Path, tracker: FaceTracker) -> None:
    face, edit = asked(tracker, astronaut())
    pictures = []
    with Made(weights=str(weights)) as learned:
        for index in range(6):
            picture = VideoFrame(capture_ns=(index + 1) * FRAME_NS, pixels=astronaut())
            still = FaceTrack(
                capture_ns=picture.capture_ns,
                found=True,
                landmarks=face.landmarks,
                blendshapes=face.blendshapes,
                pose=face.pose,
            )
            held = FaceEdit(
                capture_ns=picture.capture_ns, active=True, source=edit.source, target=edit.target
            )
            pictures.append(learned.node.process(picture, still, held).pixels.astype(np.int16))
    assert np.abs(np.diff(np.stack(pictures[1:]), axis=0)).mean() < 0.2
