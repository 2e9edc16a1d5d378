"""What the way out says about itself, and the bitrate that its viewers can take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.node import Context

if TYPE_CHECKING:
    from media.av_sync import AvSync
    from nodes.web.encode import EncodeWorker
    from nodes.web.viewer import Viewer

BINDING = 0.5  # a viewer's limit counts once we really send this share of our goal


class OutFigures:
    """Gauges and counters twice a second."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._bytes: dict[str, int] = {}
        self._at_s = asyncio.get_running_loop().time()
        self._counted: dict[str, int] = {}

    async def report(
        self, viewers: list[Viewer], workers: dict[str, EncodeWorker], sync: AvSync
    ) -> None:
        now_s = asyncio.get_running_loop().time()
        passed_s, self._at_s = max(now_s - self._at_s, 1e-3), now_s
        connected = [viewer for viewer in viewers if viewer.connected_s is not None]
        rates = {}
        for viewer in connected:
            sent = viewer.sent_bytes - self._bytes.get(viewer.id, 0)
            rates[viewer.id] = sent * 8 / passed_s
        self._bytes = {viewer.id: viewer.sent_bytes for viewer in connected}
        gauge = self._context.gauge
        gauge("viewers", len(connected))
        gauge("codec", " ".join(sorted(workers)) or "none")
        gauge("bitrate_kbps", round(max(rates.values(), default=0.0) / 1000))
        if sizes := [worker.size for worker in workers.values() if worker.encoded]:
            gauge("size", f"{sizes[0][0]}x{sizes[0][1]}")
        for name, worker in workers.items():
            _limit(worker, [viewer for viewer in connected if viewer.codec == name], rates)
            gauge(f"target_kbps_{name.lower()}", worker.target_bps(*worker.size) // 1000)
            self._count(f"encoded_{name.lower()}", worker.encoded, str(id(worker)))
            self._count("encoder_drops", worker.dropped, str(id(worker)))
            self._count("key_frames", worker.keys, str(id(worker)))
        if sync.drift_ns is not None and connected:
            gauge("av_drift_ms", round(sync.drift_ns / 1e6, 2))
            gauge("voice_delay_ms", round(sync.delay_ns / 1e6, 1))
            self._context.observe("av_drift", abs(sync.drift_ns) / 1e6)
        self._count("audio_gaps", sync.figures.gaps)
        self._count("audio_splices", sync.figures.splices)
        self._count("audio_jumps", sync.figures.jumps)
        self._count("viewer_drops", sum(viewer.skipped for viewer in viewers))
        worst: dict[str, float] = {}
        for viewer in connected:
            for key, value in (await viewer.figures()).items():
                worst[key] = max(worst.get(key, 0.0), value)
        for key, value in worst.items():
            gauge(key, round(value, 4))

    def _count(self, name: str, total: int, owner: str = "") -> None:
        key = name + owner
        new = total - self._counted.get(key, 0)
        self._counted[key] = total
        if new > 0:
            self._context.count(name, new)


def _limit(worker: EncodeWorker, viewers: list[Viewer], rates: dict[str, float]) -> None:
    """Follow the least of the viewers' estimates that says something.

    A receiver estimates little more than what it gets: an estimate below our goal counts only
    when we really send near it, else a still picture would starve the moving one after it.
    """
    limits = []
    for viewer in viewers:
        limit = viewer.remb.limit_bps
        if limit is None:
            continue
        known = worker.bitrate_limit_bps or worker.target_bps(*worker.size)
        if limit >= known or rates.get(viewer.id, 0.0) > BINDING * known:
            limits.append(limit)
        else:
            limits.append(known)
    worker.bitrate_limit_bps = min(limits, default=None)
