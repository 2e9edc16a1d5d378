"""Media as people have them, made in code: joined, turned, transparent, with broken clocks."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageCms

from engine.types import U8
from tests.made_media import RATE_HZ, bars, clicks, make_video, numbered

# a b c d of a display matrix, and the Exif number that means the same
MATRICES = {
    (1, 0, 0, 1): 1, (-1, 0, 0, 1): 2, (-1, 0, 0, -1): 3, (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5, (0, 1, -1, 0): 6, (0, -1, -1, 0): 7, (0, -1, 1, 0): 8,
}  # fmt: skip


def shown(stored: U8, exif: int) -> U8:
    """What the Exif standard says is seen, by what it calls the first row and the first column."""
    # 1 top left, 2 top right, 3 bottom right, 4 bottom left, 5 left top, 6 right top, ...
    turned = {
        1: stored,
        2: np.fliplr(stored),
        3: np.rot90(stored, 2),
        4: np.flipud(stored),
        5: np.rot90(np.flipud(stored), -1),
        6: np.rot90(stored, -1),
        7: np.rot90(np.flipud(stored), 1),
        8: np.rot90(stored, 1),
    }
    return np.ascontiguousarray(turned[exif])


def corner(width_px: int = 64, height_px: int = 48) -> U8:
    """A picture that looks different in all eight orientations [H, W, 3]."""
    picture = np.full((height_px, width_px, 3), 200, np.uint8)
    picture[: height_px // 2, : width_px // 2] = (30, 30, 220)
    picture[: height_px // 2, width_px // 2 :] = (30, 200, 30)
    return picture


def with_matrix(path: Path, pictures: list[U8], matrix: tuple[int, int, int, int]) -> Path:
    """An mp4 whose track header (ISO 14496-12, 8.3.2) holds this matrix."""
    make_video(path, pictures)
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (65536 * part for part in matrix)
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def joined(path: Path) -> Path:
    """Two recordings, one after the other, in one TS: the clock falls back between them."""
    make_video(path, [numbered(i) for i in range(25)], sound=clicks(1, [0.5]))
    path.write_bytes(path.read_bytes() * 2)
    return path


def wrapped(path: Path) -> Path:
    """A TS whose 33 bits of clock run over in the middle."""
    first = 2**33 - 45_000
    with av.open(str(path), "w", format="mpegts", options={"copyts": "1"}) as output:
        video: Any = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.codec_context.time_base = Fraction(1, 90_000)
        sound: Any = output.add_stream("aac", rate=RATE_HZ, layout="mono")
        sound.codec_context.time_base = Fraction(1, RATE_HZ)
        block = av.AudioFrame.from_ndarray(clicks(1, [0.25, 0.75]).reshape(1, -1), "s16", "mono")
        block.sample_rate, block.time_base = RATE_HZ, Fraction(1, RATE_HZ)
        block.pts = first * RATE_HZ // 90_000
        packets = [*sound.encode(block), *sound.encode(None)]
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(numbered(number), "bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = first + number * 3600, Fraction(1, 90_000)
            packets += video.encode(frame)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            output.mux(packet)
    return path


def with_sound_stamps(path: Path, change: Any) -> Path:
    """An mkv whose n-th block of sound has the stamp ``change(n, stamp [ms])``."""
    make_video(path, [numbered(i) for i in range(25)], sound=clicks(1, [0.5]))
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as source:
        blocks = [bytes(packet) for packet in source.demux(audio=0) if packet.size]
    place = 0
    for number, block in enumerate(blocks):
        place = content.index(block, place)
        at = slice(place - 3, place - 1)  # Matroska's SimpleBlock: track, time, flags, data
        stamp = int.from_bytes(content[at], "big", signed=True)
        content[at] = change(number, stamp).to_bytes(2, "big", signed=True)
        place += len(block)
    path.write_bytes(content)
    return path


def transparent(path: Path, encoder: str) -> Path:
    """A webm, left half transparent over black, right half opaque bars."""
    with av.open(str(path), "w") as output:
        options = {"auto-alt-ref": "0", "cpu-used": "8"}
        stream: Any = output.add_stream(encoder, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuva420p"
        stream.bit_rate = 4_000_000
        pixels = np.dstack([bars(), np.full((96, 160), 255, np.uint8)])
        pixels[:, :80] = 0
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(pixels, "bgra").reformat(format="yuva420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def tracks(path: Path, sounds: list[list[float]], default: int, layout: str = "mono") -> Path:
    """A video with several sound tracks, clicks at these moments, one marked as the default."""
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        added: list[Any] = []
        for number in range(len(sounds)):
            added.append(output.add_stream("aac", rate=RATE_HZ, layout=layout))
            added[-1].disposition = av.stream.Disposition(int(number == default))
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(numbered(number), "bgr24")
            output.mux(video.encode(frame.reformat(format="yuv420p")))
        output.mux(video.encode(None))
        for stream, moments in zip(added, sounds, strict=True):
            channels = stream.codec_context.layout.nb_channels
            block = av.AudioFrame.from_ndarray(
                clicks(1, moments, channels=channels).reshape(1, -1), "s16", layout
            )
            block.sample_rate = RATE_HZ
            output.mux(stream.encode(block))
            output.mux(stream.encode(None))
    return path


def chaptered(path: Path) -> Path:
    """An mkv of two chapters."""
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        base, half = Fraction(1, 1000), 60
        output.set_chapters(
            [
                {"id": n, "start": n * half, "end": (n + 1) * half, "time_base": base,
                 "metadata": {"title": f"part {n}"}}
                for n in range(2)
            ]
        )  # fmt: skip
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(numbered(number), "bgr24")
            output.mux(video.encode(frame.reformat(format="yuv420p")))
        output.mux(video.encode(None))
    return path


def late_sound(path: Path, late_s: float, moments: list[float]) -> Path:
    """A second of pictures, and a second of sound that begins later than they do."""
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        track: Any = output.add_stream("aac", rate=RATE_HZ, layout="mono")
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(numbered(number), "bgr24")
            output.mux(video.encode(frame.reformat(format="yuv420p")))
        output.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(clicks(1, moments).reshape(1, -1), "s16", "mono")
        block.sample_rate, block.pts = RATE_HZ, round(late_s * RATE_HZ)
        block.time_base = Fraction(1, RATE_HZ)
        output.mux(track.encode(block))
        output.mux(track.encode(None))
    return path


@cache
def profile() -> bytes:
    """An ICC profile of RGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def still(path: Path, pixels: U8, kind: str | None = None, exif: int = 0, **save: Any) -> Path:
    """A picture by Pillow: BGR [H, W, 3] or BGRA [H, W, 4], turned by an Exif tag."""
    order = [2, 1, 0, 3][: pixels.shape[2]]
    if exif:
        tags = Image.Exif()
        tags[0x0112] = exif
        save["exif"] = tags
    Image.fromarray(np.ascontiguousarray(pixels[..., order])).save(path, kind, **save)
    return path


def moving(path: Path, count: int = 3) -> Path:
    """An animated PNG or WebP, 100 ms each."""
    first, *rest = (Image.fromarray(numbered(i)[..., ::-1].copy()) for i in range(count))
    first.save(path, save_all=True, append_images=rest, duration=100, lossless=True)
    return path


def huge_png(path: Path, side_px: int = 20_000) -> Path:
    """A PNG of hardly any bytes whose head promises 400 megapixels."""
    content = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    content.seek(0, io.SEEK_END)
    head = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")):
        content.write(struct.pack(">I", len(data)) + kind + data)
        content.write(struct.pack(">I", zlib.crc32(kind + data)))
    path.write_bytes(content.getvalue())
    return path
