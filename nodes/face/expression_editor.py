"""Decide what the face should become: speech stays, feeling goes, the chosen emotion comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from engine.node import Node
from engine.parameters import parameter
from engine.types import F32, Input, Latest, Message
from face.emotions import FEELING, JAW, circumplex, expression_of, expression_shapes, sides
from face.expression.people import People, load_people
from face.expression.playing import NONE_BEYOND, NOTHING, Playing
from face.expression.still_lips import StillLips
from face.reference import removed_for
from face.smoothing import OneEuro
from face.types import (
    BLENDSHAPES,
    EMOTIONS,
    Affect,
    Emotion,
    FaceEdit,
    FaceTrack,
    ReferenceTrack,
)
from nodes import parameters

Mode = Literal["emotion", "valence_arousal", "scale", "voice", "reference", "off"]

RESTING = 0.4
"""share of its squint that a calm face keeps: photographs labelled neutral squint by 0.37"""
WIDE_EYES = 2.0
"""how quickly that goes where eyes are to be wide"""

VOICE_FRESH_NS = 1_000_000_000
"""a voice that was heard longer ago changes nothing"""

_SQUINT, _WIDE = sides("eyeSquint"), sides("eyeWide")


class Wish(NamedTuple):
    """What a face is to become: the target expression [8], the share of the own feeling that goes
    (below 0: more of it comes), whether the face is edited at all (0 or 1), and by how much its
    shapes [52] are other than with that expression; and the share of its opening of a mouth."""

    expression: F32
    gone: float
    presence: float = 1.0
    beyond: F32 = NONE_BEYOND
    parts: float = 1.0

    def towards(self, wish: Wish, keep: float) -> Wish:
        """On the way to another, of which the share ``keep`` is still to go."""
        return Wish(
            (wish.expression + (self.expression - wish.expression) * keep).astype(np.float32),
            wish.gone + (self.gone - wish.gone) * keep,
            wish.presence + (self.presence - wish.presence) * keep,
            (wish.beyond + (self.beyond - wish.beyond) * keep).astype(np.float32),
            wish.parts + (self.parts - wish.parts) * keep,
        )


class ExpressionEditor(Node):
    """Neutralize, then retarget. face, voice, reference -> the blendshapes measured and those
    asked for."""

    inputs: ClassVar[Mapping[str, Input]] = {
        "face": Latest(FaceTrack),
        "voice": Latest(Affect, optional=True),
        "reference": Latest(ReferenceTrack, optional=True),
    }
    outputs: ClassVar[Mapping[str, type[Message]]] = {"edit": FaceEdit}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        mode: Mode = parameter(
            "emotion",
            "emotion: wear one of the eight; valence_arousal: a point between them; "
            "scale: more or less of the own expression; voice: the voice's emotion; "
            "reference: the expression of a picture or a clip; off: leave the face as it is",
        )
        emotion: Emotion = parameter("neutral", "what the face wears")
        intensity: float = parameters.intensity()
        valence: float = parameter(0.0, "unpleasant -1 to pleasant 1", low=-1.0, high=1.0)
        arousal: float = parameter(0.0, "calm -1 to aroused 1", low=-1.0, high=1.0)
        scale: float = parameter(
            1.0, "how much of the own expression shows: 0 none, 1 as it is", low=0.0, high=2.0
        )
        voice_gain: float = parameters.voice_gain()
        reference_gain: float = parameters.reference_gain()
        neutralize: float = parameter(
            1.0, "share of the person's own expression to remove", low=0.0, high=1.0
        )
        open_mouth: float = parameter(
            1.0, "how far surprise and fear open a silent mouth", low=0.0, high=1.0
        )
        smoothing: float = parameter(
            0.5,
            "how much the measured expression is smoothed over time: 0 not at all, 1 most",
            low=0.0,
            high=1.0,
        )
        ease_ms: float = parameter(
            200.0, "how long a change of emotion takes", low=0.0, high=2000.0, unit="ms"
        )

    config: Config
    _voice: Affect | None = None
    _people: People | None = None

    def setup(self) -> None:
        self._measured = OneEuro(1.0, 4.0)
        self._still_lips = StillLips()
        self._playing = Playing()
        self._tune()
        self.reset()

    def reconfigure(self, config: Config) -> None:
        super().reconfigure(config)
        self._tune()

    def reset(self) -> None:
        self._measured.reset()
        self._still_lips.reset()
        self._current: Wish | None = None
        self._last_ns: int | None = None

    def on_voice(self, message: Affect) -> None:
        """Kept until the next picture."""
        self._voice = message

    def on_reference(self, message: ReferenceTrack) -> None:
        """Worn until another comes."""
        self._playing.take(message)

    def process(self, face: FaceTrack) -> FaceEdit:
        if face.cut:
            self.reset()
        step_s = 0.0 if self._last_ns is None else (face.capture_ns - self._last_ns) / 1e9
        self._last_ns = face.capture_ns
        wish = self._wish(face)
        current = wish if self._current is None else self._current.towards(wish, self._left(step_s))
        self._current = current
        if not face.found:
            self._measured.reset()
            self._still_lips.reset()
            return _leave(face, face.blendshapes)
        opens = self.config.open_mouth * self._still_lips(face.landmarks, step_s)
        source = face.blendshapes
        if self.config.smoothing > 0:
            smooth = self._measured(face.blendshapes, step_s)
            source = np.where(FEELING, smooth, face.blendshapes).astype(np.float32)
        if current.presence < 0.01:
            return _leave(face, source)
        added = expression_shapes(current.expression) + current.beyond
        return FaceEdit(
            capture_ns=face.capture_ns,
            active=True,
            source=source,
            target=target_shapes(source, added, current.gone, opens * current.parts),
            expression=current.expression,
            removed=current.gone,
            opens=opens,
            beyond=current.beyond,
            parts=current.parts,
        )

    def _wish(self, face: FaceTrack) -> Wish:
        """What the face is to become at once."""
        config, now_ns = self.config, face.capture_ns
        if config.mode == "off":
            return Wish(NOTHING, 0.0, 0.0)
        if config.mode == "scale":
            return Wish(NOTHING, 1 - config.scale, float(config.scale != 1))
        if config.mode == "voice":
            return Wish(self._spoken(now_ns), config.neutralize)
        if config.mode == "reference":
            return self._referred(face)
        if config.mode == "valence_arousal":
            return Wish(circumplex(config.valence, config.arousal), config.neutralize)
        one = NOTHING.copy()
        if config.emotion != "neutral":
            one[EMOTIONS.index(config.emotion)] = config.intensity
        return Wish(one, config.neutralize)

    def _referred(self, face: FaceTrack) -> Wish:
        """What the reference shows at this moment of it; without one the face stays as it is."""
        shown = self._playing.at(face.capture_ns)
        if shown is None:
            return Wish(NOTHING, 0.0, 0.0)
        gain = np.float32(self.config.reference_gain)
        expression, beyond, parts = shown
        if self._people is None:
            self._people = load_people()
        gone = removed_for(face.blendshapes, gain * expression, self._people)
        return Wish(gain * expression, gone * self.config.neutralize, 1.0, gain * beyond, parts)

    def _spoken(self, now_ns: int) -> F32:
        """How much of each emotion [8] the voice feels now; nothing where it is silent."""
        voice = self._voice
        if voice is None or not voice.known or now_ns - voice.capture_ns > VOICE_FRESH_NS:
            return NOTHING
        strength = min(voice.intensity * self.config.voice_gain, 1.0)
        return expression_of(voice.probabilities) * np.float32(strength)

    def _left(self, step_s: float) -> float:
        """How much of the old emotion is left after a step: 5 % of it after ``ease_ms``."""
        if self.config.ease_ms <= 0 or step_s < 0:
            return 0.0
        return float(np.exp(-3.0 * step_s * 1000 / self.config.ease_ms))

    def _tune(self) -> None:
        self._measured.min_cutoff_hz = 10.0 ** (1.5 - 1.7 * self.config.smoothing)


def target_shapes(source: F32, added: F32, gone: float, opens: float = 0.0) -> F32:
    """The shapes [52] of a face that loses the share ``gone`` of its feeling; ``added`` [52] come.

    Below zero ``gone`` makes more of the feeling: -1 is twice as much. Narrowed eyes keep a share,
    unless they are to be wide. The share ``opens`` of a jaw that is to drop does.
    """
    room = _room(source)
    target = source * (1 - np.where(FEELING, gone, 0.0) * room) + added * room
    kept = RESTING * source[_SQUINT] * np.clip(1 - WIDE_EYES * added[_WIDE], 0, 1)
    target[_SQUINT] = np.maximum(target[_SQUINT], kept)
    target[JAW] = max(source[JAW], opens * added[JAW])
    clipped: F32 = np.clip(target, 0, 1).astype(np.float32)
    return clipped


def _room(source: F32) -> F32:
    """How far each shape may be changed [52]: lids that are shut aren't opened or squeezed.

    A warp that opens a shut eye finds no eye there, only dark lashes.
    """
    room = np.ones(len(BLENDSHAPES), np.float32)
    for side in ("Left", "Right"):
        closed = float(source[BLENDSHAPES.index(f"eyeBlink{side}")])
        open_share = np.clip((0.75 - closed) / 0.4, 0, 1)
        for name in ("eyeWide", "eyeSquint"):
            room[BLENDSHAPES.index(name + side)] = open_share
    return room


def _leave(face: FaceTrack, source: F32) -> FaceEdit:
    return FaceEdit(capture_ns=face.capture_ns, active=False, source=source, target=source)
