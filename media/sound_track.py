"""The sound of a written file: encoded from blocks, or copied packet by packet."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, ClassVar, Protocol

import numpy as np

from engine.types import I16, AudioFrame
from media.probing import audio_stream, open_media

_HOLE_S = Fraction(1, 50)
_JITTER_S = Fraction(1, 20)
_LONGEST_SILENCE_S = 3600
_AAC_RATES_HZ = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def misplaced(due: int, done: int, rate_hz: int) -> int:
    """How many samples of silence are to come before a block that is ``due`` when ``done`` are
    there; negative: how many of its first are to be left out. 0 where stamps only tremble."""
    missing = due - done
    if missing > (_HOLE_S * rate_hz if done else 0):
        return min(missing, _LONGEST_SILENCE_S * rate_hz)
    return missing if missing < -_JITTER_S * rate_hz else 0


class SoundTrack(Protocol):
    """Packets for the muxer, as time goes on."""

    def take(self, frame: AudioFrame, at_s: Fraction) -> list[Any]:
        """One block that belongs at ``at_s``; the packets that are ready."""
        ...

    def until(self, end_s: Fraction | None) -> list[Any]:
        """What belongs before ``end_s``; None: all that is left."""
        ...

    def close(self) -> None:
        """Give back what was opened."""
        ...


class EncodedSound:
    """Blocks of int16 into AAC or Opus: holes are filled with silence, overlaps are cut."""

    def __init__(self, container: Any, codec: str, rate_hz: int, channels: int, kbps: int) -> None:
        import av

        opus = codec == "libopus"
        self._rate_hz = 48_000 if opus or rate_hz not in _AAC_RATES_HZ else rate_hz
        self._channels = channels if channels in LAYOUTS else 2
        self._layout = LAYOUTS[self._channels]
        self._stream = container.add_stream(codec, rate=self._rate_hz, layout=self._layout)
        self._stream.bit_rate = kbps * 1000 * self._channels
        if opus:
            self._stream.codec_context.options = {"mapping_family": "1"} if channels > 2 else {}
        self._stream.time_base = Fraction(1, self._rate_hz)
        self._resampler = av.AudioResampler("s16", self._layout, self._rate_hz)
        self._source: tuple[int, int] = (0, 0)
        self._samples = 0

    def take(self, frame: AudioFrame, at_s: Fraction) -> list[Any]:
        samples = self._resampled(frame)
        if not len(samples):
            return []
        missing = misplaced(round(at_s * self._rate_hz), self._samples, self._rate_hz)
        packets = []
        if missing > 0:
            while missing > 0:
                count = min(missing, self._rate_hz)
                packets += self._encode(np.zeros((count, self._channels), np.int16))
                missing -= count
        elif missing < 0:
            samples = samples[-missing:]
        return packets + (self._encode(samples) if len(samples) else [])

    def until(self, end_s: Fraction | None) -> list[Any]:
        if end_s is not None:
            return []
        rest = [_interleaved(block, self._channels) for block in self._resampler.resample(None)]
        packets = [packet for block in rest if len(block) for packet in self._encode(block)]
        if not self._samples:
            packets += self._encode(np.zeros((1024, self._channels), np.int16))
        return packets + list(self._stream.encode(None))

    def close(self) -> None:
        pass

    def _resampled(self, frame: AudioFrame) -> I16:
        import av

        channels = frame.samples.shape[1]
        source = (frame.rate_hz, channels)
        if source != self._source:
            layout = LAYOUTS.get(channels, "stereo")
            self._plain = source == (self._rate_hz, self._channels)
            self._resampler = av.AudioResampler("s16", self._layout, self._rate_hz)
            self._source, self._source_layout = source, layout
        samples = frame.samples if channels in LAYOUTS else frame.samples[:, :2]
        if self._plain:
            return samples
        block = block_of(samples, self._source_layout, frame.rate_hz)
        made = [_interleaved(item, self._channels) for item in self._resampler.resample(block)]
        return np.concatenate(made) if made else np.zeros((0, self._channels), np.int16)

    def _encode(self, samples: I16) -> list[Any]:
        block = block_of(samples, self._layout, self._rate_hz)
        block.pts, block.time_base = self._samples, Fraction(1, self._rate_hz)
        self._samples += len(samples)
        return list(self._stream.encode(block))


class CopiedSound:
    """The packets of another file's sound, bit for bit, with their times from its start."""

    _FITS: ClassVar = {
        "mp4": {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"},
        "mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"},
        # Matroska has no edit list: it would play the encoder's lead-in of AAC and MP3.
        "matroska": {"ac3", "eac3", "opus", "vorbis", "flac", "pcm_s16le", "pcm_s24le"},
        "webm": {"opus", "vorbis"},
    }

    @classmethod
    def why_not(cls, path: str, container: str) -> str:
        """Why the sound of a file can't be copied into a container; "" where it can."""
        source = open_media(path)
        try:
            sound = audio_stream(source)
            assert sound is not None
            codec = sound.codec_context.name.removesuffix("float")
            if codec not in cls._FITS[container]:
                return f"{container} is not for {codec}"
            return "its times fall back" if _falls_back(source, sound) else ""
        finally:
            source.close()

    def __init__(self, container: Any, path: str) -> None:
        self._input = open_media(path)
        source = audio_stream(self._input)
        assert source is not None
        self._stream = container.add_stream_from_template(source)
        self._origin_s = Fraction(self._input.start_time or 0, 1_000_000)
        self._packets = self._read(source)
        self._next = next(self._packets, None)

    def take(self, frame: AudioFrame, at_s: Fraction) -> list[Any]:
        return []

    def until(self, end_s: Fraction | None) -> list[Any]:
        ready = []
        while self._next is not None:
            if end_s is not None and self._next.dts * self._next.time_base > end_s:
                break
            ready.append(self._next)
            self._next = next(self._packets, None)
        return ready

    def close(self) -> None:
        """Give the other file back."""
        self._packets = iter(())
        self._input.close()

    def _read(self, source: Any) -> Iterator[Any]:
        import av

        shift = round(self._origin_s / source.time_base)
        try:
            for packet in self._input.demux(source):
                if packet.dts is None or not packet.size:
                    continue
                packet.dts -= shift
                packet.pts = packet.dts if packet.pts is None else packet.pts - shift
                packet.stream = self._stream
                yield packet
        except (av.FFmpegError, OSError):
            return  # a damaged end: what came before it is kept


def _falls_back(source: Any, sound: Any) -> bool:
    """Whether a packet isn't later than the one before it: no file can hold that."""
    import av

    last: int | None = None
    try:
        for packet in source.demux(sound):
            if packet.dts is None or not packet.size:
                continue
            if last is not None and packet.dts <= last:
                return True
            last = packet.dts
    except (av.FFmpegError, OSError):
        pass  # a damaged end: what comes before it counts
    return False


def block_of(samples: I16, layout: str, rate_hz: int) -> Any:
    """Samples [N, channels] as an av.AudioFrame."""
    import av

    flat = np.ascontiguousarray(samples).reshape(1, -1)
    block = av.AudioFrame.from_ndarray(flat, format="s16", layout=layout)
    block.sample_rate = rate_hz
    return block


def _interleaved(block: Any, channels: int) -> I16:
    samples: I16 = block.to_ndarray().reshape(-1, channels)
    return samples
