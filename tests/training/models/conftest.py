"""Runs of every trainer in debug, and weights exported from them: made once for all tests here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch (pip install -e '.[train]')")

import torch

from tests.training.made_clips import made_clips
from training.data.clip import write_shard

pytest.importorskip("onnxscript", reason="export needs onnxscript (pip install -e '.[train]')")


@dataclass(frozen=True)
class Made:
    """Folders: ``data`` shards, ``runs`` by trainer, ``weights`` by network."""

    data: Path
    runs: Path
    weights: Path


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A core is enough, and others need theirs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of drawn heads."""
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "made-000000.tar", made_clips())
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Made:
    """Every model trained in debug by its own command, and exported by its own."""
    from export.__main__ import main as export
    from training.train import main as train

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("made")
    runs, weights = folder / "runs", folder / "weights"
    encoders = ["--visual", str(runs / "visual"), "--speech", str(runs / "speech")]
    for name in ("visual", "speech", "intensity", "generator"):
        command = [name, "--config", "debug", "--data", str(data), "--out", str(runs / name)]
        assert train(command + (encoders if name in ("intensity", "generator") else [])) == 0
    for name in ("visual", "speech", "intensity", "identity", "generator"):
        run = runs / ("generator" if name == "identity" else name)
        command = [name, "--run", str(run), "--data", str(data), "--out", str(weights)]
        assert export([*command, "--to", "onnx", "openvino", "--calls", "6", "--edits", "18"]) == 0
    return Made(data, runs, weights)


@pytest.fixture
def weight(made: Made, tmp_path: Path) -> Path:
    """A copy of the speech encoder's weight, to be spoiled."""
    return Path(shutil.copytree(made.weights / "speech", tmp_path / "speech"))
