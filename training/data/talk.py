"""Talk as a voice-driven face learns it: sound, and what the mouth did, 50 times a second.

Of a tracked clip the speaker's own neutral and what the head's pose does to the shapes are taken
away; where the truth is known it is kept as it is. How widely somebody articulates is a style:
`usual` brings all speakers to one amplitude.
Legend: N samples, T steps of 20 ms, K the 52 blendshapes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32
from face.expression.speech import head_angles
from face.types import BLENDSHAPES
from face.voice.style import REST, amplitude, gain
from media.mel import RATE_HZ
from training.data.clip import FPS, Clip, ClipInfo, Phone
from training.data.heads.acting import mouth, perform, script_of, style_of
from training.data.phones import phones_of
from training.data.rig_speech import SOURCE as RIG_SPEECH
from training.data.rig_speech import TO_ARKIT, at_rate

STEP_SAMPLES: Final = 320
STEPS_HZ: Final = RATE_HZ // STEP_SAMPLES
POSE_DOUBT: Final = 30.0
"""how much it takes to believe that pose moves a shape, as so many frames of a degree"""

MOUTH: Final[NDArray[np.bool_]] = np.array([n.startswith(("jaw", "mouth")) for n in BLENDSHAPES])
SPOKEN: Final[NDArray[np.bool_]] = np.array(
    [name.startswith(("jaw", "mouth", "brow", "cheek", "noseSneer")) for name in BLENDSHAPES]
)
"""[52]: what a voice may move; eyes and blinks aren't its own"""
JAW: Final = BLENDSHAPES.index("jawOpen")
_RIGGED: Final = np.array([name in TO_ARKIT for name in BLENDSHAPES])
_MADE: Final = np.array(
    [name.startswith(("jawOpen", "mouthLowerDown", "mouthFunnel", "mouthPucker", "mouthRoll"))
     for name in BLENDSHAPES]
)  # fmt: skip
BY_PHONES: Final = "by_phones"
"""source and speaker of mouths that were made of phones"""
LEAST_PHONES: Final = 8
USUAL_LEVEL: Final = 2
"""of a feeling whose level nobody noted"""


@dataclass(frozen=True, eq=False)
class Talk:
    """``sound`` [N], ``rig`` [T, 52] above the speaker's rest, 50 a second from the sound's first
    sample on, ``known`` [T] where it was seen, ``shapes`` [52] which of it are; ``rest`` [52];
    ``felt`` [T, 52]: what a feeling that was acted adds, where it is known apart from the rig."""

    info: ClipInfo
    sound: F32
    rig: F32
    known: NDArray[np.bool_]
    shapes: NDArray[np.bool_]
    rest: F32
    felt: F32 | None = None
    phones: tuple[Phone, ...] = ()

    def __len__(self) -> int:
        return len(self.rig)


def talks_of(clips: Iterable[Clip]) -> list[Talk]:
    """Of all clips with sound and a face, its truth, or phones. A speaker has one rest."""
    made, speakers = list[Talk](), defaultdict[str, list[Clip]](list)
    for clip in clips:
        if len(clip.sound) < STEP_SAMPLES:
            continue
        if not len(clip):
            phones = clip.phones or phones_of(clip.samples)
            if len(phones) >= LEAST_PHONES:
                made.append(_by_phones(replace(clip, phones=phones)))
        elif clip.found.any() or _told(clip):
            speakers[clip.info.subject].append(clip)
    return [*made, *(talk for own in speakers.values() for talk in _of_speaker(own))]


def _told(clip: Clip) -> bool:
    return clip.rig is not None and len(clip) > 0


def _by_phones(clip: Clip) -> Talk:
    """A voice without a face, with the mouth that synthetic heads make of its phones."""
    steps = len(clip.sound) // STEP_SAMPLES
    rig, _ = mouth(clip.phones, steps * FPS // STEPS_HZ + 2)
    rig = at_rate(rig, FPS, STEPS_HZ)[:steps]
    info = replace(clip.info, subject=BY_PHONES, source=BY_PHONES, synthetic=True)
    known, rest = np.ones(steps, np.bool_), np.zeros(len(BLENDSHAPES), np.float32)
    sound, felt = clip.samples[: steps * STEP_SAMPLES], _acted(clip, steps)
    return Talk(info, sound, rig, known, _MADE, rest, felt, clip.phones)


def _acted(clip: Clip, steps: int) -> F32 | None:
    """What the feeling that a voice is labelled with adds to a face that acts it as synthetic heads
    do; None where there is no label."""
    if not clip.info.emotion:
        return None
    rng = np.random.default_rng(list(clip.info.key.encode()))
    style, frames = style_of(rng), steps * FPS // STEPS_HZ + 2
    script = script_of(clip.phones, frames, style, rng)
    level = clip.info.level or USUAL_LEVEL
    rig = perform(script, clip.info.emotion, level, style, rng).rig
    return at_rate(np.clip(rig - script.speech, 0, 1), FPS, STEPS_HZ)[:steps]


def _of_speaker(clips: Sequence[Clip]) -> list[Talk]:
    made = []
    truth = all(_told(clip) for clip in clips)
    if truth:
        rest = np.zeros(len(BLENDSHAPES), np.float32)
        rigs: list[F32] = [np.asarray(clip.rig) for clip in clips]
        known = [np.ones(len(clip), np.bool_) for clip in clips]
    else:
        known = [clip.found for clip in clips]
        posed = [clip.blendshapes for clip in clips]
        angles = [np.stack([head_angles(pose[:3, :3]) for pose in clip.pose]) for clip in clips]
        seen = np.concatenate(known)
        moved = _by_pose(np.concatenate(posed)[seen], np.concatenate(angles)[seen])
        middle = np.concatenate(angles)[seen].mean(axis=0)
        rigs = [own - (turn - middle) @ moved for own, turn in zip(posed, angles, strict=True)]
        every = np.concatenate(rigs)[seen]
        rest = np.percentile(every, REST, axis=0).astype(np.float32)
    for clip, rig, there in zip(clips, rigs, known, strict=True):
        dense = at_rate(np.clip(rig - rest, 0, 1).astype(np.float32), FPS, STEPS_HZ)
        steps = min(len(clip.sound) // STEP_SAMPLES, len(dense))
        dense = dense[:steps]
        frames = np.arange(steps) * FPS // STEPS_HZ
        after = np.minimum(frames + 1, len(rig) - 1)
        shapes = SPOKEN & _RIGGED if clip.info.source == RIG_SPEECH else SPOKEN
        samples = clip.samples[: steps * STEP_SAMPLES]
        seen = there[frames] & there[after]
        made.append(Talk(clip.info, samples, dense, seen, shapes, rest, None, clip.phones))
    return made


def _by_pose(shapes_TK: F32, angles_T2: F32) -> F32:
    """What a degree of yaw and of pitch adds to each shape [2, 52] (ridge regression)."""
    turned = angles_T2 - angles_T2.mean(axis=0)
    doubt = POSE_DOUBT * np.eye(2)
    moved = np.linalg.solve(turned.T @ turned + doubt, turned.T @ (shapes_TK - shapes_TK.mean(0)))
    return np.asarray(moved, np.float32)


def amplitudes(talks: Sequence[Talk]) -> dict[str, F32]:
    """Of each speaker [52], over all of their talk; a recording that an animator made is a speaker
    of its own, since each was made in another manner."""
    rigs: dict[str, list[F32]] = defaultdict(list)
    for talk in talks:
        rigs[speaker_of(talk.info)].append(talk.rig[talk.known])
    return {name: amplitude(np.concatenate(own)) for name, own in rigs.items() if own}


def speaker_of(info: ClipInfo) -> str:
    """Whose style a clip has."""
    return f"{info.subject}:{info.sentence}" if info.source == RIG_SPEECH else info.subject


def usual_of(talks: Sequence[Talk], own: dict[str, F32]) -> F32:
    """The amplitude of everybody [52]: the mean over speakers of whom a shape is known."""
    known = {speaker_of(talk.info): talk.shapes for talk in talks}
    there = np.stack([known[name] for name in own])
    values = np.stack(list(own.values()))
    mean = (values * there).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return np.asarray(np.maximum(mean, 0.01), np.float32)


def brought_to(talk: Talk, own: F32, usual: F32) -> Talk:
    """The same talk as widely articulated as is usual."""
    return replace(talk, rig=(talk.rig / gain(own, usual)).astype(np.float32))


def loudness(sound: F32, steps: int) -> F32:
    """Log of the root mean square of each step [T]."""
    blocks = sound[: steps * STEP_SAMPLES].reshape(steps, STEP_SAMPLES)
    return np.asarray(np.log(np.sqrt((blocks**2).mean(axis=1)) + 1e-4), np.float32)


def shifted(talk: Talk, late: int) -> Talk:
    """The same talk, of a recording whose sound is ``late`` by so many steps."""
    at = np.arange(len(talk)) - late
    inside = (at >= 0) & (at < len(talk))
    at = at.clip(0, len(talk) - 1)
    felt = None if talk.felt is None else talk.felt[at]
    return replace(talk, rig=talk.rig[at], known=talk.known[at] & inside, felt=felt)
