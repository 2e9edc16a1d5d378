"""A voice in steps, a face's shapes out: what is articulated, and what is felt beside it.

The network says how a mouth articulates, in the usual amplitude; a style makes it somebody's own.
A feeling shows above the mouth as it is; of the mouth it has a share while somebody speaks, and
none of what would part lips that a phoneme closes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.types import F32
from face.emotions import JAW, expression_of, expression_shapes, sides
from face.ramps import ramp
from face.types import BLENDSHAPES, EMOTIONS
from face.voice.style import Style, usual_style

if TYPE_CHECKING:
    from inference.model import Model

RATE_HZ: Final = 16_000
LOOK_AHEAD_MS: Final = 80
MOUTH_SHARE: Final = 1 / 3
"""of a feeling on the mouth of who speaks"""
SPEAKS: Final = (0.02, 0.08)
"""from where to where of what the jaw did lately somebody speaks"""
SPEAKING_FORGETS_S: Final = 0.3
SEALED: Final = (0.02, 0.10)
"""from where to where lips that speak are apart: what a feeling parts goes with them"""
_MOUTH: Final = np.array([name.startswith(("jaw", "mouth")) for name in BLENDSHAPES])
_PARTS: Final = [
    JAW, *sides("mouthUpperUp"), *sides("mouthLowerDown"), *sides("mouthStretch"),
    *sides("mouthSmile"), *sides("mouthDimple"),
]  # fmt: skip
"""shapes of a feeling that part lips, or pull them where they can't meet"""
_LIVELY: Final = np.array(
    [_MOUTH[index] or name.startswith(("brow", "cheek", "nose"))
     for index, name in enumerate(BLENDSHAPES)]
)  # fmt: skip


class VoiceRig:
    """Steps of sound to the rig of the moment ``look_ahead_ms`` before the step's end.

    Eyes, blinks and the head are left alone but for what a feeling widens or squints. State is kept
    from step to step; `reset` begins anew. After a step ``spoken`` [52] is what it says without the
    feeling, ``expression`` [8] how much of each feeling shows."""

    look_ahead_ms = LOOK_AHEAD_MS
    follows_s = 0.35
    """feelings come and go so slowly: a third of what was there is left after this time"""

    def __init__(self, model: Model) -> None:
        """``model``: the weight voice_rig, loaded."""
        self._model = model
        sound = next(t for t in model.card.inputs if t.name == "sound")
        self.step_samples: int = sound.shape[1]
        self.rate_hz = RATE_HZ / self.step_samples
        self.usual: F32 = np.ones(len(BLENDSHAPES), np.float32)
        self.reset()

    def reset(self) -> None:
        """Another voice, or silence for long."""
        self._state = self._model.begin()
        self.spoken: F32 = np.zeros(len(BLENDSHAPES), np.float32)
        self.expression: F32 = np.zeros(len(EMOTIONS), np.float32)
        self._spoke = 0.0

    def step(
        self,
        sound_16k: F32,
        emotion: F32 | None = None,
        intensity: float = 0.0,
        style: F32 | None = None,
    ) -> F32:
        """One step [step_samples] in -1..1 to shapes [52] in 0..1.

        ``emotion`` [8] probabilities of face.types.EMOTIONS, worn as ``intensity`` 0..1 says;
        ``style`` [104]: a Style's vector."""
        answer = self._model(sound=sound_16k[None], **self._state)
        self._state = self._model.carry(answer)
        self.usual = answer["usual"][0]
        own = usual_style() if style is None else Style.of(style)
        said = answer["rig"][0] * own.gain * _LIVELY
        self._follow(said, emotion, intensity)
        self.spoken = np.clip(own.rest + said, 0, 1).astype(np.float32)
        return np.asarray(np.clip(own.rest + said + self._allowed(said), 0, 1), np.float32)

    def _follow(self, said: F32, emotion: F32 | None, intensity: float) -> None:
        step_s = 1 / self.rate_hz
        target = np.zeros_like(self.expression)
        if emotion is not None:
            target = np.float32(np.clip(intensity, 0, 1)) * expression_of(emotion)
        follows = np.float32(1 - math.exp(-step_s / self.follows_s))
        self.expression = self.expression + follows * (target - self.expression)
        faded = self._spoke * math.exp(-step_s / SPEAKING_FORGETS_S)
        self._spoke = max(faded, float(said[JAW]))

    def _allowed(self, said: F32) -> F32:
        """What of the feeling may show beside what is said."""
        felt = expression_shapes(self.expression).copy()
        speaks = ramp(*SPEAKS, self._spoke)
        felt[_MOUTH] *= 1 - (1 - MOUTH_SHARE) * speaks
        felt[JAW] *= 1 - speaks
        felt[_PARTS] *= 1 - speaks * (1 - ramp(*SEALED, float(said[JAW])))
        return felt
