"""A reference in amounts of the wearer's own faces: how much of each, and what they lack."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from face.expression.people import load_people
from face.render.own import by_own
from face.render.repertoire import Face, Repertoire
from face.render.request import Request
from face.rig import load_rig
from face.types import BLENDSHAPES, EMOTIONS
from tests.unit.face.test_repertoire import face

PEOPLE = load_people()
HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")
RAISED = BLENDSHAPES.index("browOuterUpLeft")


def showing(emotion: str, amount: float = 1.0) -> Face:
    """A face as people show an emotion, so much of it."""
    change = PEOPLE.rigs[EMOTIONS.index(emotion)] - PEOPLE.rigs[0]
    return replace(face(emotion), shapes=(PEOPLE.rigs[0] + amount * change).astype(np.float32))


def asked(happy: float, sad: float = 0.0, raised: float = 0.0) -> Request:
    """A smile with a brow raised beyond it."""
    rig, amounts = load_rig(), np.zeros(len(EMOTIONS), np.float32)
    amounts[[HAPPY, SAD]] = happy, sad
    return Request(
        picture=np.zeros((8, 8, 3), np.uint8), landmarks=rig.mean, placement=rig.place(rig.mean),
        rig=PEOPLE.rigs[0], expression=amounts,
        beyond=np.eye(1, 52, RAISED, dtype=np.float32)[0] * np.float32(raised),
    )  # fmt: skip


def worn(request: Request, *others: Face) -> Request:
    calm = showing("neutral")
    repertoire = Repertoire([calm, *others])
    at_rest, *felt = (
        repertoire.recall(name, calm.mouth, calm.turn) for name in ("neutral", "happy", "sad")
    )
    assert at_rest is not None
    return by_own(request, at_rest, dict(zip(("happy", "sad"), felt, strict=True)), PEOPLE)


def test_who_smiled_faintly_wears_more_of_that_smile() -> None:
    whole, faint = (worn(asked(0.8), showing("happy", share)) for share in (1, 0.5))
    assert whole.expression[HAPPY] == pytest.approx(0.8, abs=0.01)
    assert 0.85 < faint.expression[HAPPY] < 1.6  # not twice: who smiles faintly is believed, too


def test_what_was_never_shown_is_asked_for_as_of_anybody() -> None:
    request = asked(0.5, sad=0.4, raised=0.3)
    assert worn(request) is request
    some = worn(request, showing("happy"))
    assert some.expression[SAD] == np.float32(0.4)
    assert some.beyond[RAISED] == pytest.approx(0.3, abs=1e-3)


def test_a_brow_that_the_own_smile_raises_isnt_raised_twice() -> None:
    smile = showing("happy")
    shapes = smile.shapes.copy()
    shapes[RAISED] += 0.25
    made = worn(asked(1.0, raised=0.3), replace(smile, shapes=shapes))
    assert 0 <= made.beyond[RAISED] < 0.1


def test_of_several_smiles_the_one_like_the_reference_is_recalled() -> None:
    small, wide = showing("happy", 0.4), showing("happy", 1.2)
    repertoire = Repertoire([small, wide])
    for like in (small, wide):
        found = repertoire.recall("happy", small.mouth, small.turn, like.shapes)
        assert found is not None and found.nearest is like
