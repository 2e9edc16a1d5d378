"""Fit a visual encoder's head anew on what its finished backbone sees: minutes become seconds.

    python -m training.refit runs/visual --data SHARDS --out runs/visual-refit

Each clip's frames are seen once, and once mirrored (OUT/seen.npz keeps it); on that the head learns
for as long as it likes, its inputs brought to one scale. The new run is exported as any other.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Set
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import MienError
from engine.types import EMOTIONS
from nodes.files import whole
from training import checkpoint
from training.losses import faces, labels
from training.models.visual import VisualEncoder
from training.restore import restore
from training.trainers.samples import MIRROR, Clips, Look

Seen = dict[str, NDArray[Any]]
STEPS, BATCH, RATE, DECAY = 250, 128, 1.5e-3, 0.1
NOISE: Final = 0.7
"""of inputs in standard deviations"""
RIG_SHOWN: Final = 0.85
REPEATS: Final = 3
RARE: Final = 0.35
"""how much more often rare emotions are drawn: 0 as they are, 1 all alike"""
UNLABELLED: Final = 0.2
"""share of a batch that has no emotion's label, or is synthetic"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.refit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="a visual encoder's run")
    parser.add_argument("--data", type=Path, required=True, help="a folder of shards")
    parser.add_argument("--out", type=Path, required=True, help="the new run's folder")
    parser.add_argument("--per-clip", type=int, default=8, help="frames of each clip")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    try:
        refit(options, "python -m training.refit " + shlex.join(arguments))
    except MienError as error:
        print(f"refit: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def refit(
    options: argparse.Namespace, command: str, left_out: Set[str] = frozenset()
) -> VisualEncoder:
    """Write OUT; subjects ``left_out`` aren't learned from. Raises MienError."""
    state = checkpoint.load(options.run)
    encoder = restore(options.run, "visual", VisualEncoder)
    options.out.mkdir(parents=True, exist_ok=True)
    seen = look_at_all(encoder, options.data, options.out / "seen.npz", options.per_clip)
    learn(encoder, seen, left_out, options.steps, options.seed)
    weights = encoder.state_dict()
    before = state["command"].split(" && ")[0]
    state |= {"modules": {"visual": weights}, "ema": {"visual": weights}, "optimizers": {}}
    checkpoint.save(options.out, state | {"command": f"{before} && {command}"})
    return encoder


def look_at_all(encoder: VisualEncoder, data: Path, kept: Path, per_clip: int) -> Seen:
    """What the backbone sees of the train split: ``features`` [N, C], ``mirrored`` [N, C], ``rig``
    [N, 52] and the labels of each."""
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as stored:
            return dict(stored)
    clips = Clips(data, "train", lambda info, frames: frames > 0)
    rng, rows, side = np.random.default_rng(0), list[dict[str, Any]](), encoder.size.crop_px
    look = Look.plain(side)
    for index in clips.chosen:
        sample = clips[index]
        found = np.flatnonzero(sample.clip.found)
        times = rng.choice(found, min(per_clip, len(found)), replace=False)
        for t in times:
            crop = torch.from_numpy(look.picture(sample.clip.frame(int(t)), side))[None]
            with torch.no_grad():
                both = encoder.backbone(encoder.lit(torch.cat([crop, crop.flip(3)])))
            features = both.mean(dim=(2, 3)).numpy()
            rows.append(row_of(sample, int(t)) | {"features": features[0], "mirrored": features[1]})
    if not rows:
        raise MienError(f"{data} shows no face")
    seen = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    with whole(kept) as part, part.open("wb") as file:
        np.savez(file, **seen)  # type: ignore[arg-type]
    return seen


def row_of(sample: Any, t: int) -> dict[str, Any]:
    """The labels of one frame."""
    said, info = sample.labels, sample.clip.info
    return {
        "rig": sample.clip.blendshapes[t],
        "emotion": np.int64(sample.emotion),
        "affect": np.array([said.valence[t], said.arousal[t]], np.float32),
        "intensity": said.intensity[t : t + 1],
        "known": said.known[t : t + 1],
        "subject": np.str_(info.subject),
        "synthetic": np.bool_(info.synthetic),
    }


def learn(encoder: VisualEncoder, seen: Seen, left_out: Set[str], steps: int, seed: int) -> None:
    """Fit rig, frame, step, embed and heads."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    used = ~np.isin(seen["subject"], list(left_out))
    main_rows = np.flatnonzero(used & (seen["emotion"] >= 0) & ~seen["synthetic"])
    other_rows = np.flatnonzero(used & ((seen["emotion"] < 0) | seen["synthetic"]))
    counts = np.bincount(seen["emotion"][main_rows], minlength=len(EMOTIONS)).clip(1)
    share = 1.0 / counts[seen["emotion"][main_rows]] ** RARE
    scale = _Scale(encoder, seen, np.flatnonzero(used))
    fresh = VisualEncoder(encoder.size)
    for name in ("rig", "frame", "step", "embed", "heads"):
        getattr(encoder, name).load_state_dict(getattr(fresh, name).state_dict())
    parts = [getattr(encoder, n) for n in ("rig", "frame", "step", "embed", "heads")]
    parameters = [p for part in parts for p in part.requires_grad_(True).parameters()]
    optimizer = torch.optim.AdamW(parameters, RATE, betas=(0.9, 0.99), weight_decay=DECAY)
    nn.Module.train(encoder, True)
    for step in range(steps):
        few = BATCH - round(BATCH * UNLABELLED) if len(other_rows) else BATCH
        chosen = rng.choice(main_rows, few, p=share / share.sum())
        if few < BATCH:
            chosen = np.concatenate([chosen, rng.choice(other_rows, BATCH - few)])
        batch = scale.batch(chosen, rng)
        for group in optimizer.param_groups:
            group["lr"] = RATE * (0.02 + 0.98 * (1 - step / steps))
        optimizer.zero_grad()
        _loss(encoder, batch).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    scale.fold(encoder)
    encoder.eval().requires_grad_(False)


def _loss(encoder: VisualEncoder, batch: dict[str, Tensor]) -> Tensor:
    shown = encoder.frame(torch.cat([batch["features"], encoder.rig(batch["rig"])], dim=1))
    wanted = labels.one_hot(batch["emotion"], len(EMOTIONS), 0.1)
    state, answers = encoder.begin(len(shown)), []
    for _ in range(REPEATS):
        answers.append(encoder.judge(shown, state))
        state = answers[-1].state
    emotion, affect, intensity = (torch.stack([a[i] for a in answers], 1) for i in (1, 2, 3))
    weight = torch.ones(emotion.shape[:2])
    known = batch["known"][:, None]
    return (
        labels.soft_classification(torch.log_softmax(emotion, dim=2), wanted, weight)
        + faces.intensity(affect, batch["affect"][:, None], known)
        + faces.intensity(intensity, batch["intensity"][:, None], known)
    )


class _Scale:
    """Inputs brought to mean 0 and deviation 1 for learning; folded into the weights after it."""

    def __init__(self, encoder: VisualEncoder, seen: Seen, used: NDArray[np.int64]) -> None:
        self.seen = seen
        self.feature = _moments(seen["features"][used])
        self.shape = _moments(seen["rig"][used], 0.02)

    def batch(self, rows: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Tensor]:
        """Rows, mirrored half of the time, some without their rig, all with some noise."""
        turned = rng.random(len(rows))[:, None] < 0.5
        features = np.where(turned, self.seen["mirrored"][rows], self.seen["features"][rows])
        rig = np.where(turned, self.seen["rig"][rows][:, MIRROR], self.seen["rig"][rows])
        rig = rig * (rng.random(len(rows))[:, None] < RIG_SHOWN)
        out = {
            "features": (features - self.feature[0]) / self.feature[1],
            "rig": (rig - self.shape[0]) / self.shape[1],
        }
        for value in out.values():
            value += NOISE * rng.standard_normal(value.shape)
        tensors = {name: torch.from_numpy(value.astype(np.float32)) for name, value in out.items()}
        for name in ("emotion", "affect", "intensity", "known"):
            tensors[name] = torch.from_numpy(self.seen[name][rows])
        return tensors

    def fold(self, encoder: VisualEncoder) -> None:
        """From here on the encoder takes inputs as they are."""
        frame = next(layer for layer in encoder.frame if isinstance(layer, nn.Linear))
        rig = next(layer for layer in encoder.rig if isinstance(layer, nn.Linear))
        with torch.no_grad():
            count = len(self.feature[0])
            for layer, part, (mean, spread) in (
                (frame, slice(0, count), self.feature),
                (rig, slice(None), self.shape),
            ):
                weight = layer.weight[:, part] / torch.from_numpy(spread)
                layer.weight[:, part] = weight
                layer.bias.sub_(weight @ torch.from_numpy(mean))


def _moments(rows: NDArray[Any], least: float = 1e-3) -> tuple[NDArray[Any], NDArray[Any]]:
    return rows.mean(axis=0), np.maximum(rows.std(axis=0), least)


if __name__ == "__main__":
    raise SystemExit(main())
