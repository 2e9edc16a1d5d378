"""Train the speech emotion encoder: emotion of a voice, and its valence-arousal where known."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.types import EMOTIONS
from nodes.emotions import ANGLES_DEG
from training.data.clip import ClipInfo
from training.loop import Batch, Parts, Schedule, Trainer
from training.losses import faces, labels
from training.models.ear import STEP_SAMPLES, learned_ear
from training.models.speech import SpeechEncoder, SpeechSize, log_shares
from training.trainers.samples import Array, Clips, Sample
from training.trainers.wear import worn_voice

LABELS: Final = (*EMOTIONS, "boredom")
SCHEDULES: Final = {
    "debug": Schedule(steps=3, batch=4, rate=5e-3, ema=0.9, save_every=2, log_every=1, loaders=1),
    "full": Schedule(
        steps=300, batch=32, rate=2e-3, warm_up=20, ema=0.98, decay=0.05, loaders=1,
        save_every=300, log_every=50,
    ),
}  # fmt: skip
SIZES: Final = {
    "debug": SpeechSize(width=16, heads=2, layers=1, past=8, features=32),
    "full": SpeechSize(),
}
STEPS: Final = {"debug": 10, "full": 56}
"""length of a sample in steps of 40 ms"""
TAKES: Final = {"debug": 2, "full": 3}
"""how often each recording is heard: as it is, and through other throats, rooms and microphones"""
RAMPS: Final = {"debug": 1, "full": 25}
"""steps until a beginning counts in full"""
WEIGHTS: Final = {"classification": 1.0, "affect": 0.5, "intensity": 0.5}
SMOOTHING: Final = 0.1
ACTED: Final = 0.8
"""intensity of an acted emotion of no known level; of levels 1 to 3:"""
LEVELS: Final = (0.4, 0.65, 0.9)
ACTED_TRUST: Final = 0.3
"""how much such a guess counts beside one that was judged or measured"""
BORED: Final = (-0.2, -0.5)
"""valence and arousal of boredom (Russell 1980, figure 2)"""


class SpeechTrainer(Trainer):
    name: ClassVar[str] = "speech"
    averaged: ClassVar[tuple[str, ...]] = ("speech",)

    def __init__(self, data: Path, config: str, left_out: Set[str] = frozenset()) -> None:
        """``left_out``: subjects that aren't learned from."""
        self.schedule, size = SCHEDULES[config], SIZES[config]
        self.steps, self.ramp, self.takes = STEPS[config], RAMPS[config], TAKES[config]
        self.size = asdict(size)
        self.clips = Clips(data, "train", lambda i, n: i.subject not in left_out and _tells(i, n))
        self.listener = listener(config)
        encoder = SpeechEncoder(size)
        encoder.ear.load_state_dict(self.listener.encoder.ear.state_dict())
        self.modules: dict[str, nn.Module] = {"speech": encoder}

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        return self.clips.gather(self.schedule.batch, lambda: self._row(rng), "has sound")

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        encoder = self.modules["speech"]
        assert isinstance(encoder, SpeechEncoder)
        said = encoder.judge(batch["features"].float())
        wanted = labels.one_hot(batch["emotion"], len(LABELS), SMOOTHING)
        weight = labels.even(batch["heard"], self.ramp)
        affect = said.valence_arousal.float(), said.intensity.float()
        parts = {
            "classification": labels.soft_classification(log_shares(said), wanted, weight),
            "affect": faces.intensity(affect[0], batch["affect"], batch["known"]),
            "intensity": faces.intensity(affect[1], batch["intensity"], batch["known"]),
        }
        yield "speech", parts, WEIGHTS

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        features = batch["features"][0].float().T
        spread = (features - features.mean()) / features.std().clamp(min=1e-3)
        return {"features": (0.5 + spread / 4)[None].expand(3, -1, -1).contiguous()}

    def _row(self, rng: np.random.Generator) -> dict[str, Array] | None:
        sample = self.clips[self.clips.draw_tempered(rng)]
        take = int(rng.integers(self.takes))
        if len(sample.clip.sound) < STEP_SAMPLES:
            return None
        heard = self.listener.hear(self.clips.data, sample, take)
        first = int(rng.integers(max(1, len(heard) - self.steps)))
        part = heard[first : first + self.steps + 1]
        affect, intensity, known = felt(sample, first, self.steps)
        here = (np.arange(self.steps) < len(part) - 1).astype(np.float32)
        missing = self.steps + 1 - len(part)
        return {
            "features": np.pad(part, ((0, missing), (0, 0)), mode="edge"),
            "emotion": np.array(LABELS.index(sample.label) if sample.label else -1, np.int64),
            "heard": here,
            "affect": affect,
            "intensity": intensity,
            "known": known * here[:, None],
        }


class Listener:
    """What the ear, which doesn't learn, makes of recordings: heard once, kept as half floats, for
    all trainings of a process. Safe to use from several threads."""

    def __init__(self, config: str) -> None:
        size = SIZES[config]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.encoder = SpeechEncoder(size).eval().requires_grad_(False)
        if config == "full":
            self.encoder.ear = learned_ear(size.layers, size.past)
        self._kept: dict[tuple[Path, str, int], Array] = {}
        self._lock = threading.Lock()

    def hear(self, data: Path, sample: Sample, take: int) -> Array:
        """A clip [T + 1, F] float16. Take 0 is the recording itself; another one is worn, always
        in the same way."""
        key = (data, sample.clip.info.key, take)
        with self._lock:
            if key not in self._kept:
                sound = sample.clip.samples
                if take:
                    seed = [take, *sample.clip.info.key.encode()]
                    sound = worn_voice(sound, np.random.default_rng(seed))
                with torch.no_grad():
                    features, _ = self.encoder.hear(torch.from_numpy(sound)[None])
                self._kept[key] = features[0].half().numpy()
            return self._kept[key]


@lru_cache(maxsize=2)
def listener(config: str) -> Listener:
    """The one of this process. Raises MienError where the learned ear can't be had."""
    return Listener(config)


def felt(sample: Sample, first: int, steps: int) -> tuple[Array, Array, Array]:
    """Valence-arousal [T, 2], intensity [T, 1] and how far they count [T, 1], by 40 ms steps.

    A step is one picture at 25 a second: what the face shows, or the truth, is
    taken where it is there; else what the whole recording was judged to be; else its label.
    """
    affect, intensity, known = (np.zeros((steps, n), np.float32) for n in (2, 1, 1))
    labels, info = sample.labels, sample.clip.info
    seen = slice(first, min(first + steps, len(sample.clip)))
    if (count := seen.stop - seen.start) > 0:
        affect[:count] = np.stack([labels.valence[seen], labels.arousal[seen]], axis=1)
        intensity[:count, 0] = labels.intensity[seen]
        known[:count, 0] = labels.known[seen]
    elif info.felt is not None:
        affect[:], intensity[:], known[:] = info.felt, min(float(np.hypot(*info.felt)), 1), 1
    elif info.label:
        strong = LEVELS[info.level - 1] if info.level else ACTED
        place = np.zeros(2)
        if info.emotion in ANGLES_DEG:
            angle = np.radians(ANGLES_DEG[info.emotion])
            place = strong * np.array([np.cos(angle), np.sin(angle)])
        elif info.word == "boredom":
            place = np.array(BORED)
        affect[:], intensity[:], known[:] = place, np.hypot(*place), ACTED_TRUST
    return affect, intensity, known


def _tells(info: ClipInfo, frames: int) -> bool:
    return bool(info.label in LABELS or info.felt or frames > 1)


def utterance(encoder: SpeechEncoder, sound: Array) -> Array:
    """Log-probabilities [9] of LABELS for a whole recording [N]: the mean of its steps' own over
    the later half, where there has been something to hear."""
    with torch.no_grad():
        shares = log_shares(encoder.listen(torch.from_numpy(sound)[None]))[0].exp()
    later = shares[len(shares) // 2 :].mean(dim=0)
    return np.asarray(torch.log(later).numpy())
