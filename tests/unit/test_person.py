"""Who somebody is, is looked at when they are calm."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.types import BLENDSHAPES, F32
from nodes.person import Person, tension
from nodes.rig import load_rig
from tests.made_weights import IDENTITY_PX


class Asked:
    """Stands in for the identity network and counts."""

    def __init__(self) -> None:
        self.count = 0
        tensor = type("T", (), {"shape": (1, 3, IDENTITY_PX, IDENTITY_PX)})()
        self.card = type("C", (), {"inputs": (tensor,)})()

    def __call__(self, reference: F32) -> dict[str, F32]:
        self.count += 1
        assert reference.shape == (1, 3, IDENTITY_PX, IDENTITY_PX)
        return {"identity": np.full((1, 4), reference.mean(), np.float32)}


def test_a_person_is_looked_at_once_and_again_when_calmer() -> None:
    network = Asked()
    person = Person(network)  # type: ignore[arg-type]
    bright, dark = np.full((256, 256, 3), 200, np.uint8), np.full((256, 256, 3), 50, np.uint8)
    for _ in range(300):
        known = person(bright, 0.5, 1 / 30)
    assert network.count == 1 and known["identity"][0, 0] == pytest.approx(200 / 255, abs=1e-3)
    person(dark, 0.1, 1 / 30)
    assert network.count == 2
    first = person(dark, 0.1, 1 / 30)["identity"][0, 0]
    assert 50 / 255 < first < 200 / 255  # it eases in
    for _ in range(60):
        known = person(dark, 0.3, 1 / 30)
    assert network.count == 2 and known["identity"][0, 0] == pytest.approx(50 / 255, abs=0.01)
    for _ in range(30 * 61):
        person(dark, 0.15, 1 / 30)
    assert network.count == 3
    person.reset()
    person(dark, 2.0, 0.0)
    assert network.count == 4


def test_a_blink_and_a_turned_head_are_no_reference() -> None:
    rig = load_rig()
    straight = rig.place((rig.mean * [10, -10, -10]).astype(np.float32))
    shapes = np.zeros(52, np.float32)
    calm = tension(shapes, straight)
    shapes[[BLENDSHAPES.index(f"eyeBlink{side}") for side in ("Left", "Right")]] = 0.9
    assert tension(shapes, straight) > calm + 0.4
    turn = cv2.Rodrigues(np.array([0.0, 0.9, 0.0]))[0]
    aside = rig.place(((rig.mean @ turn.T) * [10, -10, -10]).astype(np.float32))
    assert tension(np.zeros(52, np.float32), aside) > calm + 0.2
