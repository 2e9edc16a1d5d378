"""Report: what was seen, felt and asked for in every picture, as JSON."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TextIO

import numpy as np

from engine import files
from engine.node import Node
from engine.parameters import parameter
from engine.types import F32, Fifo, VideoFrame
from face.affect.answers import chief
from face.affect.speech_steps import STEP_NS
from face.types import BLENDSHAPES, EMOTIONS, Affect, FaceEdit, FaceTrack, ReferenceTrack


class _Row(NamedTuple):
    name: str
    seconds: float
    capture_ns: int
    faces: int
    measured: F32 | None
    target: F32 | None
    expression: F32 | None
    emotion: Affect | None


class Report(Node):
    """Collect per picture: face found, blendshapes as measured, the edit asked for, and where the
    readers are there, ``emotion`` of the face and ``voice`` of the sound at that moment.

    frame, face, edit, emotion, voice, reference -> a file with the key ``frames``: a list, or an
    object by name where the pictures have names. An edit that leaves the picture as it is stands as
    null, ``edit`` as the shapes and ``asked`` as the emotions; what could not be read (no face,
    silence, no network) has keys that are null. What was read of a reference that is worn stands
    before them: ``reference``, a step of it after the other.
    """

    inputs: ClassVar = {
        "frame": Fifo(VideoFrame, depth=8),
        "face": Fifo(FaceTrack, depth=8),
        "edit": Fifo(FaceEdit, depth=8),
        "emotion": Fifo(Affect, depth=8, optional=True),
        "voice": Fifo(Affect, depth=64, optional=True),
        "reference": Fifo(ReferenceTrack, depth=1, optional=True),
    }

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter("", "the JSON file to write; empty: count only", live=False)

    _part: Path | None = None

    def setup(self) -> None:
        self._rows: list[_Row] = []
        self._voice: list[Affect] = []
        self._reference: ReferenceTrack | None = None
        if self.config.path:
            self._part = files.begin(Path(self.config.path))

    def on_voice(self, message: Affect) -> None:
        """Take what the voice says of a moment."""
        if self._part is not None:
            self._voice.append(message)

    def on_reference(self, message: ReferenceTrack) -> None:
        """Take what was read of a reference."""
        self._reference = message

    def process(
        self, frame: VideoFrame, face: FaceTrack, edit: FaceEdit, emotion: Affect | None = None
    ) -> None:
        """Take one picture's figures."""
        self.context.count("faces" if face.found else "without_face", 1)
        if self._part is None:
            return
        self._rows.append(
            _Row(
                name=frame.name,
                seconds=float(frame.pts * frame.time_base),
                capture_ns=frame.capture_ns,
                faces=face.faces,
                measured=face.blendshapes if face.found else None,
                target=edit.target if edit.active else None,
                expression=edit.expression if edit.active else None,
                emotion=emotion,
            )
        )

    def finish(self) -> None:
        if self._part is None:
            return
        try:
            with self._part.open("w", encoding="utf-8") as file:
                self._write(file)
        except OSError as error:
            raise files.explain(error, self.config.path) from None
        files.complete(self._part, Path(self.config.path))
        self._part = None

    def close(self) -> None:
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None

    def _write(self, file: TextIO) -> None:
        named = any(row.name for row in self._rows)
        self._voice.sort(key=lambda word: word.capture_ns)
        stamps = [word.capture_ns for word in self._voice]
        file.write("{")
        if self._reference is not None and len(self._reference.shapes):
            file.write('"reference": ' + json.dumps(_read(self._reference)) + ",\n")
        file.write('"frames": ' + ("{" if named else "["))
        for number, row in enumerate(self._rows):
            plain: dict[str, Any] = {
                "time_s": round(row.seconds, 6),
                "face": row.measured is not None,
                "faces": row.faces,
                "blendshapes": _by_name(BLENDSHAPES, row.measured),
                "edit": _by_name(BLENDSHAPES, row.target),
                "asked": _by_name(EMOTIONS, row.expression),
            }
            if row.emotion is not None:
                plain["emotion"] = _felt(row.emotion)
            if stamps:
                at = bisect_right(stamps, row.capture_ns) - 1
                word = self._voice[max(at, 0)]
                near = abs(row.capture_ns - word.capture_ns) < 2 * STEP_NS
                plain["voice"] = _felt(word if near else None)
            file.write(",\n" if number else "\n")
            file.write((json.dumps(row.name) + ": " if named else "") + json.dumps(plain))
        file.write(("\n}" if named else "\n]") + "}\n")


def _felt(affect: Affect | None) -> dict[str, Any]:
    """What was read, or the same keys with null."""
    if affect is None or not affect.known:
        return dict.fromkeys(("name", "probabilities", "valence", "arousal", "intensity"))
    return {
        "name": chief(affect),
        "probabilities": _by_name(EMOTIONS, affect.probabilities),
        "valence": round(affect.valence, 5),
        "arousal": round(affect.arousal, 5),
        "intensity": round(affect.intensity, 5),
    }


def _read(track: ReferenceTrack) -> list[dict[str, Any]]:
    """What was read of each step of a reference."""
    return [
        {
            "time_s": round(step * track.step_ns / 1e9, 6),
            "name": EMOTIONS[int(track.probabilities[step].argmax())],
            "probabilities": _by_name(EMOTIONS, track.probabilities[step]),
            "valence": round(float(track.valence[step]), 5),
            "arousal": round(float(track.arousal[step]), 5),
            "intensity": round(float(track.intensity[step]), 5),
            "blendshapes": _by_name(BLENDSHAPES, track.shapes[step]),
            "expression": _by_name(EMOTIONS, track.expression[step]),
            "beyond": _by_name(BLENDSHAPES, track.beyond[step]),
            "parts": round(float(track.parts[step]), 5),
        }
        for step in range(len(track.shapes))
    ]


def _by_name(names: tuple[str, ...], values: F32 | None) -> dict[str, Any] | None:
    if values is None:
        return None
    rounded = np.round(values.astype(float), 5)
    return dict(zip(names, rounded.tolist(), strict=True))
