"""Messages as bytes, shared-memory slots, recordings."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from engine import record, shm
from engine.clock import FakeClock
from engine.errors import MienError
from engine.harness import run_node
from engine.node import Context
from engine.types import AudioFrame, FaceTrack, Message, VideoFrame
from engine.wire import Envelope, Form, from_bytes, pack, to_bytes

FRAME = VideoFrame(
    capture_ns=123,
    pixels=np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3),
    pts=9,
    time_base=Fraction(1, 90000),
    cut=True,
    name="é.png",
)


def _through_bytes(envelope: Envelope, message_type: type[Message]) -> Envelope:
    packed = pack(envelope)
    layout, values = from_bytes(to_bytes((packed.layout, packed.values)), lists=False)
    return Form(message_type, layout).unpack(values, packed.payload())


@pytest.mark.parametrize(
    "message",
    [
        FRAME,
        AudioFrame(capture_ns=1, samples=np.zeros((480, 2), np.int16), rate_hz=48000),
        FaceTrack(
            capture_ns=2,
            found=True,
            landmarks=np.ones((478, 3), np.float32),
            blendshapes=np.full(52, 0.5, np.float32),
            pose=np.eye(4, dtype=np.float32),
        ),
    ],
)
def test_every_field_survives(message: Message) -> None:
    envelope = Envelope(message, 7, (("camera", 1, 2),), "studio")
    again = _through_bytes(envelope, type(message))
    assert (again.seq, again.trace, again.origin) == (7, (("camera", 1, 2),), "studio")
    for item in dataclasses.fields(message):
        before, after = getattr(message, item.name), getattr(again.message, item.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)
            assert not after.flags.writeable
        else:
            assert before == after


def test_the_end_of_a_stream_survives() -> None:
    assert _through_bytes(Envelope(None, 3), VideoFrame).message is None


@pytest.mark.parametrize(
    "layout",
    [
        ("|O", (1,), 0),
        ("|u1", (-1, 3), 0),
        ("|u1", (4,), -8),
    ],
)
def test_a_header_that_lies_is_refused(layout: tuple[str, tuple[int, ...], int]) -> None:
    with pytest.raises(ValueError, match="pixels"):
        Form(VideoFrame, (layout,))


def test_a_form_knows_how_much_it_reads() -> None:
    assert Form(VideoFrame, (("|u1", (10, 5, 3), 64),)).size == 64 + 150
    with pytest.raises(ValueError, match="shorter"):
        Form(VideoFrame, ())
    with pytest.raises(ValueError, match="shorter"):
        Form(VideoFrame, (("|u1", (1, 1, 3), 0),)).unpack((1, (), "", 5), bytes(3))


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(ValueError, match="not a message"):
        from_bytes(b"\xc1\xc1")


def test_a_slot_is_free_again_when_its_last_view_goes() -> None:
    producer = shm.Ring.create("test", 2, 10_000)
    try:
        consumer = shm.Ring.open(producer.path.name, 2, producer.slot_bytes)
        first, second = producer.take(), producer.take()
        assert first is not None
        assert second is not None
        assert producer.take() is None
        producer.slot(first)[:4] = (1, 2, 3, 4)
        producer.mark_sent(first)
        producer.let_go(first)
        view = np.frombuffer(consumer.lease(first), np.uint8, 4)[1:]
        assert producer.take() is None
        assert list(view) == [2, 3, 4]
        del view
        assert producer.take() == first
        with pytest.raises(ValueError, match="slot 9"):
            consumer.lease(9)
    finally:
        producer.close()
    assert not producer.path.exists()


def test_a_lent_slot_waits_for_both_sides() -> None:
    ring = shm.Ring.create("test", 1, 10_000)
    try:
        lent = ring.lend((10, 10, 3))
        assert lent is not None
        assert ring.lend((10, 10, 3)) is None
        assert ring.lent(lent) == 0
        assert ring.lent(lent[1:]) is None, "a part of a slot is no slot"
        assert ring.lent(np.zeros((10, 10, 3), np.uint8)) is None
        ring.mark_sent(0)
        assert ring.lent(lent) is None, "it is on its way already"
        consumer = shm.Ring.open(ring.path.name, 1, ring.slot_bytes)
        received = np.frombuffer(consumer.lease(0), np.uint8)
        del received
        assert ring.take() is None, "the producer still refers to it"
        del lent
        assert ring.take() == 0
    finally:
        ring.close()


def test_only_announced_segments_are_opened() -> None:
    for name in ("../etc/passwd", "other-1"):
        with pytest.raises(OSError, match="not a segment"):
            shm.Ring.open(name, 1, 4096)


def test_a_sweep_takes_only_its_own_run() -> None:
    ours, other = shm.Ring.create("sweep1", 1, 10), shm.Ring.create("sweep2", 1, 10)
    assert shm.sweep("sweep1") == 1
    assert not ours.path.exists()
    assert other.path.exists()
    other.close()


def test_a_recording_plays_back_with_its_timing(tmp_path: Path) -> None:
    path = tmp_path / "video.mrec"
    recorder = record.Recorder(path, VideoFrame)
    stamps_ns = [5_000_000, 38_000_000, 140_000_000]
    for number, stamp_ns in enumerate(stamps_ns):
        recorder.write(Envelope(dataclasses.replace(FRAME, capture_ns=stamp_ns), number))
    assert not path.exists()
    recorder.close()
    clock = FakeClock(1_000_000_000)
    played = run_node(
        record.Replay, config={"files": f"video={path}"}, context=Context(clock=clock)
    )
    assert [port for port, _ in played] == ["video"] * 3
    assert [message.capture_ns - played[0][1].capture_ns for _, message in played] == [
        stamp_ns - stamps_ns[0] for stamp_ns in stamps_ns
    ]
    assert clock.now_ns() == 1_000_000_000 + stamps_ns[2] - stamps_ns[0]
    frame = played[2][1]
    assert isinstance(frame, VideoFrame)
    np.testing.assert_array_equal(frame.pixels, FRAME.pixels)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "not a recording"), (record.MAGIC + b"\xff\xff", "requires a buffer of 4 bytes")],
)
def test_a_broken_recording_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "broken.mrec"
    path.write_bytes(content)
    with pytest.raises(MienError, match=says) as caught:
        record.read_type(path)
    assert str(path) in str(caught.value)


def test_a_recording_cut_short_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "short.mrec"
    recorder = record.Recorder(path, VideoFrame)
    recorder.write(Envelope(FRAME, 0))
    recorder.close()
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(MienError, match="damaged"):
        list(record.read(path))
