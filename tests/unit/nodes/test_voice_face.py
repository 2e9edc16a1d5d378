"""A voice becomes a face: in time, whatever the blocks; with the feeling that is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from engine.clock import FakeClock
from engine.node import Context
from engine.types import F32, I16, AudioFrame
from face.affect.speech_steps import STEP_NS
from face.types import BLENDSHAPES, EMOTIONS, Affect, FaceRig
from nodes.face.voice_face import VoiceFace

RATE_HZ = 16_000
JAW = BLENDSHAPES.index("jawOpen")
SMILE = BLENDSHAPES.index("mouthSmileLeft")


def hum(seconds: float, level: float = 0.25) -> I16:
    """A vowel that is said over and over, a fifth of a second each."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone = sum(
        amount * np.sin(2 * np.pi * 120 * k * t)
        for k, amount in enumerate((1, 0.9, 0.8, 0.9, 1.0, 0.9, 0.6, 0.3), 1)
    )
    said = np.sin(2 * np.pi * 2.5 * t) > 0
    return np.rint(32767 * level / 3 * np.asarray(tone) * said).astype(np.int16)


def blocks(samples: I16, size: int, rate_hz: int = RATE_HZ) -> Iterator[AudioFrame]:
    for start in range(0, len(samples), size):
        yield AudioFrame(
            capture_ns=start * 1_000_000_000 // rate_hz,
            samples=np.ascontiguousarray(samples[start : start + size, None]),
            rate_hz=rate_hz,
        )


@pytest.fixture(scope="module")
def node() -> Iterator[VoiceFace]:
    made = VoiceFace(VoiceFace.Config())
    made.setup()
    yield made
    made.close()


def faces(node: VoiceFace, samples: I16, size: int = 640, **config: object) -> list[FaceRig]:
    node.reset()
    node.reconfigure(VoiceFace.Config(**config))  # type: ignore[arg-type]
    found = [face for block in blocks(samples, size) for face in node.process(block)]
    return found + list(node.finish())


def jaws(found: list[FaceRig]) -> F32:
    return np.array([face.spoken[JAW] for face in found], np.float32)


def test_every_step_has_its_face(node: VoiceFace) -> None:
    found = faces(node, hum(2))
    assert [face.capture_ns for face in found] == [STEP_NS * step for step in range(50)]
    assert all(face.found and face.blendshapes.max() <= 1 for face in found)


def test_blocks_of_any_length_give_the_same_face(node: VoiceFace) -> None:
    whole = faces(node, hum(1.5))
    for size in (160, 1000, 24_000):
        parts = faces(node, hum(1.5), size)
        for one, other in zip(whole, parts, strict=True):
            assert one.capture_ns == other.capture_ns
            assert np.allclose(one.blendshapes, other.blendshapes, atol=1e-5)


def test_the_mouth_opens_for_a_voice_and_shuts_in_silence(node: VoiceFace) -> None:
    said = jaws(faces(node, np.concatenate([hum(2), np.zeros(RATE_HZ, np.int16)])))
    assert said[10:50].max() > 0.05
    assert said[60:].max() < 0.6 * said[10:50].max()


def test_an_emotion_is_worn_while_the_lips_speak(node: VoiceFace) -> None:
    happy = faces(node, hum(2), mode="emotion", emotion="happy", intensity=0.8)
    calm = faces(node, hum(2), mode="emotion", emotion="neutral")
    place = EMOTIONS.index("happy")
    assert happy[-1].expression[place] == pytest.approx(0.8, abs=0.02)
    assert calm[-1].expression.max() == 0
    assert np.allclose(jaws(happy), jaws(calm), atol=1e-5)
    assert happy[-1].blendshapes[SMILE] > calm[-1].blendshapes[SMILE] + 0.05


def test_what_the_voice_feels_is_worn(node: VoiceFace) -> None:
    found: list[FaceRig] = []
    felt = np.full(len(EMOTIONS), 0.02, np.float32)
    felt[EMOTIONS.index("sad")] = 0.86
    worn = []
    for gain in (1.0, 1.5):
        node.reset()
        node.reconfigure(VoiceFace.Config(voice_gain=gain))
        for block in blocks(hum(3), 640):
            node.on_voice(
                Affect(
                    capture_ns=block.capture_ns, source="voice", known=True, probabilities=felt,
                    intensity=0.5,
                )
            )  # fmt: skip
            found = list(node.process(block)) or found
        assert found[-1].expression.argmax() == EMOTIONS.index("sad")
        worn.append(found[-1].expression.max())
    assert 0.4 < worn[0] <= 0.5 and worn[1] == pytest.approx(1.5 * worn[0], rel=0.01)


def test_a_file_knows_from_the_first_frame_what_the_voice_will_feel() -> None:
    node = VoiceFace(VoiceFace.Config(feels_ahead_ms=1000, ease_ms=0, voice_gain=1))
    node.setup()
    felt = np.zeros(len(EMOTIONS), np.float32)
    felt[EMOTIONS.index("angry")] = 1
    found: list[FaceRig] = []
    for block in blocks(hum(2), 640):
        if block.capture_ns >= 800_000_000:  # not before was it sure
            node.on_voice(
                Affect(
                    capture_ns=block.capture_ns, source="voice", known=True, probabilities=felt,
                    intensity=0.6,
                )
            )  # fmt: skip
        found += node.process(block)
    assert len(found) == 25
    found += node.finish()
    node.close()
    assert [face.capture_ns for face in found] == [STEP_NS * step for step in range(50)]
    assert found[0].expression[EMOTIONS.index("angry")] == pytest.approx(0.6, abs=0.01)


def test_a_hole_in_the_sound_begins_anew(node: VoiceFace) -> None:
    counted: list[str] = []
    node.context.count = lambda name, number: counted.append(name)
    node.reset()
    first, second = (list(blocks(hum(0.5), 640)) for _ in range(2))
    late = [
        AudioFrame(
            capture_ns=block.capture_ns + 5_000_000_000, samples=block.samples, rate_hz=RATE_HZ
        )
        for block in second
    ]
    found = [face for block in (*first, *late) for face in node.process(block)]
    assert counted == ["gaps"]
    assert any(face.capture_ns == 5_000_000_000 for face in found)


def test_a_slow_machine_leaves_old_sound_out() -> None:
    clock, counted = FakeClock(0), []
    context = Context(clock=clock, count=lambda name, number: counted.append(name))
    node = VoiceFace(VoiceFace.Config(late_ms=600), context)
    node.setup()
    made = 0
    for block in blocks(hum(4), 320):
        clock.advance(60_000_000 if block.capture_ns < 1_000_000_000 else 20_000_000)
        if 1_500_000_000 < block.capture_ns < 3_500_000_000:
            clock.advance(-19_000_000)  # it catches up
        made += len(list(node.process(block)))
    node.close()
    assert "late_blocks" in counted and made > 20
    assert counted[-1] == "gaps"
