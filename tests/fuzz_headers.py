"""Malformed headers without end: `python -m tests.fuzz_headers 1000000 [SEED]`.

Each is a header that was right, and damaged: bytes, values, structure, or made of chance alone. It
is either refused, or becomes a message that nodes can work with; nothing else may happen, and no
memory may be taken.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from engine.errors import MienError
from engine.executor import InputQueue, ThreadExecutor
from engine.graph_spec import NodeSpec
from engine.metrics import EdgeStats
from engine.node import Node
from engine.runner import Runner
from engine.transport import shm
from engine.transport.receive import HeaderReader
from engine.transport.wire import Envelope, pack, to_bytes
from engine.types import AudioFrame, Fifo, Input, Latest, Message, Outputs, VideoFrame
from face.types import Affect, FaceEdit, FaceTrack

RUN = "fuzz"
GROWTH_MB_MOST = 64
RIG = np.zeros(52, np.float32)
MESSAGES: dict[str, Message] = {
    "video": VideoFrame(
        capture_ns=10, pixels=np.zeros((8, 8, 3), np.uint8), pts=3, time_base=Fraction(1, 90_000),
        name="a.png",
    ),
    "audio": AudioFrame(capture_ns=10, samples=np.zeros((48, 2), np.int16), rate_hz=48_000),
    "face": FaceTrack(
        capture_ns=10, found=True, landmarks=np.zeros((478, 3), np.float32), blendshapes=RIG,
        pose=np.eye(4, dtype=np.float32), confidence=0.5, faces=1,
    ),
    "edit": FaceEdit(capture_ns=10, active=True, source=RIG, target=RIG),
    "affect": Affect(
        capture_ns=10, source="face", known=True, probabilities=np.full(8, 0.125, np.float32)
    ),
}  # fmt: skip
NASTY: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 63, 64, 255, 4096, 2**15, 2**16, 2**28, 2**31, 2**32, 2**62,
    2**63 - 1, 2**63, 2**64 - 1, -(2**31), -(2**63), 0.0, 0.5, -1.5, float("inf"), float("-inf"),
    float("nan"), 1e308, "", "a", "abcdefgh", "|u1", "<i2", "<f4", "|O", "in.video", "é", "x" * 300,
    b"", b"\xc1", b"123", b"abc" * 100, [], {}, [[]], [0], [1, 0], [1, 0, 0], ["a", 1, 2],
    [["|u1", [8, 8, 3], 0]], {"a": 1}, {1: {}}, [None] * 300,
)  # fmt: skip


class Reads(Node):
    """Does with every field what nodes do."""

    inputs: ClassVar[dict[str, Input]] = {
        "video": Latest(VideoFrame),
        "face": Latest(FaceTrack),
        "edit": Latest(FaceEdit),
        "affect": Latest(Affect),
        "audio": Fifo(AudioFrame),
    }

    def on_audio(self, audio: AudioFrame) -> Outputs:
        assert int(audio.samples.sum()) == 0
        assert len(audio.samples) / audio.rate_hz >= 0
        assert float(audio.pts * audio.time_base) * 0 == 0
        return None

    def on_video(self, video: VideoFrame) -> Outputs:
        height, width, channels = video.pixels.shape
        assert min(height, width) > 0
        assert channels == 3
        assert float(video.pts * video.time_base) * 0 == 0
        assert f"{video.name}{video.cut}".isprintable() or video.name
        return None

    def process(self, *, face: FaceTrack, edit: FaceEdit, affect: Affect) -> Outputs:
        assert face.capture_ns == edit.capture_ns == affect.capture_ns
        assert face.landmarks.shape == (478, 3)
        assert 0 * (face.confidence + face.faces + affect.valence + affect.arousal) == 0
        assert len(affect.source) > 3
        return None


@dataclass
class Found:
    """What became of them."""

    refused: Counter[str]
    accepted: int = 0
    escaped: int = 0
    seconds: float = 0.0
    grown_mb: float = 0.0


class Bench:
    """A process's receiving end without its sockets: reader, executor, runner, node."""

    def __init__(self, seed: int, source: str = "in") -> None:
        self.random = random.Random(seed)
        self.ring = shm.Ring.create(RUN, 48, 64 * 1024)
        self.reader = HeaderReader(RUN)
        spec = NodeSpec("reads", "tests:Reads", Reads, {}, None, "main", {})
        spec.inputs = {port: ("in", port) for port in Reads.inputs}
        self.runner = Runner(spec, self, None, lossless=False, services={}, shared={})
        self.runner.setup()
        self.errors: list[str] = []
        self.executor = ThreadExecutor("fuzz", lossless=False)
        self.executor.escaped = lambda error: self.errors.append(repr(error))
        self.executor.started = True  # its work is done here, by claiming
        self.valid: list[tuple[list[Any], list[Any], bytes]] = []
        for port, message in MESSAGES.items():
            self.runner.incoming[port] = EdgeStats()
            queue = InputQueue(Reads.inputs[port], lossless=False)
            queue.consumers.append((self.runner, port))
            queue.edges.append(self.runner.incoming[port])
            self.reader.add(f"{source}.{port}", type(message), self.executor, queue)
            packed = pack(Envelope(message, 7, (("camera", 1, 2), ("tracker", 3, 4))))
            payload = packed.payload().tobytes()
            for segment in (None, self.ring.path.name):
                description = [f"{source}.{port}", _lists(packed.layout), segment]
                self.valid.append((description, _lists(packed.values), payload))

    def event(self, level: str, text: str) -> None:
        self.errors.append(text)

    def failed(self, error: MienError) -> None:
        self.errors.append(str(error))

    def ended(self, runner: Runner) -> None:
        return None

    def clock_offset_ns(self, origin: str) -> int:
        return 0

    def header(self) -> tuple[bytes, bytes | None]:
        """A damaged header, and the payload beside it."""
        chance = self.random
        description, values, payload = chance.choice(self.valid)
        inline = None if description[2] else payload
        values = [None if inline else chance.randrange(self.ring.slots), *values]
        kind = chance.randrange(5)
        if kind == 0:
            return chance.randbytes(chance.randrange(200)), inline
        if kind == 1:
            description = self._spoil(description)
        if kind in (2, 3):
            values = self._spoil(values)
        packed = to_bytes(description)
        header = to_bytes([chance.choice(NASTY) if chance.random() < 0.02 else packed, *values])
        if kind == 4:
            header = self._cut(header)
        if chance.random() < 0.1:
            inline = chance.choice((None, b"", b"x", payload + payload, payload[:-1]))
        return header, inline

    def refused(self) -> list[bytes]:
        """A damaged message that is refused, in its parts."""
        while True:
            header, inline = self.header()
            try:
                self.reader.read(header, inline)
            except (ValueError, OSError):
                return [header] if inline is None else [header, inline]

    def _spoil(self, items: list[Any]) -> list[Any]:
        """One value at any depth taken out, put in, or made another."""
        items = _lists(items)
        inner = items
        while (deeper := [item for item in inner if type(item) is list and item]) and (
            self.random.random() < 0.6
        ):
            inner = self.random.choice(deeper)
        place = self.random.randrange(len(inner))
        what = self.random.randrange(4)
        if what == 0:
            del inner[place]
        elif what == 1:
            inner.insert(place, self.random.choice(NASTY))
        else:
            inner[place] = self.random.choice(NASTY)
        return items

    def _cut(self, header: bytes) -> bytes:
        """Bytes changed, cut off or doubled."""
        data = bytearray(header)
        for _ in range(self.random.randrange(1, 4)):
            place = self.random.randrange(len(data))
            what = self.random.randrange(4)
            if what == 0:
                del data[place:]
            elif what == 1:
                data[place:place] = data[: self.random.randrange(20)]
            else:
                data[place] = self.random.randrange(256)
            if not data:
                break
        return bytes(data)

    def throw(self, count: int) -> Found:
        """So many headers, one after the other."""
        found = Found(Counter())
        began_s, before_kb = time.monotonic(), _peak_kb()
        for _ in range(count):
            header, inline = self.header()
            for slot in range(self.ring.slots):
                self.ring.mark_sent(slot)
            try:
                envelope, targets = self.reader.read(header, inline)
            except (ValueError, OSError) as error:
                found.refused[str(error).partition(":")[0][:40]] += 1
                continue
            found.accepted += 1
            for _, queue in targets:
                self.executor.work(self.executor.claim_or_put(queue, envelope))
            del envelope
        found.escaped = len(self.errors) + self.runner.stats.errors
        found.seconds = time.monotonic() - began_s
        found.grown_mb = (_peak_kb() - before_kb) / 1024
        return found

    def close(self) -> None:
        self.reader.close()
        self.ring.close()


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(arguments: list[str]) -> int:
    count = int(arguments[0]) if arguments else 100_000
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    bench = Bench(seed)
    try:
        found = bench.throw(count)
    finally:
        bench.close()
    print(
        f"{count} headers, seed {seed}: {sum(found.refused.values())} refused,"
        f" {found.accepted} taken, {found.escaped} escaped, {found.seconds:.1f} s,"
        f" memory grew by {found.grown_mb:.1f} MB at most"
    )
    for text, number in found.refused.most_common(12):
        print(f"{number:8} {text}")
    for text in bench.errors[:5]:
        print(f"escaped: {text}")
    return 1 if found.escaped or found.grown_mb > GROWTH_MB_MOST else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
