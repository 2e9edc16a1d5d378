"""What is read of a reference: made faces, and pictures that have none to go by."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from engine.errors import MienError
from engine.types import U8
from face import reference
from face.reference import Reference, ReferenceReader, blended, read_reference
from face.types import EMOTIONS
from tests.faces import astronaut
from tests.golden.heads import pictures

HAPPY, SURPRISED = EMOTIONS.index("happy"), EMOTIONS.index("surprised")


@pytest.fixture(scope="module")
def reader() -> Iterator[ReferenceReader]:
    reader = ReferenceReader()
    yield reader
    reader.close()


def on_grey(pixels: U8, side_px: int, places: list[tuple[int, int]]) -> U8:
    """A grey picture [480, 640, 3] with a picture at places (left, top)."""
    out = np.full((480, 640, 3), 128, np.uint8)
    small = cv2.resize(pixels, (side_px, side_px), interpolation=cv2.INTER_AREA)
    for left, top in places:
        out[top : top + side_px, left : left + side_px] = small
    return out


def test_a_smile_is_read_as_such(reader: ReferenceReader) -> None:
    smile, faces = reader.read(astronaut())
    assert faces == 1
    assert smile.shapes.shape == (52,)
    assert EMOTIONS[smile.probabilities.argmax()] == "happy"
    assert smile.valence > 0.2
    assert smile.expression.argmax() == HAPPY
    assert 0.2 < smile.expression[HAPPY] < 1.5


def test_how_far_the_mouth_is_open_is_read_too(reader: ReferenceReader) -> None:
    assert reader.read(astronaut())[0].parts > 0.6  # she shows her teeth
    wonder = pictures()[0, SURPRISED]  # brows and eyes alone
    assert reader.read(wonder)[0].parts < 0.4


def test_calm_faces_ask_for_less_than_others(reader: ReferenceReader) -> None:
    read = [[reader.read(face)[0] for face in row[[0, HAPPY, SURPRISED]]] for row in pictures()[:2]]
    for calm, happy, surprised in read:
        assert calm.expression.sum() < min(happy.expression.sum(), surprised.expression.sum())
        assert happy.expression.argmax() == HAPPY
        assert surprised.expression.argmax() == SURPRISED


def test_a_small_face_is_found_and_of_two_the_larger_is_read(reader: ReferenceReader) -> None:
    head, other = pictures()[0, [HAPPY, 0]]
    small, faces = reader.read(on_grey(head, 100, [(500, 300)]))
    assert faces == 1
    assert small.expression.argmax() == HAPPY
    two = on_grey(head, 300, [(20, 90)])
    two[200:400, 400:600] = cv2.resize(other, (200, 200), interpolation=cv2.INTER_AREA)
    larger, faces = reader.read(two)
    assert faces == 2
    assert larger.expression.argmax() == HAPPY


def test_what_shows_no_expression_says_why(reader: ReferenceReader) -> None:
    with pytest.raises(MienError, match=r"no face in wall\.png"):
        reader.read(np.full((300, 200, 3), 90, np.uint8), "wall.png")
    with pytest.raises(MienError, match=r"the face in far\.png is \d+ px wide; .* takes 32"):
        reader.read(on_grey(pictures()[0, HAPPY], 56, [(300, 200)]), "far.png")


def test_a_face_that_is_turned_away_is_refused(
    reader: ReferenceReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "MAX_TURN_DEG", 1.0)
    with pytest.raises(MienError, match=r"the face in aside\.png is turned away by \d+ degrees"):
        reader.read(astronaut(), "aside.png")


def test_a_blend_is_a_weighed_mean(reader: ReferenceReader) -> None:
    first, second = (reader.read(face)[0] for face in pictures()[0, [HAPPY, SURPRISED]])
    both = blended([first, second], [1.0, 3.0])
    assert np.allclose(both.shapes, 0.25 * first.shapes + 0.75 * second.shapes, atol=1e-6)
    assert both.valence == pytest.approx(0.25 * first.valence + 0.75 * second.valence)
    assert np.isclose(both.probabilities.sum(), 1)
    assert np.array_equal(blended([first], [0.5]).expression, first.expression)


def test_without_its_network_nothing_is_read(tmp_path: object) -> None:
    with pytest.raises(MienError, match="visual"):
        read_reference(astronaut(), weights=str(tmp_path))
    assert isinstance(read_reference(astronaut()), Reference)
