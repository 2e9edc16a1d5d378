"""What takes minutes to make for a training, the same each time: kept in the user's cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from torch import nn

from nodes.assets import cache_folder
from nodes.files import make_folder, whole
from training.data.clip import SHARD_SUFFIX
from training.trainers.samples import Array, Clips

_DIGITS: Final = 20


def kept(kind: str, key: str, make: Callable[[], Mapping[str, Array]]) -> dict[str, Array]:
    """Arrays by name, from the cache where they are there; else made, and put there."""
    path = cache_folder() / kind / f"{key}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    made = dict(make())
    make_folder(path.parent)
    with whole(path) as part, part.open("wb") as file:
        np.savez(file, **made)  # type: ignore[arg-type]  # names are free
    return made


def key_of(clips: Clips, network: nn.Module, *settings: Any) -> str:
    """A hash of clips, a network's weights and settings. Shards carry a hash of their own in their
    names."""
    told = hashlib.sha256(repr((*settings, clips.chosen)).encode())
    for path in sorted(clips.data.glob(f"*{SHARD_SUFFIX}")):
        told.update(f"{path.name} {path.stat().st_size}\n".encode())
    for value in network.state_dict().values():
        told.update(value.numpy().tobytes())
    return told.hexdigest()[:_DIGITS]
