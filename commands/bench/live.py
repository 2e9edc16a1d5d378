"""Camera to screen through a real browser: latency, frame rate, freezes, drift of the sound.

A headless Chromium plays the user. It sends a clip of a moving face, with numbered pictures
and a marker in the sound each second, to the engine of `run_engine.py live`, and
plays what comes back. Latency is the time from the camera's picture in the page to the moment at
which the browser expects to show the returned one. The first seconds (--warmup) don't count.

--peers sends the same clip from the same browser and page through a bare aiortc echo, half of it
before and half after the engine. Ctrl-C ends early with the figures so far.

Examples:
  run_engine.py bench live --seconds 60 --peers --json live.json
  run_engine.py bench live --seconds 1800             the soak: memory, drops, drift by the minute
  run_engine.py bench live --input me.mp4 --emotion sad --intensity 0.5
"""

from __future__ import annotations

import argparse
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from commands.bench.browser import MAX_BITRATE_BPS, BrowserUser, find_chromium, need_playwright
from commands.bench.clip import Clip, make_clip
from commands.bench.report import (
    check_writable,
    console,
    environment,
    latency_table,
    print_environment,
    write_json,
)
from commands.bench.server import EchoServer, EngineServer, Resources, Server, temporary_folder
from commands.bench.stats import Marks, per_minute, summarize
from commands.numbers import INTENSITY, within
from engine.errors import MienError, UsageError
from face.types import EMOTIONS

SECONDS = 60.0
PEER_MOST_S = 60.0
DRAIN_EVERY_S = 2.0
FIRST_PICTURE_WITHIN_S = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", action="store_true", help="compare with a bare aiortc echo")
    parser.add_argument(
        "--warmup", type=within(float, 0.0, 1e6), default=8.0, help="seconds left out (default 8)"
    )
    parser.add_argument("--size", default="640x480", help="of the camera (default 640x480)")
    parser.add_argument(
        "--fps", type=within(int, 1, 240), default=30, help="of the camera (default 30)"
    )
    parser.add_argument("--input", type=Path, help="a video to take the face from")
    parser.add_argument(
        "--emotion", choices=EMOTIONS, default="happy", help="what the face wears (default happy)"
    )
    parser.add_argument("--intensity", type=INTENSITY, default=0.8, help="0 to 1 (default 0.8)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="NODE.PARAMETER=VALUE",
        help="a parameter of the engine's graph",
    )


def run(options: argparse.Namespace) -> int:
    width, height = _size(options.size)
    for name, low, high in (("fps", 1, 120), ("intensity", 0, 1), ("warmup", 0, 600)):
        if not low <= getattr(options, name) <= high:
            raise UsageError(f"--{name} {getattr(options, name):g}: from {low} to {high}")
    check_writable(options.json)
    need_playwright()
    find_chromium()
    about = environment()
    settings = {
        "size": f"{width}x{height}",
        "camera_fps": options.fps,
        "seconds": options.seconds,
        "warmup_s": options.warmup,
        "emotion": options.emotion,
        "intensity": options.intensity,
        "max_bitrate_bps": MAX_BITRATE_BPS,
        "set": options.settings,
    }
    with _flag_of_interrupt() as interrupted, temporary_folder() as folder:
        clip = make_clip(Path(folder), width, height, options.fps, options.input)
        settings["clip"] = clip.source
        print_environment(about, settings)
        arguments = ["--emotion", options.emotion, "--intensity", str(options.intensity)]
        for setting in options.settings:
            arguments += ["--set", setting]
        peer_s = min(options.seconds, PEER_MOST_S) / 2
        echoes = []
        if options.peers:
            echoes.append(_Call(EchoServer(), clip, options.warmup, peer_s, interrupted))
        engine = _Call(EngineServer(arguments), clip, options.warmup, options.seconds, interrupted)
        if options.peers:
            echoes.append(_Call(EchoServer(), clip, options.warmup, peer_s, interrupted))
        for call in [*echoes[:1], engine, *echoes[1:]]:
            if not interrupted():
                call.run()
    if engine.measured_s <= 0:
        raise MienError("nothing was measured: stopped before the warm-up was over")
    report: dict[str, Any] = {"benchmark": "live", **about, "settings": settings}
    report["interrupted"] = interrupted()
    report |= engine.report()
    if measured := [echo for echo in echoes if echo.measured_s > 0]:
        report["peers"] = {"bare_echo": _together([echo.report() for echo in measured])}
        report["ratio_to_bare_echo"] = round(
            report["glass_to_glass_ms"]["p50"]
            / report["peers"]["bare_echo"]["glass_to_glass_ms"]["p50"],
            3,
        )
    _print(report)
    if options.json:
        write_json(options.json, report)
    return 0


class _Call:
    """One call of the browser to one server, and what was noted."""

    def __init__(
        self,
        server: Server,
        clip: Clip,
        warmup_s: float,
        seconds: float,
        interrupted: Callable[[], bool],
    ) -> None:
        self.server = server
        self.clip = clip
        self.warmup_s = warmup_s
        self.seconds = seconds
        self.interrupted = interrupted
        self.marks = Marks()
        self.start_ms = self.end_ms = 0.0
        self.facts: dict[str, Any] = {}

    @property
    def measured_s(self) -> float:
        return (self.end_ms - self.start_ms) / 1000

    def run(self) -> None:
        """Start both, warm up, measure. Raises MienError where no picture returns."""
        from playwright.sync_api import Error

        with self.server as server, BrowserUser(self.clip) as browser:
            self.facts["chromium"] = browser.version
            self.facts["server_start_s"] = round(server.start_s, 2)
            started = browser.connect(server.url)
            first = self._first_picture(browser)
            self.facts["first_picture_s"] = round((first - started["startedAt"]) / 1000, 2)
            self._collect(browser, self.warmup_s, "warm-up")
            before = browser.stats()
            self.start_ms = self.end_ms = browser.drain_into(self.marks)
            with Resources(server) as resources:
                try:
                    self._collect(browser, self.seconds, f"measuring {server.name}")
                    after = browser.stats()
                    self.end_ms = browser.drain_into(self.marks)
                    self.facts["browser"] = _between(before, after)
                except Error as gone:
                    # Ctrl-C may take the browser's driver with it; what came until then counts.
                    if not self.interrupted():
                        line = gone.message.splitlines()[0]
                        raise MienError(f"the browser went away: {line}") from None
            self.facts |= resources.summary()
            self.facts["engine"] = resources.metrics
            self.resources = resources

    def _first_picture(self, browser: BrowserUser) -> float:
        deadline_s = time.monotonic() + FIRST_PICTURE_WITHIN_S
        while time.monotonic() < deadline_s and not self.interrupted():
            browser.drain_into(self.marks)
            known = [picture for picture in self.marks.returned if picture.number is not None]
            if known:
                return known[0].shown_ms
            time.sleep(0.2)
        if self.interrupted():
            raise MienError("stopped before a picture returned")
        why = "; ".join(self.marks.problems) or f"{len(self.marks.returned)} without a number"
        raise MienError(f"no picture returned from {self.server.name}: {why}")

    def _collect(self, browser: BrowserUser, seconds: float, what: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        began = time.monotonic()
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(what, total=seconds)
            while not self.interrupted():
                passed = time.monotonic() - began
                progress.update(task, completed=min(passed, seconds))
                if passed >= seconds:
                    break
                time.sleep(min(DRAIN_EVERY_S, seconds - passed))
                self.end_ms = browser.drain_into(self.marks)

    def report(self) -> dict[str, Any]:
        """Figures of the measured time."""
        size = (self.clip.width_px, self.clip.height_px)
        figures = summarize(self.marks, self.start_ms, self.end_ms, *size)
        figures["unreadable"] = self.marks.unreadable
        if self.measured_s >= 120:
            figures["minutes"] = self._minutes(size)
        figures |= self.facts
        figures["problems"] = self.marks.problems[:20]
        return figures

    def _minutes(self, size: tuple[int, int]) -> list[dict[str, Any]]:
        rows = per_minute(self.marks, self.start_ms, self.end_ms, *size)
        samples = self.resources.rows
        for row in rows:
            at_s = samples[0]["at_s"] + 60 * (row["minute"] + 1)
            nearest = min(samples, key=lambda sample: abs(sample["at_s"] - at_s))
            row["memory_mb"] = {
                name: round(value, 1) for name, value in nearest["memory_mb"].items()
            }
        return rows


def _between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What the browser says of its own encoder, decoder and buffers, over the measured time."""

    def gain(key: str, name: str) -> float:
        return float(after.get(key, {}).get(name, 0)) - float(before.get(key, {}).get(name, 0))

    def per(key: str, name: str, count: str) -> float | None:
        number = gain(key, count)
        return round(1000 * gain(key, name) / number, 2) if number else None

    out, back = "up.outbound-rtp.video", "down.inbound-rtp.video"
    sound = "down.inbound-rtp.audio"
    last_out, last_back = after.get(out, {}), after.get(back, {})
    seconds = (last_back.get("timestamp", 0) - before.get(back, {}).get("timestamp", 0)) / 1000
    return {
        "encode_ms": per(out, "totalEncodeTime", "framesEncoded"),
        "send_delay_ms": per(out, "totalPacketSendDelay", "packetsSent"),
        "frames_encoded": int(gain(out, "framesEncoded")),
        "sent_kbps": round(8 * gain(out, "bytesSent") / seconds / 1000) if seconds else None,
        "sent_size": f"{last_out.get('frameWidth')}x{last_out.get('frameHeight')}",
        "limited_by": last_out.get("qualityLimitationReason"),
        "encoder": last_out.get("encoderImplementation"),
        "round_trip_ms": round(
            1000 * after.get("up.remote-inbound-rtp.video", {}).get("roundTripTime", 0), 2
        ),
        "jitter_buffer_ms": per(back, "jitterBufferDelay", "jitterBufferEmittedCount"),
        "jitter_buffer_target_ms": per(back, "jitterBufferTargetDelay", "jitterBufferEmittedCount"),
        "jitter_buffer_minimum_ms": per(
            back, "jitterBufferMinimumDelay", "jitterBufferEmittedCount"
        ),
        "assembly_ms": per(back, "totalAssemblyTime", "framesAssembledFromMultiplePackets"),
        "decode_ms": per(back, "totalDecodeTime", "framesDecoded"),
        "processing_ms": per(back, "totalProcessingDelay", "framesDecoded"),
        "frames_decoded": int(gain(back, "framesDecoded")),
        "frames_dropped": int(gain(back, "framesDropped")),
        "returned_kbps": round(8 * gain(back, "bytesReceived") / seconds / 1000)
        if seconds
        else None,
        "packets_lost": int(gain(back, "packetsLost")),
        "sound_buffer_ms": per(sound, "jitterBufferDelay", "jitterBufferEmittedCount"),
        "sound_concealed": int(gain(sound, "concealedSamples")),
    }


def _together(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Two halves of a peer as one: the mean of their percentiles, weighted by seconds."""
    whole = sum(report["seconds"] for report in reports)
    merged: dict[str, Any] = {"seconds": round(whole, 1), "parts": reports}
    for key in ("fps", "sent_fps"):
        merged[key] = round(sum(r[key] * r["seconds"] for r in reports) / whole, 2)
    for key in ("glass_to_glass_ms", "av_drift_ms", "av_drift_signed_ms", "until_received_ms"):
        filled = [report for report in reports if report[key]]
        weight = sum(report["seconds"] for report in filled)
        merged[key] = {
            share: round(sum(r[key][share] * r["seconds"] for r in filled) / weight, 2)
            for share in (("p50", "p95", "p99") if filled else ())
        }
    for key in ("drops", "freezes"):
        merged[key] = sum(report[key] for report in reports)
    return merged


def _print(report: dict[str, Any]) -> None:
    peers = report.get("peers", {})
    rows = {"glass to glass": report["glass_to_glass_ms"]}
    if peers:
        rows["  bare echo"] = peers["bare_echo"]["glass_to_glass_ms"]
    rows |= {
        "until received": report["until_received_ms"],
        "received to shown": report["received_to_shown_ms"],
        "picture to picture": report["shown_gap_ms"],
        "|A/V drift|": report["av_drift_ms"],
        "A/V drift, + voice late": report["av_drift_signed_ms"],
    }
    console.print(latency_table("ms", rows))
    console.print(
        f"{report['fps']} fps at full size ({report['sent_fps']} sent), {report['drops']} of "
        f"{report['sent']} dropped, {report['freezes']} freezes, first picture after "
        f"{report['first_picture_s']} s, server up after {report['server_start_s']} s"
    )
    if "ratio_to_bare_echo" in report:
        echo = peers["bare_echo"]
        console.print(
            f"{report['ratio_to_bare_echo']} times the bare echo's latency "
            f"(which shows {echo['fps']} fps)"
        )
    for name, memory in report["memory_mb"].items():
        console.print(
            f"{name}: {memory['start']:.0f} -> {memory['end']:.0f} MB "
            f"({memory['growth_percent']:+.1f} %), {report['cpu_percent'][name]:.0f} % of a core"
        )


@contextmanager
def _flag_of_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM set a flag; the figures so far are still wanted."""
    seen: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda received, _: seen.append(received))
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found or not all(
        160 <= int(side) <= 1920 and int(side) % 2 == 0 for side in found.groups()
    ):
        raise UsageError(f"--size {text}: write it as 640x480, even numbers from 160 to 1920")
    return int(found[1]), int(found[2])
