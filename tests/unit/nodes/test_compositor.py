"""The chain on a real face: what is asked for is what the tracker sees afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from engine.errors import MienError
from engine.node import Node
from engine.parameters import build
from engine.types import U8, VideoFrame
from face.emotions import sides
from face.expression.people import load_people
from face.render import person_file
from face.render.person_file import Person
from face.render.surface import load_surface
from face.render.watch import Watch
from face.rig import load_rig
from face.types import FaceEdit, FaceTrack
from nodes.face.compositor import LABEL_HOLDS_S, Compositor
from nodes.face.expression_editor import ExpressionEditor
from nodes.face.face_tracker import FaceTracker
from tests.faces import astronaut, frame, no_face, seen_astronaut
from training.metrics.faces import feeling_energy


class Chain(NamedTuple):
    tracker: FaceTracker
    compositor: Compositor

    def face(self, pixels: U8) -> FaceTrack:
        return self.tracker.process(frame(pixels, cut=True))

    def wear(self, pixels: U8, **values: Any) -> tuple[FaceTrack, FaceEdit, VideoFrame]:
        editor = make(ExpressionEditor, **values)
        face = self.face(pixels)
        edit = editor.process(face=face)
        return face, edit, self.compositor.process(frame(pixels, cut=True), face, edit)


def make(node_type: type[Node], **values: Any) -> Any:
    node = node_type(build(node_type.Config, values))
    node.setup()
    return node


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    made = Chain(make(FaceTracker, smoothing=0.0), make(Compositor))
    yield made
    made.tracker.close()
    made.compositor.close()


def test_neutral_takes_the_smile_away(chain: Chain) -> None:
    before, _, video = chain.wear(astronaut())
    after = chain.face(video.pixels)
    smile = sides("mouthSmile")
    assert before.blendshapes[smile].mean() > 0.5
    assert after.blendshapes[smile].mean() < 0.4 * before.blendshapes[smile].mean()
    assert feeling_energy(after.blendshapes) < 0.8 * feeling_energy(before.blendshapes)


@pytest.mark.parametrize(
    ("emotion", "shows"),
    [
        ("angry", ("browDown", "eyeSquint")),
        ("contempt", ("mouthSmile",)),
        ("disgusted", ("mouthUpperUp", "browDown", "eyeSquint")),
        ("fear", ("browInnerUp", "mouthStretch", "jawOpen")),
        ("happy", ("mouthSmile",)),
        ("sad", ("browInnerUp",)),
        ("surprised", ("browInnerUp", "browOuterUp", "jawOpen")),
    ],
)
def test_each_emotion_moves_its_own_shapes(
    chain: Chain, emotion: str, shows: tuple[str, ...]
) -> None:
    _, _, calm = chain.wear(astronaut())
    _, _, felt = chain.wear(astronaut(), emotion=emotion, intensity=1.0)
    shift = chain.face(felt.pixels).blendshapes - chain.face(calm.pixels).blendshapes
    own = sum(float(shift[sides(name)].max()) for name in shows)
    assert own > 0.12


def test_the_background_stays_bit_by_bit(chain: Chain) -> None:
    face, _, video = chain.wear(astronaut(), emotion="surprised", intensity=1.0)
    changed = (video.pixels != astronaut()).any(axis=2)
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    reach = 0.3 * float((high - low).max()) + 2
    y, x = np.nonzero(changed)
    assert changed.sum() > 3000
    assert x.min() >= low[0] - reach and x.max() <= high[0] + reach
    assert y.min() >= low[1] - reach and y.max() <= high[1] + reach


def test_there_is_no_seam_where_the_edit_ends(chain: Chain) -> None:
    _, _, video = chain.wear(astronaut(), emotion="angry", intensity=1.0)
    smooth = cv2.GaussianBlur(astronaut(), (0, 0), 8).astype(np.uint8, copy=False)
    face, edit, _ = chain.wear(astronaut(), emotion="angry", intensity=1.0)
    out = chain.compositor.process(frame(smooth, cut=True), face, edit)
    steps = [np.abs(np.diff(p.astype(np.int16), axis=1)).max() for p in (smooth, out.pixels)]
    assert steps[1] < 2.5 * steps[0] + 3
    assert video.pixels.shape == astronaut().shape


def test_untouched_without_a_face_an_edit_or_a_change(chain: Chain) -> None:
    picture = frame(astronaut())
    face = chain.face(astronaut())
    zeros = np.zeros(52, np.float32)
    idle = FaceEdit(capture_ns=picture.capture_ns, active=False, source=zeros, target=zeros + 0.5)
    same = FaceEdit(
        capture_ns=picture.capture_ns, active=True, source=zeros, target=zeros, removed=0.0
    )
    wild = FaceEdit(capture_ns=picture.capture_ns, active=True, source=zeros, target=zeros + 0.5)
    assert chain.compositor.process(picture, face, idle) is picture
    assert chain.compositor.process(picture, face, same) is picture
    assert chain.compositor.process(picture, no_face(), wild) is picture


def test_stamps_and_names_pass_through(chain: Chain) -> None:
    face = chain.face(astronaut())
    edit = make(ExpressionEditor).process(face=face)
    picture = VideoFrame(capture_ns=77, pixels=astronaut(), pts=5, cut=True, name="a.png")
    video = chain.compositor.process(picture, face, edit)
    assert (video.capture_ns, video.pts, video.cut, video.name) == (77, 5, True, "a.png")
    assert video.pixels.flags.c_contiguous and video.pixels.dtype == np.uint8
    assert np.array_equal(picture.pixels, astronaut())


def test_steady_on_a_still_picture(chain: Chain) -> None:
    tracker, editor = make(FaceTracker), make(ExpressionEditor)
    pictures = []
    for index in range(24):
        picture = frame(astronaut(), index)
        face = tracker.process(picture)
        edit = editor.process(face=face)
        pictures.append(chain.compositor.process(picture, face, edit).pixels[60:190, 160:290])
    last = np.stack(pictures[12:]).astype(np.int16)
    assert np.abs(np.diff(last, axis=0)).mean() < 0.25


@pytest.mark.parametrize("place", [(-150, 0), (200, 0), (0, -110), (0, 330)])
def test_faces_over_the_border_are_edited_or_left(chain: Chain, place: tuple[int, int]) -> None:
    matrix = np.array([[1, 0, place[0]], [0, 1, place[1]]], np.float32)
    pixels = cv2.warpAffine(astronaut(), matrix, (512, 512)).astype(np.uint8, copy=False)
    _, _, video = chain.wear(pixels, emotion="angry", intensity=1.0)
    assert video.pixels.shape == pixels.shape


def test_small_and_large_faces(chain: Chain) -> None:
    for side in (72, 1400):
        cut = np.ascontiguousarray(astronaut()[30:230, 125:325])
        pixels = cv2.resize(cut, (side, side)).astype(np.uint8, copy=False)
        before, _, video = chain.wear(pixels)
        after = chain.face(video.pixels)
        assert feeling_energy(after.blendshapes) < 0.8 * feeling_energy(before.blendshapes)


def test_a_person_is_chosen_by_name_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(person_file.FOLDER, str(tmp_path))
    seen = seen_astronaut()
    face = Watch(load_rig(), load_surface(), load_people()).face(*seen[:3], seen.rig, "happy")
    person_file.save(Person("anna", [face]), person_file.place_of("anna"))
    compositor: Compositor = make(Compositor)
    try:
        compositor.reconfigure(build(Compositor.Config, {"person": "anna"}))
        actor = compositor._actor
        assert actor is not None and len(actor.repertoire) == 0  # not before it is sure
        for _ in range(8):
            actor.watch(seen.pixels, seen.landmarks, seen.placement, seen.rig, 0.2)
        assert any(np.array_equal(one.texture, face.texture) for one in actor.repertoire.faces)
        for refused in ("bert", str(person_file.place_of("anna")), "../anna"):
            with pytest.raises(MienError, match="nobody called"):
                compositor.reconfigure(build(Compositor.Config, {"person": refused}))
        assert compositor.config.person == "anna" and len(actor.repertoire)
        for name, line in (("anna", "already"), ("a/b", "no person's file"), ("b.person", "can't")):
            with pytest.raises(MienError, match=line):
                compositor.reconfigure(build(Compositor.Config, {"person": "anna", "enrol": name}))
        compositor.reconfigure(build(Compositor.Config, {"person": "anna", "enrol": "bert"}))
        assert person_file.names() == ["anna", "bert"]
        compositor.reconfigure(build(Compositor.Config, {}))
        assert len(actor.repertoire) == 0 and compositor.config.person == ""
    finally:
        compositor.close()


def test_what_a_face_shows_is_taken_from_who_says_so_for_some_seconds() -> None:
    compositor: Compositor = make(Compositor)
    tracker = make(FaceTracker, smoothing=0.0)
    try:
        face = tracker.process(frame(astronaut(), cut=True))
        idle = make(ExpressionEditor, mode="off").process(face=face)
        compositor.reconfigure(build(Compositor.Config, {"shows": "sad"}))
        moments = [frame(astronaut(), index * 6) for index in range(2 * round(LABEL_HOLDS_S / 0.2))]
        for moment in moments[: len(moments) // 4]:
            compositor.process(moment, dataclasses.replace(face, cut=False), idle)
        actor = compositor._actor
        assert actor is not None
        assert {one.emotion for one in actor.repertoire.faces} == {"sad"}
        for moment in moments[len(moments) // 4 :]:
            compositor.process(moment, dataclasses.replace(face, cut=False), idle)
        assert "happy" in {one.emotion for one in actor.repertoire.faces}  # it is read again
    finally:
        compositor.close()
        tracker.close()
