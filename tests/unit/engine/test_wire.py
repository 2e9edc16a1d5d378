"""Messages as bytes, shared-memory slots, recordings."""

from __future__ import annotations

import dataclasses
import os
import struct
import types
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import record
from engine.clock import FakeClock
from engine.errors import MienError
from engine.harness import run_node
from engine.node import Context
from engine.transport import shm, wire
from engine.transport.wire import Envelope, Form, from_bytes, from_header, pack, to_bytes
from engine.types import AudioFrame, Message, VideoFrame
from face.reference_file import track_of
from face.types import FaceTrack

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
        track_of([], [], 3, "loop"),  # arrays without a row
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
        ("|O", (4, 4, 3), 0),
        ("<f4", (4, 4, 3), 0),
        ("|u1", (-1, 4, 3), 0),
        ("|u1", (4, 3), 0),
        ("|u1", (4, 4, 4), 0),
        ("|u1", (2**16, 4, 3), 0),
        ("|u1", ("abcdefgh", 2**28, 3), 0),
        ("|u1", (4, True, 3), 0),
        ("|u1", (4, 4, 3), -64),
        ("|u1", (4, 4, 3), 8),
        ("|u1", (4, 4, 3), 2.0),
    ],
)
def test_a_header_that_lies_is_refused(layout: tuple[str, tuple[int, ...], int]) -> None:
    with pytest.raises(ValueError, match="pixels"):
        Form(VideoFrame, (layout,))


def test_a_form_knows_how_much_it_reads() -> None:
    form = Form(VideoFrame, (("|u1", (10, 5, 3), 64),))
    assert form.size == 64 + 150
    assert [size for size in range(300) if form.fits(size)] == list(range(214, 214 + 65))
    with pytest.raises(ValueError, match="1 arrays"):
        Form(VideoFrame, ())
    with pytest.raises(ValueError, match="too large"):
        Form(VideoFrame, (("|u1", (2**15, 2**15, 3), 0),))


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (0, -1, "number"),
        (0, b"1", "number"),
        (1, ("node", 1), "trace"),
        (1, (("node", 1, "2"),), "trace"),
        (2, 5, "origin"),
        (3, b"123", "capture_ns"),
        (3, 2**63, "capture_ns"),
        (4, 1.5, "pts"),
        (5, (1, 0), "time_base"),
        (5, (1, -5), "time_base"),
        (5, (2**64 - 1, 1), "time_base"),
        (5, ("1", "2"), "time_base"),
        (5, 1, "time_base"),
        (6, 1, "cut"),
        (7, None, "name"),
    ],
)
def test_a_field_of_another_type_or_out_of_bounds_is_refused(
    place: int, value: object, says: str
) -> None:
    packed = pack(Envelope(FRAME, 7))
    layout, values = from_bytes(to_bytes((packed.layout, packed.values)), lists=False)
    form = Form(VideoFrame, layout)
    form.unpack(values, packed.payload())
    with pytest.raises(ValueError, match=says):
        form.unpack((*values[:place], value, *values[place + 1 :]), packed.payload())
    with pytest.raises(ValueError, match="another number"):
        form.unpack(values[:place], packed.payload())


@pytest.mark.parametrize("rate_hz", [0, -48000, 2**40, 48000.0])
def test_a_rate_of_sound_that_cannot_be_is_refused(rate_hz: float) -> None:
    packed = pack(Envelope(AudioFrame(capture_ns=1, samples=np.zeros((4, 1), np.int16),
                                      rate_hz=48000), 0))  # fmt: skip
    values = tuple(rate_hz if value == 48000 else value for value in packed.values)
    with pytest.raises(ValueError, match="rate_hz"):
        Form(AudioFrame, packed.layout).unpack(values, packed.payload())


def test_a_header_that_announces_much_costs_nothing() -> None:
    """Lists in lists, each of as many items as msgpack's own bound allows."""
    nested = b"\xdd\x00\x00\xff\xf0" * 500
    for header in (nested + bytes(60_000), b"\xdf\xff\xff\xff\xff", bytes(2**16 + 1), 5):
        with pytest.raises(ValueError):
            from_header(header)  # type: ignore[arg-type]


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(ValueError, match="not a message"):
        from_bytes(b"\xc1\xc1")


def test_a_slot_is_free_again_when_its_last_view_goes() -> None:
    producer = shm.Ring.create("test", 2, 10_000)
    try:
        consumer = shm.Ring.open(producer.path.name, "test")
        first, second = producer.hold(), producer.hold()
        assert first is not None
        assert second is not None
        assert producer.hold() is None
        producer.slot(first)[:4] = (1, 2, 3, 4)
        producer.mark_sent(first)
        producer.let_go(first)
        with pytest.raises(ValueError, match="holds nothing new"):
            consumer.lease(second)
        view = np.frombuffer(consumer.lease(first), np.uint8, 4)[1:]
        with pytest.raises(ValueError, match="holds nothing new"):
            consumer.lease(first)
        assert producer.hold() is None
        assert list(view) == [2, 3, 4]
        del view
        assert producer.hold() == first
        for slot in (9, -1, None, True, "0"):
            with pytest.raises(ValueError, match="there is no slot"):
                consumer.lease(slot)  # type: ignore[arg-type]
    finally:
        producer.close()
    assert not producer.path.exists()


def test_an_acquired_slot_waits_for_both_sides() -> None:
    ring = shm.Ring.create("test", 1, 10_000)
    try:
        acquired = ring.acquire((10, 10, 3))
        assert acquired is not None
        assert ring.acquire((10, 10, 3)) is None
        assert ring.acquired(acquired) == 0
        assert ring.acquired(acquired[1:]) is None, "a part of a slot is no slot"
        assert ring.acquired(np.zeros((10, 10, 3), np.uint8)) is None
        ring.mark_sent(0)
        assert ring.acquired(acquired) is None, "it is on its way already"
        consumer = shm.Ring.open(ring.path.name, "test")
        received = np.frombuffer(consumer.lease(0), np.uint8)
        del received
        assert ring.hold() is None, "the producer still refers to it"
        del acquired
        assert ring.hold() == 0
    finally:
        ring.close()


def test_only_segments_of_the_run_are_opened(tmp_path: Path) -> None:
    for name in ("../etc/passwd", "other-1-1", "mien-test", "mien-test-1-1/../x", "mien-text-1-1"):
        with pytest.raises(ValueError, match="no segment of this run"):
            shm.Ring.open(name, "test")


@pytest.mark.parametrize(
    ("slots", "slot_bytes"), [(2**28, 4096), (0, 4096), (2, 0), (2, 4095), (2, 2**40), (1, 4096)]
)
def test_a_segment_that_lies_about_its_size_is_refused(slots: int, slot_bytes: int) -> None:
    ring = shm.Ring.create("test", 2, 4096)
    try:
        with ring.path.open("r+b") as file:
            file.seek(4096 - 16)
            file.write(struct.pack("<QQ", slots, slot_bytes))
        with pytest.raises(ValueError, match="as large as it says"):
            shm.Ring.open(ring.path.name, "test")
    finally:
        ring.close()


def test_a_link_or_a_pipe_is_no_segment(tmp_path: Path) -> None:
    path = shm.folder() / "mien-test-1-1"
    try:
        path.symlink_to(tmp_path / "victim")
        with pytest.raises(OSError, match="symbolic links"):
            shm.Ring.open(path.name, "test")
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ValueError, match="is no segment"):
            shm.Ring.open(path.name, "test")
    finally:
        path.unlink()


def test_a_sweep_takes_only_its_own_run() -> None:
    ours, other = shm.Ring.create("sweep1", 1, 10), shm.Ring.create("sweep2", 1, 10)
    assert shm.sweep("sweep1", 1) == 0
    assert shm.sweep("sweep1") == 1
    assert not ours.path.exists()
    assert other.path.exists()
    assert shm.sweep("sweep2", os.getpid()) == 1


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


def test_a_recording_whose_sizes_lie_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "lies.mrec"
    recorder = record.Recorder(path, VideoFrame)
    recorder.write(Envelope(FRAME, 0))
    recorder.close()
    whole = path.read_bytes()
    at = whole.index(struct.pack("<I", 128), len(record.MAGIC))  # the payload: 105 bytes, aligned
    for sizes in (struct.pack("<I", 2**32 - 1), struct.pack("<I", 0)):
        path.write_bytes(whole[:at] + sizes + whole[at + 4 :])
        with pytest.raises(MienError, match="doesn't fit"):
            list(record.read(path))


@pytest.mark.parametrize("made", [np.uint8, np.float32])
def test_an_array_is_one_however_numpy_writes_its_type(made: type[np.generic]) -> None:
    alias = types.GenericAlias(NDArray, (made,))  # as of NumPy 2.5 on Python 3.12
    written_out = types.GenericAlias(np.ndarray, (Any, types.GenericAlias(np.dtype, (made,))))
    assert wire._dtype(alias) == wire._dtype(written_out) == made
    assert wire._dtype(list[int]) is None


def test_a_recording_is_read_by_what_its_messages_were_called(tmp_path: Path) -> None:
    path = tmp_path / "face.mrec"
    recorder = record.Recorder(path, FaceTrack)
    recorder.close()
    whole = path.read_bytes()
    for name in (b"engine.types:FaceTrack", b"elsewhere:Unheard"):
        head = wire.to_bytes({"type": name.decode()})
        path.write_bytes(record.MAGIC + len(head).to_bytes(4, "little") + head)
        if name.startswith(b"engine"):
            assert record.read_type(path) is FaceTrack
    with pytest.raises(MienError, match="elsewhere:Unheard are known to no node"):
        record.read_type(path)
    path.write_bytes(whole)
    assert record.read_type(path) is FaceTrack
