"""Read what a voice feels every 40 ms, with the speech encoder, which hears 40 ms ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from engine.node import Node
from engine.parameters import parameter
from engine.types import F32, AudioFrame, Fifo, Input, Message
from face.affect.answers import ANSWERS, from_network, unknown
from face.affect.speech_steps import STEP_NS, SpeechSteps, Step
from face.affect.voice_activity import Loud, Spoken, VoiceActivity
from face.types import Affect
from inference.weights import open_or_report
from nodes import parameters

if TYPE_CHECKING:
    from inference.model import Model

REST_STEPS: Final = 25
"""after so many silent steps the encoder rests, so that it doesn't take silence for the voice"""


class VoiceReader(Node):
    """audio -> affect: emotion, valence-arousal and intensity of each 40 ms, stamped with their
    beginning. Where nobody speaks, or hardly has yet, nothing is known."""

    inputs: ClassVar[Mapping[str, Input]] = {"audio": Fifo(AudioFrame, depth=64)}
    outputs: ClassVar[Mapping[str, type[Message]]] = {"affect": Affect}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        settle_ms: float = parameter(
            800.0,
            "give no answer for this much speech at the beginning, while the network has heard too "
            "little",
            low=0.0,
            high=5000.0,
            unit="ms",
        )
        threads: int = parameters.threads(1)
        weights: str = parameters.weights()

    config: Config
    _model: Model | None = None
    _activity_model: Model | None = None

    def setup(self) -> None:
        self._steps = SpeechSteps()
        self._model = open_or_report(
            "speech",
            self.config.weights,
            self.context,
            "what a voice feels isn't read",
            inputs=("sound", "state"),
            outputs=ANSWERS,
            threads=self.config.threads,
        )
        if self._model is not None:
            self._activity_model = open_or_report(
                "activity",
                self.config.weights,
                self.context,
                "whatever is loud counts as a voice",
                inputs=("sound", "state"),
                outputs=("spoken", "state_next"),
            )
            self.context.gauge("backend", self._model.label)
        self._activity: VoiceActivity = (
            Loud() if self._activity_model is None else Spoken(self._activity_model)
        )
        self.reset()

    def reset(self) -> None:
        self._steps.reset()
        self._activity.reset()
        self._state: dict[str, F32] = self._model.begin() if self._model is not None else {}
        self._before: Step | None = None
        self._spoken = False
        self._silent = 0
        self._spoken_ms = 0.0

    def process(self, audio: AudioFrame) -> Iterator[Affect]:
        if not self._steps.follows(audio):
            self.context.count("gaps", 1)
            self.reset()
        for step in self._steps(audio):
            yield from self._heard(step)

    def finish(self) -> Iterator[Affect]:
        """The last step is answered too, though only silence follows it."""
        if (last := self._before) is not None:
            yield from self._heard(last._replace(sound=np.zeros_like(last.sound)))

    def _heard(self, step: Step) -> Iterator[Affect]:
        """What a step says of the one before it."""
        before, self._before = self._before, step
        was_spoken, self._spoken = self._spoken, self._activity(step.sound)
        self._silent = 0 if self._spoken else self._silent + 1
        answer = None
        if self._model is not None and self._silent <= REST_STEPS:
            answer = self._model(sound=step.sound[None], **self._state)
            self._state = self._model.carry(answer)
        if before is None:
            return
        self._spoken_ms += was_spoken * STEP_NS / 1e6
        if answer is None or not was_spoken or self._spoken_ms <= self.config.settle_ms:
            yield unknown("voice", before.capture_ns)
        else:
            yield from_network(answer, "voice", before.capture_ns)

    def close(self) -> None:
        for model in (self._model, self._activity_model):
            if model is not None:
                model.close()
        self._model = self._activity_model = None
