"""Mailboxes: the newest picture wins, sound keeps its order, files lose nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest

from engine.executor import Inlet, ThreadLane
from engine.join import Join, Whole
from engine.metrics import EdgeStats
from engine.transport.wire import Envelope
from engine.types import AudioFrame, Fifo, Latest, VideoFrame
from tests.frames import black


class Slow:
    """Takes its first message only when let go."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.started = threading.Event()
        self.go = threading.Event()

    def receive(self, port: str, envelope: Envelope | Whole) -> None:
        self.started.set()
        assert self.go.wait(5)
        seq = envelope.last.seq if isinstance(envelope, Whole) else envelope.seq
        self.seen.append(seq if envelope.message is not None else -1)


def _lane(kind: Latest | Fifo, lossless: bool = False) -> tuple[ThreadLane, Inlet, Slow]:
    lane = ThreadLane("test", lossless)
    inlet = Inlet(kind, lossless)
    slow = Slow()
    inlet.consumers.append((slow, "in"))
    inlet.edges.append(EdgeStats())
    lane.start()
    lane.put(inlet, Envelope(black(), 0))
    assert slow.started.wait(5)
    return lane, inlet, slow


async def _drain(lane: ThreadLane, slow: Slow) -> None:
    slow.go.set()
    lane.call(lambda: None).result(5)
    assert await lane.stop()


async def test_the_newest_picture_wins_and_drops_are_counted() -> None:
    lane, inlet, slow = _lane(Latest(VideoFrame))
    for number in range(1, 10):
        lane.put(inlet, Envelope(black(), number))
    assert lane.queue_depth() == 1
    await _drain(lane, slow)
    assert slow.seen == [0, 9]
    assert inlet.edges[0].snapshot() == {"sent": 0, "received": 2, "dropped": 8, "gaps": 0}


async def test_sound_keeps_its_order_and_loses_its_oldest() -> None:
    lane, inlet, slow = _lane(Fifo(AudioFrame, depth=4))
    for number in range(1, 7):
        lane.put(inlet, Envelope(black(), number))
    assert lane.queue_depth() == 4  # what was dropped is gone
    await _drain(lane, slow)
    assert slow.seen == [0, 3, 4, 5, 6]
    assert inlet.edges[0].dropped == 2


async def test_lossless_makes_the_sender_wait() -> None:
    lane, inlet, slow = _lane(Latest(VideoFrame), lossless=True)

    def send() -> None:
        for number in range(1, 30):
            lane.put(inlet, Envelope(black(), number))

    sender = threading.Thread(target=send)
    sender.start()
    sender.join(0.2)
    assert sender.is_alive()
    assert lane.queue_depth() == inlet.depth
    slow.go.set()
    sender.join(5)
    await _drain(lane, slow)
    assert slow.seen == list(range(30))


async def test_the_end_of_a_stream_is_never_replaced() -> None:
    lane, inlet, slow = _lane(Latest(VideoFrame))
    lane.put(inlet, Envelope(black(), 1))
    lane.put(inlet, Envelope(None, 2))
    await _drain(lane, slow)
    assert slow.seen == [0, 1, -1]


async def test_a_flush_forgets_pictures_only() -> None:
    lane, inlet, slow = _lane(Latest(VideoFrame))
    lane.put(inlet, Envelope(black(), 1))
    lane.flush()
    assert lane.queue_depth() == 0
    lane.put(inlet, Envelope(black(), 2))
    await _drain(lane, slow)
    assert slow.seen == [0, 2]


async def test_a_stopped_lane_refuses_work() -> None:
    lane, inlet, slow = _lane(Latest(VideoFrame))
    slow.go.set()
    assert await lane.stop()
    lane.put(inlet, Envelope(black(), 1))
    assert lane.queue_depth() == 0
    with pytest.raises(RuntimeError, match="stopped"):
        lane.call(lambda: None).result(1)


def _at(number: int) -> Envelope:
    return Envelope(black(capture_ns=number), number)


async def test_what_belongs_together_waits_for_each_other_and_the_newest_whole_wins() -> None:
    lane, frames, slow = _lane(Latest(VideoFrame))
    lost: list[str] = []
    whole = Inlet(Latest(VideoFrame), lossless=False)
    whole.consumers, whole.edges = [(slow, "frame")], [EdgeStats()]
    frames.join = Join(("frame", "face"), whole, lost.extend)
    frames.consumers = [(slow, "frame")]
    faces = Inlet(Latest(VideoFrame), lossless=False)
    faces.join, faces.consumers = frames.join, [(slow, "face")]
    for number in (1, 2, 3, 4):  # a camera that is quicker than the lane
        lane.put(frames, _at(number))
    assert lane.queue_depth() == 0
    lane.put(faces, _at(2))
    lane.put(faces, _at(3))
    assert lane.queue_depth() == 1 and lost == ["frame"]
    await _drain(lane, slow)
    assert slow.seen == [0, 3]
    assert whole.edges[0].snapshot() == {"sent": 0, "received": 1, "dropped": 1, "gaps": 0}


async def test_no_picture_is_begun_while_one_waits_ahead() -> None:
    ahead, inlet, slow = _lane(Latest(VideoFrame))
    lane, pictures, quick = _lane(Latest(VideoFrame))
    quick.go.set()
    lane.waits_for.append(inlet)
    inlet.feeders.append(lane)
    ahead.put(inlet, _at(1))  # waits, since the lane is busy
    lane.put(pictures, _at(1))
    assert lane.claim_or_put(pictures, _at(2)) is None
    lane.call(lambda: None).result(5)  # other work goes on
    assert quick.seen == [0]
    await _drain(ahead, slow)
    lane.call(lambda: None).result(5)
    assert slow.seen == [0, 1] and quick.seen == [0, 2]
    assert await lane.stop()


async def test_who_waits_for_a_picture_ahead_goes_on_when_it_is_forgotten() -> None:
    ahead, inlet, slow = _lane(Latest(VideoFrame))
    lane, pictures, quick = _lane(Latest(VideoFrame))
    quick.go.set()
    lane.call(lambda: None).result(5)
    lane.waits_for.append(inlet)
    inlet.feeders.append(lane)
    ahead.put(inlet, _at(1))
    lane.put(pictures, _at(1))
    lane.call(lambda: None).result(5)
    quick.started.clear()
    await asyncio.sleep(0.05)  # the lane's thread is at rest again
    ahead.flush()
    assert quick.started.wait(5)
    await _drain(ahead, slow)
    lane.call(lambda: None).result(5)
    assert slow.seen == [0] and quick.seen == [0, 1]
    assert await lane.stop()
