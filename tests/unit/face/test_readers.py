"""Readers of face and voice, and their fusion: streaming, forgetting, and doing without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.node import Context, Node
from engine.outputs import each_output
from engine.parameters import build
from engine.types import F32, AudioFrame
from face.affect.answers import READING, chief, from_reading, unknown
from face.affect.speech_steps import STEP_NS, SpeechSteps
from face.emotions import prototype
from face.types import EMOTIONS, Affect, FaceTrack
from media.mel import log_mel
from nodes.readers.face_reader import FaceReader
from nodes.readers.feeling import Feeling, _Calm
from nodes.readers.voice_reader import VoiceReader
from tests.faces import FRAME_NS, astronaut, frame, landmarker, no_face
from tests.made_weights import make_weights

MS = 1_000_000


@dataclass
class Said:
    """What a node told about itself."""

    statuses: list[tuple[str, str]] = field(default_factory=list)
    gauges: dict[str, Any] = field(default_factory=dict)
    counts: list[str] = field(default_factory=list)

    def context(self) -> Context:
        return Context(
            status=lambda condition, text: self.statuses.append((condition, text)),
            gauge=self.gauges.__setitem__,
            count=lambda name, n: self.counts.append(name),
        )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights"), "visual", "speech", "intensity")


def make(kind: type[Node], said: Said | None = None, **values: Any) -> Any:
    node = kind(build(kind.Config, values), (said or Said()).context())
    node.setup()
    return node


def run(node: Any, function: Any, *arguments: Any) -> list[Affect]:
    return [message for _, message in each_output(node, function(*arguments))]  # type: ignore[misc]


def track(index: int, emotion: str = "happy", *, cut: bool = False) -> FaceTrack:
    points, _ = landmarker().landmarks(astronaut(), landmarker().detect(astronaut())[0][0])
    return FaceTrack(
        capture_ns=(index + 1) * FRAME_NS,
        found=True,
        landmarks=points,
        blendshapes=prototype(emotion),
        pose=np.eye(4, dtype=np.float32),
        cut=cut,
    )


# -- the face --------------------------------------------------------------------------------------


def test_a_face_without_its_weight_says_so_once_and_knows_nothing(tmp_path: Path) -> None:
    said = Said()
    node = make(FaceReader, said, weights=str(tmp_path))
    for index in range(3):
        affect = node.process(frame(astronaut(), index), track(index))
        assert not affect.known and affect.source == "face" and not affect.probabilities.any()
        assert affect.capture_ns == (index + 1) * FRAME_NS
    assert len(said.statuses) == 1 and said.gauges["backend"] == "none"
    condition, text = said.statuses[0]
    assert condition == "degraded" and "no weight in" in text and "isn't read" in text
    assert "\n" not in text


@pytest.mark.parametrize("emotion", ["happy", "sad", "angry"])
def test_a_face_is_read(weights: Path, emotion: str) -> None:
    said = Said()
    node = make(FaceReader, said, weights=str(weights))
    affect = node.process(frame(astronaut()), track(0, emotion))
    assert affect.known and chief(affect) == emotion
    assert affect.probabilities.dtype == np.float32
    assert float(affect.probabilities.sum()) == pytest.approx(1, abs=1e-4)
    assert said.gauges["backend"].startswith("OpenVINO") and said.statuses[-1] == ("ok", "")
    node.close()


def test_what_is_remembered_of_a_face_goes_with_it(weights: Path) -> None:
    node = make(FaceReader, weights=str(weights))

    def steps_so_far(face: FaceTrack, index: int, cut: bool = False) -> int:
        affect = node.process(frame(astronaut(), index, cut=cut), face)
        return round(float(affect.arousal) * 100)

    assert [steps_so_far(track(i), i) for i in range(3)] == [1, 2, 3]
    assert steps_so_far(track(3), 3, cut=True) == 1
    assert steps_so_far(track(4), 4) == 2
    assert steps_so_far(track(5, cut=True), 5) == 1
    assert not node.process(frame(astronaut(), 6), no_face(7 * FRAME_NS)).known
    assert steps_so_far(track(7), 7) == 1
    node.close()


def test_between_looks_the_last_answer_stands(weights: Path) -> None:
    node = make(FaceReader, weights=str(weights), every=2)
    said = []
    for index, emotion in enumerate(("happy", "sad", "sad", "happy")):
        said += run(node, node.process, frame(astronaut(), index), track(index, emotion))
    assert [affect.capture_ns for affect in said] == [(index + 1) * FRAME_NS for index in range(4)]
    names = [chief(affect) for affect in said]
    assert names == ["happy", "happy", "sad", "sad"]
    node.close()


def test_the_crop_is_the_faces_own(weights: Path) -> None:
    """Valence of the made network is the brightness of what it is shown."""
    dark = make(FaceReader, weights=str(weights))
    there = dark.process(frame(astronaut()), track(0)).valence
    shaded = (astronaut() // 2).astype(np.uint8)
    assert dark.process(frame(shaded, cut=True), track(0)).valence == pytest.approx(
        (there + 0.5) / 2 - 0.5, abs=0.02
    )
    elsewhere = astronaut().copy()
    elsewhere[:20], elsewhere[-60:] = 0, 255
    assert dark.process(frame(elsewhere, cut=True), track(0)).valence == pytest.approx(
        there, abs=0.01
    )
    dark.close()


# -- the voice -------------------------------------------------------------------------------------


def tone(seconds: float, hz: float, rate_hz: int, loud: float = 0.3) -> F32:
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    return (loud * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def blocks(
    sound: F32, rate_hz: int, size: int, *, channels: int = 1, start_ns: int = 0
) -> Iterator[AudioFrame]:
    for first in range(0, len(sound), size):
        part = np.rint(sound[first : first + size] * 32767).astype(np.int16)
        yield AudioFrame(
            capture_ns=start_ns + first * 1_000_000_000 // rate_hz,
            samples=np.repeat(part[:, None], channels, axis=1),
            rate_hz=rate_hz,
        )


def heard(node: Any, frames: Iterator[AudioFrame], *, finish: bool = True) -> list[Affect]:
    said = [affect for block in frames for affect in run(node, node.process, block)]
    return said + (run(node, node.finish) if finish else [])


@pytest.mark.parametrize(("rate_hz", "size", "channels"), [(48_000, 960, 2), (44_100, 1024, 1)])
def test_steps_are_the_whole_recording(rate_hz: int, size: int, channels: int) -> None:
    sound = tone(1.0, 440, rate_hz) + tone(1.0, 2500, rate_hz, 0.1)
    steps = SpeechSteps()
    found = [
        step for block in blocks(sound, rate_hz, size, channels=channels) for step in steps(block)
    ]
    whole = log_mel(tone(1.0, 440, 16_000) + tone(1.0, 2500, 16_000, 0.1))
    streamed = log_mel(np.concatenate([step.sound for step in found]))
    assert 92 <= len(streamed) <= 98
    middle = slice(8, 80)
    loud = whole[middle] > -6  # below lies the noise of 16 bits
    assert loud.mean() > 0.3
    assert np.abs(streamed[middle] - whole[middle])[loud].mean() < 0.1
    stamps = np.array([step.capture_ns for step in found])
    assert np.abs(stamps - np.arange(len(found)) * STEP_NS).max() < 3 * MS


def test_blocks_of_any_length_say_the_same(weights: Path) -> None:
    sound = tone(1.2, 300, 48_000) * np.linspace(0.2, 1, 57_600, dtype=np.float32)
    said = []
    for size in (480, 960, 4801, 57_600):
        node = make(VoiceReader, settle_ms=0.0, weights=str(weights))
        said.append(heard(node, blocks(sound, 48_000, size)))
        node.close()
    for other in said[1:]:
        assert len(other) == len(said[0]) > 25
        for one, two in zip(said[0], other, strict=True):
            assert one.known == two.known and abs(one.capture_ns - two.capture_ns) < 2 * MS
            assert np.allclose(one.probabilities, two.probabilities, atol=1e-3)
            assert one.arousal == pytest.approx(two.arousal, abs=1e-4)


def test_a_word_belongs_to_the_step_before(weights: Path) -> None:
    node = make(VoiceReader, settle_ms=0.0, weights=str(weights))
    said = heard(node, blocks(tone(1.0, 300, 16_000), 16_000, 320, start_ns=5_000 * MS))
    assert said[0].capture_ns == pytest.approx(5_000 * MS, abs=3 * MS)
    assert round(said[0].arousal * 100) == 2  # the second step speaks of the first
    assert {affect.source for affect in said} == {"voice"}
    assert all(chief(affect) == "happy" for affect in said[:-1])  # then there is silence
    node.close()


def test_silence_is_not_read_and_the_encoder_rests(weights: Path) -> None:
    node = make(VoiceReader, settle_ms=0.0, weights=str(weights))
    rate_hz = 16_000
    parts = [tone(0.8, 300, rate_hz), np.zeros(rate_hz * 3, np.float32), tone(0.8, 300, rate_hz)]
    said = heard(node, blocks(np.concatenate(parts), rate_hz, 320))
    known = np.array([affect.known for affect in said])
    assert known[:18].all() and not known[32:90].any() and known[-10:].all()
    counted = [affect.arousal * 100 for affect in said if affect.known]
    assert counted[-1] < 80  # 40 spoken steps, the hangover and a second; not all 75 of silence
    node.close()


def test_a_voice_is_heard_for_a_while_before_it_is_named(weights: Path) -> None:
    node = make(VoiceReader, weights=str(weights))
    sound = blocks(tone(1.6, 300, 16_000), 16_000, 320)
    known = [affect.known for affect in heard(node, sound, finish=False)]
    assert not any(known[:20]) and all(known[20:]) and len(known) > 35
    node.close()


def test_a_gap_begins_anew(weights: Path) -> None:
    said = Said()
    node = make(VoiceReader, said, settle_ms=0.0, weights=str(weights))
    heard(node, blocks(tone(0.6, 300, 16_000), 16_000, 320), finish=False)
    later = heard(
        node, blocks(tone(0.6, 300, 16_000), 16_000, 320, start_ns=9_000 * MS), finish=False
    )
    assert said.counts == ["gaps"]
    assert later[0].capture_ns == pytest.approx(9_000 * MS, abs=3 * MS)
    assert round(later[0].arousal * 100) == 2
    node.close()


def test_without_the_networks_word_what_is_loud_is_a_voice(tmp_path: Path) -> None:
    said = Said()
    node = make(VoiceReader, said, settle_ms=0.0, weights=str(make_weights(tmp_path, "speech")))
    assert said.statuses[-1][0] == "degraded" and "loud counts as a voice" in said.statuses[-1][1]
    parts = [tone(0.8, 300, 16_000), np.zeros(32_000, np.float32)]
    known = [affect.known for affect in heard(node, blocks(np.concatenate(parts), 16_000, 320))]
    assert all(known[:18]) and not any(known[32:])
    node.close()


def test_a_voice_without_its_weight_is_silent_and_says_so(tmp_path: Path) -> None:
    said = Said()
    node = make(VoiceReader, said, settle_ms=0.0, weights=str(tmp_path))
    affects = heard(node, blocks(tone(0.5, 300, 16_000), 16_000, 320))
    assert affects and not any(affect.known for affect in affects)
    assert said.statuses[0][0] == "degraded" and "speech" in said.statuses[0][1]


# -- both ------------------------------------------------------------------------------------------


def felt(
    source: Any, emotion: str, index: int = 0, *, intensity: float = 0.6, sure: float = 0.9
) -> Affect:
    shares = np.full(8, (1 - sure) / 7, np.float32)
    shares[EMOTIONS.index(emotion)] = sure
    valence = 0.5 if emotion == "happy" else -0.5
    row = np.concatenate([shares, [valence, 0.3, intensity]]).astype(np.float32)
    return from_reading(row, source, (index + 1) * FRAME_NS)


def fused(node: Any, face: Affect) -> dict[str, list[Affect]]:
    ports: dict[str, list[Affect]] = {"affect": [], "voice": [], "traces": []}
    for port, message in each_output(node, node.process(face)):
        assert isinstance(message, Affect)
        ports[port].append(message)
    return ports


@pytest.mark.parametrize("learned", [True, False])
def test_each_speaks_alone_where_the_other_is_silent(
    weights: Path, tmp_path: Path, learned: bool
) -> None:
    said = Said()
    used = str(weights if learned else tmp_path)
    node = make(Feeling, said, weights=used, smoothing_ms=0, hold_ms=0, dwell_ms=0)
    assert said.statuses[-1][0] == ("ok" if learned else "degraded")
    assert learned or "averaged instead" in said.statuses[-1][1]
    both = fused(node, felt("face", "happy", 0))["affect"][0]
    assert chief(both) == "happy" and both.source == "both"
    assert both.intensity == pytest.approx(0.6, abs=0.01)
    node.on_voice(felt("voice", "sad", 1))
    alone = fused(node, unknown("face", 2 * FRAME_NS))
    assert chief(alone["affect"][0]) == "sad" and chief(alone["voice"][0]) == "sad"
    node.on_voice(felt("voice", "happy", 2))
    together = fused(node, felt("face", "happy", 2, sure=0.5))["affect"][0]
    assert 0.5 < float(together.probabilities.max()) < 0.9
    node.on_voice(unknown("voice", 4 * FRAME_NS))
    nothing = fused(node, unknown("face", 4 * FRAME_NS))
    assert not nothing["affect"][0].known and not nothing["voice"][0].known
    node.close()


def test_a_feeling_is_called_what_its_readers_call_it_and_is_as_much_as_the_network_says(
    weights: Path,
) -> None:
    class Angry:
        """Calls everything angry, and a little of it."""

        begin = carry = staticmethod(lambda *answer: {})

        def __call__(self, **given: F32) -> dict[str, F32]:
            logits = np.zeros((1, len(EMOTIONS)), np.float32)
            logits[0, EMOTIONS.index("angry")] = 9
            half, quarter = np.full((1, 2), 0.5, np.float32), np.full((1, 1), 0.25, np.float32)
            return {"emotion": logits, "valence_arousal": half, "intensity": quarter}

    node = make(Feeling, weights=str(weights), smoothing_ms=0)
    node._model.close()
    node._model = Angry()
    both = fused(node, felt("face", "happy", 0))["affect"][0]
    assert chief(both) == "happy" and (both.valence, both.intensity) == (0.5, 0.25)


def test_an_old_word_counts_no_more(weights: Path) -> None:
    node = make(Feeling, weights=str(weights), smoothing_ms=0, hold_ms=0)
    node.on_voice(felt("voice", "sad", 0))
    assert fused(node, felt("face", "happy", 3))["voice"][0].known
    assert not fused(node, felt("face", "happy", 40))["voice"][0].known
    node.close()


def test_feelings_change_smoothly_and_stay_for_a_moment(weights: Path) -> None:
    node = make(Feeling, weights=str(weights), smoothing_ms=200, hold_ms=200)
    happy = EMOTIONS.index("happy")
    for index in range(20):
        fused(node, felt("face", "happy", index))
    course = [
        float(fused(node, felt("face", "sad", index))["affect"][0].probabilities[happy])
        for index in range(20, 50)
    ]
    assert course == sorted(course, reverse=True) and course[0] > 0.6 and course[-1] < 0.1
    hidden = [fused(node, unknown("face", (i + 1) * FRAME_NS))["affect"][0] for i in range(50, 60)]
    assert hidden[3].known and chief(hidden[3]) == "sad" and not hidden[8].known
    node.close()


def test_a_feeling_keeps_its_name_until_another_is_clearly_likelier() -> None:
    calm, config = _Calm("face"), Feeling.Config(smoothing_ms=0.0, margin=0.1, dwell_ms=0.0)

    def named(neutral: float) -> str:
        row = np.zeros(READING, np.float32)
        row[EMOTIONS.index("neutral")], row[EMOTIONS.index("sad")] = neutral, 1 - neutral
        return chief(calm(from_reading(row, "face", 0), 0.04, config))

    course = [named(share) for share in (0.52, 0.48, 0.51, 0.46, 0.44, 0.49, 0.53, 0.56)]
    assert course == ["neutral"] * 4 + ["sad"] * 3 + ["neutral"]
    calm.reset()
    assert named(0.48) == "sad"  # whose name nobody kept


def test_what_is_likelier_for_a_moment_gives_a_feeling_no_other_name() -> None:
    calm, config = _Calm("face"), Feeling.Config(smoothing_ms=0.0, dwell_ms=100.0)

    def named(emotion: str) -> str:
        row = np.zeros(READING, np.float32)
        row[EMOTIONS.index(emotion)] = 1
        return chief(calm(from_reading(row, "face", 0), 0.04, config))

    assert [named(e) for e in ("neutral", "happy", "happy", "happy")] == ["neutral"] * 4
    assert named("neutral") == "neutral"
    assert [named("sad"), named("happy"), named("sad")] == ["neutral"] * 3  # none of them stays
    assert [named("happy") for _ in range(4)] == ["neutral"] * 3 + ["happy"]


def test_traces_come_ten_times_a_second(weights: Path) -> None:
    node = make(Feeling, weights=str(weights))
    traces = [trace for i in range(90) for trace in fused(node, felt("face", "happy", i))["traces"]]
    assert [trace.source for trace in traces[:3]] == ["face", "voice", "both"]
    assert len(traces) == 3 * 30
    node.close()
