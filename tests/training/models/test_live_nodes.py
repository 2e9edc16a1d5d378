"""Weights of debug trainings in the live nodes: streamed equals offline, and a face comes out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch (pip install -e '.[train]')")

import torch

from engine.node import Node
from engine.outputs import each_output
from engine.parameters import build
from engine.types import F32, AudioFrame, VideoFrame
from face.affect.answers import from_network
from face.rig import load_rig
from face.steady_crop import SteadyCrop, cut_out, to_tensor
from face.types import BLENDSHAPES, Affect, FaceTrack
from nodes.readers.face_reader import FaceReader
from nodes.readers.voice_reader import VoiceReader
from tests.training.made_clips import draw_face
from tests.training.models.conftest import Made
from training.restore import restore

STEP_NS = 40_000_000


def exact(weights: Path, name: str, folder: Path) -> Path:
    """A weight to be computed in float32; what an export chose hangs on the machine's speed."""
    shutil.copytree(weights / name, folder / name)
    card = folder / name / "card.toml"
    card.write_text(re.sub(r'^openvino = ".*"', 'openvino = "f32"', card.read_text(), flags=re.M))
    return folder


def make(kind: type[Node], weights: Path, **values: Any) -> Any:
    node = kind(build(kind.Config, {"weights": str(weights), **values}))
    node.setup()
    return node


def head(swell: float, jaw: float = 0.2) -> tuple[F32, F32]:
    """Blendshapes [52] and landmarks [478, 3] of a drawn head."""
    rig = load_rig()
    shapes = np.zeros(len(BLENDSHAPES), np.float32)
    for name in ("mouthSmileLeft", "mouthSmileRight", "browInnerUp"):
        shapes[BLENDSHAPES.index(name)] = swell
    shapes[BLENDSHAPES.index("jawOpen")] = jaw
    face = rig.mean + np.tensordot(shapes, rig.basis, axes=1)
    return shapes, (face * [11, -11, -11] + [128, 95, 0]).astype(np.float32)


def film(count: int) -> list[tuple[VideoFrame, FaceTrack]]:
    frames = []
    for index in range(count):
        shapes, points = head(index / count)
        pixels = draw_face(points, np.full(3, 160, np.float32))
        frames.append(
            (
                VideoFrame(capture_ns=(index + 1) * STEP_NS, pixels=pixels),
                FaceTrack(
                    capture_ns=(index + 1) * STEP_NS,
                    found=True,
                    landmarks=points,
                    blendshapes=shapes,
                    pose=np.eye(4, dtype=np.float32),
                ),
            )
        )
    return frames


def close(streamed: Affect, offline: Affect, atol: float) -> None:
    assert streamed.known and streamed.capture_ns == offline.capture_ns
    assert np.allclose(streamed.probabilities, offline.probabilities, atol=atol)
    for name in ("valence", "arousal", "intensity"):
        assert getattr(streamed, name) == pytest.approx(getattr(offline, name), abs=atol), name


def test_a_face_read_live_is_the_face_read_offline(made: Made, tmp_path: Path) -> None:
    from training.models.visual import VisualEncoder

    frames = film(7)
    node = make(FaceReader, exact(made.weights, "visual", tmp_path))
    streamed = [node.process(frame, face) for frame, face in frames]
    encoder = restore(made.runs / "visual", "visual", VisualEncoder)
    crop, rig = SteadyCrop(), load_rig()
    shown = []
    for index, (frame, face) in enumerate(frames):
        transform = crop(rig.place(face.landmarks), STEP_NS / 1e9 if index else 0.0)
        shown.append(to_tensor(cut_out(frame.pixels, transform), encoder.size.crop_px))
    crops = torch.from_numpy(np.stack(shown, axis=1))
    rigs = torch.from_numpy(np.stack([face.blendshapes for _, face in frames])[None])
    with torch.no_grad():
        offline = encoder.watch(crops, rigs)
    for t, affect in enumerate(streamed):
        answer = {
            "emotion": offline.emotion[:, t].numpy(),
            "valence_arousal": offline.valence_arousal[:, t].numpy(),
            "intensity": offline.intensity[:, t].numpy(),
        }
        close(affect, from_network(answer, "face", frames[t][0].capture_ns), 2e-3)
    node.close()


def test_what_a_network_is_shown_live_is_what_it_was_trained_on() -> None:
    from training.trainers.samples import Augmentation

    rng = np.random.default_rng(0)
    patch = rng.integers(0, 255, (256, 256, 3)).astype(np.uint8)
    for side in (128, 160, 256):
        trained = Augmentation.plain(side).picture(np.ascontiguousarray(patch[..., ::-1]), side)
        assert np.abs(to_tensor(patch, side)[0] - trained).max() < 1 / 200


def test_a_voice_read_live_is_the_voice_read_offline(made: Made, tmp_path: Path) -> None:
    from training.models.speech import SpeechEncoder

    rng = np.random.default_rng(1)
    at = np.arange(16_000 * 2) / 16_000
    sound = 0.3 * np.sin(2 * np.pi * 220 * at) + rng.normal(0, 0.05, len(at))
    samples = np.rint(sound * 32767).clip(-32768, 32767).astype(np.int16)
    node = make(VoiceReader, exact(made.weights, "speech", tmp_path), settle_ms=0.0)
    streamed: list[Affect] = []
    for first in range(0, len(samples), 320):
        block = AudioFrame(
            capture_ns=first * 62_500, samples=samples[first : first + 320, None], rate_hz=16_000
        )
        streamed += [m for _, m in each_output(node, node.process(block)) if isinstance(m, Affect)]
    streamed += [m for _, m in each_output(node, node.finish()) if isinstance(m, Affect)]
    encoder = restore(made.runs / "speech", "speech", SpeechEncoder)
    whole = (samples / 32768).astype(np.float32)
    with torch.no_grad():
        offline = encoder.listen(torch.from_numpy(whole[None]))
    assert len(streamed) == len(whole) // 640 == offline.emotion.shape[1]
    for t, affect in enumerate(streamed):
        answer = {
            "emotion": offline.emotion[:, t].numpy(),
            "valence_arousal": offline.valence_arousal[:, t].numpy(),
            "intensity": offline.intensity[:, t].numpy(),
        }
        close(affect, from_network(answer, "voice", affect.capture_ns), 2e-3)
        assert affect.capture_ns == pytest.approx(t * STEP_NS, abs=2_000_000)
    node.close()
