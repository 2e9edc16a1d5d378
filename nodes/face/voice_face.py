"""A voice becomes a face: lips by what is said, the rest by how."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal, NamedTuple

import numpy as np

from engine.node import Node
from engine.parameters import parameter
from engine.types import F32, AudioFrame, Fifo, Input, Latest, Message
from face import rotations
from face.affect.speech_steps import STEP_NS, SpeechSteps, Step
from face.expression.playing import NONE_BEYOND, NOTHING, Playing
from face.types import EMOTIONS, Affect, Emotion, FaceRig, ReferenceTrack
from face.voice.idle import Idle
from face.voice.talking import VoiceRig
from face.voice.wearing import MOUTH, Wearing, wish_of
from inference.weights import open_model
from nodes import parameters

if TYPE_CHECKING:
    from inference.model import Model

DISTANCE_CM: Final = 60.0
"""from the camera that isn't there"""
VOICE_GAIN: Final = 1.5
"""a mouth that speaks shows a third of a feeling: with less, EmoDB's feelings pass for none"""
FRESH_NS: Final = 2_000_000_000
"""what a voice felt longer ago is forgotten"""


class Said(NamedTuple):
    """A step, and the shapes [52] that it says."""

    step: Step
    shapes: F32


class VoiceFace(Node):
    """audio, voice, reference -> rig: 52 shapes and a head's pose, 25 times a second.

    ``voice`` is what the voice feels (`VoiceReader`, `Feeling`), ``reference`` what a picture or a
    clip shows; where what is to be worn isn't connected, or says nothing, the face is calm.
    """

    inputs: ClassVar[Mapping[str, Input]] = {
        "audio": Fifo(AudioFrame, depth=64),
        "voice": Latest(Affect, optional=True),
        "reference": Latest(ReferenceTrack, optional=True),
    }
    outputs: ClassVar[Mapping[str, type[Message]]] = {"rig": FaceRig}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        mode: Literal["voice", "emotion", "reference"] = parameter(
            "voice",
            "voice: wear what the voice feels; emotion: wear one of the eight; reference: what a "
            "picture or a clip shows",
        )
        emotion: Emotion = parameter("neutral", "what the face wears")
        intensity: float = parameters.intensity()
        voice_gain: float = parameters.voice_gain(VOICE_GAIN)
        reference_gain: float = parameters.reference_gain()
        articulation: float = parameter(
            1.0, "how far the lips move: 0.5 mumbles, 1.5 is clear from afar", low=0.0, high=2.0
        )
        liveliness: float = parameter(
            1.0, "how much head and eyes move: 0 not at all", low=0.0, high=2.0
        )
        ease_ms: float = parameter(
            500.0, "how long a change of emotion takes", low=0.0, high=5000.0, unit="ms"
        )
        feels_ahead_ms: float = parameter(
            0.0,
            "how far ahead the voice's emotion is read, as it takes a second to be known; not "
            "possible live",
            low=0.0,
            high=5000.0,
            unit="ms",
            live=False,
        )
        late_ms: float = parameter(
            0.0,
            "skip sound that is older than this, so that a slow machine keeps up; 0: never",
            low=0.0,
            high=10_000.0,
            unit="ms",
        )
        seed: int = parameter(
            0, "random seed of blinks, glances and head motion", low=0, high=2**31 - 1
        )
        threads: int = parameters.threads(1)
        weights: str = parameters.weights()

    config: Config
    _model: Model | None = None
    _voice: Affect | None = None
    _seed: int | None = None

    def setup(self) -> None:
        self._model = open_model(
            "voice_rig",
            self.config.weights,
            self.context,
            inputs=("sound", "state"),
            outputs=("rig", "usual", "state_next"),
            threads=self.config.threads,
        )
        self._rig = VoiceRig(self._model)
        self._wearing = Wearing()
        self._playing = Playing()
        self._behind = math.ceil(self._rig.look_ahead_ms * 1e6 / STEP_NS)
        self._steps = SpeechSteps()
        self._tune(self.config)
        self.reset()

    def reconfigure(self, config: Config) -> None:
        super().reconfigure(config)
        self._tune(config)

    def reset(self) -> None:
        self._idle.reset()
        self._wearing.reset()
        self._voice = None
        self._listen_anew()

    def _listen_anew(self) -> None:
        """After a hole in the sound; the face goes on from where it is."""
        self._steps.reset()
        self._rig.reset()
        self._heard: deque[Step] = deque()
        self._said: deque[Said] = deque()
        self._between: F32 | None = None

    def on_voice(self, message: Affect) -> None:
        """Kept until it is too old."""
        if message.known:
            self._voice = message

    def on_reference(self, message: ReferenceTrack) -> None:
        """Worn until another comes."""
        self._playing.take(message)

    def process(self, audio: AudioFrame) -> Iterator[FaceRig]:
        late_ns = self.context.clock.now_ns() - audio.capture_ns
        if 0 < self.config.late_ms * 1e6 < late_ns:
            self.context.count("late_blocks", 1)
            return
        if not self._steps.follows(audio):
            self.context.count("gaps", 1)
            self._listen_anew()
        for step in self._steps(audio):
            yield from self._answer(step)

    def finish(self) -> Iterator[FaceRig]:
        """What was heard last is answered too, though only silence follows it."""
        for step in self._steps.rest():
            yield from self._answer(step)
        for _ in range(self._behind if self._heard else 0):
            last = self._heard[-1]
            silence = np.zeros_like(last.sound)
            yield from self._answer(Step(last.capture_ns + STEP_NS, silence))
        while self._said:
            yield self._face(self._said.popleft())

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None

    def _tune(self, config: Config) -> None:
        self._wearing.follows_s = max(config.ease_ms / 3000, 1e-3)
        if self._seed != config.seed:
            self._seed, self._idle = config.seed, Idle(config.seed)

    def _answer(self, step: Step) -> Iterator[FaceRig]:
        """The faces of which all is known now."""
        self._heard.append(step)
        for sound in np.split(step.sound, len(step.sound) // self._rig.step_samples):
            shapes = self._rig.articulate(sound)
            # Two moments lie within a frame: that on its beginning came with the step before.
            if self._between is not None and len(self._heard) > self._behind:
                both = (self._between + shapes) * np.float32(0.5)
                self._said.append(Said(self._heard.popleft(), both))
                self._between = None
            else:
                self._between = shapes
        known_ns = step.capture_ns - self.config.feels_ahead_ms * 1e6
        while self._said and self._said[0].step.capture_ns <= known_ns:
            yield self._face(self._said.popleft())

    def _wish(self, now_ns: int) -> tuple[F32, F32]:
        """The expression to wear [8], and by how much shapes [52] are other than with that."""
        config, voice = self.config, self._voice
        if config.mode == "reference":
            gain = np.float32(config.reference_gain)
            expression, beyond, _ = self._playing.at(now_ns) or (NOTHING, NONE_BEYOND, 1.0)
            return gain * expression, gain * beyond
        if config.mode == "emotion":
            one = np.zeros(len(EMOTIONS), np.float32)
            one[EMOTIONS.index(config.emotion)] = 1
            return wish_of(one, config.intensity if config.emotion != "neutral" else 0), NONE_BEYOND
        if voice is None or now_ns - voice.capture_ns > FRESH_NS:
            return NOTHING, NONE_BEYOND
        calm = float(voice.probabilities[EMOTIONS.index("neutral")])
        strength = min(voice.intensity * config.voice_gain, 1.0) * (1 - calm)
        return wish_of(voice.probabilities, strength), NONE_BEYOND

    def _face(self, said: Said) -> FaceRig:
        config, step_s = self.config, STEP_NS / 1e9
        idle = self._idle(said.step.sound, step_s)
        ahead_ns = round(config.feels_ahead_ms * 1e6)
        wish, beyond = self._wish(said.step.capture_ns + ahead_ns)
        felt = self._wearing(said.shapes, wish, step_s, beyond)
        widely = np.where(MOUTH, config.articulation, 1).astype(np.float32)
        spoken = np.clip(np.maximum(said.shapes * widely, idle.shapes), 0, 1).astype(np.float32)
        pose = np.eye(4, dtype=np.float32)
        pose[:3, :3] = rotations.power(idle.turn, config.liveliness)
        pose[2, 3] = -DISTANCE_CM
        return FaceRig(
            capture_ns=said.step.capture_ns,
            found=True,
            blendshapes=np.clip(spoken + felt, 0, 1).astype(np.float32),
            pose=pose,
            expression=self._wearing.expression,
            spoken=spoken + self._wearing.other,
        )
