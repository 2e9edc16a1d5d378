"""Colours of a publisher: the extension is read, every matrix and range comes out as it went in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from aiortc.rtp import HeaderExtensionsMap, pack_header_extensions

from nodes.web.color import URI, Colors, ToBgr, listen

COLOURS = [(60, 80, 200), (40, 160, 30), (210, 60, 40), (240, 240, 240), (16, 16, 16), (0, 0, 255)]
MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}


def flat_picture(bgr: tuple[int, int, int], matrix: int, full: bool) -> Any:
    """A yuv420p picture of one colour by the textbook formula."""
    kr, kb = MATRICES[matrix]
    blue, green, red = (value / 255 for value in bgr)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    scale = (255, 0, 255) if full else (219, 16, 224)
    values = (luma * scale[0] + scale[1], cb * scale[2] + 128, cr * scale[2] + 128)
    planes = np.empty((64 * 3 // 2, 64), np.uint8)
    planes[:64] = round(values[0])
    planes[64:80] = np.clip(round(values[1]), 0, 255)
    planes[80:] = np.clip(round(values[2]), 0, 255)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("full", [False, True])
def test_colours_come_out_as_they_went_in(matrix: int, full: bool) -> None:
    colors = Colors()
    colors.take(bytes([1, 13, matrix, (2 if full else 1) << 4]))
    convert = ToBgr(colors)
    for colour in COLOURS:
        pixels = convert(flat_picture(colour, matrix, full))
        assert pixels.shape == (64, 64, 3)
        assert np.abs(pixels[32, 32].astype(int) - colour).max() <= 4, (colour, pixels[32, 32])


def test_untold_colours_are_bt601_limited() -> None:
    pixels = ToBgr(Colors())(flat_picture(COLOURS[0], 6, False))
    assert np.abs(pixels[0, 0].astype(int) - COLOURS[0]).max() <= 4


OFFER = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
    "c=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\na=rtcp-mux\r\n"
    f"a=extmap:9 {URI}\r\n"
)


def test_the_extension_is_agreed_to_and_read() -> None:
    known = HeaderExtensionsMap()
    transceiver = SimpleNamespace(
        mid="0",
        _headerExtensions=[],
        receiver=SimpleNamespace(transport=SimpleNamespace(_rtp_header_extensions_map=known)),
    )
    colors = listen(transceiver, OFFER)
    assert [item.uri for item in transceiver._headerExtensions] == [URI]
    profile, value = pack_header_extensions([(9, bytes([1, 13, 1, 2 << 4]))])
    known.get(profile, value)
    assert (colors.matrix, colors.full) == (1, True)


def test_an_offer_without_the_extension_changes_nothing() -> None:
    transceiver = SimpleNamespace(mid="0", _headerExtensions=[])
    colors = listen(transceiver, OFFER.replace(URI, "urn:other"))
    assert (colors.matrix, colors.full) == (None, None)
    assert not transceiver._headerExtensions
