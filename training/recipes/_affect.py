"""What networks that read feelings have in common: their answers."""

from __future__ import annotations

from typing import Final

from inference.card import Tensor as Spec
from training.recipe import ANY, spec

STATE: Final = {"state": "state_next"}


def affect_outputs(state: int) -> tuple[Spec, ...]:
    """Emotion, valence-arousal, intensity, and the state [1, ``state``]."""
    return (
        spec("emotion", (1, 8), -ANY, ANY, "logits, in the order of face.types.EMOTIONS"),
        spec("valence_arousal", (1, 2), -1, 1, "valence, arousal"),
        spec("intensity", (1, 1), 0, 1, "r of EAP's eq. 6"),
        spec("state_next", (1, state), -ANY, ANY, "the state of the next step"),
    )


def embedding(features: int) -> Spec:
    """The answer, as one vector."""
    return spec("embedding", (1, features), -1, 1, "of unit length")
