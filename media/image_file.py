"""One still picture in a file: read upright with what belongs to it, written in its own format."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.errors import MienError
from engine.types import U8
from media.colours import over_white
from media.local_file import local_file
from media.orientation import of_exif

LARGEST_PX: Final = 200_000_000
"""the largest cameras of telephones have so many; each takes about ten bytes on the way"""

FORMATS: Final = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG",
    ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".avif": "AVIF",
}  # fmt: skip
SUFFIXES: Final = tuple(FORMATS)
_READ: Final = (*dict.fromkeys(FORMATS.values()), "GIF")
_MOVING: Final = ("PNG", "WEBP", "AVIF", "GIF")
_EXIF_ORIENTATION: Final = 0x0112
_STEP_MS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """``pixels`` upright BGR [H, W, 3], transparent parts white; ``icc`` what its colours mean."""

    pixels: U8
    icc: bytes = b""


def format_of(path: Path) -> str:
    """Pillow's name for a picture's format, by its ending or else its first bytes; "" if none."""
    known = FORMATS.get(path.suffix.lower())
    if known:
        return known
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return ""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "WEBP"
    if head[4:] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    return "TIFF" if head[:4] in (b"II*\0", b"MM\0*") else ""


def is_picture(path: Path) -> bool:
    """Whether this is a still picture, or an animation in a format of stills."""
    return path.is_file() and bool(format_of(path))


def read_picture(path: Path) -> Picture:
    """The picture, or the first of several. Raises MienError with one line."""
    return next(_pictures(path))[0]


def read_moving(path: Path) -> Iterator[tuple[U8, int]]:
    """Each picture of an animation, in sRGB, and how long it stays [ms]. Raises MienError."""
    for picture, stays_ms in _pictures(path):
        yield srgb(picture).pixels, stays_ms


def left_out(path: Path) -> list[str]:
    """What of a picture has no place in an edited one, from its head; nothing where unreadable."""
    try:
        with _opened(path) as image:
            lines = []
            if _sixteen_bits(image):
                lines.append("16 bits a channel, of which 8 are written")
            if image.format in _MOVING and getattr(image, "n_frames", 1) > 1:
                lines.append("moving pictures, of which the first is taken")
            return lines
    except MienError:
        return []


def encode(picture: Picture, kind: str, quality: int) -> bytes:
    """A file's content; ``kind`` as ``format_of`` names it, ``quality`` 1..100 where it is lossy.

    Raises MienError.
    """
    from PIL import Image

    options: dict[str, Any] = {}
    if kind in ("JPEG", "WEBP", "AVIF"):
        options["quality"] = quality
    if kind in ("JPEG", "AVIF"):
        options["subsampling"] = "4:4:4"
    if kind == "BMP":
        picture = srgb(picture)
    elif picture.icc:
        options["icc_profile"] = picture.icc
    content = io.BytesIO()
    try:
        image = Image.fromarray(np.ascontiguousarray(picture.pixels[..., ::-1]))
        image.save(content, kind, **options)
    except (OSError, ValueError, KeyError) as error:  # KeyError: built without that format
        height_px, width_px = picture.pixels.shape[:2]
        raise MienError(f"{width_px} x {height_px} can't be written as {kind}: {error}") from None
    return content.getvalue()


def srgb(picture: Picture) -> Picture:
    """The same colours without a profile, for where none can be kept."""
    from PIL import Image

    if not picture.icc:
        return picture
    image = _in_srgb(Image.fromarray(np.ascontiguousarray(picture.pixels[..., ::-1])), picture.icc)
    return Picture(pixels=_bgr(image))


def _opened(path: Path) -> Any:
    """A Pillow image whose size is bearable. Raises MienError."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, below, and one line
    file = local_file(path)
    try:
        image = Image.open(file, formats=_READ)  # type: ignore[arg-type]  # Pillow takes any sequence
    except Exception:  # Pillow's readers raise whatever the bytes make them
        raise MienError(f"{path.name} is no picture that can be read, or it is damaged") from None
    pixels = image.width * image.height
    if pixels > LARGEST_PX:
        raise MienError(
            f"{path.name} has {pixels / 1e6:.0f} megapixels; the most is {LARGEST_PX / 1e6:.0f}, "
            "make it smaller first"
        )
    return image


def _pictures(path: Path) -> Iterator[tuple[Picture, int]]:
    with _opened(path) as image:
        count = getattr(image, "n_frames", 1) if image.format in _MOVING else 1
        for number in range(count):
            try:
                image.seek(number)
                picture = _upright(image)
            except Exception as error:
                line = " ".join(str(error).split())[:120]
                raise MienError(f"{path.name} is damaged: {line}") from None
            yield picture, round(image.info.get("duration") or _STEP_MS)


def _upright(image: Any) -> Picture:
    image.load()
    icc = image.info.get("icc_profile") or b""
    orientation = of_exif(image.getexif().get(_EXIF_ORIENTATION))
    if image.mode.startswith("I"):  # 16 bits of grey
        grey = (np.asarray(image).clip(0, 65535) // 257).astype(np.uint8)
        bgr, icc = np.repeat(grey[..., None], 3, axis=2), b""
    elif image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        bgr = over_white(np.concatenate([rgba[..., 2::-1], rgba[..., 3:]], axis=2))
        icc = icc if image.mode in ("RGB", "RGBA", "RGBa", "P", "PA") else b""
    elif icc and image.mode not in ("RGB", "P"):  # its profile is not of RGB
        bgr, icc = _bgr(_in_srgb(image, icc)), b""
    else:
        bgr = _bgr(image.convert("RGB"))
    upright = np.ascontiguousarray(orientation.upright(bgr))
    upright.flags.writeable = False
    return Picture(pixels=upright, icc=icc)


def _in_srgb(image: Any, icc: bytes) -> Any:
    """RGB by the profile; as it stands where the profile is broken."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")


def _bgr(image: Any) -> U8:
    rgb: U8 = np.asarray(image)
    return np.ascontiguousarray(rgb[..., ::-1])


def _sixteen_bits(image: Any) -> bool:
    """Whether the file has more than eight bits; Pillow names what it reads as "RGB;16B"."""
    return image.mode.startswith("I") or any("16" in str(tile[3]) for tile in image.tile)
