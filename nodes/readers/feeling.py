"""Put together what face and voice say: one feeling, calm enough to be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from engine.node import Node
from engine.parameters import parameter
from engine.types import F32, Fifo, Input, Latest, Message
from face.affect.answers import (
    ANSWERS,
    Source,
    from_network,
    from_reading,
    reading,
    unknown,
)
from face.types import EMOTIONS, Affect
from inference.weights import open_or_report
from nodes import parameters

if TYPE_CHECKING:
    from inference.model import Model

TRACE_NS: Final = 90_000_000  # every third picture of 30 a second
FRESH_NS: Final = 500_000_000
"""how long the voice's last word counts"""
FACE_WEIGHT: Final = 0.6
"""of what both call it; and of valence, arousal and intensity, where no network weighs the two"""


class Feeling(Node):
    """face, voice (of the readers) -> affect (both together), voice (smoothed, at the pictures'
    rate), traces (face, voice and both of a moment, by ``source``, ten times a second, for whoever
    draws them).

    Where one of them is hidden or silent the other speaks alone.
    """

    inputs: ClassVar[Mapping[str, Input]] = {
        "face": Latest(Affect),
        "voice": Fifo(Affect, depth=64, optional=True),
    }
    outputs: ClassVar[Mapping[str, type[Message]]] = {
        "affect": Affect,
        "voice": Affect,
        "traces": Affect,
    }

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        smoothing_ms: float = parameter(
            160.0, "time over which emotions are smoothed", low=0.0, high=2000.0, unit="ms"
        )
        hold_ms: float = parameter(
            400.0,
            "how long an emotion stays after the face is hidden or the voice is silent",
            low=0.0,
            high=5000.0,
            unit="ms",
        )
        margin: float = parameter(
            0.1,
            "how much likelier another emotion must be before it replaces the current one",
            low=0.0,
            high=1.0,
        )
        dwell_ms: float = parameter(
            400.0,
            "how long another emotion must be likelier before it replaces the current one",
            low=0.0,
            high=5000.0,
            unit="ms",
        )
        weights: str = parameters.weights()

    config: Config
    _model: Model | None = None

    def setup(self) -> None:
        self._model = open_or_report(
            "intensity",
            self.config.weights,
            self.context,
            "face and voice are averaged instead",
            inputs=("face", "voice", "present", "state"),
            outputs=ANSWERS,
        )
        self._calm = {source: _Calm(source) for source in ("face", "voice", "both")}
        self.reset()

    def reset(self) -> None:
        self._state: dict[str, F32] = self._model.begin() if self._model is not None else {}
        self._heard: Affect | None = None
        self._last_ns: int | None = None
        self._traced_ns: int | None = None
        for calm in self._calm.values():
            calm.reset()

    def on_voice(self, message: Affect) -> None:
        """Kept until the next picture."""
        self._heard = message

    def process(self, face: Affect) -> Iterator[Mapping[str, Affect]]:
        now_ns = face.capture_ns
        step_s = 0.0 if self._last_ns is None else (now_ns - self._last_ns) / 1e9
        if step_s < 0:
            self.reset()
        self._last_ns = now_ns
        voice = self._voice_at(now_ns)
        read: dict[Source, Affect] = {
            "face": face,
            "voice": voice,
            "both": self._together(face, voice),
        }
        shown = {
            source: self._calm[source](affect, step_s, self.config)
            for source, affect in read.items()
        }
        yield {"affect": shown["both"], "voice": shown["voice"]}
        if self._traced_ns is None or not 0 <= now_ns - self._traced_ns < TRACE_NS:
            self._traced_ns = now_ns
            for affect in shown.values():
                yield {"traces": affect}

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None

    def _voice_at(self, now_ns: int) -> Affect:
        """What the voice says now, with the picture's stamp."""
        heard = self._heard
        if heard is None or not heard.known or now_ns - heard.capture_ns > FRESH_NS:
            return unknown("voice", now_ns)
        return from_reading(reading(heard), "voice", now_ns)

    def _together(self, face: Affect, voice: Affect) -> Affect:
        present = np.array([[face.known, voice.known]], np.float32)
        if not present.any():
            self._state = self._model.begin() if self._model is not None else {}
            return unknown("both", face.capture_ns)
        rows = reading(face), reading(voice)
        weights = present[0] * (FACE_WEIGHT, 1 - FACE_WEIGHT)
        mean = ((weights[0] * rows[0] + weights[1] * rows[1]) / weights.sum()).astype(np.float32)
        if self._model is None:
            return from_reading(mean, "both", face.capture_ns)
        answer = self._model(
            face=rows[0][None], voice=rows[1][None], present=present, **self._state
        )
        self._state = self._model.carry(answer)
        weighed = from_network(answer, "both", face.capture_ns)
        # The network learned amounts from drawn heads; what to call it the readers know better.
        return replace(weighed, probabilities=from_reading(mean, "both", 0).probabilities)


class _Calm:
    """A feeling that changes smoothly, keeps its name until another is clearly likelier for a
    while, and stays for a moment when nothing more is known."""

    def __init__(self, source: Source) -> None:
        self._source: Source = source
        self.reset()

    def reset(self) -> None:
        self._row: F32 | None = None
        self._named: int | None = None
        self._likelier: int | None = None
        self._likelier_s = 0.0
        self._silent_s = 0.0

    def __call__(self, affect: Affect, step_s: float, config: Feeling.Config) -> Affect:
        if not affect.known:
            self._silent_s += step_s
            if self._row is None or self._silent_s * 1000 >= config.hold_ms:
                self.reset()
                return unknown(self._source, affect.capture_ns)
            return self._named_reading(self._row, affect.capture_ns, step_s, config)
        self._silent_s = 0.0
        row = reading(affect)
        if self._row is not None and config.smoothing_ms > 0:
            keep = float(np.exp(-step_s * 1000 / config.smoothing_ms))
            row = (row + (self._row - row) * np.float32(keep)).astype(np.float32)
        self._row = row
        return self._named_reading(row, affect.capture_ns, step_s, config)

    def _named_reading(
        self, row: F32, capture_ns: int, step_s: float, config: Feeling.Config
    ) -> Affect:
        affect = from_reading(row, self._source, capture_ns)
        probabilities = affect.probabilities
        likeliest = int(probabilities.argmax())
        if self._named is None:
            self._named = likeliest
        if probabilities[likeliest] > probabilities[self._named] + config.margin:
            same = likeliest == self._likelier
            self._likelier, self._likelier_s = likeliest, self._likelier_s + step_s if same else 0.0
            if self._likelier_s * 1000 >= config.dwell_ms:
                self._named = likeliest
        else:
            self._likelier = None
        return replace(affect, name=EMOTIONS[self._named])
