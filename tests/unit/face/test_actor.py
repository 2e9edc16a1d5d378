"""Who is on the stage: remembered while seen, known again, and taken for nobody else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.node import Context
from engine.types import F32, U8
from face.emotions import sides
from face.expression.people import load_people
from face.render import likeness, person_file
from face.render.actor import Actor
from face.render.layer import fits
from face.render.person_file import Person
from face.render.renderer import FaceRenderer
from face.render.repertoire import Face, Repertoire, mouth_aperture
from face.render.request import Request
from face.render.surface import load_surface
from face.render.watch import Watch, unevenness
from face.rig import load_rig
from face.topology import INNER_LIPS
from face.types import BLENDSHAPES, EMOTIONS, FaceEdit
from tests.faces import Seen, seen_astronaut, seen_face
from tests.golden.heads import pictures
from training.metrics.faces import mouth_opening_change

STEP_S = 0.2
OUTER_LIPS = [61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91]


def edit(rig: F32, **expression: float) -> FaceEdit:
    amounts = np.zeros(len(EMOTIONS), np.float32)
    for name, amount in expression.items():
        amounts[EMOTIONS.index(name)] = amount
    return FaceEdit(capture_ns=1, active=True, source=rig, target=rig, expression=amounts)


class Told:
    def __init__(self) -> None:
        self.statuses: list[tuple[str, str]] = []
        self.gauges: dict[str, object] = {}
        self.context = Context(
            status=lambda condition, text: self.statuses.append((condition, text)),
            gauge=self.gauges.__setitem__,
        )


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def actor(told: Told) -> Iterator[Actor]:
    made = Actor(load_rig(), told.context, threads=1)
    yield made
    made.close()


def watch(actor: Actor, seen: Seen, times: int) -> None:
    for _ in range(times):
        actor.watch(seen.pixels, seen.landmarks, seen.placement, seen.rig, STEP_S)


def test_a_smile_that_was_seen_is_remembered_as_a_smile(actor: Actor, told: Told) -> None:
    watch(actor, seen_astronaut(), 4)
    assert {face.emotion for face in actor.repertoire.faces} == {"happy"}
    assert told.gauges["remembered"] == len(actor.repertoire)


def test_what_was_said_of_a_face_is_taken_back_unless_it_was_enrolled(
    actor: Actor, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(emotion: str) -> None:
        for _ in range(3):
            actor.watch(
                seen.pixels, seen.landmarks, seen.placement, seen.rig, STEP_S, label=emotion
            )

    monkeypatch.setenv(person_file.FOLDER, str(tmp_path))
    seen = seen_astronaut()
    watch(actor, seen, 4)
    before = actor.repertoire.faces
    say("neutral")
    say("sad")
    assert {"neutral", "sad"} <= {face.emotion for face in actor.repertoire.faces}
    actor.unsay()
    assert actor.repertoire.faces == before
    assert told.gauges["remembered"] == len(before)
    say("neutral")
    actor.enrol("anna")
    actor.unsay()
    assert "neutral" in {face.emotion for face in actor.repertoire.faces}
    say("sad")
    actor.reset()  # whoever comes now may be somebody else
    actor.unsay()
    assert len(actor.repertoire) == 0


def test_after_a_cut_the_same_person_is_known_again_and_another_isnt(
    actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(actor, seen_astronaut(), 4)
    actor.reset()
    assert len(actor.repertoire) == 0  # not before it is sure
    watch(actor, seen_astronaut(), 8)
    assert len(actor.repertoire) > 0
    before = actor.repertoire.faces
    actor.reset()
    monkeypatch.setattr(likeness, "SAME", 2.1)  # whoever comes is somebody else
    watch(actor, seen_astronaut(), 8)
    assert not any(face is old for face in actor.repertoire.faces for old in before)


def test_an_enrolled_persons_faces_are_used_for_that_person_alone(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = seen_astronaut()
    face = Watch(load_rig(), load_surface(), load_people()).face(*seen[:3], seen.rig, "happy")
    path = tmp_path / "anna.person"
    person_file.save(Person("anna", [face]), path)
    actor = Actor(load_rig(), told.context, person=str(path), threads=1)
    try:
        watch(actor, seen, 8)
        assert any(np.array_equal(one.texture, face.texture) for one in actor.repertoire.faces)
        enrolled = actor.repertoire
        actor.reset()
        monkeypatch.setattr(likeness, "SAME", 2.1)
        watch(actor, seen, 8)
        assert actor.repertoire is not enrolled
        assert told.statuses[-1][0] == "degraded"
        assert "doesn't look like anna" in told.statuses[-1][1]
    finally:
        actor.close()


def test_ones_own_smile_is_worn_rather_than_other_peoples(actor: Actor) -> None:
    seen = seen_astronaut()
    calm = actor.render(*seen[:3], edit(seen.rig), still=True)
    by_others = actor.render(*seen[:3], edit(seen.rig, happy=1.0), still=True)
    watch(actor, seen, 4)
    actor._renderer.reset()
    own = actor.render(*seen[:3], edit(seen.rig, happy=1.0), still=True)
    off = [np.abs(one.astype(int) - seen.pixels).mean() for one in (calm, by_others, own)]
    assert off[2] < off[1] and off[2] < off[0]  # her own smile is the one that she wears


def test_a_dropped_jaw_shows_teeth_with_an_edge(actor: Actor) -> None:
    seen = seen_astronaut()
    made = actor.render(*seen[:3], edit(seen.rig, surprised=1.0), still=True)
    seen = seen_face(made)
    lips = seen.landmarks[list(INNER_LIPS), :2]
    middle, (top, bottom) = int(lips[:, 0].mean()), (lips[:, 1].min(), lips[:, 1].max())
    column = made[int(top) + 1 : int(bottom), middle - 3 : middle + 4].mean(axis=(1, 2))
    assert bottom - top > 8
    upper = column[: len(column) // 2]
    assert upper.max() > 1.8 * column[len(column) // 2]
    assert -np.diff(upper).min() > 0.15 * upper.max()  # where they end, it is dark at once


def test_a_smiling_photograph_that_is_afraid_shows_no_stretched_teeth(actor: Actor) -> None:
    seen = seen_astronaut()
    made = actor.render(*seen[:3], edit(seen.rig, fear=0.9), still=True)
    lips = seen_face(made).landmarks[list(INNER_LIPS), :2]
    (left, top), (right, bottom) = lips.min(axis=0).astype(int), lips.max(axis=0).astype(int)
    mouth = made[top + 2 : bottom - 1, left + 10 : right - 10].mean(axis=2)
    assert np.percentile(mouth, 25) < 0.45 * made[top - 30 : top - 20, left:right].mean()


def test_a_remembered_smile_fades_where_calm_was_never_seen(actor: Actor) -> None:
    seen = seen_astronaut()
    watch(actor, seen, 4)
    assert actor._renderer.repertoire.of("happy") and not actor._renderer.repertoire.of("neutral")

    def worn(happy: float) -> F32:
        actor._renderer.reset()
        made = actor.render(*seen[:3], edit(seen.rig, happy=happy), still=True)
        return made.astype(np.float32)

    without, whole = worn(0.0), np.abs(worn(1.0) - worn(0.0)).mean()
    assert (worn(1e-9) == without).all()
    assert np.abs(worn(0.05) - without).mean() < 0.2 * whole


def test_without_the_skin_network_shapes_are_drawn_all_the_same(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    (weights / "people").mkdir(parents=True)
    shipped = Path(__file__).parents[3] / "weights" / "people" / "people.npz"
    (weights / "people" / "people.npz").write_bytes(shipped.read_bytes())
    actor = Actor(load_rig(), told.context, weights=str(weights), threads=1)
    assert told.statuses[-1][0] == "degraded"
    assert "light and shade stay as they are" in told.statuses[-1][1]
    seen = seen_astronaut()
    face = Watch(load_rig(), load_surface(), load_people()).face(*seen[:3], seen.rig, "happy")
    person_file.save(Person("anna", [face]), tmp_path / "anna.person")
    for same in (2.1, -2.1):  # somebody else, and anna: neither hides that the network is missing
        monkeypatch.setattr(likeness, "MAYBE", same)
        actor.expect(str(tmp_path / "anna.person"))
        actor.recognize(*seen[:3], seen.rig)
        assert told.statuses[-1][0] == "degraded"
        assert "light and shade stay as they are" in told.statuses[-1][1]
        assert ("doesn't look like anna" in told.statuses[-1][1]) == (same > 2)
    actor.expect("")
    assert "light and shade stay as they are" in told.statuses[-1][1]
    assert (actor.render(*seen[:3], edit(seen.rig), still=True) != seen.pixels).any()
    actor.close()


def stranger(own: Face) -> Face:
    """Nobody: another shape, another skin."""
    people, rng = load_people(), np.random.default_rng(0)
    patches = rng.integers(0, 255, (38, 48), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    apart = (people.calm_shape_std * rng.normal(size=(478, 3))).astype(np.float32)
    return dataclasses.replace(
        own, texture=np.repeat(patches[..., None], 3, axis=2), shape=people.calm_shape + apart
    )


def test_strangers_are_told_apart_by_shape_and_skin() -> None:
    people, seen = load_people(), seen_astronaut()
    own = Watch(load_rig(), load_surface(), people).face(*seen[:3], seen.rig)
    mine, theirs = (likeness.signature(face, people) for face in (own, stranger(own)))
    assert mine.likeness(mine) == pytest.approx(2, abs=1e-3)
    assert mine.likeness(theirs) < likeness.SAME


def test_a_smile_never_becomes_calm_however_long_it_lasts() -> None:
    seen, repertoire = seen_astronaut(), Repertoire()
    one = Watch(load_rig(), load_surface(), load_people())
    for _ in range(60):
        if face := one(repertoire, *seen[:3], seen.rig, 1.0):
            repertoire.add(face)
    assert {face.emotion for face in repertoire.faces} == {"happy"}


def test_who_is_calmed_shows_no_teeth() -> None:
    seen = seen_astronaut()
    renderer = FaceRenderer(load_rig(), load_surface(), load_people())
    calm = renderer.render(
        Request(
            picture=seen.pixels,
            landmarks=seen.landmarks,
            placement=seen.placement,
            rig=seen.rig,
            free=1.0,
            still=True,
        )
    )

    def bared(pixels: U8) -> float:
        """Which share of the mouth is as bright as teeth."""
        landmarks = seen_face(pixels).landmarks[:, :2]
        mouth = np.zeros(pixels.shape[:2], np.uint8)
        cv2.fillPoly(mouth, [np.rint(landmarks[OUTER_LIPS]).astype(np.int32)], 1)
        return float((pixels[mouth > 0, 0] > 200).mean())

    assert bared(seen.pixels) > 0.1 > 0.05 > bared(calm)  # lips gleam, too


def test_a_hand_before_the_face_isnt_remembered(
    actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    even = np.full((38, 48, 3), 150, np.float32)
    even[10:14, 12:36] = 60
    seen, covered = np.ones((38, 48), np.float32), even.copy()
    covered[20:34, 26:44] = 40
    assert unevenness(even, seen) < 0.1 < 0.5 < unevenness(covered, seen)
    free, hidden = unevenness(even, seen), unevenness(covered, seen)
    monkeypatch.setattr("face.render.watch.unevenness", lambda colours, seen: free)
    watch(actor, seen_astronaut(), 1)
    kept = actor.repertoire.faces
    monkeypatch.setattr("face.render.watch.unevenness", lambda colours, seen: hidden)
    watch(actor, seen_astronaut(), 6)
    assert len(kept) == 1 and actor.repertoire.faces == kept


def test_what_hides_the_face_is_the_cameras() -> None:
    calm = np.full((38, 48, 3), 120, np.float32)
    here, ones = calm.copy(), np.ones((38, 48), np.float32)
    here[10:20, 10:20] = 30
    fitting = fits(here, calm, np.ones_like(calm), ones)
    assert fitting[15, 15] == 0 and fitting[30, 40] == 1
    slightly = calm * np.float32(0.8)
    assert fits(slightly, calm, np.ones_like(calm), ones).min() > 0.95


def test_a_still_mouth_opens_as_far_as_a_reference_has_it(actor: Actor) -> None:
    neutral = pictures()[2, 0]
    seen = seen_face(np.ascontiguousarray(neutral))
    surprised = edit(seen.rig, surprised=1.0)

    def opening(parts: float) -> float:
        asked = dataclasses.replace(surprised, parts=parts)
        made = seen_face(actor.render(*seen[:3], asked, still=True))
        return mouth_aperture(made.shape)

    shut, half, whole = (opening(parts) - mouth_aperture(seen.shape) for parts in (0.0, 0.5, 1.0))
    assert shut + 0.2 * whole < half < 0.8 * whole


def test_shapes_beyond_the_expression_move_where_they_are_and_leave_the_mouth(actor: Actor) -> None:
    seen = seen_face(np.ascontiguousarray(pictures()[2, 0]))
    raised = np.zeros(len(BLENDSHAPES), np.float32)
    left, right = sides("browOuterUp")
    raised[left] = 0.5
    plain = seen_face(actor.render(*seen[:3], edit(seen.rig), still=True))
    asked = dataclasses.replace(edit(seen.rig), beyond=raised)
    made = seen_face(actor.render(*seen[:3], asked, still=True))
    assert made.rig[left] - plain.rig[left] > 0.15
    assert abs(made.rig[right] - plain.rig[right]) < 0.1
    assert mouth_opening_change(plain.landmarks, made.landmarks) < 0.02
