"""Moments of talk: what a picture shows and what is heard then, kept of every clip in advance.

Trunk and ear aren't trained, so what they make of pictures, as they are and seen by other cameras,
and of sounds is kept in the user's cache; a training then takes minutes.
Legend: T pictures, V views, C H W of the trunk's map, F features of the ear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import nn

from engine.errors import MienError
from engine.types import F32
from training.data.align import frames_in_step, pairs
from training.data.clip import ClipInfo, Phone
from training.data.talk import STEP_SAMPLES, STEPS_HZ
from training.models.content import STEPS, Content
from training.models.voice_rig import Hearing
from training.trainers.cache import cached, each, key_of
from training.trainers.samples import Array, Augmentation, Clips
from training.trainers.talks import heard as heard_of

_AT_ONCE: Final = 16


@dataclass(frozen=True, eq=False)
class Moments:
    """A clip: ``seen`` [V, T, C, H, W] and ``heard`` [S, F] float16, ``found`` [T], ``mel``."""

    info: ClipInfo
    seen: Array
    heard: Array
    found: Array
    mel: F32
    phones: tuple[Phone, ...]

    def __len__(self) -> int:
        return len(self.found)

    def sound(self, t: int) -> F32:
        """What is heard about picture ``t`` [STEPS, F]."""
        middle = round((t + 0.5) * STEPS_HZ / 25)
        at = np.arange(middle - STEPS // 2, middle + STEPS // 2).clip(0, len(self.heard) - 1)
        return np.asarray(self.heard[at], np.float32)


def moments_of(
    net: Content, hearing: Hearing, clips: Clips, views: int, keep: bool
) -> list[Moments]:
    """Of all chosen clips that have a face and a sound. Raises MienError where there are none."""

    def make() -> dict[str, Array]:
        made: dict[str, Array] = {}

        def look(number: int, index: int) -> tuple[Array, Array] | None:
            clip = clips[index].clip
            if not clip.found.any() or len(clip.sound) < STEP_SAMPLES:
                return None
            rng = np.random.default_rng([7, number])
            return _looked(net, clip.frames_THWC, views, rng), heard_of(hearing, clip.samples)

        for index, found in each(clips, look, "watching"):
            if found is not None:
                made[f"{index}_seen"], made[f"{index}_heard"] = found
        return made

    fixed = nn.ModuleList([net.trunk, hearing.ear])
    key = key_of(clips, fixed, views, net.size.crop_px)
    made = cached("moments", key, make) if keep else make()
    out = []
    for index in clips.chosen:
        if f"{index}_seen" in made:
            clip = clips[index].clip
            seen, heard = made[f"{index}_seen"], made[f"{index}_heard"]
            out.append(Moments(clip.info, seen, heard, clip.found, clip.mel, clip.phones))
    if not out:
        raise MienError(f"{clips.data} has no clip of a face that is heard; prepare others")
    return out


def _looked(net: Content, frames: Array, views: int, rng: np.random.Generator) -> Array:
    """What the trunk makes of pictures: view 0 as they are, the others by other cameras."""
    side, out = net.size.crop_px, []
    for view in range(views):
        look = Augmentation.draw(rng, side) if view else Augmentation.plain(side)
        pictures = torch.from_numpy(np.stack([look.picture(frame, side) for frame in frames]))
        with torch.no_grad():
            parts = [net.see(part).half() for part in torch.split(pictures, _AT_ONCE)]
        out.append(torch.cat(parts).numpy())
    return np.stack(out)


@dataclass(frozen=True, eq=False)
class InStep:
    """Two clips of the same words in two emotions, by their places in a list; for each picture of
    ``first`` that of ``second``: ``heard``, by time warping of the sounds, and ``made``, as a
    script has them, where both were made of one."""

    first: int
    second: int
    heard: Array
    made: Array | None


def in_step(talk: Sequence[Moments]) -> list[InStep]:
    """All pairs that CDRL learns content from (section 4.2)."""
    out = []
    for a, b in pairs([one.info for one in talk]):
        one, other = talk[a], talk[b]
        heard = frames_in_step(one.mel, other.mel, len(one), len(other))
        alike = one.info.synthetic and other.info.synthetic and len(one) == len(other)
        made = np.arange(len(one)) if alike else None
        if len(heard):
            out.append(InStep(a, b, heard, made))
    return out
