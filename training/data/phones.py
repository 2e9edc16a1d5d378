"""Phones with their times, where pocketsphinx is installed to hear them (English)."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import Any, Final

import numpy as np

from engine.types import F32
from media.mel import RATE_HZ
from training.data.clip import Phone

FRAME_S = 0.01
MOUTHS: Final[dict[str, str]] = {
    phone: mouth
    for mouth, phones in (
        ("silent", "SIL"),
        ("closed", "P B M"),
        ("lip on teeth", "F V"),
        ("rounded", "W UW UH OW OY AO"),
        ("pushed forward", "SH ZH CH JH R ER"),
        ("open", "AA AE AH AY AW EH EY"),
        ("spread", "IY IH Y"),
        ("tongue", "T D N L S Z TH DH K G NG HH"),
    )
    for phone in phones.split()
}
"""what a phone looks like: many sound unlike and look alike"""


def phones_of(samples: F32) -> tuple[Phone, ...]:
    """Phones of samples [N] at 16 kHz; none where the tool isn't there or nothing is said."""
    decoder = _decoder()
    if decoder is None or len(samples) < RATE_HZ // 5:
        return ()
    decoder.start_utt()
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    return tuple(
        Phone(
            name=segment.word,
            start_s=segment.start_frame * FRAME_S,
            end_s=(segment.end_frame + 1) * FRAME_S,
        )
        for segment in decoder.seg() or ()
    )


@lru_cache(maxsize=1)
def _decoder() -> Any:
    if importlib.util.find_spec("pocketsphinx") is None:
        return None
    from pocketsphinx import Decoder, get_model_path

    return Decoder(
        hmm=get_model_path("en-us/en-us"),
        allphone=get_model_path("en-us/en-us-phone.lm.bin"),
        lw=2.0,
        beam=1e-20,
        pbeam=1e-20,
        loglevel="FATAL",
    )
