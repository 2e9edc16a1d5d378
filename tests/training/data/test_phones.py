"""Phones of spoken words, where the tools are there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from training.data.media import sound
from training.data.phones import phones_of


def test_phones_lie_in_order_and_name_what_was_said(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="phones need pip install -e '.[phones]'")
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng speaks in this test; it is not installed")
    spoken = tmp_path / "spoken.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-w", str(spoken), "she sees the sea"], check=True)
    samples = sound(spoken)
    phones = phones_of(samples)
    assert [phone.name for phone in phones].count("IY") >= 2  # it hears sibilants less surely
    starts = [phone.start_s for phone in phones]
    assert starts == sorted(starts) and phones[-1].end_s <= len(samples) / 16000 + 0.05
    assert phones_of(np.zeros(100, np.float32)) == ()
