"""Whether somebody speaks: told by a network, or, without it, by what is louder than the room."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.types import F32

if TYPE_CHECKING:
    from inference.model import Model

LOOK_SAMPLES: Final = 512
"""what the network takes at a time, at 16 kHz, ..."""
CONTEXT_SAMPLES: Final = 64
"""... behind the last of what it took before"""
SPEAKS: Final = (0.35, 0.5)
"""a voice begins above the second, and ends below the first"""
HANGOVER_STEPS: Final = 8
"""how long somebody still counts as speaking: pauses between words"""

ABOVE_ROOM_DB: Final = 9.0
QUIETEST_DB: Final = -55.0
ROOM_RISES_DB: Final = 0.08
"""how fast, a step, the room's own level is believed to rise: 2 dB a second"""


class VoiceActivity(ABC):
    """Takes steps of sound in a row, of 16 kHz."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another recording."""
        self._left = 0

    def __call__(self, samples: F32) -> bool:
        """Whether somebody speaks in the samples [N] in -1..1 of the next step, or paused."""
        self._left = HANGOVER_STEPS if self._heard(samples) else max(0, self._left - 1)
        return self._left > 0

    @abstractmethod
    def _heard(self, samples: F32) -> bool:
        """Whether there is a voice in the next step itself."""


class Spoken(VoiceActivity):
    """Asks the network `activity`, which tells voices from music, rooms and noise."""

    def __init__(self, model: Model) -> None:
        self._model = model
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self._state = self._model.begin()
        self._samples = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._speaks = False

    def _heard(self, samples: F32) -> bool:
        self._samples = np.concatenate([self._samples, samples])
        heard = False
        while len(self._samples) >= CONTEXT_SAMPLES + LOOK_SAMPLES:
            sound = self._samples[: CONTEXT_SAMPLES + LOOK_SAMPLES]
            answer = self._model(sound=sound[None], **self._state)
            self._state = self._model.carry(answer)
            self._samples = self._samples[LOOK_SAMPLES:]
            self._speaks = float(answer["spoken"].item()) > SPEAKS[0 if self._speaks else 1]
            heard |= self._speaks
        return heard


class Loud(VoiceActivity):
    """Louder than the room, which is the quietest of the last while: music counts, too."""

    def reset(self) -> None:
        super().reset()
        self._room_db = -60.0

    def _heard(self, samples: F32) -> bool:
        level_db = 10 * math.log10(float(np.mean(np.square(samples))) + 1e-10)
        self._room_db = min(level_db, self._room_db + ROOM_RISES_DB)
        return level_db > max(self._room_db + ABOVE_ROOM_DB, QUIETEST_DB)
