"""Microphone: steady stamps, a bounded store, and a device that comes, goes and comes back."""

from __future__ import annotations

import builtins
import queue
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.clock import FakeClock
from engine.errors import MienError
from engine.node import Context
from engine.parameters import build
from nodes.sources import microphone
from nodes.sources.microphone import Microphone

NS = 1_000_000_000
BLOCK = 960


class PortAudioError(Exception):
    pass


def entry(index: int, name: str, channels: int = 1, rate_hz: int = 48_000, host: int = 0) -> Any:
    """A device as sounddevice describes it."""
    return {
        "index": index,
        "name": name,
        "max_input_channels": channels,
        "default_samplerate": float(rate_hz),
        "hostapi": host,
    }


class Sound:
    """What the node uses of sounddevice; ``feed`` plays the driver's part."""

    PortAudioError = PortAudioError

    def __init__(
        self, clock: FakeClock, rates_hz: tuple[int, ...] = (48_000,), channels: int = 2
    ) -> None:
        self.clock = clock
        self.rates_hz = rates_hz
        self.widths = range(1, channels + 1)
        self.plugged = True
        self.entries = [entry(0, "USB Audio", channels, rates_hz[0])]
        self.hosts = ["ALSA"]
        self.rescans = 0
        self.stream: Any = None

    def query_devices(self, device: int | None = None, kind: str = "") -> Any:
        if kind:
            return self.entries[device or 0]
        return self.entries if self.plugged else []

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": name} for name in self.hosts]

    def check_input_settings(
        self, *, device: int | None, channels: int, dtype: str, samplerate: int
    ) -> None:
        if samplerate not in self.rates_hz:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        if channels not in self.widths:
            raise PortAudioError("Invalid number of channels [PaErrorCode -9998]")

    def RawInputStream(self, *, callback: Any, **options: Any) -> Any:  # noqa: N802
        if not self.plugged:
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        self.check_input_settings(
            device=None,
            channels=options["channels"],
            dtype="int16",
            samplerate=options["samplerate"],
        )
        self.options = options
        self.callback = callback
        self.stream = SimpleNamespace(
            active=True, start=lambda: None, abort=self._end, close=self._end
        )
        return self.stream

    def _end(self, ignore_errors: bool) -> None:
        self.stream.active = False

    def _terminate(self) -> None:
        self.rescans += 1

    def _initialize(self) -> None:
        pass

    def feed(self, value: int = 0, jitter_ns: int = 0, overflow: bool = False) -> None:
        """One block that took its 20 ms; the callback comes late by ``jitter_ns``."""
        self.clock.advance(20_000_000)
        frames, width = self.options["blocksize"], self.options["channels"]
        content = (
            (np.full((frames, width), value) + 1000 * np.arange(width)).astype("<i2").tobytes()
        )
        times = SimpleNamespace(
            currentTime=1.0 + jitter_ns / 1e9, inputBufferAdcTime=0.98 + 2 * jitter_ns / 1e9
        )
        flags = SimpleNamespace(input_overflow=overflow)
        self.callback(content, frames, times, flags)


class Bench:
    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        config: dict[str, Any] | None = None,
        **device: Any,
    ) -> None:
        self.clock = FakeClock(50 * NS)
        self.sound = Sound(self.clock, **device)
        monkeypatch.setattr(microphone, "load_portaudio", lambda: self.sound)
        self.statuses: list[tuple[str, str]] = []
        self.counts: dict[str, int] = {}
        self.gauges: dict[str, Any] = {}
        context = Context(
            clock=self.clock,
            status=lambda condition, text: self.statuses.append((condition, text)),
            gauge=self.gauges.__setitem__,
            count=lambda name, n: self.counts.__setitem__(name, self.counts.get(name, 0) + n),
        )
        self.node = Microphone(build(Microphone.Config, config or {}), context)
        self.node.setup()

    def start(self) -> None:
        self.node._blocks.put((0, b""))  # so that the first read returns at once
        self.node.read()
        self.node._expected_ns = None


def test_blocks_come_with_their_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.start()
    bench.sound.feed(7)
    frame = bench.node.read()
    assert frame is not None
    assert frame.samples.shape == (BLOCK, 1)
    assert (frame.samples == 7).all()
    assert frame.capture_ns == pytest.approx(bench.clock.now_ns() - 20_000_000, abs=1000)
    assert bench.sound.options["blocksize"] == BLOCK
    assert bench.sound.options["samplerate"] == 48_000


def test_stamps_are_steadier_than_the_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.start()
    random = np.random.default_rng(3)
    stamps = []
    for _ in range(200):
        bench.sound.feed(jitter_ns=int(random.uniform(-8, 8) * 1e6))
        frame = bench.node.read()
        assert frame is not None
        stamps.append(frame.capture_ns)
    steps_ms = np.diff(stamps[20:]) / 1e6
    assert np.abs(steps_ms - 20).max() < 1.0
    assert abs(stamps[-1] - (bench.clock.now_ns() - 20_000_000)) < 4_000_000


def test_a_slow_taker_loses_the_oldest_and_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.start()
    for number in range(100):
        bench.sound.feed(number)
    assert bench.counts["overruns"] == 36
    frame = bench.node.read()
    assert frame is not None
    assert frame.samples[0, 0] == 36


def test_a_reader_that_empties_a_full_store_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The callback finds the store full, and empty a moment later."""
    bench = Bench(monkeypatch)
    bench.start()
    store = bench.node._blocks
    put, tries = store.put_nowait, [0]

    def full_once(item: tuple[int, bytes]) -> None:
        tries[0] += 1
        if tries[0] == 1:
            raise queue.Full
        put(item)

    monkeypatch.setattr(store, "put_nowait", full_once)
    bench.sound.feed(5)
    frame = bench.node.read()
    assert frame is not None
    assert frame.samples[0, 0] == 5


def test_missing_then_plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.sound.plugged = False
    for _ in range(25):
        assert bench.node.read() is None
    assert bench.statuses[-1][0] == "failed"
    assert "the system has no microphone" in bench.statuses[-1][1]
    assert 2 <= bench.sound.rescans <= 4  # PortAudio looks for new devices only when it restarts
    bench.sound.plugged = True
    for _ in range(12):
        bench.node._blocks.put((bench.clock.now_ns(), bytes(2 * BLOCK)))
        bench.node.read()
    assert bench.statuses[-1] == ("ok", "")


def test_pulled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.start()
    bench.sound.stream.active = False
    assert bench.node.read() is None
    assert bench.statuses[-1][0] == "failed"
    assert bench.counts["lost"] == 1
    bench.clock.advance(3 * NS)
    bench.start()
    bench.sound.feed(9)
    frame = bench.node.read()
    assert frame is not None
    assert frame.samples[0, 0] == 9


def test_no_portaudio_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MienError, match="apt install libportaudio2") as caught:
        microphone.load_portaudio()
    assert "\n" not in str(caught.value)


def test_without_portaudio_the_picture_goes_on_and_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)

    def missing() -> Any:
        raise MienError("PortAudio is not installed; install it")

    monkeypatch.setattr(microphone, "load_portaudio", missing)
    assert bench.node.read() is None
    assert bench.statuses == [("failed", "PortAudio is not installed; install it")]
    monkeypatch.setattr(microphone, "load_portaudio", lambda: bench.sound)
    bench.clock.advance(3 * NS)
    bench.start()
    bench.sound.feed(7)
    assert bench.node.read() is not None
    assert bench.statuses[-1] == ("ok", "")


@pytest.mark.parametrize("rate_hz", [44_100, 96_000, 16_000, 22_050])
def test_a_microphone_of_one_rate_only_is_heard_at_it(
    monkeypatch: pytest.MonkeyPatch, rate_hz: int
) -> None:
    bench = Bench(monkeypatch, rates_hz=(rate_hz,))
    bench.start()
    for _ in range(3):
        bench.sound.feed(7)
        frame = bench.node.read()
        assert frame is not None
        assert (frame.rate_hz, len(frame.samples)) == (rate_hz, rate_hz // 50)
        assert frame.capture_ns == pytest.approx(bench.clock.now_ns() - 20_000_000, abs=1000)
    assert bench.gauges["input_hz"] == rate_hz
    assert bench.statuses[-1] == ("ok", "")


@pytest.mark.parametrize(
    ("config", "expected"),
    [({}, [7]), ({"channels": 2}, [7, 1007]), ({"first_channel": 8}, [7007])],
)
def test_a_microphone_of_eight_channels_only(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], expected: list[int]
) -> None:
    bench = Bench(monkeypatch, config, channels=8)
    bench.sound.widths = range(8, 9)
    bench.start()
    bench.sound.feed(7)
    frame = bench.node.read()
    assert frame is not None
    assert frame.samples.shape == (BLOCK, len(expected))
    assert (frame.samples == expected).all()
    assert bench.gauges["input_channels"] == 8


def test_of_a_mono_microphone_stereo_is_mono(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"channels": 2}, channels=1)
    bench.start()
    bench.sound.feed(7)
    frame = bench.node.read()
    assert frame is not None
    assert frame.samples.shape == (BLOCK, 1)


def test_a_channel_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"first_channel": 3})
    assert bench.node.read() is None
    assert "it has 2 channels, no number 3" in bench.statuses[-1][1]


FOUR_HOSTS = ["MME", "Windows DirectSound", "Windows WASAPI", "Windows WDM-KS"]
HEADSET = "Microphone (USB Headset of a long name)"


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("default", None),
        ("3", 3),
        (HEADSET, 2),
        ("usb headset", 2),
        (f"{HEADSET}, Windows DirectSound", 1),
        ("MME", 0),
        ("Line", 5),
    ],
)
def test_one_name_under_four_hosts(device: str, expected: int | None) -> None:
    sound = Sound(FakeClock())
    sound.hosts = FOUR_HOSTS
    # MME cuts names at 31 letters
    sound.entries = [
        entry(number, HEADSET if number else HEADSET[:31], host=number) for number in range(4)
    ]
    sound.entries += [
        entry(4, "Line Out", 0),
        entry(5, "Line", host=2),
        entry(6, "Line In", host=2),
    ]
    assert microphone.pick(sound, device) == expected


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("9", "there is no input 9"),
        ("4", "there is no input 4"),
        ("Webcam", "no input has that in its name"),
        ("USB", r"several inputs .* give a number: 0 \(USB Mic A\), 1 \(USB Mic B\)"),
    ],
)
def test_what_names_no_microphone_or_two(device: str, says: str) -> None:
    sound = Sound(FakeClock())
    sound.entries = [entry(0, "USB Mic A"), entry(1, "USB Mic B"), entry(4, "Speaker", 0)]
    with pytest.raises(ValueError, match=says):
        microphone.pick(sound, device)
