"""The marks of a bench: drawn and read, coarsened as a codec would, mixed with noise."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from commands.bench import clip as bench_clip
from commands.bench import markers as bench_markers
from commands.bench.markers import (
    CELLS,
    CODES,
    RATE_HZ,
    cell_means,
    cells_of,
    chirp,
    draw_number,
    find_chirp,
    read_number,
)


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (240, 320), (486, 646)])
def test_a_number_is_read_as_it_was_drawn(size: tuple[int, int]) -> None:
    luma_HW = np.full(size, 128, np.uint8)
    for number in (0, 1, 2, 299, 2048, 4095):
        draw_number(luma_HW, number)
        assert read_number(cell_means(luma_HW)) == number


def test_every_number_is_its_own() -> None:
    assert len({tuple(cells_of(number)) for number in range(4096)}) == 4096
    with pytest.raises(ValueError, match="does not fit"):
        cells_of(4096)


def test_neighbours_differ_little() -> None:
    """A strip that changes little costs the codec little."""
    changes = [
        sum(a != b for a, b in zip(cells_of(number), cells_of(number + 1), strict=True))
        for number in range(299)
    ]
    assert max(changes) <= 5


def test_a_coarse_strip_is_still_read() -> None:
    random = np.random.default_rng(1)
    for number in range(0, 4096, 37):
        luma_HW = np.full((480, 640), 90, np.uint8)
        draw_number(luma_HW, number)
        noisy = luma_HW + random.normal(0, 25, luma_HW.shape)
        blurred = cv2.GaussianBlur(np.clip(noisy, 0, 255).astype(np.uint8), (15, 15), 0)
        assert read_number(cell_means(np.asarray(blurred, np.uint8))) == number


def test_what_is_no_strip_has_no_number() -> None:
    assert read_number([128.0] * CELLS) is None
    assert read_number([200.0] * (CELLS - 1)) is None
    means = [216.0 if bit else 40.0 for bit in cells_of(77)]
    for cell in range(2, CELLS - 2):
        broken = list(means)
        broken[cell] = 256 - broken[cell]
        assert read_number(broken) is None, "one wrong cell must show in the check"


@pytest.mark.parametrize("code", range(CODES))
def test_a_chirp_is_found_where_it_was_put(code: int) -> None:
    random = np.random.default_rng(code)
    sound = random.normal(0, 0.03, 6144)
    sound[1500 : 1500 + chirp(code).size] -= 0.3 * chirp(code)  # turned: codecs do that
    heard = find_chirp(sound)
    assert heard is not None
    assert heard.code == code
    assert abs(heard.start - 1500) < 0.001 * RATE_HZ


def test_noise_and_hum_are_no_chirps() -> None:
    random = np.random.default_rng(3)
    assert find_chirp(random.normal(0, 0.2, 6144)) is None
    assert find_chirp(np.sin(np.arange(6144) * 0.2)) is None
    assert find_chirp(np.zeros(6144)) is None
    assert find_chirp(np.zeros(10)) is None


def test_the_loop_of_sound_holds_each_marker_at_its_second() -> None:
    sound = bench_clip.marked_sound() / 32767
    for code in range(CODES):
        start = int((code + 0.25) * RATE_HZ)
        heard = find_chirp(sound[start - 1000 : start + 5000])
        assert heard is not None
        assert heard.code == code
        assert abs(heard.start - 1000) < 48


def test_the_clip_is_a_numbered_y4m_with_sound(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    clip = bench_clip.make_clip(tmp_path, 320, 240, 5)
    with av.open(str(clip.video)) as container:
        numbers = []
        for frame in container.decode(video=0):
            planes = np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)
            numbers.append(read_number(cell_means(planes[:240])))
    assert numbers == list(range(50))
    with av.open(str(clip.sound)) as container:
        stream = container.streams.audio[0]
        assert stream.rate == bench_markers.RATE_HZ
        assert sum(frame.samples for frame in container.decode(stream)) == RATE_HZ * CODES
