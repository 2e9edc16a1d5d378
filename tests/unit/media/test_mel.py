"""Log-mel spectra: a tone lies in its bin."""

from __future__ import annotations

import numpy as np
import pytest

from media.mel import BINS, filters, log_mel


@pytest.mark.parametrize("tone_hz", [300, 1000, 4000])
def test_a_tone_lies_in_its_bin(tone_hz: int) -> None:
    samples = np.sin(2 * np.pi * tone_hz * np.arange(16000) / 16000).astype(np.float32)
    rows = log_mel(samples)
    assert rows.shape == (98, BINS)
    nearest = int(filters()[:, round(tone_hz / 16000 * 512)].argmax())
    assert (np.abs(rows.argmax(axis=1) - nearest) <= 1).all()


def test_too_little_sound_has_no_row() -> None:
    assert len(log_mel(np.zeros(400, np.float32))) == 1
    assert not len(log_mel(np.zeros(399, np.float32)))
