"""One edge between processes, both ends in this one: shared memory, and what takes its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from engine.executor import InputQueue, ThreadExecutor
from engine.join import JoinedSet
from engine.metrics import EdgeStats
from engine.transport import shm
from engine.transport.link import SHRINK_AFTER, SLOTS, SendLink
from engine.transport.receive import ReceiveLink
from engine.transport.wire import Envelope
from engine.types import Latest, VideoFrame
from tests.fuzz_headers import Bench


class Keeper:
    """Keeps every message that comes."""

    def __init__(self) -> None:
        self.kept: list[VideoFrame] = []

    def receive(self, port: str, envelope: Envelope | JoinedSet) -> None:
        assert isinstance(envelope.message, VideoFrame)
        self.kept.append(envelope.message)


class Edge:
    """A sender, a receiver and what has arrived."""

    def __init__(self, folder: Path) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.keeper = Keeper()
        self.refused = self.lies = 0
        self.executor = ThreadExecutor("test", lossless=True)
        queue = InputQueue(Latest(VideoFrame), lossless=True)
        queue.consumers.append((self.keeper, "in"))
        self.endpoint = endpoint = f"ipc://{folder}/edge.sock"
        self.receiver = ReceiveLink(
            self.context, endpoint, None, self.executor, self.refuse, run="testlink"
        )
        self.receiver.add("a.video", VideoFrame, self.executor, queue)
        self.stats = EdgeStats()
        self.sender = SendLink(
            self.context, endpoint, "a.video", run="testlink", depth=8, lossless=True,
            edges=[self.stats], curve=None,
        )  # fmt: skip
        self.executor.start()
        self.receiver.start()

    def refuse(self, error: Exception) -> None:
        self.refused += 1

    def send(self, number: int, pixels: np.ndarray | None = None) -> None:
        if pixels is None:
            pixels = np.full((120, 160, 3), number, np.uint8)
        self.sender.send(Envelope(VideoFrame(capture_ns=number, pixels=pixels), number))

    def wait_for(self, count: int) -> list[VideoFrame]:
        deadline = time.monotonic() + 20
        while len(self.keeper.kept) < count:
            assert time.monotonic() < deadline, f"{len(self.keeper.kept)} of {count} came"
            threading.Event().wait(0.005)
        return self.keeper.kept


@pytest.fixture
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    made = Edge(tmp_path_factory.mktemp("e"))
    yield made
    made.receiver.close()
    made.sender.close()
    made.context.destroy(linger=0)
    assert made.refused == made.lies
    assert not list(shm.folder().glob("mien-testlink-*"))


def test_pictures_that_are_kept_run_out_of_slots_and_come_inline(edge: Edge) -> None:
    count = 3 * SLOTS
    for number in range(count):
        edge.send(number)
    kept = edge.wait_for(count)
    assert [int(frame.pixels[0, 0, 0]) for frame in kept] == list(range(count))
    assert edge.stats.dropped == 0


def test_without_shared_memory_pictures_come_inline(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("engine.transport.link.Ring.create", full)
    for number in range(5):
        edge.send(number)
    assert [int(frame.pixels[-1, -1, 2]) for frame in edge.wait_for(5)] == list(range(5))


def test_what_is_drawn_into_acquired_memory_is_not_copied(edge: Edge) -> None:
    acquired = edge.sender.allocate((120, 160, 3))
    assert acquired is not None
    acquired[:] = 77
    edge.send(1, acquired)
    (frame,) = edge.wait_for(1)
    acquired[0, 0] = 78  # against the rules, but it shows that both are the same memory
    assert int(frame.pixels[0, 0, 0]) == 78
    edge.send(2, acquired)
    second = edge.wait_for(2)[1]
    acquired[0, 0] = 79
    assert int(second.pixels[0, 0, 0]) == 78, "what is on its way already is copied"


def test_a_restarted_receiver_gets_a_new_ring(edge: Edge) -> None:
    edge.send(1)
    edge.wait_for(1)
    before = set(shm.folder().glob("mien-testlink-*"))
    edge.sender.peer_restarted()
    assert not set(shm.folder().glob("mien-testlink-*"))
    edge.send(2)
    edge.wait_for(2)
    assert set(shm.folder().glob("mien-testlink-*")).isdisjoint(before)


def test_slots_shrink_when_pictures_do(edge: Edge) -> None:
    def slot_bytes() -> int:
        (path,) = shm.folder().glob("mien-testlink-*")
        return path.stat().st_size // SLOTS

    edge.send(0, np.zeros((1080, 1920, 3), np.uint8))
    large = slot_bytes()
    count = SHRINK_AFTER + 10
    for number in range(1, count):
        edge.send(number)
        edge.wait_for(number + 1)
        edge.keeper.kept[number] = edge.keeper.kept[0]  # its slot is free again
    assert slot_bytes() * 50 < large


def test_memory_goes_when_nothing_is_sent_and_comes_back(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.send(0)
    edge.wait_for(1)
    edge.sender.rest()
    assert list(shm.folder().glob("mien-testlink-*")), "it was just used"
    monkeypatch.setattr("engine.transport.link.IDLE_S", 0.0)
    monkeypatch.setattr("engine.transport.receive.UNUSED_S", 0.0)
    edge.sender.rest()
    assert not list(shm.folder().glob("mien-testlink-*"))
    rings = edge.receiver._reader._rings
    deadline = time.monotonic() + 20
    while rings:
        assert time.monotonic() < deadline, "the receiver keeps it"
        threading.Event().wait(0.02)
    edge.send(1)
    assert int(edge.wait_for(2)[1].pixels[0, 0, 0]) == 1


def test_shared_memory_is_tried_again_after_it_was_full(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("engine.transport.link.FULL_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr("engine.transport.link.Ring.create", full)
        edge.send(0)
    edge.send(1)
    edge.wait_for(2)
    assert list(shm.folder().glob("mien-testlink-*"))


def test_20000_malformed_messages_cost_no_picture(edge: Edge) -> None:
    """A stranger floods the socket that pictures come in by; all of them come, in order."""
    bench = Bench(seed=5, source="a")
    stranger = edge.context.socket(zmq.PUSH)
    stranger.connect(edge.endpoint)
    lies = [bench.refused() for _ in range(2_000)]
    bench.close()

    def flood() -> None:
        for number in range(20_000):
            stranger.send_multipart(lies[number % len(lies)])
        for _ in range(10):
            stranger.send_multipart([b"a", b"b", b"c"])

    flooding = threading.Thread(target=flood)
    flooding.start()
    count = 0
    while flooding.is_alive() or count < 200:
        edge.send(count % 200)
        count += 1
        edge.wait_for(count)
        edge.keeper.kept[:-1] = [edge.keeper.kept[0]] * (count - 1)
        assert int(edge.keeper.kept[-1].pixels[0, 0, 0]) == (count - 1) % 200
    flooding.join()
    edge.lies = 20_010
    deadline = time.monotonic() + 20
    while edge.refused < edge.lies and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    stranger.close()
    assert edge.stats.dropped == 0
