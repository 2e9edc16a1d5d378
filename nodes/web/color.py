"""Which colours a publisher's YUV stands for: told by an RTP header extension, else assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.types import U8
from nodes.web.peer import agree_on_extension

URI = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"
BT709 = 1
FULL = 2
BT601_LIKE = (2, 5, 6)  # H.273 matrix coefficients: unspecified, BT.470BG, SMPTE 170M


@dataclass
class Colors:
    """``matrix`` as in H.273, ``full``: luma 0..255 rather than 16..235; None: not told."""

    matrix: int | None = None
    full: bool | None = None

    def take(self, value: bytes) -> None:
        """The extension's value: primaries, transfer, matrix, range and siting."""
        self.matrix = value[2]
        self.full = value[3] >> 4 & 3 == FULL


def listen(transceiver: Any, offer: str) -> Colors:
    """Agree to the extension where the offer has it, and read it off the packets.

    Browsers send it with key frames. Without it their canvases and many cameras look wrong:
    their YUV is full range or BT.709 as often as not, and VP8 itself can't say so.
    """
    colors = Colors()
    number = agree_on_extension(transceiver, offer, URI)
    if number is not None:
        _read_off(transceiver.receiver.transport._rtp_header_extensions_map, number, colors)
    return colors


def _read_off(extensions: Any, number: int, colors: Colors) -> None:
    from aiortc.rtp import unpack_header_extensions

    read, mark = extensions.get, number << 4 | 3  # the byte before four bytes of content

    def get(profile: int, value: bytes) -> Any:
        if profile != 0xBEDE or mark in value:
            for found, content in unpack_header_extensions(profile, value):
                if found == number and len(content) >= 4:
                    colors.take(content)
        return read(profile, value)

    extensions.get = get


class ToBgr:
    """Decoded pictures to BGR [H, W, 3], no side longer than ``longest_px``."""

    def __init__(self, colors: Colors, longest_px: int = 4096) -> None:
        self._colors = colors
        self.longest_px = longest_px
        self._reformatter: Any = None

    def __call__(self, picture: Any) -> U8:
        import cv2
        import numpy as np
        from av.video.reformatter import VideoReformatter

        told = self._colors
        matrix = picture.colorspace if told.matrix is None else told.matrix
        full = picture.color_range == FULL if told.full is None else told.full
        if picture.format.name == "yuvj420p":
            full = True
        width, height = within(picture.width, picture.height, self.longest_px)
        small = (width, height) == (picture.width, picture.height)
        if small and picture.format.name == "yuv420p" and int(matrix) in BT601_LIKE and not full:
            return np.asarray(cv2.cvtColor(picture.to_ndarray(), cv2.COLOR_YUV2BGR_I420), np.uint8)
        if self._reformatter is None:
            self._reformatter = VideoReformatter()
        return np.asarray(
            self._reformatter.reformat(
                picture,
                width=width,
                height=height,
                format="bgr24",
                interpolation="AREA",
                src_colorspace="ITU709" if int(matrix) == BT709 else "ITU601",
                src_color_range="JPEG" if full else "MPEG",
                dst_color_range="JPEG",
                threads=1,
            ).to_ndarray(),
            np.uint8,
        )


def within(width: int, height: int, longest_px: int) -> tuple[int, int]:
    """The size of the same shape whose longer side is ``longest_px`` at most; even where scaled."""
    longest = max(width, height)
    if longest <= longest_px:
        return width, height
    scale = longest_px / longest
    return max(2, round(width * scale) & ~1), max(2, round(height * scale) & ~1)
