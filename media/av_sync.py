"""The voice's delay line: sound leaves when the picture of the same moment does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from engine.types import F32, I16

RATE_HZ = 48_000
BLOCK = 480  # 10 ms: half the packet time of most, and a receiver buffers by packets
NS_PER_SAMPLE = 1_000_000_000 / RATE_HZ
KEEP_S = 3.0
STRETCH_MOST = 0.005  # resampling by half a percent isn't heard
STRETCH_PER_S = 0.25  # ask for this share of the error per second
SPLICE_FROM_NS = 25_000_000  # above this error, splice rather than stretch
SPLICE_MOST = RATE_HZ * 20 // 1000
SPLICE_REST_BLOCKS = 8
FADE = RATE_HZ * 5 // 1000
SEARCH = RATE_HZ * 4 // 1000
QUIET = 0.003  # RMS of full scale
GAP_FROM_NS = 15_000_000  # stamps that differ by more than this from the sample count: a gap
EXACT_GAP_NS = 2_000_000
MOVED_NS = 300_000_000
LATE_MARGIN_NS = 3_000_000
LATE_BLOCKS = 300
LATE_EVERY = 16
LATE_MOST_NS = 100_000_000  # a block is waited for so long before silence takes its place
DEAD_ZONE_NS = 1_500_000
FADE_IN: F32 = (0.5 - 0.5 * np.cos(np.pi * (np.arange(FADE) + 0.5) / FADE)).astype(np.float32)[
    :, None
]


@dataclass
class Figures:
    """What the delay line has done since the start."""

    gaps: int = 0  # blocks with silence in place of sound that didn't come
    splices: int = 0
    jumps: int = 0
    overflows: int = 0


class SmoothedDelay:
    """The picture's delay, smoothed: follows a step in two seconds, ignores short stalls."""

    def __init__(self) -> None:
        self.ns: float | None = None
        self._recent: deque[int] = deque(maxlen=30)

    def add(self, delay_ns: int) -> None:
        self._recent.append(delay_ns)
        median = float(sorted(self._recent)[len(self._recent) // 2])
        self.ns = median if self.ns is None else self.ns + 0.06 * (median - self.ns)


class AvSync:
    """Sound in by capture time, sound out block by block, ``delay`` after its capture.

    ``push`` and ``pull`` are called from one thread. Samples are float32 [N, 2] inside. The delay
    is the picture's less ``lead_ns`` (what a receiver holds sound for longer than pictures), or
    more where sound comes too late for that; it changes by stretching at most half a percent,
    larger errors by splices that cross-fade where the waveforms match best.
    """

    def __init__(self, lead_ns: int = 0) -> None:
        self.picture = SmoothedDelay()
        self.lead_ns = lead_ns
        self.figures = Figures()
        self._buffer: F32 = np.zeros((0, 2), np.float32)
        self._start_ns = 0.0  # capture time of the buffer's first sample
        self._position = 0.0  # next sample to play, as an index into the buffer
        self._playing = False
        self._rest = 0
        self._tail: F32 = np.zeros((FADE, 2), np.float32)
        self._silent = True
        self._late: deque[int] = deque(maxlen=LATE_BLOCKS)
        self._late_ns = 0  # what nine in ten keep to
        self._pushes = 0
        self._media_end_ns = 0.0  # media time right after the newest sample
        self._chunk = float(BLOCK)  # how long the blocks that come are, in samples
        self._delay_ns = 0.0
        self._captured_ns = 0.0

    @property
    def captured_ns(self) -> int:
        """When the first sample of the block last pulled was captured."""
        return round(self._captured_ns)

    @property
    def delay_ns(self) -> float:
        """How long after its capture the next sample would have left at the last ``pull``."""
        return self._delay_ns

    @property
    def drift_ns(self) -> float | None:
        """Sound's delay less what it is to be: positive where the sound is late; None: no sound."""
        if not self._playing or self.picture.ns is None:
            return None
        return self._delay_ns + self.lead_ns - self.picture.ns

    def reset(self) -> None:
        """Forget the sound that waits (a new publisher, nobody listened)."""
        self._buffer = self._buffer[:0]
        self._position = 0.0
        self._playing = False
        self._late.clear()
        self._late_ns = 0

    def push(self, samples: I16, capture_ns: int, now_ns: int, media_ns: int | None = None) -> None:
        """``samples`` int16 [N, 1 or 2] at 48 kHz that reached us at ``now_ns``.

        ``media_ns``, the sender's own count, says whether something is missing between two blocks;
        without it the capture stamps do, which are less exact.
        """
        block = samples.astype(np.float32) * np.float32(1 / 32768)
        if block.shape[1] == 1:
            block = np.repeat(block, 2, axis=1)
        elif block.shape[1] > 2:
            block = block[:, :2]
        length_ns = len(block) * NS_PER_SAMPLE
        self._late.append(min(int(now_ns - capture_ns - length_ns), 300_000_000))
        self._pushes += 1
        if self._pushes % LATE_EVERY == 0 or len(self._late) < LATE_EVERY:
            self._late_ns = sorted(self._late)[len(self._late) * 9 // 10]
        self._chunk = max(float(BLOCK), len(block), self._chunk + 0.01 * (len(block) - self._chunk))
        exact = media_ns is not None
        media = float(capture_ns if media_ns is None else media_ns)
        off_ns = media - self._media_end_ns
        self._media_end_ns = media + length_ns
        if not len(self._buffer) or abs(off_ns) > KEEP_S * 1e9:
            self._buffer, self._start_ns, self._position = block, float(capture_ns), 0.0
            self._playing = False
            return
        if off_ns > (EXACT_GAP_NS if exact else GAP_FROM_NS):
            hole = np.zeros((round(off_ns / NS_PER_SAMPLE), 2), np.float32)
            self._buffer = np.concatenate([_faded_end(self._buffer), hole])
            block = _faded_start(block)
            self.figures.gaps += 1
        elif off_ns < -(EXACT_GAP_NS if exact else GAP_FROM_NS):
            block = block[min(len(block), round(-off_ns / NS_PER_SAMPLE)) :]
            self._media_end_ns = max(self._media_end_ns, media - off_ns)
        elif not exact:
            self._media_end_ns -= 0.95 * off_ns  # stamps wander a little: follow slowly
        moved_ns = capture_ns - self._start_ns - len(self._buffer) * NS_PER_SAMPLE
        if len(block):
            self._start_ns += moved_ns if abs(moved_ns) > MOVED_NS else 0.04 * moved_ns
        self._buffer = np.concatenate([self._buffer, block])
        most = int(KEEP_S * RATE_HZ)
        if len(self._buffer) > most:
            self._drop(len(self._buffer) - most)
            self.figures.overflows += 1

    def pull(self, due_ns: int, now_ns: int | None = None) -> I16 | None:
        """The block [480, 2] that was to leave at ``due_ns``; silence where there is none.

        None: its sound isn't here yet, ask again at the next ``push`` or a little later.
        """
        waited_ns = 0 if now_ns is None else now_ns - due_ns
        target_ns = self._target_ns()
        self._captured_ns = due_ns - target_ns
        if not self._playing:
            position = (due_ns - target_ns - self._start_ns) / NS_PER_SAMPLE
            if not len(self._buffer) or not 0 <= position < len(self._buffer):
                return self._silence()
            self._position = position
            self._playing = True
            self._silent = True
        media_ns = self._start_ns + self._position * NS_PER_SAMPLE
        error_ns = due_ns - media_ns - target_ns  # positive: behind, play faster
        self._delay_ns = due_ns - media_ns + max(0, waited_ns)
        if abs(error_ns) > 500_000_000:
            self._position += error_ns / NS_PER_SAMPLE
            self.figures.jumps += 1
            self._silent = False
            if not 0 <= self._position <= len(self._buffer) - BLOCK:
                self._playing = False
                return self._silence()
            return self._emit(self._read(BLOCK, 1.0), splice=True)
        if abs(error_ns) > SPLICE_FROM_NS and self._rest == 0 and self._splice(error_ns):
            return self._emit(self._read(BLOCK, 1.0), splice=True)
        ratio = 1.0
        if abs(error_ns) > DEAD_ZONE_NS:
            ratio += max(-STRETCH_MOST, min(STRETCH_MOST, error_ns / 1e9 * STRETCH_PER_S))
        if self._position + BLOCK * ratio + 2 > len(self._buffer):
            if waited_ns < LATE_MOST_NS:
                return None
            self.figures.gaps += 1
            self._playing = False
            return self._silence()
        self._rest = max(0, self._rest - 1)
        return self._emit(self._read(BLOCK, ratio))

    def _target_ns(self) -> float:
        floor_ns = self._chunk * NS_PER_SAMPLE + max(0, self._late_ns) + LATE_MARGIN_NS
        return max((self.picture.ns or 0.0) - self.lead_ns, floor_ns)

    def _read(self, count: int, ratio: float) -> F32:
        """``count`` samples from the position, ``ratio`` input samples for each; linear between."""
        self._captured_ns = self._start_ns + self._position * NS_PER_SAMPLE
        if ratio == 1.0:
            first = int(self._position)
            block = self._buffer[first : first + count]
            self._position = first + float(count)
            return block.copy()
        at = self._position + ratio * np.arange(count, dtype=np.float64)
        index = at.astype(np.int64)
        part = (at - index).astype(np.float32)[:, None]
        self._position += ratio * count
        low, high = self._buffer[index], self._buffer[np.minimum(index + 1, len(self._buffer) - 1)]
        result: F32 = low + part * (high - low)
        return result

    def _emit(self, block: F32, splice: bool = False) -> I16:
        if splice:
            block[:FADE] = block[:FADE] * FADE_IN + self._tail * (1 - FADE_IN)
        elif self._silent:
            block[:FADE] *= FADE_IN
        self._silent = False
        first = int(self._position)
        tail = self._buffer[first : first + FADE]
        self._tail = np.zeros((FADE, 2), np.float32)
        self._tail[: len(tail)] = tail  # what would have come next: a splice fades out of it
        spare = first - RATE_HZ // 10
        if spare > RATE_HZ // 2:
            self._drop(spare)
        return _to_int16(block)

    def _splice(self, error_ns: float) -> bool:
        """Move the position by up to 20 ms towards the goal, to where the waveform matches best."""
        step = int(max(-SPLICE_MOST, min(SPLICE_MOST, error_ns / NS_PER_SAMPLE)))
        here = int(self._position)
        low, high = here + step - SEARCH, here + step + SEARCH
        low, high = max(0, low), min(high, len(self._buffer) - BLOCK - 2)
        if high <= low:
            return False
        pattern = self._tail[:, 0]
        area = self._buffer[low : high + FADE, 0]
        if float(np.sqrt(np.mean(pattern**2))) < QUIET:
            best = min(max(here + step, low), high)
        else:
            match = np.correlate(area, pattern, mode="valid")
            energy = np.convolve(area**2, np.ones(FADE, np.float32), mode="valid")
            best = low + int(np.argmax(match / np.sqrt(energy + 1e-6)))
        self._position = float(best)
        self._rest = SPLICE_REST_BLOCKS
        self.figures.splices += 1
        return True

    def _silence(self) -> I16:
        block = np.zeros((BLOCK, 2), np.float32)
        if not self._silent:
            block[:FADE] = self._tail * (1 - FADE_IN)
            self._silent = True
        return _to_int16(block)

    def _drop(self, count: int) -> None:
        self._buffer = self._buffer[count:].copy()
        self._start_ns += count * NS_PER_SAMPLE
        self._position -= count
        if self._position < 0:
            self._position = 0.0
            self._playing = False


def _to_int16(block: F32) -> I16:
    result: I16 = np.clip(np.rint(block * 32768), -32768, 32767).astype(np.int16)
    return result


def _faded_end(block: F32) -> F32:
    count = min(FADE, len(block))
    block = block.copy()
    block[len(block) - count :] *= FADE_IN[::-1][FADE - count :]
    return block


def _faded_start(block: F32) -> F32:
    count = min(FADE, len(block))
    block = block.copy()
    block[:count] *= FADE_IN[:count]
    return block
