"""Talk as trainers of voice-driven faces draw it: heard in advance, sources alike often.

The audio backbone isn't trained, so what it hears of every recording, as it is and through other
throats, rooms and microphones, is kept in the user's cache. Silence, noise and chords with a still
mouth are a source of their own.
Legend: N samples, T steps of 20 ms, F features of the audio backbone, K shapes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import F32
from face.emotions import MIRROR
from face.types import BLENDSHAPES, EMOTIONS
from face.voice.lips import parted
from media.mel import RATE_HZ
from training.data.clip import Clip, ClipInfo, open_clips
from training.data.rig_speech import SOURCE as RIG_SPEECH
from training.data.talk import (
    BY_PHONES,
    SPOKEN,
    STEP_SAMPLES,
    Talk,
    amplitudes,
    brought_to,
    loudness,
    shifted,
    speaker_of,
    talks_of,
    usual_of,
)
from training.models.voice_rig import LOOK_AHEAD_STEPS, Hearing
from training.trainers.cache import cached, key_of
from training.trainers.degradation import degraded_voice
from training.trainers.offsets import Guess, offset_of
from training.trainers.samples import Array, Clips

AUDIBLE: Final = -6.5
"""logarithm of the loudness of a recording's louder tenth below which nobody speaks in it"""
AGREES: Final = 0.25
"""correlation of lips with what is heard below which a recording isn't learned from: it may be
dubbed, or the face turned away"""
ROUNDS: Final = 2
"""how often offsets are estimated anew, by what the time before brought in step"""
STILL_S: Final = 8.0


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How often each kind of source is drawn, so that no set drowns the others."""

    rigged: float
    """shapes that an animator's rig recorded"""
    tracked: float
    """faces that were tracked in clips"""
    by_phones: float
    """voices alone, with a mouth made of their phones"""
    made: float
    """synthetic heads"""
    still: float
    """silence, noise and chords"""


@dataclass(frozen=True, eq=False)
class Row:
    """A take of a recording: ``heard`` [T, F] float16, ``rig`` [T, 52] as late as it is answered,
    as widely articulated as usual, ``felt`` [T, 52] what a feeling adds to it, ``weight`` [T, 52] 1
    where it is known."""

    talk: Talk
    kind: str
    heard: Array
    rig: F32
    felt: F32
    weight: F32


Pair = tuple[Talk, list[Array]]
"""a talk, and what is heard of each of its takes"""


class NoTalkError(MienError):
    """Nobody talks in the clips of a split."""


class Talks:
    """All that is learned from. ``clips`` are the train split's; ``left_out`` are speakers or
    recordings (``speaker_of``, keys) that aren't used."""

    def __init__(
        self,
        clips: Clips,
        hearing: Hearing,
        takes: int,
        stills: int,
        keep: bool,
        shares: Shares,
        left_out: Set[str] = frozenset(),
        like: Talks | None = None,
    ) -> None:
        """Each is heard ``takes`` times; ``keep`` what was heard. ``like``: what is learned
        from, whose guess and usual amplitude these are judged by. Raises NoTalkError."""
        talks = [talk for talk in talks_of(loaded(clips)) if audible(talk)]
        if not talks:
            raise NoTalkError(f"{clips.data} has no clip of somebody who talks; prepare others")
        every = [*talks, *stills_of(stills)]
        heard = self._hear(every, clips, hearing, takes, keep)
        pairs = [
            (talk, own)
            for talk, own in zip(every, heard, strict=True)
            if not {talk.info.key, speaker_of(talk.info)} & left_out
        ]
        self.guess: Guess | None = like.guess if like else None
        pairs, self.guess = in_step(pairs, self.guess)
        self.gains = amplitudes([talk for talk, _ in pairs if kind_of(talk.info) != "still"])
        self.usual: F32 = like.usual if like else usual_of([talk for talk, _ in pairs], self.gains)
        self.speakers = sorted(self.gains)
        self.rows: dict[str, list[Row]] = defaultdict(list)
        for talk, own in pairs:
            kind, mine = kind_of(talk.info), self.gains.get(speaker_of(talk.info))
            level = talk if mine is None else brought_to(talk, mine, self.usual)
            for take, features in enumerate(own):
                self.rows[kind].append(row_of(level, kind, features, take))
        self.kinds = sorted(self.rows)
        share = np.array([asdict(shares)[kind] for kind in self.kinds])
        self._share = share / share.sum()

    def _hear(
        self, talks: Sequence[Talk], clips: Clips, hearing: Hearing, takes: int, keep: bool
    ) -> list[list[Array]]:
        def make() -> dict[str, Array]:
            return {
                f"{number}_{take}": heard(hearing, degraded(talk, take).sound)
                for number, talk in enumerate(talks)
                for take in range(takes)
            }

        key = key_of(clips, hearing, takes, len(talks), STILL_S)
        made = cached("talks", key, make) if keep else make()
        return [[made[f"{number}_{take}"] for take in range(takes)] for number in range(len(talks))]

    def draw(self, steps: int, past: int, rng: np.random.Generator) -> dict[str, Array]:
        """A piece of ``steps`` with what was heard ``past`` steps before it too."""
        row = self.choose(rng)
        start = int(rng.integers(max(1, len(row.rig) - steps)))
        piece = cut(row, start, steps, past)
        if rng.random() < 0.5:
            piece |= {name: piece[name][:, MIRROR] for name in ("rig", "felt", "weight")}
        emotion = row.talk.info.emotion
        return piece | {
            "speaker": np.array(self.speaker(row.talk.info), np.int64),
            "emotion": np.array(EMOTIONS.index(emotion) if emotion else -1, np.int64),
            "level": np.array(row.talk.info.level, np.int64),
        }

    def choose(self, rng: np.random.Generator, still: bool = True) -> Row:
        """A take: kinds as their shares say, of one the longer the likelier."""
        kinds = [k for k in self.kinds if still or k != "still"] or self.kinds
        share = np.array([self._share[self.kinds.index(kind)] for kind in kinds])
        rows = self.rows[kinds[int(rng.choice(len(kinds), p=share / share.sum()))]]
        sizes = np.array([len(row.rig) for row in rows], np.float64)
        return rows[int(rng.choice(len(rows), p=sizes / sizes.sum()))]

    def speaker(self, info: ClipInfo) -> int:
        """Which of the speakers it is; -1 where it is nobody."""
        name = speaker_of(info)
        return self.speakers.index(name) if name in self.speakers else -1

    def all_rows(self) -> Iterator[Row]:
        """Every take of every recording."""
        for kind in self.kinds:
            yield from self.rows[kind]


def loaded(clips: Clips) -> Iterator[Clip]:
    """The chosen clips one after another, without labels or pictures kept."""
    every = open_clips(clips.data)
    for index in clips.chosen:
        yield every[index]


def audible(talk: Talk) -> bool:
    """Whether somebody is heard."""
    return float(np.percentile(loudness(talk.sound, len(talk)), 90)) >= AUDIBLE


def in_step(pairs: list[Pair], known: Guess | None) -> tuple[list[Pair], Guess | None]:
    """Talks and what is heard of them; of those that were tracked the sound is brought to its
    picture, and those whose lips don't agree with it are left out. By the guess that is ``known``,
    else by one fitted where the truth is known, which is given too; as they are where it's neither.
    """
    sure = [pair for pair in pairs if kind_of(pair[0].info) == "rigged"]
    tracked: dict[str, list[Pair]] = defaultdict(list)
    for talk, own in pairs:
        if kind_of(talk.info) == "tracked":
            tracked[recording_of(talk.info)].append((talk, own))
    if not tracked or not (sure or known):
        return pairs, known
    good, guess = list[Pair](), known
    for _ in range(1 if known else ROUNDS):
        guess = known or _fitted([*sure, *good])
        good = [pair for pieces in tracked.values() for pair in _moved(pieces, guess)]
    rest = [pair for pair in pairs if kind_of(pair[0].info) not in ("rigged", "tracked")]
    return [*sure, *good, *rest], guess


def _fitted(pairs: list[Pair]) -> Guess:
    rows = [row_of(talk, "", own[0], 0) for talk, own in pairs]
    return Guess.fit([row.heard for row in rows], [parted(row.rig) for row in rows])


def _moved(pieces: list[Pair], guess: Guess) -> Iterator[Pair]:
    """The pieces of one recording, in step; none where they don't agree."""
    rows = [row_of(talk, "", own[0], 0) for talk, own in pieces]
    late = offset_of(
        [guess(row.heard) for row in rows],
        [parted(row.rig) for row in rows],
        [np.asarray(row.weight.any(axis=1)) for row in rows],
    )
    if late.agrees >= AGREES:
        for talk, own in pieces:
            yield shifted(talk, late.steps), own


def recording_of(info: ClipInfo) -> str:
    """What a piece was cut from."""
    return info.key.rpartition("-")[0]


def kind_of(info: ClipInfo) -> str:
    """A field of Shares."""
    if named := {RIG_SPEECH: "rigged", BY_PHONES: BY_PHONES, "still": "still"}.get(info.source):
        return named
    return "made" if info.synthetic else "tracked"


def heard(hearing: Hearing, sound: F32) -> Array:
    """Audio features [T, F] float16."""
    steps = len(sound) // STEP_SAMPLES
    with torch.no_grad():
        samples = torch.from_numpy(sound[: steps * STEP_SAMPLES])[None]
        features, _ = hearing(samples, hearing.backbone.begin(1))
    return np.asarray(features[0].numpy().astype(np.float16))


def degraded(talk: Talk, take: int) -> Talk:
    """Take 0 is the recording itself; the others are of other voices and places."""
    if not take:
        return talk
    rng = np.random.default_rng([take, *talk.info.key.encode()])
    sound = degraded_voice(talk.sound, rng)
    return replace(talk, sound=sound)


def cut(row: Row, start: int, steps: int, past: int = 0) -> dict[str, Array]:
    """A piece of a take: ``heard`` [past + steps, F]; ``rig``, ``felt``, ``weight`` [steps, 52]."""
    piece = slice(start, start + steps)
    shapes = {"rig": row.rig, "felt": row.felt, "weight": row.weight}
    cutout = {name: _filled(part[piece], steps) for name, part in shapes.items()}
    return cutout | {"heard": seen(row.heard, start, steps, past)}


def seen(heard_TF: Array, start: int, steps: int, past: int) -> F32:
    """A piece [past + steps, F] of what is heard; zeros before the beginning, and after the end
    the last again."""
    piece = heard_TF[max(0, start - past) : start + steps].astype(np.float32)
    before = np.zeros((max(0, past - start), piece.shape[1]), np.float32)
    return _filled(np.concatenate([before, piece]), past + steps)


def _filled(values: F32, steps: int) -> F32:
    lacking = steps - len(values)
    if lacking <= 0:
        return values
    return np.concatenate([values, np.repeat(values[-1:], lacking, axis=0)])


def row_of(talk: Talk, kind: str, features: Array, take: int) -> Row:
    """A take: the shapes of the moment at which each step's answer is due (its end, less the
    look-ahead): a slower voice has slower lips."""
    steps = len(features)
    faster = len(talk) / steps if take else 1.0
    due = np.arange(steps) + 1 - LOOK_AHEAD_STEPS
    late = np.clip(due * faster, 0, len(talk) - 1)
    low = late.astype(int)
    high = np.minimum(low + 1, len(talk) - 1)
    share = (late - low)[:, None]
    rig, felt = (
        np.asarray(part[low] * (1 - share) + part[high] * share, np.float32)
        for part in (talk.rig, np.zeros_like(talk.rig) if talk.felt is None else talk.felt)
    )
    known = talk.known[low] & talk.known[high]
    weight = known[:, None] * talk.shapes[None].astype(np.float32)
    return Row(talk, kind, features, rig, felt, weight.astype(np.float32))


def stills_of(count: int, seed: int = 7) -> list[Talk]:
    """Sounds that nobody speaks, with a mouth that doesn't move: silence, room noise, hum, beats,
    chords."""
    makers = (_quiet, _noise, _hum, _chords, _beats)
    out = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        steps = round(STILL_S * RATE_HZ / STEP_SAMPLES)
        sound = makers[number % len(makers)](steps * STEP_SAMPLES, rng)
        info = ClipInfo(key=f"still-{number}", subject="still", source="still")
        rig = np.zeros((steps, len(BLENDSHAPES)), np.float32)
        rest = np.zeros(len(BLENDSHAPES), np.float32)
        known: NDArray[np.bool_] = np.ones(steps, np.bool_)
        out.append(Talk(info, sound.astype(np.float32), rig, known, SPOKEN, rest))
    return out


def _quiet(count: int, rng: np.random.Generator) -> F32:
    level = 0.0 if rng.random() < 0.3 else 10 ** rng.uniform(-4.5, -3)
    return np.asarray(level * rng.normal(0, 1, count), np.float32)


def _noise(count: int, rng: np.random.Generator) -> F32:
    from scipy.signal import lfilter

    dull = rng.uniform(0, 0.98)
    out = lfilter([1 - dull], [1, -dull], rng.normal(0, 1, count))
    return _loud(out * _swell(count, rng), rng)


def _hum(count: int, rng: np.random.Generator) -> F32:
    t = np.arange(count) / RATE_HZ
    base = rng.uniform(40, 130)
    out = sum(np.sin(2 * np.pi * base * k * t) / k for k in range(1, 6))
    return _loud(np.asarray(out) + 0.1 * rng.normal(0, 1, count), rng)


def _chords(count: int, rng: np.random.Generator) -> F32:
    t = np.arange(count) / RATE_HZ
    out = np.zeros(count)
    at = 0
    while at < count:
        lasts = int(rng.uniform(0.2, 1.2) * RATE_HZ)
        here = slice(at, min(at + lasts, count))
        for _ in range(rng.integers(1, 5)):
            tone = 110 * 2 ** (rng.integers(0, 36) / 12)
            fades = np.exp(-rng.uniform(0.5, 4) * (t[here] - t[at]))
            for k in range(1, 7):
                out[here] += fades * np.sin(2 * np.pi * tone * k * t[here]) / k**1.3
        at += lasts
    return _loud(out, rng)


def _beats(count: int, rng: np.random.Generator) -> F32:
    out = _chords(count, rng).astype(np.float64)
    every = int(rng.uniform(0.15, 0.5) * RATE_HZ)
    for at in range(0, count, every):
        length = min(int(0.12 * RATE_HZ), count - at)
        fades = np.exp(-np.arange(length) / (0.02 * RATE_HZ))
        out[at : at + length] += rng.uniform(0.2, 0.8) * fades * rng.normal(0, 0.3, length)
    return _loud(out, rng)


def _swell(count: int, rng: np.random.Generator) -> Array:
    points = rng.uniform(0.1, 1, max(2, count // RATE_HZ * 3))
    return np.interp(np.linspace(0, len(points) - 1, count), np.arange(len(points)), points)


def _loud(sound: Array, rng: np.random.Generator) -> F32:
    level = 10 ** (rng.uniform(-45, -8) / 20)
    return np.asarray(sound / (np.abs(sound).max() + 1e-6) * level, np.float32)
