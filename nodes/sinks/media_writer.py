"""MediaWriter: pictures and sound into a file, whole at the end or not there at all."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from engine import files
from engine.errors import MienError, UsageError
from engine.node import Node
from engine.parameters import parameter
from engine.types import NANOSECONDS, U8, AudioFrame, Fifo, VideoFrame
from media import credentials
from media.colours import Colour, PictureWriter
from media.local_file import as_output
from media.probing import MediaInfo, probe
from media.sound_track import LAYOUTS, CopiedSound, EncodedSound, SoundTrack

# suffix -> (container, video encoder, sound encoder)
CONTAINERS: Final = {
    ".mp4": ("mp4", "libx264", "aac"),
    ".m4v": ("mp4", "libx264", "aac"),
    ".mov": ("mov", "libx264", "aac"),
    ".mkv": ("matroska", "libx264", "libopus"),
    ".webm": ("webm", "libvpx-vp9", "libopus"),
}
_FINEST = Fraction(1, 1_000_000)
_TICK = Fraction(1, 90_000)
_WAIT_FOR_SOUND_S = 2
_EARLY_BLOCKS = 512


class MediaWriter(Node):
    """Encode to mp4, mov or mkv (H.264) or webm (VP9). video, audio -> a file.

    The file appears under its name once it is complete. Every picture keeps its time, and so
    does the sound: holes in it are filled with silence.
    """

    inputs: ClassVar = {
        "video": Fifo(VideoFrame, depth=8),
        "audio": Fifo(AudioFrame, depth=128, optional=True),
    }
    runs = "thread"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter("", "the file to write: .mp4 .mov .m4v .mkv .webm", live=False)
        quality: int = parameter(
            18, "constant rate factor; lower is finer and larger", low=0, high=51, live=False
        )
        preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] = (
            parameter("veryfast", "H.264: time against size", live=False)
        )
        like: str = parameter(
            "", "a media file whose colour tags, pixel shape and rate are copied", live=False
        )
        sound: Literal["encode", "copy", "none"] = parameter(
            "encode", "copy: the packets of `like`, untouched, where the format allows", live=False
        )
        sound_kbps: int = parameter(
            96, "for each channel of encoded sound", low=16, high=256, unit="kbit/s", live=False
        )
        comment: str = parameter("", "what the file says of itself", live=False)
        mark: Literal["none", "c2pa"] = parameter(
            "none", "c2pa: sign a note into the file that it was generated (Content Credentials)",
            live=False,
        )  # fmt: skip
        stamps: Literal["media", "capture"] = parameter(
            "media", "which time a message has in the file: its pts, or its capture time"
        )

    _container: Any = None
    _part: Path | None = None
    _sound: SoundTrack | None = None

    def setup(self) -> None:
        self._stream: Any = None
        self._early: list[AudioFrame] = []
        self._durations: dict[int, int] = {}
        self._held: list[Any] | None = []
        self._waiting: tuple[Any, int] | None = None
        self._origin: Fraction | None = None
        self._last_pts: int | None = None
        self._step = 0
        self._encoded_pictures = 0
        self._longest = 0
        self._path = Path(self.config.path)
        if not self.config.path:
            raise UsageError("no output file is named; set its path")
        chosen = CONTAINERS.get(self._path.suffix.lower())
        if chosen is None:
            known = " ".join(CONTAINERS)
            raise UsageError(f"cannot write '{self._path.suffix}' files; name the output {known}")
        if self.config.sound == "copy" and not self.config.like:
            raise UsageError("sound = copy needs `like`, the file to copy it from")
        if self.config.mark == "c2pa":
            credentials.check(self._path)
        self._format, self._video_encoder, self._sound_encoder = chosen
        self._like: MediaInfo | None = probe(self.config.like) if self.config.like else None
        self._part = files.begin(self._path)
        self._open(self._part)

    def _open(self, part: Path) -> None:
        import av

        options = {}
        if self._format in ("mp4", "mov"):
            # The default clock of 1 kHz rounds where a late track begins.
            options = {"movflags": "+faststart", "movie_timescale": "90000"}
        self._container = av.open(as_output(part), "w", format=self._format, options=options)
        if self._like is not None:
            self._container.metadata.update(self._like.tags)
        if self.config.comment:
            self._container.metadata["comment"] = self.config.comment

    def _add_sound(self) -> None:
        """The track that is known beforehand; the pictures' comes first in the file."""
        like, choice = self._like, self.config.sound
        if like is not None and like.audio_codec and choice != "none":
            why_not = "as asked"
            if choice == "copy":
                why_not = CopiedSound.why_not(self.config.like, self._format)
            if why_not:
                self._sound = self._encoded(like.audio_rate_hz, like.audio_channels)
                if like.audio_channels not in LAYOUTS:
                    why_not += f"; of {like.audio_channels} channels 2 are made"
                self.context.gauge("sound", f"encoded anew: {why_not}")
            else:
                self._sound = CopiedSound(self._container, self.config.like)
                self.context.gauge("sound", "copied")
        early, self._early = self._early, []
        for frame in early:
            self.on_audio(frame)

    def _encoded(self, rate_hz: int, channels: int) -> SoundTrack:
        return EncodedSound(
            self._container, self._sound_encoder, rate_hz, channels, self.config.sound_kbps
        )

    def on_video(self, frame: VideoFrame) -> None:
        """Encode one picture."""
        with self._explained():
            if self._stream is None:
                self._add_video(frame)
                self._add_sound()
            pts = self._place(frame)
            picture = self._pictures.write(self._fitted(frame.pixels))
            if self._waiting is not None:
                self._encode(self._waiting, pts - self._waiting[1])
            self._waiting = (picture, pts)
            if self._sound is not None:
                self._mux(self._sound.until(pts * self._tick))
            if self._held is not None and (
                self._sound is not None
                or self.config.sound == "none"
                or self._like is not None
                or pts * self._tick >= _WAIT_FOR_SOUND_S
            ):
                self._release()

    def on_audio(self, frame: AudioFrame) -> None:
        """Encode one block of sound, unless sound is copied or left out."""
        if self.config.sound == "none" or isinstance(self._sound, CopiedSound):
            return
        if self._stream is None:
            self._early.append(frame)
            if len(self._early) > _EARLY_BLOCKS:
                del self._early[0]
                self.context.count("early_sound", 1)
            return
        with self._explained():
            if self._sound is None:
                if self._held is None:
                    self.context.count("late_sound", 1)
                    return
                self._sound = self._encoded(frame.rate_hz, frame.samples.shape[1])
            self._mux(self._sound.take(frame, self._seconds(frame)))

    def finish(self) -> None:
        if self._waiting is None or self._part is None:
            raise MienError(f"not one picture came, so {self._path} was not written")
        with self._explained():
            self._encode(self._waiting, self._last_duration(self._waiting[1]))
            self._waiting = None
            if self._sound is not None:
                self._mux(self._sound.until(None))
            self._mux(self._stream.encode(None))
            self._release()
            container, self._container = self._container, None
            container.close()
        if self.config.mark == "c2pa":
            source = Path(self.config.like) if self.config.like else None
            credentials.sign(self._part, self._path, self.config.comment, source)
        files.complete(self._part, self._path)
        self._part = None

    def close(self) -> None:
        if self._sound is not None:
            self._sound.close()
        container, self._container = self._container, None
        if container is not None:
            self._abandon(container)
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None

    def _abandon(self, container: Any) -> None:
        import av

        try:
            container.close()
        except (av.FFmpegError, OSError) as error:  # it goes to the bin anyway
            self.context.status("failed", f"{self._path}: {error}")

    def _add_video(self, frame: VideoFrame) -> None:
        height_px, width_px = frame.pixels.shape[:2]
        self._size_px = (width_px, height_px)
        like = self._like
        colour = like.colour if like else Colour(matrix=1 if height_px >= 720 else 6)
        rate_hz = like.rate_hz if like else Fraction(30)
        self._tick = frame.time_base if frame.time_base >= _FINEST else _TICK
        odd = (width_px | height_px) & 1
        h264 = self._video_encoder == "libx264"
        pixel_format = "yuv444p" if odd and h264 else "yuv420p"
        if h264:
            options = {"crf": str(self.config.quality), "preset": self.config.preset}
        else:
            options = {"crf": str(self.config.quality + 6), "b": "0", "deadline": "realtime"}
            options |= {"cpu-used": "7", "row-mt": "1", "tile-columns": "2"}
        stream = self._container.add_stream(self._video_encoder, rate=rate_hz, options=options)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, pixel_format
        context = stream.codec_context
        context.time_base = stream.time_base = self._tick
        context.thread_count = 0
        context.color_range, context.colorspace = colour.range_tag, colour.matrix
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        if like and like.sample_aspect != 1:
            context.sample_aspect_ratio = like.sample_aspect
        self._pictures = PictureWriter(colour, pixel_format)
        self.context.gauge("backend", self._video_encoder)
        self._stream = stream

    def _seconds(self, message: VideoFrame | AudioFrame) -> Fraction:
        """Where a message belongs in the file; captured ones count from the first of them."""
        if self.config.stamps == "media":
            return message.pts * message.time_base
        at = message.capture_ns * NANOSECONDS
        if self._origin is None:
            self._origin = at
        return at - self._origin

    def _place(self, frame: VideoFrame) -> int:
        """The picture's stamp in ticks, later than the one before it."""
        pts = round(self._seconds(frame) / self._tick)
        if self._last_pts is not None:
            if pts <= self._last_pts:
                self.context.count("stamps_mended", 1)
                pts = self._last_pts + 1
            self._step = pts - self._last_pts
        self._last_pts = pts
        return pts

    def _fitted(self, pixels: U8) -> U8:
        """The picture in the size of the first, with black bars where the shape differs."""
        width_px, height_px = self._size_px
        if pixels.shape[:2] == (height_px, width_px):
            return pixels
        import cv2
        import numpy as np

        self.context.count("resized", 1)
        scale = min(width_px / pixels.shape[1], height_px / pixels.shape[0])
        wide, high = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
        left, top = (width_px - wide) // 2, (height_px - high) // 2
        fitted = np.zeros((height_px, width_px, 3), np.uint8)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        fitted[top : top + high, left : left + wide] = cv2.resize(
            pixels, (wide, high), interpolation=way
        )
        return fitted

    def _encode(self, waiting: tuple[Any, int], duration: int) -> None:
        picture, pts = waiting
        picture.pts, picture.time_base = pts, self._tick
        self._durations[pts] = duration
        self._encoded_pictures += 1
        self._longest = max(self._longest, duration)
        self._mux(self._stream.encode(picture))

    def _last_duration(self, pts: int) -> int:
        """How long the last picture stays, in ticks: as in `like`, or as the one before."""
        if self._like is None:
            return self._step or round(Fraction(1, 25) / self._tick)
        nominal_s = 1 / self._like.rate_hz
        left_s = Fraction(self._like.duration_s) - pts * self._tick
        # A file that was cut off promises more than it has: then nothing says that it was held.
        whole = self._encoded_pictures + 1 >= self._like.frames
        most_s = Fraction(1) if whole else max(nominal_s, self._longest * self._tick) * 2
        # Where there are pauses, the mean rate is lower than that of the pictures about them.
        least_s = min(nominal_s, self._step * self._tick or nominal_s) * Fraction(9, 10)
        held = least_s <= left_s <= most_s
        return max(1, round((left_s if held else nominal_s) / self._tick))

    def _mux(self, packets: Any) -> None:
        if self._held is not None:
            self._held.extend(packets)
            return
        for packet in packets:
            if packet.stream is self._stream:
                self.context.count("frames_written", 1)
                # The encoder guesses from the rate; the last picture's decides the file's length.
                packet.duration = self._durations.pop(packet.pts, packet.duration)
            self._container.mux_one(packet)

    def _release(self) -> None:
        """All streams are known: write the head and what waited for it."""
        held, self._held = self._held, None
        if held is not None:
            self._mux(held)

    def _explained(self) -> _Explained:
        return _Explained(self._path)


class _Explained:
    """Turns what the libraries raise into one line about ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import av

        if isinstance(error, OSError):
            raise files.explain(error, self._path) from error
        if isinstance(error, av.FFmpegError):
            raise MienError(f"{self._path} cannot be encoded: {error}") from error
