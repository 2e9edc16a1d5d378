"""Colours of decoded and encoded pictures: any format to upright BGR, and back the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from engine.types import U8
from media.orientation import of_frame

UNSPECIFIED: Final = 2
_FULL_RANGE: Final = 2
_LIMITED_RANGE: Final = 1
# From the tags of ITU-T H.273 to the matrices that swscale knows.
_MATRIX_OF_TAG: Final = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_BT709, _BT601, _SMPTE170M = 1, 5, 6
# swscale's flags: rounded exactly (262144); read bicubic with chroma at full width (4 | 8192),
# written by area (32). Of all pairs this one returns Y'CbCr most nearly as it was.
_READ_FLAGS: Final = 4 | 262144 | 8192
_WRITE_FLAGS: Final = 32 | 262144


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """How Y'CbCr stands for RGB. The tags are those of ITU-T H.273; 2 is "unspecified"."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full_range: bool = False

    def scaler_matrix(self, height_px: int) -> int:
        """The matrix to calculate with; untagged pictures are BT.709 from 720 lines on."""
        return _MATRIX_OF_TAG.get(self.matrix, _BT709 if height_px >= 720 else _BT601)

    @property
    def range_tag(self) -> int:
        """1 limited (16..235), 2 full."""
        return _FULL_RANGE if self.full_range else _LIMITED_RANGE


def colour_of(frame: Any) -> Colour:
    """The colour tags of a decoded picture."""
    full = int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj")
    if frame.format.is_rgb or frame.format.has_palette:
        return colour_of_rgb(frame.height)
    return Colour(
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        full_range=full,
    )


def colour_of_rgb(height_px: int) -> Colour:
    """What pictures that came as RGB become."""
    return Colour(matrix=_BT709 if height_px >= 720 else _SMPTE170M)


class PictureReader:
    """Turns decoded pictures of any format into upright BGR [H, W, 3] uint8."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def read(self, frame: Any) -> U8:
        """One picture, turned and mirrored as players show it; transparent parts are white."""
        import numpy as np

        colour = colour_of(frame)
        alpha = any(item.is_alpha for item in frame.format.components) or frame.format.has_palette
        bgr = self._reformatter.reformat(
            frame,
            format="bgra" if alpha else "bgr24",
            src_colorspace=colour.scaler_matrix(frame.height),
            src_color_range=colour.range_tag,
            dst_color_range=_FULL_RANGE,
            interpolation=_READ_FLAGS,
        )
        pixels: Any = bgr.to_ndarray()
        if alpha:
            pixels = over_white(pixels)
        pixels = np.ascontiguousarray(of_frame(frame).upright(pixels))
        upright: U8 = pixels
        upright.flags.writeable = False
        return upright


class PictureWriter:
    """Turns BGR [H, W, 3] uint8 into pictures for an encoder, with the colours it will tag."""

    def __init__(self, colour: Colour, pixel_format: str) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._colour = colour
        self._format = pixel_format

    def write(self, pixels: U8) -> Any:
        """An av.VideoFrame in the encoder's format, without a time yet."""
        import av

        height_px = pixels.shape[0]
        return self._reformatter.reformat(
            av.VideoFrame.from_ndarray(pixels, format="bgr24"),
            format=self._format,
            dst_colorspace=self._colour.scaler_matrix(height_px),
            src_color_range=_FULL_RANGE,
            dst_color_range=self._colour.range_tag,
            interpolation=_WRITE_FLAGS,
        )


def over_white(pixels_bgra: U8) -> U8:
    """[H, W, 4] with alpha laid over white: [H, W, 3]."""
    import numpy as np

    alpha = pixels_bgra[..., 3:]
    bgr: U8 = pixels_bgra[..., :3]
    if alpha.min() == 255:
        return bgr
    opaque = alpha.astype(np.uint16)
    mixed = bgr.astype(np.uint16) * opaque + 255 * (255 - opaque) + 127
    return (mixed // 255).astype(np.uint8)
