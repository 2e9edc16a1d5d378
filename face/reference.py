"""What is read of a picture of a face whose expression another face shall wear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.errors import MienError
from engine.node import Context
from engine.types import F32, U8
from face.affect.answers import ANSWERS, from_network
from face.crop import crop_transform
from face.emotions import expression_of
from face.expression.speech import head_angles
from face.landmarker import Landmarker, region_of
from face.rig import load_rig
from face.steady_crop import cut_out, to_tensor
from face.types import Affect
from inference.assets import FACE_LANDMARKER, locate
from inference.weights import open_model

MIN_FACE_PX: Final = 32
"""smaller, a smile is a few pixels"""
MAX_TURN_DEG: Final = 50.0
"""turned further, half of the expression is out of sight"""
MIN_CONFIDENCE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """What was read of one picture of a face.

    ``shapes`` float32 [52] in 0..1, ordered as BLENDSHAPES, as tracked; ``probabilities`` float32
    [8], in the order of EMOTIONS, of sum 1; ``valence`` and ``arousal`` in -1..1, ``intensity`` in
    0..1; ``expression`` float32 [8]: how much of each emotion an edit shall ask for.
    """

    shapes: F32
    probabilities: F32
    valence: float
    arousal: float
    intensity: float
    expression: F32


class ReferenceReader:
    """Landmarker and reader of faces, loaded and warm. Not thread-safe."""

    def __init__(self, weights: str = "", landmarker: str = "") -> None:
        """Networks of a set or a folder of ``weights``. Raises MienError without them."""
        self._rig = load_rig()
        self._landmarker = Landmarker(locate(FACE_LANDMARKER, landmarker))
        self._model = open_model(
            "visual", weights, Context(), inputs=("crop", "rig", "state"), outputs=ANSWERS
        )

    def close(self) -> None:
        """Free the network."""
        self._model.close()

    def read(self, pixels: U8, name: str = "the picture") -> tuple[Reference, int]:
        """What the largest face of a BGR picture [H, W, 3] wears, and how many faces there are.

        Raises MienError where there is none to go by: no face, a very small one, one in profile.
        """
        found = self._landmarker.search(pixels)
        if not found:
            raise MienError(f"no face in {name}: a reference shows one, turned to the camera")
        points, _ = self._landmarker.landmarks(pixels, found[0][0])
        points, confidence = self._landmarker.landmarks(pixels, region_of(points))
        if confidence < MIN_CONFIDENCE:
            raise MienError(f"no face in {name}: a reference shows one, turned to the camera")
        wide = float(np.ptp(points[:, 0]))
        if wide < MIN_FACE_PX:
            raise MienError(
                f"the face in {name} is {wide:.0f} px wide; a reference takes {MIN_FACE_PX} or more"
            )
        placement = self._rig.place(points)
        turn = float(np.abs(head_angles(placement.turn)).max())
        if turn > MAX_TURN_DEG:
            raise MienError(
                f"the face in {name} is turned away by {turn:.0f} degrees; take a reference from "
                f"the front ({MAX_TURN_DEG:.0f} at most)"
            )
        shapes = self._landmarker.blendshapes(points)
        side_px = next(t.shape[-1] for t in self._model.card.inputs if t.name == "crop")
        patch = cut_out(pixels, crop_transform(placement))
        answer = self._model(
            crop=to_tensor(patch, side_px), rig=shapes[None], **self._model.begin()
        )
        return reference_of(shapes, from_network(answer, "face", 0)), len(found)


def read_reference(
    pixels: U8, name: str = "the picture", weights: str = "", landmarker: str = ""
) -> Reference:
    """One picture [H, W, 3] BGR, called ``name`` in errors. Raises MienError; see
    `ReferenceReader`, which reads many."""
    reader = ReferenceReader(weights, landmarker)
    try:
        return reader.read(pixels, name)[0]
    finally:
        reader.close()


def reference_of(shapes: F32, felt: Affect) -> Reference:
    """Shapes [52] as tracked, and what the network says that their face feels."""
    return Reference(
        shapes=shapes,
        probabilities=felt.probabilities,
        valence=felt.valence,
        arousal=felt.arousal,
        intensity=felt.intensity,
        expression=expression_of(felt.probabilities) * np.float32(felt.intensity),
    )


def blended(references: Sequence[Reference], weights: Sequence[float]) -> Reference:
    """References by weight, of which one is above 0; the mean where their sum is 1."""
    shares = np.asarray(weights, np.float32) / np.float32(sum(weights))

    def mean(values: Sequence[float]) -> float:
        return float(np.dot(shares, values))

    return Reference(
        shapes=(shares @ np.stack([one.shapes for one in references])).astype(np.float32),
        probabilities=(shares @ np.stack([r.probabilities for r in references])).astype(np.float32),
        valence=mean([one.valence for one in references]),
        arousal=mean([one.arousal for one in references]),
        intensity=mean([one.intensity for one in references]),
        expression=(shares @ np.stack([one.expression for one in references])).astype(np.float32),
    )
