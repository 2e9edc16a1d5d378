"""The picture of what was felt: curves where something was read, gaps where nothing was."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np

from commands.file.plot import MOODS, SOURCES, draw
from face.types import EMOTIONS

SVG = "{http://www.w3.org/2000/svg}"
NOTHING = dict.fromkeys(("name", "valence", "arousal", "intensity"))


def felt(name: str, intensity: float) -> dict[str, Any]:
    return {"name": name, "valence": -0.5, "arousal": 0.4, "intensity": intensity}


def frames(*rows: dict[str, Any], voice: bool = False) -> list[dict[str, Any]]:
    made = [{"time_s": i * 0.04, "emotion": row} for i, row in enumerate(rows)]
    return [row | {"voice": felt("sad", 0.2)} for row in made] if voice else made


def drawn(rows: list[dict[str, Any]]) -> ElementTree.Element:
    picture = np.full((90, 160, 3), 128, np.uint8)
    return ElementTree.fromstring(draw(rows, [[picture] * 3, [picture] * 3], "a <film>.mp4"))


def points(line: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = re.findall(r"([-\d.]+),([-\d.]+)", line.get("points", ""))
    return [(float(x), float(y)) for x, y in pairs]


def test_any_name_can_stand_in_a_drawing() -> None:
    names = {
        "<a> & \"b\" 'c'.mp4": "<a> & \"b\" 'c'.mp4",
        "bell\a.mp4": "bell\ufffd.mp4",
        "bytes\udcff.mp4": "bytes\ufffd.mp4",
    }
    for name, shown in names.items():
        text = draw(frames(felt("happy", 0.5)), [], name)
        root = ElementTree.fromstring(text.encode())  # as it is written
        assert root.get("aria-label") == f"feelings in {shown}"


def test_every_emotion_has_its_colour() -> None:
    assert set(MOODS) == set(EMOTIONS)


def test_a_curve_rises_as_what_is_felt_does() -> None:
    root = drawn(frames(*(felt("angry", share) for share in (0.1, 0.5, 0.9))))
    curves = [points(line) for line in root.iter(f"{SVG}polyline")]
    assert len(curves) == 3  # intensity, valence, arousal
    (x0, low), (_, middle), (x2, high) = curves[0]
    assert x0 < x2 and low > middle > high and abs(low + high - 2 * middle) < 0.3
    assert len(list(root.iter(f"{SVG}image"))) == 6
    assert "angry" in [title.text for title in root.iter(f"{SVG}title")]


def test_what_was_not_read_is_a_gap() -> None:
    root = drawn(frames(felt("happy", 0.5), NOTHING, felt("happy", 0.5), felt("sad", 0.4)))
    assert [len(points(line)) for line in root.iter(f"{SVG}polyline")][:2] == [1, 2]
    assert [title.text for title in root.iter(f"{SVG}title")] == ["happy", "happy", "sad"]


def test_face_and_voice_have_a_colour_each() -> None:
    root = drawn(frames(felt("happy", 0.5), felt("happy", 0.6), voice=True))
    strokes = {line.get("stroke") for line in root.iter(f"{SVG}polyline")}
    assert strokes == {colour for _, _, colour in SOURCES}


def test_nothing_read_is_said() -> None:
    root = drawn(frames(NOTHING, NOTHING))
    assert not list(root.iter(f"{SVG}polyline"))
    assert "nothing was read" in "".join(root.itertext())
