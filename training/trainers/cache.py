"""What takes minutes to make for a training, the same each time: kept in the user's cache."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import track as progress
from torch import nn

from engine.errors import MienError
from engine.files import atomic_write, make_folder
from engine.types import F32
from inference.assets import cache_folder
from training.data.clip import to_stderr
from training.provenance import MAKING, code_hash, sha256_of
from training.trainers.samples import Array, Clips

_DIGITS: Final = 20

_T = TypeVar("_T")


def each(clips: Clips, make: Callable[[int, int], _T], doing: str) -> Iterator[tuple[int, _T]]:
    """Index of a clip and ``make(number, index)``, for all that are chosen, with a progress bar
    where a person looks. A damaged clip is one line, and left out."""
    shown = sys.stderr.isatty()
    bar = progress(clips.chosen, doing, console=Console(stderr=True), disable=not shown)
    for number, index in enumerate(bar):
        try:
            made = make(number, index)
        except MienError as error:
            to_stderr(f"left out: {error}")
            continue
        yield index, made


def cached(kind: str, key: str, make: Callable[[], Mapping[str, Array]]) -> dict[str, Array]:
    """Arrays by name, from the cache where they are there; else made, and put there. Several
    processes may do so at once: each writes a file of its own, and the last one stays."""
    path = cache_folder() / kind / f"{key}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    made = dict(make())
    make_folder(path.parent)
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, **made)  # type: ignore[arg-type]  # names are free
    return made


def key_of(clips: Clips, network: nn.Module, *settings: Any) -> str:
    """A hash of what clips hold, a network's weights, settings, and the code by which samples are
    changed and labelled."""
    digest = hashlib.sha256(repr((*settings, clips.chosen, code_hash(*MAKING))).encode())
    for path in sorted(set(clips.shards)):
        digest.update(sha256_of(path).encode())
    for value in network.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:_DIGITS]


def compiled(module: nn.Module, shape: tuple[int, ...]) -> Callable[[F32], F32]:
    """A module that isn't trained, of one input, with OpenVINO: several times as quick as torch."""
    import openvino

    size = list(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = openvino.convert_model(module.eval(), example_input=torch.zeros(size), input=size)
    limits = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    made = openvino.Core().compile_model(network, "CPU", limits)
    return lambda given: np.array(made(given)[0])
