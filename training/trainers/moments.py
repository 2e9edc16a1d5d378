"""Moments of talk: what a picture shows and what is heard then, kept of every clip in advance.

Trunk and audio backbone aren't trained, so what they make of pictures, as they are and seen by
other cameras, and of sounds is kept in the user's cache; a training then takes minutes.
Legend: T pictures, V views, C H W of the trunk's map, F features of the audio backbone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from engine.errors import MienError
from engine.types import F32
from training.data.align import frames_in_step, pairs
from training.data.clip import FPS, Clip, ClipInfo, Phone
from training.data.talk import STEP_SAMPLES, STEPS_HZ
from training.models.content import STEPS, Content
from training.models.voice_rig import Hearing
from training.trainers.cache import cached, compiled, each, key_of
from training.trainers.samples import Array, Augmentation, Clips
from training.trainers.talks import heard as heard_of


@dataclass(frozen=True, eq=False)
class Moments:
    """A clip, the ``index``th: ``seen`` [V, T, C, H, W], or [1, T, 52] where rigs are seen, and
    ``heard`` [S, F] float16; ``found`` [T], ``mel``, ``phones``."""

    index: int
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
        return sound_at(self.heard, t)


def sound_at(heard: Array, t: int) -> F32:
    """What is heard [S, F] about picture ``t`` [STEPS, F]."""
    middle = round((t + 0.5) * STEPS_HZ / FPS)
    at = np.arange(middle - STEPS // 2, middle + STEPS // 2).clip(0, len(heard) - 1)
    return np.asarray(heard[at], np.float32)


def moments_of(
    net: Content, hearing: Hearing, clips: Clips, views: int, keep: bool
) -> list[Moments]:
    """Of all chosen clips that have a face and a sound. Raises MienError where there are none."""

    def make() -> dict[str, Array]:
        made: dict[str, Array] = {}
        see = _eyes(net, views)

        def look(number: int, index: int) -> tuple[Array, Array] | None:
            clip = clips[index].clip
            if not clip.found.any() or len(clip.sound) < STEP_SAMPLES:
                return None
            return see(clip, number), heard_of(hearing, clip.samples)

        for index, found in each(clips, look, "watching"):
            if found is not None:
                made[f"{index}_seen"], made[f"{index}_heard"] = found
        return made

    fixed = nn.ModuleList([hearing.backbone] if net.size.rigged else [net.trunk, hearing.backbone])
    key = key_of(clips, fixed, views, net.size.crop_px, net.size.rigged)
    made = cached("moments", key, make) if keep else make()
    out = []
    for index in clips.chosen:
        if f"{index}_seen" in made:
            clip = clips[index].clip
            seen, heard = made[f"{index}_seen"], made[f"{index}_heard"]
            out.append(Moments(index, clip.info, seen, heard, clip.found, clip.mel, clip.phones))
    if not out:
        raise MienError(f"{clips.data} has no clip of a face that is heard; prepare others")
    return out


class _Sees(nn.Module):
    def __init__(self, net: Content) -> None:
        super().__init__()
        self.net = net

    def forward(self, crop_BCHW: Tensor) -> Tensor:
        return self.net.see(crop_BCHW)


def _eyes(net: Content, views: int) -> Callable[[Clip, int], Array]:
    """What is seen of a clip, the ``number``th: view 0 as it is, the others by other cameras; its
    rig is the same in all."""
    if net.size.rigged:
        return lambda clip, number: clip.blendshapes[None].astype(np.float16)
    side = net.size.crop_px
    see = compiled(_Sees(net), (1, 3, side, side))

    def watched(clip: Clip, number: int) -> Array:
        rng = np.random.default_rng([7, number])
        cameras = [Augmentation.plain(side)]
        cameras += [Augmentation.draw(rng, side) for _ in range(views - 1)]
        pictures = [[see(c.picture(f, side)[None])[0] for f in clip.frames_THWC] for c in cameras]
        return np.array(pictures, np.float16)

    return watched


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
