"""The network `reference`: what a face is to express after a reference, of what is seen of both."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from engine.node import Context
from engine.types import F32
from face.affect.answers import READING, reading
from face.reference import CALM, DRAWN, Reference
from face.types import Affect
from inference.weights import open_model

UNREAD: Final = np.eye(1, READING, CALM, dtype=np.float32)[0]
"""what stands for a reading that nobody made: calm"""


class ReferenceNetwork:
    """Loaded and warm. Not thread-safe."""

    def __init__(self, weights: str = "") -> None:
        """Of a set or a folder of ``weights``. Raises MienError without it."""
        self._model = open_model(
            "reference", weights, Context(),
            inputs=("source", "source_reading", "reference", "reference_reading"),
            outputs=("expression", "shapes"), threads=1,
        )  # fmt: skip

    def close(self) -> None:
        """Free the network."""
        self._model.close()

    def __call__(self, source: F32, reference: Reference, felt: Affect | None = None) -> Reference:
        """The reference as a face with shapes ``source`` [52] is to wear it; ``felt``: what that
        face feels, where somebody read it. Amounts are the network's; what the reference's shapes
        are beyond those of its expression stays as it was read: shapes that the network asks for
        are what people have in common, and the statistics of that move more than shapes do."""
        parts = reference.probabilities, [reference.valence, reference.arousal, reference.intensity]
        answer = self._model(
            source=source[None],
            source_reading=(UNREAD if felt is None or not felt.known else reading(felt))[None],
            reference=reference.shapes[None],
            reference_reading=np.concatenate(parts)[None].astype(np.float32),
        )
        return replace(reference, expression=np.float32(DRAWN) * answer["expression"][0])
