"""Log-mel spectra: a tone lies in its bin; streamed equals whole."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.mel import BINS, MelStream, filters, log_mel


@pytest.mark.parametrize("tone_hz", [300, 1000, 4000])
def test_a_tone_lies_in_its_bin(tone_hz: int) -> None:
    samples = np.sin(2 * np.pi * tone_hz * np.arange(16000) / 16000).astype(np.float32)
    rows = log_mel(samples)
    assert rows.shape == (98, BINS)
    nearest = int(filters()[:, round(tone_hz / 16000 * 512)].argmax())
    assert (np.abs(rows.argmax(axis=1) - nearest) <= 1).all()


def test_streamed_equals_whole() -> None:
    rng = np.random.default_rng(1)
    samples = rng.normal(size=7000).astype(np.float32) * 0.1
    stream, cuts = MelStream(), np.sort(rng.integers(0, 7000, 30))
    streamed = np.concatenate([stream(block) for block in np.split(samples, cuts)])
    np.testing.assert_allclose(streamed, log_mel(samples), rtol=1e-6)
    assert not len(log_mel(samples[:399]))
