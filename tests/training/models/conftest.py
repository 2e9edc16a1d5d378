"""Runs of every trainer in debug, and weights exported from them: made once for all tests here."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch (pip install -e '.[train]')")

import cv2
import numpy as np
import torch

from tests.faces import astronaut
from tests.training.made_clips import made_clips, made_pairs
from training import recipes
from training.data.clip import write_shard

pytest.importorskip("onnxscript", reason="export needs onnxscript (pip install -e '.[train]')")

from export.networks import Network


@dataclass(frozen=True)
class Made:
    """Folders: ``data`` shards, ``photographs``, ``runs`` by trainer, ``weights`` by network."""

    data: Path
    photographs: Path
    runs: Path
    weights: Path

    def taught(self, name: str) -> Path:
        """What a network learns from."""
        return self.photographs if name == "skin" else self.data


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A core is enough, and others need theirs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _translated_once() -> Iterator[None]:
    """Torch takes seconds to write a network as ONNX; several tests export the same one."""
    from export.onnx_file import to_onnx as translate

    written: dict[str, bytes] = {}

    def to_onnx(network: Network) -> bytes:
        weights = (tensor.numpy().tobytes() for tensor in network.module.state_dict().values())
        key = network.name + hashlib.sha256(b"".join(weights)).hexdigest()
        if key not in written:
            written[key] = translate(network)
        return written[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.make.to_onnx", to_onnx)
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of drawn heads, and pairs of some of them."""
    folder = tmp_path_factory.mktemp("shards")
    clips = made_clips()
    write_shard(folder / "made-000000.tar", clips)
    np.savez(folder / "pairs.npz", **made_pairs(clips))
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut as three people, wider or narrower; calm ones are a little shorter."""
    folder = tmp_path_factory.mktemp("photographs")
    for emotion, height in (("happy", 400), ("sad", 380), ("neutral", 420)):
        (folder / emotion).mkdir()
        for person, width in (("a", 380), ("b", 400), ("c", 430)):
            picture = cv2.resize(astronaut(), (width, height), interpolation=cv2.INTER_AREA)
            assert cv2.imwrite(str(folder / emotion / f"{person}_1.jpg"), picture)
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, data: Path, photographs: Path) -> Made:
    """Every model trained in debug by its own command, and exported by its own."""
    from export.__main__ import main as export
    from training.train import main as train

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("made")
    out = Made(data, photographs, folder / "runs", folder / "weights")
    runs, weights = out.runs, out.weights
    for kind in recipes.trained():
        command = [kind.name, "--config", "debug", "--data", str(out.taught(kind.name))]
        for other in kind.leans_on:
            command += [f"--{other.replace('_', '-')}", str(runs / other)]
        assert train([*command, "--out", str(runs / kind.name)]) == 0
    for name in (kind.name for kind in recipes.trained()):
        command = [name, "--run", str(runs / name), "--data", str(out.taught(name))]
        command += ["--out", str(weights), "--to", "onnx", "openvino"]
        assert export([*command, "--calls", "6", "--edits", "9"]) == 0
    return out


@pytest.fixture
def weight(made: Made, tmp_path: Path) -> Path:
    """A copy of the speech encoder's weight, to be spoiled."""
    return Path(shutil.copytree(made.weights / "speech", tmp_path / "speech"))
