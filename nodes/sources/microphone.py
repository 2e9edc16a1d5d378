"""Microphone: sound from a device of this machine, stamped at capture; it comes back by itself."""

from __future__ import annotations

import contextlib
import queue
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from engine.errors import MienError
from engine.node import Source
from engine.parameters import parameter
from engine.program import program
from engine.types import I16, AudioFrame
from nodes.sources.retries import Retries

_NS: Final = 1_000_000_000
_DEPTH: Final = 64
_SILENT_NS: Final = 2 * _NS
_REOPEN_NS: Final = 2 * _NS
_JUMP_NS: Final = 50_000_000
_FOLLOW: Final = 0.05
_RATES_HZ: Final = (48_000, 44_100, 32_000, 96_000, 16_000, 8_000)
_HOSTS: Final = ("Windows WASAPI", "Windows DirectSound", "MME", "Windows WDM-KS")
"""of several systems that offer one microphone, the better first"""


class Microphone(Source):
    """Record a microphone. -> audio, in blocks of ``block_ms``.

    A device that can't do the rate or number of channels that were asked for is opened as it can
    be: its own rate goes out, and of its channels those from ``first_channel`` on.
    The device's clock is followed smoothly, so stamps don't jitter with the callbacks. Blocks
    that nobody takes in time are dropped, oldest first, and counted (``overruns``).
    """

    outputs: ClassVar = {"audio": AudioFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        device: str = parameter("default", "its number, or a part of its name", live=False)
        rate_hz: int = parameter(
            48_000, "samples a second", low=8_000, high=96_000, unit="Hz", live=False
        )
        channels: int = parameter(1, "1 mono, 2 stereo", low=1, high=2, live=False)
        first_channel: int = parameter(
            1, "of a device with many, the one that the voice comes in at", low=1, high=64,
            live=False,
        )  # fmt: skip
        block_ms: int = parameter(20, "length of a block", low=5, high=100, unit="ms", live=False)

    _stream: Any = None

    def setup(self) -> None:
        self._sound: Any = None
        self._blocks: queue.Queue[tuple[int, bytes]] = queue.Queue(_DEPTH)
        self._retries = Retries(self.context.clock, _REOPEN_NS)
        self._expected_ns: int | None = None
        self._heard_ns = 0

    def read(self) -> AudioFrame | None:
        clock = self.context.clock
        if self._stream is None:
            if not self._retries.due():
                return None
            if not self._open():
                self._retries.failed()
                return None
        try:
            measured_ns, content = self._blocks.get(timeout=0.2)
        except queue.Empty:
            if clock.now_ns() - self._heard_ns > _SILENT_NS or not self._stream.active:
                self._lose()
            return None
        first = self.config.first_channel - 1
        every: I16 = np.frombuffer(content, np.int16).reshape(-1, self._width)
        capture_ns = self._smooth_ns(measured_ns, len(every))
        return AudioFrame(
            capture_ns=capture_ns,
            samples=np.ascontiguousarray(every[:, first : first + self.config.channels]),
            rate_hz=self._rate_hz,
            pts=capture_ns,
        )

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    def _open(self) -> bool:
        config = self.config
        try:
            self._sound = self._sound or load_portaudio()
        except MienError as error:  # it may be installed meanwhile; the picture goes on
            self.context.status("failed", str(error))
            return False
        try:
            device = pick(self._sound, config.device)
            needed = config.first_channel - 1 + config.channels
            self._rate_hz, self._width = fit(self._sound, device, config.rate_hz, needed)
            if self._width < config.first_channel:
                raise ValueError(f"it has {self._width} channels, no number {config.first_channel}")
            stream = self._sound.RawInputStream(
                device=device,
                samplerate=self._rate_hz,
                channels=self._width,
                dtype="int16",
                blocksize=self._rate_hz * config.block_ms // 1000,
                callback=self._heard,
            )
            self._expected_ns = None
            self._heard_ns = self.context.clock.now_ns()
            stream.start()
        except (self._sound.PortAudioError, ValueError) as error:
            reason = " ".join(str(error).split())
            self.context.status(
                "failed",
                f"no sound from microphone '{config.device}': {reason}; plug one in or allow it "
                f"({program()} devices lists them)",
            )
            rescan(self._sound)
            return False
        self._stream = stream
        self.context.gauge("input_hz", self._rate_hz)
        self.context.gauge("input_channels", self._width)
        self.context.status("ok", "")
        return True

    def _lose(self) -> None:
        self.close()
        rescan(self._sound)
        self._retries.failed()
        self.context.count("lost", 1)
        self.context.status("failed", "the microphone went silent; plug it in again")

    def _heard(self, content: Any, frames: int, times: Any, flags: Any) -> None:
        """PortAudio's callback, in its own thread: stamp and leave."""
        now_ns = self.context.clock.now_ns()
        self._heard_ns = now_ns
        late_s = times.currentTime - times.inputBufferAdcTime
        if not 0 < late_s < 1:  # some hosts don't say
            late_s = frames / self._rate_hz
        item = (now_ns - int(late_s * 1e9), bytes(content))
        if flags.input_overflow:
            self.context.count("overruns", 1)
        while True:
            try:
                self._blocks.put_nowait(item)
                return
            except queue.Full:
                with contextlib.suppress(queue.Empty):  # the reader was quicker
                    self._blocks.get_nowait()
                    self.context.count("overruns", 1)

    def _smooth_ns(self, measured_ns: int, samples: int) -> int:
        """The stamp by counting samples, drawn slowly towards the measured one."""
        expected_ns = self._expected_ns
        if expected_ns is None or abs(measured_ns - expected_ns) > _JUMP_NS:
            expected_ns = measured_ns
        capture_ns = expected_ns + int(_FOLLOW * (measured_ns - expected_ns))
        self._expected_ns = capture_ns + samples * _NS // self._rate_hz
        return capture_ns


def load_portaudio() -> Any:
    """The sounddevice module. Raises MienError where the system lacks PortAudio."""
    try:
        import sounddevice
    except OSError:
        raise MienError(
            "PortAudio is not installed, so there is no microphone; "
            "install it (Debian, Ubuntu: apt install libportaudio2; Fedora: dnf install portaudio)"
        ) from None
    return sounddevice


def pick(sound: Any, device: str) -> int | None:
    """The number of the input ``device``; None is the system's choice. Raises ValueError."""
    inputs = {
        entry["index"]: entry for entry in sound.query_devices() if entry["max_input_channels"] > 0
    }
    if not inputs:
        raise ValueError("the system has no microphone")
    if device == "default":
        return None
    if device.isdecimal():
        if int(device) not in inputs:
            raise ValueError(f"there is no input {device}")
        return int(device)
    hosts = [host["name"] for host in sound.query_hostapis()]
    wanted = device.casefold()
    named: dict[int, tuple[bool, int]] = {}
    for index, entry in inputs.items():
        host = hosts[entry["hostapi"]]
        names = [entry["name"].casefold(), f"{entry['name']}, {host}".casefold()]
        if any(wanted in name for name in names):
            rank = _HOSTS.index(host) if host in _HOSTS else len(_HOSTS) + entry["hostapi"]
            named[index] = (wanted not in names, rank)
    if not named:
        raise ValueError("no input has that in its name")
    best = [index for index, order in named.items() if order == min(named.values())]
    if len(best) > 1:
        several = ", ".join(f"{index} ({inputs[index]['name']})" for index in best)
        raise ValueError(f"several inputs have that in their name, give a number: {several}")
    return best[0]


def fit(sound: Any, device: int | None, rate_hz: int, channels: int) -> tuple[int, int]:
    """Rate and number of channels nearest to those wanted at which ``device`` opens.

    Where none does, what was wanted: to open it then says why.
    """
    about = sound.query_devices(device, "input")
    widths = _once(channels, 2, about["max_input_channels"], 1)
    for rate in _once(rate_hz, int(about["default_samplerate"]), *_RATES_HZ):
        for width in widths:
            if width <= about["max_input_channels"] and opens(sound, device, rate, width):
                return rate, width
    return rate_hz, channels


def opens(sound: Any, device: int | None, rate_hz: int, channels: int) -> bool:
    """Whether an input can be opened in this way."""
    try:
        sound.check_input_settings(
            device=device, channels=channels, dtype="int16", samplerate=rate_hz
        )
    except (sound.PortAudioError, ValueError):
        return False
    return True


def _once(*values: int) -> list[int]:
    return list(dict.fromkeys(values))


def rescan(sound: Any) -> None:
    """Look for devices anew; PortAudio lists them only when it starts."""
    sound._terminate()
    sound._initialize()
