"""What a reference asks of a person's own faces: how much of each, and what they lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from engine.types import F32
from face.emotions import FEELING
from face.expression.people import People
from face.render.repertoire import Recalled
from face.render.request import Request
from face.types import EMOTIONS

TRUST: Final = 100.0
"""how much the amounts that are asked for count beside shapes"""
MOST: Final = 1.5
"""of a remembered expression"""


def wanted(request: Request, people: People) -> F32:
    """By how much the face that is asked for is other than a calm one [52]."""
    usual = request.expression @ (people.rigs - people.rigs[0])
    return np.where(FEELING, usual + request.beyond, 0).astype(np.float32)


def by_own(
    request: Request, calm: Recalled, felt: Mapping[str, Recalled | None], people: People
) -> Request:
    """The request in amounts of the person's own faces where there are any: who smiles faintly
    smiles more of it; and what of a reference's own kind these faces hold isn't asked for again.

    The least squares of shapes, in deviations of people, and of amounts from those asked for.
    """
    known = {EMOTIONS.index(name): face for name, face in felt.items() if face is not None}
    if not known:
        return request
    places, usual = list(known), people.rigs - people.rigs[0]
    rows = usual.copy()
    rows[places] = [face.shapes - calm.shapes for face in known.values()]
    amounts = request.expression.copy()
    amounts[places] = 0
    missing = people.deviations(wanted(request, people) - amounts @ rows)[FEELING]
    shown = people.deviations(rows[places])[:, FEELING]
    curved = shown @ shown.T + np.float32(TRUST) * np.eye(len(places), dtype=np.float32)
    asked = shown @ missing + np.float32(TRUST) * request.expression[places]
    amounts[places] = np.clip(np.linalg.solve(curved, asked), 0, MOST)
    held = np.sign(request.beyond) * (amounts @ rows - request.expression @ usual)
    left = np.clip(np.abs(request.beyond) - np.maximum(held, 0), 0, None)
    beyond = (np.sign(request.beyond) * left).astype(np.float32)
    return replace(request, expression=amounts, beyond=beyond)
