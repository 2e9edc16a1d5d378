"""The networks that ship, asked about drawn heads and made voices, with bars; damaged ones fail."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engine.node import Context, Node
from engine.parameters import build
from engine.types import F32, AudioFrame, VideoFrame
from face.affect.answers import reading
from face.emotions import ANGLES_DEG
from face.render.detail import detail, skin_mask
from face.render.skin import displacement_map, places
from face.render.surface import load_surface
from face.rig import load_rig
from face.types import EMOTIONS, Affect, FaceTrack
from inference.model import Model
from inference.weight_sets import SHIPPED
from nodes.readers.face_reader import FaceReader
from nodes.readers.voice_reader import VoiceReader
from tests.golden.heads import pictures, seen
from training.data.heads.voice import load_speaker, manner_of, sentence

LOOKS = 4
"""pictures of each face, as the network's state needs a few"""
FRAME_NS = 40_000_000
VOICES = 3
STIRRED = ("angry", "fear", "happy", "surprised")
CALM = ("contempt", "disgusted", "sad")
FELT = [EMOTIONS.index(emotion) for emotion in ANGLES_DEG]
TRUTH = np.array(
    [
        [np.cos(np.radians(ANGLES_DEG[e])), np.sin(np.radians(ANGLES_DEG[e])), 1.0]
        if e in ANGLES_DEG
        else [0.0, 0.0, 0.0]
        for e in EMOTIONS
    ]
)
"""valence, arousal and intensity of each emotion at its height [8, 3]"""
Scores = dict[str, float]


def _espeak() -> bool:
    try:
        ctypes.CDLL("libespeak-ng.so.1")
    except OSError:
        return False
    return True


def _node(kind: type[Node], weights: Path) -> Any:
    node = kind(build(kind.Config, {"weights": str(weights)}), Context())
    node.setup()
    return node


def _alike(one: Any, two: Any) -> float:
    """Correlation; 0 where one of them is the same everywhere."""
    one, two = np.ravel(one) - np.mean(one), np.ravel(two) - np.mean(two)
    return float(one @ two / max(np.linalg.norm(one) * np.linalg.norm(two), 1e-9))


def visual(weights: Path) -> Scores:
    """How often the emotion is named, and how valence, arousal and intensity follow the truth."""
    node, (landmarks, shapes) = _node(FaceReader, weights), seen()
    rows = np.zeros((*shapes.shape[:2], 11), np.float32)
    for person, emotion in np.ndindex(*shapes.shape[:2]):
        node.reset()
        for index in range(LOOKS):
            now_ns = index * FRAME_NS
            said = node.process(
                VideoFrame(capture_ns=now_ns, pixels=pictures()[person, emotion]),
                FaceTrack(
                    capture_ns=now_ns,
                    found=True,
                    landmarks=landmarks[person, emotion],
                    blendshapes=shapes[person, emotion],
                    pose=np.eye(4, dtype=np.float32),
                ),
            )
        rows[person, emotion] = reading(said)
    node.close()
    return _judged(rows)


def _judged(rows: F32) -> Scores:
    """Of readings [people, emotions, 11]."""
    truth = np.broadcast_to(TRUTH, (len(rows), *TRUTH.shape))
    named = rows[..., : len(EMOTIONS)].argmax(axis=-1) == np.arange(len(EMOTIONS))
    return {
        "named": float(named.mean()),
        "valence": _alike(rows[..., 8], truth[..., 0]),
        "arousal": _alike(rows[..., 9], truth[..., 1]),
        "intensity": _alike(rows[..., 10], truth[..., 2]),
    }


def intensity(weights: Path) -> Scores:
    """The same of face and voice, of each alone and of both: they say what is true, but not surely.

    And how near what is put together stays to what they say of valence, arousal and intensity.
    """
    model = Model(weights / "intensity", log=lambda line: None)
    rows = np.zeros((3, len(EMOTIONS), 11), np.float32)
    for which, present in enumerate(([1, 0], [0, 1], [1, 1])):
        for emotion, (valence, arousal, strength) in enumerate(TRUTH):
            shares = np.full(len(EMOTIONS), 0.4 / 7, np.float32)
            shares[emotion] = 0.6
            given = np.array([*shares, 0.6 * valence, 0.6 * arousal, 0.6 * strength], np.float32)
            state = model.begin()
            for _ in range(LOOKS):
                there = np.array([present], np.float32)
                rows_of = [given[None] * there[:, i : i + 1] for i in range(2)]
                answer = model(face=rows_of[0], voice=rows_of[1], present=there, **state)
                state = model.carry(answer)
            logits = answer["emotion"][0]
            felt = [answer["valence_arousal"][0], answer["intensity"][0]]
            rows[which, emotion] = np.concatenate([logits, *felt])
    model.close()
    far = np.abs(rows[..., len(EMOTIONS) :] - 0.6 * TRUTH)
    return _judged(rows) | {"near": 1 - float(far.mean())}


def speech(weights: Path) -> Scores:
    """By how much more arousal is heard where pitch and loudness rise, voice by voice."""
    node, more = _node(VoiceReader, weights), []
    for number in range(VOICES):
        manner = manner_of(number % 2 == 0, np.random.default_rng([4711, number]))
        heard = {
            emotion: _arousal(node, load_speaker().say(sentence(40 + number), manner, emotion)[0])
            for emotion in (*STIRRED, *CALM)
        }
        more.append(
            np.mean([heard[emotion] for emotion in STIRRED])
            - np.mean([heard[emotion] for emotion in CALM])
        )
    node.close()
    return {"more arousal": float(np.mean(more))}


def _arousal(node: Any, sound: F32) -> float:
    node.reset()
    said: list[Affect] = []
    for first in range(0, min(len(sound), 16_000 * 3), 640):
        samples = np.rint(sound[first : first + 640] * 32767).astype(np.int16)[:, None]
        block = AudioFrame(capture_ns=first * 62_500, samples=samples, rate_hz=16_000)
        said += node.process(block)
    return float(np.mean([affect.arousal for affect in said if affect.known]))


def skin(weights: Path) -> Scores:
    """How the change towards neutral is like that to the head's own drawn neutral.

    Drawn skin folds less than people's, from whom the network learned: the whole change would be
    too much here, so where it darkens and lightens is asked, not by how much.
    """
    model, rig, surface = Model(weights / "skin", log=lambda line: None), load_rig(), load_surface()
    landmarks, shapes = seen()
    there, neutral = skin_mask() > 0, EMOTIONS.index("neutral")
    towards = np.zeros((1, len(EMOTIONS)), np.float32)
    towards[0, neutral] = 1
    alike = []
    for person in range(len(shapes)):
        fine, shape = {}, {}
        for emotion in (neutral, EMOTIONS.index("happy"), EMOTIONS.index("angry")):
            points = landmarks[person, emotion]
            fine[emotion] = detail(*surface.unwrap(pictures()[person, emotion], points))
            shape[emotion] = rig.face(points, rig.place(points))
        for emotion in fine.keys() - {neutral}:
            change = model(
                detail=fine[emotion][None, None],
                displacement=displacement_map(shape[neutral] - shape[emotion])[None],
                places=places()[None],
                rig=shapes[person, emotion][None],
                emotion=towards,
            )["change"][0, 0][there]
            alike.append(_alike(change, (fine[neutral] - fine[emotion])[there]))
    model.close()
    return {"alike": float(np.mean(alike))}


BARS: dict[str, tuple[Callable[[Path], Scores], dict[str, float]]] = {
    "visual": (visual, {"named": 0.75, "valence": 0.6, "arousal": 0.4, "intensity": 0.5}),
    "speech": (speech, {"more arousal": 0.25}),
    "intensity": (intensity, {"named": 0.9, "valence": 0.9, "intensity": 0.8, "near": 0.8}),
    "skin": (skin, {"alike": 0.3}),
}
"""what those that ship reach with room to spare"""
needs_espeak = pytest.mark.skipif(not _espeak(), reason="espeak-ng isn't installed")
NAMES = ["visual", pytest.param("speech", marks=needs_espeak), "intensity", "skin"]


def _permuted(weight: Any) -> Any:
    """Every output's weights at another output."""
    return np.random.default_rng(0).permutation(weight, axis=0)


def _narrow(weight: Any) -> Any:
    """As if the range had been measured on what has a tenth of it."""
    edge = np.abs(weight).max() / 10
    return np.clip(weight, -edge, edge)


def _damaged(name: str, damage: Callable[[Any], Any], into: Path) -> Path:
    """A folder of weights with ``name`` damaged; its card knows the file as it is, and names it."""
    folder = into / name
    shutil.copytree(SHIPPED / name, folder)
    shutil.copytree(SHIPPED / "activity", into / "activity")
    file, card = folder / "model.onnx", folder / "card.toml"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    network: Any = onnx.load(str(file))
    for tensor in network.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.ndim >= 2 and weight.size > 64 and weight.dtype.kind == "f":
            changed = damage(weight).astype(weight.dtype)
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    file.write_bytes(network.SerializeToString())
    after = hashlib.sha256(file.read_bytes()).hexdigest()
    assert before != after
    told = card.read_text().replace(before, after)
    card.write_text(told.replace('openvino = "int8"', 'openvino = "f32"'))
    return into


def _missed(name: str, weights: Path) -> Scores:
    """The scores of a network that are below their bars."""
    ask, bars = BARS[name]
    scores = ask(weights)
    return {key: scores[key] for key, bar in bars.items() if not scores[key] >= bar}


@pytest.mark.parametrize("name", NAMES)
def test_what_ships_does_what_it_is_for(name: str) -> None:
    assert _missed(name, SHIPPED) == {}


@needs_espeak
def test_the_clean_sets_own_ear_hears_too() -> None:
    assert _missed("speech", SHIPPED / "clean") == {}


@pytest.mark.parametrize("name", NAMES)
def test_weights_at_other_outputs_fail(name: str, tmp_path: Path) -> None:
    assert _missed(name, _damaged(name, _permuted, tmp_path))


# Not intensity: it nearly passes on what it is given, which it does as well with narrow weights.
@pytest.mark.parametrize("name", ["visual", pytest.param("speech", marks=needs_espeak), "skin"])
def test_weights_of_too_narrow_a_range_fail(name: str, tmp_path: Path) -> None:
    assert _missed(name, _damaged(name, _narrow, tmp_path))
