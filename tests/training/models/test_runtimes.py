"""`Model`: which runtime it takes, and what it says of weights that are damaged or don't fit."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")


from engine.errors import MienError, UsageError
from inference.model import Backend, Model, missing
from tests.training.models.conftest import Made

BACKENDS: tuple[Backend, ...] = ("openvino", "onnxruntime")
HERE = [name for name in BACKENDS if missing(name) is None]


def quiet(line: str) -> None:
    pass


def test_the_best_runtime_that_is_here_is_taken_and_said(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    Model(made.weights / "speech", log=said.append).close()
    assert len(said) == 1 and "speech runs on OpenVINO" in said[0]
    assert "no tensorrt" in said[0] or missing("tensorrt") is None
    monkeypatch.setattr(
        "inference.model.missing", lambda name: None if name == "onnxruntime" else f"{name} is away"
    )
    Model(made.weights / "speech", log=said.append).close()
    assert "runs on ONNX Runtime" in said[1]


def test_a_runtime_that_isnt_there_is_one_line(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MienError, match=r"openvino is not installed \(pip install openvino") as one:
        Model(made.weights / "speech", backend="openvino", log=quiet)
    assert "\n" not in str(one.value)
    with pytest.raises(MienError, match=r"speech cannot run: .*onnxruntime is not installed"):
        Model(made.weights / "speech", log=quiet)
    with pytest.raises(UsageError, match="a backend is auto, tensorrt"):
        Model(made.weights / "speech", backend="cuda", log=quiet)  # type: ignore[arg-type]


@pytest.mark.skipif(missing("tensorrt") is None, reason="there is a GPU")
def test_a_gpu_that_is_required_and_not_there_is_one_line(made: Made) -> None:
    with pytest.raises(MienError, match="speech cannot run: "):
        Model(made.weights / "speech", require_gpu=True, log=quiet)


@pytest.mark.parametrize("backend", HERE)
def test_a_damaged_weight_is_one_line(backend: Backend, weight: Path) -> None:
    path = weight / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(MienError, match=r"model.onnx is damaged: .*fetch it again"):
        Model(weight, backend=backend, log=quiet)
    path.unlink()
    with pytest.raises(MienError, match=r"model.onnx cannot be read"):
        Model(weight, backend=backend, log=quiet)


@pytest.mark.parametrize("backend", HERE)
def test_a_weight_that_is_no_network_is_one_line(backend: Backend, weight: Path) -> None:
    import hashlib

    old = hashlib.sha256((weight / "model.onnx").read_bytes()).hexdigest()
    (weight / "model.onnx").write_bytes(b"no network")
    new = hashlib.sha256(b"no network").hexdigest()
    card = (weight / "card.toml").read_text().replace(old, new)
    (weight / "card.toml").write_text(card)
    with pytest.raises(MienError, match="cannot load speech") as one:
        Model(weight, backend=backend, log=quiet)
    assert "\n" not in str(one.value)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("    640,\n", "    641,\n", r"input sound is \[1, 641\] on the card"),
        ('name = "sound"', 'name = "sounds"', "input sound is nothing on the card"),
        ('name = "intensity"', 'name = "strength"', "output intensity is nothing on the card"),
    ],
)
def test_a_card_that_doesnt_fit_is_one_line(
    backend: Backend, before: str, after: str, line: str, weight: Path
) -> None:
    card = weight / "card.toml"
    assert before in card.read_text()
    card.write_text(card.read_text().replace(before, after))
    with pytest.raises(MienError, match=line):
        Model(weight, backend=backend, log=quiet)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("name = ", "cannot be read"),
        ('name = "x"', "lacks 'task'"),
        ('name = "x"\ntask = "y"\ninputs = 3', "is no card"),
    ],
)
def test_a_card_that_is_none_is_one_line(content: str, line: str, weight: Path) -> None:
    (weight / "card.toml").write_text(content)
    with pytest.raises(MienError, match=line):
        Model(weight, log=quiet)
    shutil.rmtree(weight)
    with pytest.raises(MienError, match="no weight in"):
        Model(weight, log=quiet)


def test_files_outside_of_the_weight_are_never_read(weight: Path) -> None:
    card = weight / "card.toml"
    card.write_text(card.read_text().replace('file = "model.onnx"', 'file = "../model.onnx"'))
    with pytest.raises(MienError, match="files lie beside its card"):
        Model(weight, log=quiet)


def test_wrong_tensors_are_refused(made: Made) -> None:
    model = Model(made.weights / "speech", backend="onnxruntime", log=quiet)
    state = model.begin()
    with pytest.raises(ValueError, match=r"takes \['sound', 'state'\]"):
        model(**state)
    with pytest.raises(ValueError, match="sound is float32"):
        model(sound=np.zeros((1, 641), np.float32), **state)
    with pytest.raises(ValueError, match="not float64"):
        model(sound=np.zeros((1, 640)), **state)  # type: ignore[arg-type]


def test_answers_arent_overwritten_by_the_next_call(made: Made) -> None:
    for backend in HERE:
        model = Model(made.weights / "skin", backend=backend, log=quiet)
        rng = np.random.default_rng(0)
        call, other = (
            {one.name: rng.random(one.shape, np.float32) for one in model.card.inputs}
            for _ in range(2)
        )
        first = model(**call)["change"]
        kept = first.copy()
        model(**other)
        assert np.array_equal(first, kept)


def test_a_model_needs_no_torch(made: Made) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from inference.model import Model\n"
        "from inference.runtimes import zeros\n"
        f"model = Model(Path({str(made.weights / 'visual')!r}))\n"
        "print(sorted(model(**zeros(model.card))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    assert "valence_arousal" in done.stdout and "visual runs on" in done.stderr
