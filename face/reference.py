"""What is read of a picture of a face whose expression another face shall wear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from engine.errors import MienError
from engine.node import Context
from engine.types import F32, U8
from face.affect.answers import ANSWERS, from_network
from face.crop import crop_transform
from face.emotions import FEELING, expression_of
from face.expression.people import NOISE, People, load_people
from face.expression.speech import head_angles
from face.landmarker import Landmarker, region_of
from face.ramps import ramp
from face.render.repertoire import mouth_aperture
from face.rig import load_rig
from face.steady_crop import cut_out, to_tensor
from face.types import BLENDSHAPES, EMOTIONS, Affect
from inference.assets import FACE_LANDMARKER, locate
from inference.weights import open_model

MIN_FACE_PX: Final = 32
"""smaller, a smile is a few pixels"""
MAX_TURN_DEG: Final = 50.0
"""turned further, half of the expression is out of sight"""
MIN_CONFIDENCE: Final = 0.5

CALM: Final = EMOTIONS.index("neutral")
WHOLE: Final = 0.5
"""the intensity of a whole expression, as people pose one"""
TRUST: Final = 200.0
"""how much the network's word counts beside shapes"""
DRAWN: Final = 1.15
"""how much more is asked for than was read: a drawn face is read as weaker than a real one"""
STEPS: Final = 60
MOVED: Final = (0.1, 0.4)
"""from where to where of what isn't calm a face shows a feeling at all"""
MOST: Final = 0.6
"""by how much a shape is other at most"""
SHOWN: Final = (0.1, 0.6)
"""from where to where the sum of feeling shapes, beyond a deviation of people at rest, is an
expression: nine in ten neutral photographs are below 0.4"""
LEAST_CM: Final = 0.2
"""an expression that opens a mouth less than so far leaves it as good as shut"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """What was read of one picture of a face.

    ``shapes`` float32 [52] in 0..1, ordered as BLENDSHAPES, as tracked; ``probabilities`` float32
    [8], in the order of EMOTIONS, of sum 1; ``valence`` and ``arousal`` in -1..1, ``intensity`` in
    0..1; ``expression`` float32 [8]: how much of each emotion an edit shall ask for; ``beyond``
    float32 [52]: by how much its shapes are other than those of that expression; ``parts`` 0..1:
    how far its mouth is open, as a share of what that expression usually opens one.
    """

    shapes: F32
    probabilities: F32
    valence: float
    arousal: float
    intensity: float
    expression: F32
    beyond: F32 = field(default_factory=lambda: np.zeros(len(BLENDSHAPES), np.float32))
    parts: float = 1.0


class ReferenceReader:
    """Landmarker and reader of faces, loaded and warm. Not thread-safe."""

    def __init__(self, weights: str = "", landmarker: str = "") -> None:
        """Networks of a set or a folder of ``weights``. Raises MienError without them."""
        self._rig, self.people = load_rig(), load_people(weights)
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
        felt = from_network(answer, "face", 0)
        opening_cm = mouth_aperture(self._rig.face(points, placement))
        return reference_of(shapes, felt, self.people, opening_cm), len(found)


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


def reference_of(shapes: F32, felt: Affect, people: People, opening_cm: float) -> Reference:
    """Shapes [52] as tracked, what the network says that their face feels, and how far its inner
    lips are apart."""
    shown = expression_in(shapes, felt, people)
    usual_cm = float(shown @ [mouth_aperture(moved) for moved in people.displacements])
    rest_cm = mouth_aperture(people.calm_shape)
    return Reference(
        shapes=shapes,
        probabilities=felt.probabilities,
        valence=felt.valence,
        arousal=felt.arousal,
        intensity=felt.intensity,
        expression=shown * np.float32(DRAWN),
        beyond=beyond(shapes, shown, people),
        parts=ramp(0, max(DRAWN * usual_cm, LEAST_CM), opening_cm - rest_cm),
    )


def expression_in(shapes: F32, felt: Affect, people: People) -> F32:
    """How much of each emotion [8] a face shows: what the network names, to the degree that its
    shapes [52] bear out. Where they tell little, as of sadness, the network's word counts for more.

    The least squares of shapes, in deviations of people, and of amounts from those that the
    network alone would give; none is below 0.
    """
    named = expression_of(felt.probabilities) * np.float32(min(felt.intensity / WHOLE, 1))
    rows, seen = (
        people.deviations(one - people.rigs[CALM])[..., FEELING] for one in (people.rigs, shapes)
    )
    curved = rows @ rows.T + np.float32(TRUST) * np.eye(len(EMOTIONS), dtype=np.float32)
    target = rows @ seen + np.float32(TRUST) * named
    step = 1 / float(np.linalg.eigvalsh(curved).max())
    amounts = named
    for _ in range(STEPS):
        amounts = np.maximum(amounts - step * (curved @ amounts - target), 0)
        amounts[CALM] = 0
    moved = ramp(*MOVED, 1 - float(felt.probabilities[CALM]))
    return (moved * amounts).astype(np.float32)


def beyond(shapes: F32, expression: F32, people: People) -> F32:
    """By how much shapes [52] are other than people's whose faces show an ``expression`` [8], less
    what people differ anyway; of shapes that show a feeling."""
    usual = people.rigs[CALM] + expression @ (people.rigs - people.rigs[CALM])
    other = np.where(FEELING, people.unusual(shapes - usual), 0)
    return np.clip(other, -MOST, MOST).astype(np.float32)


def removed_for(rig: F32, expression: F32, people: People) -> float:
    """The share of what a wearer with shapes ``rig`` [52] feels that goes as an ``expression`` [8]
    comes: who is calm has none to lose, and what would go is likeness."""
    own = rig - people.rigs[CALM] - np.maximum(people.rigs_std, NOISE)
    shown = ramp(*SHOWN, float(np.maximum(own, 0)[FEELING].sum()))
    return 1 - min(float(expression.sum()), 1.0) * (1 - shown)


def blended(references: Sequence[Reference], shares: Sequence[float]) -> Reference:
    """Several as one: their mean by share, of which one at least is above 0."""
    weights = np.asarray(shares, np.float32) / np.float32(sum(shares))

    def mean(of: Callable[[Reference], F32 | float]) -> F32:
        values = np.stack([np.asarray(of(one), np.float32) for one in references])
        return np.asarray(np.tensordot(weights, values, 1), np.float32)

    return Reference(
        shapes=mean(lambda one: one.shapes),
        probabilities=mean(lambda one: one.probabilities),
        valence=float(mean(lambda one: one.valence)),
        arousal=float(mean(lambda one: one.arousal)),
        intensity=float(mean(lambda one: one.intensity)),
        expression=mean(lambda one: one.expression),
        beyond=mean(lambda one: one.beyond),
        parts=float(mean(lambda one: one.parts)),
    )
