"""Who is learned from, validated on, tested: each person is in one split alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.errors import MienError
from training.data.clip import SPLITS
from training.data.problems import write_lines


def split_subjects(
    subjects: set[str], seed: int = 0, val: float = 0.1, test: float = 0.15
) -> dict[str, str]:
    """Each subject's split, by its name and the seed alone: no person is in two of them."""
    names = sorted(subjects)
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    tests = round(len(names) * test) if len(names) > 2 else 0
    vals = max(1, round(len(names) * val)) if len(names) > 4 and val > 0 else 0
    chosen = ["test"] * tests + ["val"] * vals + ["train"] * (len(names) - tests - vals)
    return dict(sorted(zip(order, chosen, strict=True)))


def write_splits(path: Path, splits: dict[str, str]) -> None:
    """A line per subject: name, tab, split. Raises MienError."""
    write_lines(path, [f"{name}\t{split}" for name, split in splits.items()])


def read_splits(path: Path) -> dict[str, str]:
    """What ``write_splits`` wrote. Raises MienError with the line that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MienError(f"{path} cannot be read ({error})") from None
    splits = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, _, split = line.partition("\t")
        if split not in SPLITS:
            raise MienError(f"{path}, line {number}: expected NAME<tab>train, val or test")
        splits[name] = split
    return splits
