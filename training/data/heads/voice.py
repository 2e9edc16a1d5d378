"""Synthetic speech with the time of every phone, from espeak-ng's own library.

libespeak-ng reports each phone where its samples begin (espeak_EVENT of type PHONEME in
speak_lib.h), so the mouth follows the very sound that is heard. Pitch, its range and loudness carry
the feeling; rate and words don't change with it, so that a sentence lasts as long in each emotion.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from engine.errors import MienError
from engine.types import F32
from media.mel import RATE_HZ
from training.data.clip import Phone

VOICES: Final = {
    True: ("f1", "f2", "f3", "f4", "f5", "linda", "steph", "belinda"),
    False: ("m1", "m2", "m3", "m4", "m6", "m7", "m8", "michael", "john"),
}
"""espeak-ng's variants by whether they are a woman's"""
PROSODY: Final = {
    "neutral": (0, 0, 0), "angry": (8, 25, 45), "contempt": (-6, -12, -5),
    "disgusted": (-10, -5, 5), "fear": (22, -5, 0), "happy": (14, 28, 20),
    "sad": (-12, -28, -35), "surprised": (24, 32, 15),
}  # fmt: skip
"""what full feeling adds to pitch (0..100), its range (0..100) and volume (0..200)"""

_ARPABET: Final = {
    "p": "P", "b": "B", "t": "T", "d": "D", "k": "K", "ɡ": "G", "g": "G", "m": "M", "n": "N",
    "ŋ": "NG", "f": "F", "v": "V", "θ": "TH", "ð": "DH", "s": "S", "z": "Z", "ʃ": "SH",
    "ʒ": "ZH", "h": "HH", "tʃ": "CH", "dʒ": "JH", "l": "L", "ɫ": "L", "ɹ": "R", "r": "R",
    "j": "Y", "w": "W", "ɾ": "D", "ʔ": "T", "ə": "AH", "ɐ": "AH", "ʌ": "AH", "ɚ": "ER",
    "ɜ": "ER", "æ": "AE", "a": "AE", "ɑ": "AA", "ɒ": "AA", "ɔ": "AO", "ɛ": "EH", "e": "EH",
    "ɪ": "IH", "ᵻ": "IH", "i": "IY", "ʊ": "UH", "u": "UW", "aɪ": "AY", "eɪ": "EY", "ɔɪ": "OY",
    "aʊ": "AW", "oʊ": "OW", "əʊ": "OW", "o": "OW",
}  # fmt: skip
_SYNCHRONOUS: Final = 2
_PHONEME_EVENTS_IN_IPA: Final = 0x0003
_PHONEME: Final = 7
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How somebody talks: espeak-ng's variant, words a minute, pitch and its range in 0..100."""

    variant: str
    rate_wpm: int
    pitch: int
    range: int


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("unique", ctypes.c_uint), ("text", ctypes.c_int),
        ("length", ctypes.c_int), ("position_ms", ctypes.c_int), ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p), ("id", _Id),
    ]  # fmt: skip


class Speaker:
    """espeak-ng, loaded into this process. It keeps global state: one per process."""

    def __init__(self) -> None:
        """Raises MienError where espeak-ng isn't installed."""
        try:
            self._library: Any = ctypes.CDLL("libespeak-ng.so.1")
        except OSError:
            raise MienError(
                "synthetic speech needs espeak-ng; install it with apt install espeak-ng"
            ) from None
        self.rate_hz = self._library.espeak_Initialize(
            _SYNCHRONOUS, 200, None, _PHONEME_EVENTS_IN_IPA
        )
        if self.rate_hz <= 0:
            raise MienError("espeak-ng finds no voices; reinstall it (apt install espeak-ng-data)")
        self._blocks: list[bytes] = []
        self._phones: list[tuple[str, int]] = []
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
        )
        self._callback = kind(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(
        self, text: str, manner: Manner, emotion: str = "neutral", feeling: float = 1.0
    ) -> tuple[F32, tuple[Phone, ...]]:
        """Samples [N] in -1..1 at 16 kHz and their phones."""
        if self._library.espeak_SetVoiceByName(f"en-us+{manner.variant}".encode()) != 0:
            raise MienError(f"espeak-ng has no voice {manner.variant}; reinstall espeak-ng-data")
        pitch, spread, volume = (feeling * value for value in PROSODY[emotion])
        for parameter, value in (
            (_RATE, manner.rate_wpm),
            (_VOLUME, 100 + volume),
            (_PITCH, manner.pitch + pitch),
            (_RANGE, manner.range + spread),
        ):
            top = {_RATE: 450, _VOLUME: 200}.get(parameter, 99)
            self._library.espeak_SetParameter(parameter, int(np.clip(value, 1, top)), 0)
        self._blocks, self._phones = [], []
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, 1, None, None)
        self._library.espeak_Synchronize()
        pcm = np.frombuffer(b"".join(self._blocks), np.int16)
        if not len(pcm):
            raise MienError(f"espeak-ng said nothing for {text!r}")
        return self._resampled(pcm), self._timed(len(pcm))

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._blocks.append(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type:
            event = events[index]
            if event.type == _PHONEME:
                name = bytes(event.id.string).split(b"\0")[0].decode("utf-8", "ignore")
                self._phones.append((name, event.sample))
            index += 1
        return 0

    def _timed(self, samples: int) -> tuple[Phone, ...]:
        starts = [sample / self.rate_hz for _, sample in self._phones]
        ends = [*starts[1:], samples / self.rate_hz]
        return tuple(
            Phone(name=arpabet(name), start_s=start, end_s=end)
            for (name, _), start, end in zip(self._phones, starts, ends, strict=True)
            if end > start
        )

    def _resampled(self, pcm: np.ndarray[Any, np.dtype[np.int16]]) -> F32:
        import av

        frame = av.AudioFrame.from_ndarray(pcm[None].copy(), format="s16", layout="mono")
        frame.sample_rate = self.rate_hz
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        blocks = [*resampler.resample(frame), *resampler.resample(None)]
        sound = np.concatenate([block.to_ndarray()[0] for block in blocks])
        return (sound / 32768).astype(np.float32)


@lru_cache(maxsize=1)
def load_speaker() -> Speaker:
    """espeak-ng, loaded once a process. Raises MienError where it isn't installed."""
    return Speaker()


def arpabet(ipa: str) -> str:
    """The ARPAbet name of one of espeak-ng's phones; SIL where it is none."""
    plain = "".join(c for c in ipa if c not in "ːˈˌ̩̃ʲ")
    for part in (plain, plain[:2], plain[:1]):
        if part in _ARPABET:
            return _ARPABET[part]
    return "SIL"


def manner_of(female: bool, rng: np.random.Generator) -> Manner:
    """A voice, drawn at random."""
    variants = VOICES[female]
    return Manner(
        variant=variants[int(rng.integers(len(variants)))],
        rate_wpm=int(rng.integers(150, 186)),
        pitch=int(rng.integers(38, 60)),
        range=int(rng.integers(40, 62)),
    )


_WHO: Final = ("We", "They", "My mother", "You", "The children", "Both of them", "Our neighbours")
_DID: Final = ("found", "painted", "moved", "bought", "wanted", "forgot", "watched", "brought back")
_WHAT: Final = ("the boat", "a few old books", "the blue jacket", "my favourite cup",
                "five apples", "the whole garden", "a warm shawl", "your photograph",
                "that heavy box")  # fmt: skip
SENTENCES: Final = len(_WHO) * len(_DID) * len(_WHAT)


def sentence(number: int) -> str:
    """Plain words that may be felt any way; ``number`` below SENTENCES."""
    # Steps prime to the lists' lengths: neighbours share no word for long.
    who, did, what = _WHO[number % 7], _DID[3 * number % 8], _WHAT[4 * number % 9]
    return f"{who} {did} {what}."
