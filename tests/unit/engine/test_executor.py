"""Mailboxes: the newest picture wins, sound keeps its order, files lose nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest

from engine.executor import InputQueue, ThreadExecutor
from engine.join import Join, JoinedSet
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

    def receive(self, port: str, envelope: Envelope | JoinedSet) -> None:
        self.started.set()
        assert self.go.wait(5)
        seq = envelope.last.seq if isinstance(envelope, JoinedSet) else envelope.seq
        self.seen.append(seq if envelope.message is not None else -1)


def _executor(
    kind: Latest | Fifo, lossless: bool = False
) -> tuple[ThreadExecutor, InputQueue, Slow]:
    executor = ThreadExecutor("test", lossless)
    queue = InputQueue(kind, lossless)
    slow = Slow()
    queue.consumers.append((slow, "in"))
    queue.edges.append(EdgeStats())
    executor.start()
    executor.put(queue, Envelope(black(), 0))
    assert slow.started.wait(5)
    return executor, queue, slow


async def _drain(executor: ThreadExecutor, slow: Slow) -> None:
    slow.go.set()
    executor.call(lambda: None).result(5)
    assert await executor.stop()


async def test_the_newest_picture_wins_and_drops_are_counted() -> None:
    executor, queue, slow = _executor(Latest(VideoFrame))
    for number in range(1, 10):
        executor.put(queue, Envelope(black(), number))
    assert executor.queue_depth() == 1
    await _drain(executor, slow)
    assert slow.seen == [0, 9]
    assert queue.edges[0].snapshot() == {"sent": 0, "received": 2, "dropped": 8, "gaps": 0}


async def test_sound_keeps_its_order_and_loses_its_oldest() -> None:
    executor, queue, slow = _executor(Fifo(AudioFrame, depth=4))
    for number in range(1, 7):
        executor.put(queue, Envelope(black(), number))
    assert executor.queue_depth() == 4  # what was dropped is gone
    await _drain(executor, slow)
    assert slow.seen == [0, 3, 4, 5, 6]
    assert queue.edges[0].dropped == 2


async def test_lossless_makes_the_sender_wait() -> None:
    executor, queue, slow = _executor(Latest(VideoFrame), lossless=True)

    def send() -> None:
        for number in range(1, 30):
            executor.put(queue, Envelope(black(), number))

    sender = threading.Thread(target=send)
    sender.start()
    sender.join(0.2)
    assert sender.is_alive()
    assert executor.queue_depth() == queue.depth
    slow.go.set()
    sender.join(5)
    await _drain(executor, slow)
    assert slow.seen == list(range(30))


async def test_the_end_of_a_stream_is_never_replaced() -> None:
    executor, queue, slow = _executor(Latest(VideoFrame))
    executor.put(queue, Envelope(black(), 1))
    executor.put(queue, Envelope(None, 2))
    await _drain(executor, slow)
    assert slow.seen == [0, 1, -1]


async def test_a_flush_forgets_pictures_only() -> None:
    executor, queue, slow = _executor(Latest(VideoFrame))
    executor.put(queue, Envelope(black(), 1))
    executor.flush()
    assert executor.queue_depth() == 0
    executor.put(queue, Envelope(black(), 2))
    await _drain(executor, slow)
    assert slow.seen == [0, 2]


async def test_a_stopped_lane_refuses_work() -> None:
    executor, queue, slow = _executor(Latest(VideoFrame))
    slow.go.set()
    assert await executor.stop()
    executor.put(queue, Envelope(black(), 1))
    assert executor.queue_depth() == 0
    with pytest.raises(RuntimeError, match="stopped"):
        executor.call(lambda: None).result(1)


def _at(number: int) -> Envelope:
    return Envelope(black(capture_ns=number), number)


async def test_what_belongs_together_waits_for_each_other_and_the_newest_whole_wins() -> None:
    executor, frames, slow = _executor(Latest(VideoFrame))
    lost: list[str] = []
    whole = InputQueue(Latest(VideoFrame), lossless=False)
    whole.consumers, whole.edges = [(slow, "frame")], [EdgeStats()]
    frames.join = Join(("frame", "face"), whole, lost.extend)
    frames.consumers = [(slow, "frame")]
    faces = InputQueue(Latest(VideoFrame), lossless=False)
    faces.join, faces.consumers = frames.join, [(slow, "face")]
    for number in (1, 2, 3, 4):  # a camera that is quicker than the executor
        executor.put(frames, _at(number))
    assert executor.queue_depth() == 0
    executor.put(faces, _at(2))
    executor.put(faces, _at(3))
    assert executor.queue_depth() == 1 and lost == ["frame"]
    await _drain(executor, slow)
    assert slow.seen == [0, 3]
    assert whole.edges[0].snapshot() == {"sent": 0, "received": 1, "dropped": 1, "gaps": 0}


async def test_no_picture_is_begun_while_one_waits_ahead() -> None:
    ahead, queue, slow = _executor(Latest(VideoFrame))
    executor, pictures, quick = _executor(Latest(VideoFrame))
    quick.go.set()
    executor.waits_for.append(queue)
    queue.feeders.append(executor)
    ahead.put(queue, _at(1))  # waits, since the executor is busy
    executor.put(pictures, _at(1))
    assert executor.claim_or_put(pictures, _at(2)) is None
    executor.call(lambda: None).result(5)  # other work goes on
    assert quick.seen == [0]
    await _drain(ahead, slow)
    executor.call(lambda: None).result(5)
    assert slow.seen == [0, 1] and quick.seen == [0, 2]
    assert await executor.stop()


async def test_who_waits_for_a_picture_ahead_goes_on_when_it_is_forgotten() -> None:
    ahead, queue, slow = _executor(Latest(VideoFrame))
    executor, pictures, quick = _executor(Latest(VideoFrame))
    quick.go.set()
    executor.call(lambda: None).result(5)
    executor.waits_for.append(queue)
    queue.feeders.append(executor)
    ahead.put(queue, _at(1))
    executor.put(pictures, _at(1))
    executor.call(lambda: None).result(5)
    quick.started.clear()
    await asyncio.sleep(0.05)  # the executor's thread is at rest again
    ahead.flush()
    assert quick.started.wait(5)
    await _drain(ahead, slow)
    executor.call(lambda: None).result(5)
    assert slow.seen == [0] and quick.seen == [0, 1]
    assert await executor.stop()
