"""A voice in steps, a face's shapes out: what is articulated, and what is felt beside it.

The network says how a mouth articulates, in the usual amplitude; a style makes it somebody's own.
A feeling shows above the mouth as it is; of the mouth it has a share while somebody speaks, and
none of what would part lips that a phoneme closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from engine.types import F32
from face.emotions import JAW
from face.types import BLENDSHAPES
from face.voice.style import Style, usual_style
from face.voice.wearing import MOUTH, Wearing, wish_of

if TYPE_CHECKING:
    from inference.model import Model

RATE_HZ: Final = 16_000
LOOK_AHEAD_MS: Final = 80
_LIVELY: Final = np.array(
    [MOUTH[index] or name.startswith(("brow", "cheek", "nose"))
     for index, name in enumerate(BLENDSHAPES)]
)  # fmt: skip


class VoiceRig:
    """Steps of sound to the rig of the moment ``look_ahead_ms`` before the step's end.

    Eyes, blinks and the head are left alone but for what a feeling widens or squints. State is kept
    from step to step; `reset` begins anew."""

    look_ahead_ms = LOOK_AHEAD_MS

    def __init__(self, model: Model) -> None:
        """``model``: the weight voice_rig, loaded."""
        self._model = model
        sound = next(t for t in model.card.inputs if t.name == "sound")
        self.step_samples: int = sound.shape[1]
        self.rate_hz = RATE_HZ / self.step_samples
        self.usual: F32 = np.ones(len(BLENDSHAPES), np.float32)
        self._wearing = Wearing()
        self.reset()

    def reset(self) -> None:
        """Another voice, or silence for long."""
        self._state = self._model.begin()
        self._wearing.reset()

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
        said = self.articulate(sound_16k, style)
        rests = 0.0 if style is None else float(Style.of(style).rest[JAW])
        felt = self._wearing(said, wish_of(emotion, intensity), 1 / self.rate_hz, rests=rests)
        return np.asarray(np.clip(said + felt, 0, 1), np.float32)

    def articulate(self, sound_16k: F32, style: F32 | None = None) -> F32:
        """The same without a feeling, to be laid beside it (`Wearing`) when that is known."""
        answer = self._model(sound=sound_16k[None], **self._state)
        self._state = self._model.carry(answer)
        self.usual = answer["usual"][0]
        own = usual_style() if style is None else Style.of(style)
        return np.asarray(own.rest + answer["rig"][0] * own.gain * _LIVELY, np.float32)
