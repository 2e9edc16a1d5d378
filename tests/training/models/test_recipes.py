"""Recipes: what each says of its network is so, and a new one is one file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from engine.errors import MienError, UsageError
from export.__main__ import main as export
from inference.model import Model
from inference.runtimes import zeros
from tests.loopback.test_contributing import block_after
from tests.training.models.conftest import Made
from tests.training.models.elsewhere import trained_elsewhere
from training import checkpoint, recipes
from training.recipe import Recipe
from training.recipes.skin import Skin
from training.restore import restored
from training.train import main as train

TRAINED = recipes.trained()


@pytest.mark.parametrize("kind", TRAINED, ids=lambda kind: kind.name)
def test_a_module_takes_and_gives_what_its_recipe_says(kind: type[Recipe]) -> None:
    recipe = kind.debug()
    module = recipe.build().eval()
    inputs, outputs = recipe.ports(module)
    with torch.no_grad():
        answer = module(*(torch.zeros(spec.shape) for spec in inputs))
    parts = [answer] if isinstance(answer, torch.Tensor) else list(answer)
    assert [tuple(part.shape) for part in parts] == [spec.shape for spec in outputs]
    taken, given = {spec.name for spec in inputs}, {spec.name for spec in outputs}
    assert recipe.state.keys() <= taken and set(recipe.state.values()) <= given
    assert not recipe.origins()  # what is made up is nobody's


@pytest.mark.parametrize("kind", TRAINED, ids=lambda kind: kind.name)
def test_what_was_chosen_is_kept_in_a_run_whole(kind: type[Recipe]) -> None:
    for recipe in (kind.debug(), kind.full()):
        told = json.loads(json.dumps(recipe.choices()))
        assert told.keys() == {"size", "schedule", "plan", "losses"}
        assert kind.sized(told["size"]).size == recipe.size


@pytest.mark.parametrize("kind", TRAINED, ids=lambda kind: kind.name)
def test_a_network_is_trained_on_another_device(
    kind: type[Recipe], made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [kind.name, "--config", "debug", "--data", str(made.taught(kind.name))]
    for other in kind.leans_on:
        command += [f"--{other.replace('_', '-')}", str(made.runs / other)]
    with trained_elsewhere(monkeypatch):
        assert train([*command, "--out", str(tmp_path), "--steps", "1"]) == 0
    assert (tmp_path / checkpoint.LAST).exists()


def test_networks_are_trained_after_those_that_they_lean_on() -> None:
    names = [kind.name for kind in TRAINED]
    assert {"visual", "speech", "intensity", "skin"} <= set(names) <= set(recipes.names())
    assert all(
        names.index(other) < names.index(kind.name) for kind in TRAINED for other in kind.leans_on
    )


def test_a_run_of_an_older_version_still_loads_and_says_why_it_doesnt_go_on(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["skin", "--data", str(photographs), "--out", str(tmp_path)]
    assert train([*command, "--steps", "1"]) == 0
    state = checkpoint.load(tmp_path)
    recipe = state["stages"][-1]["recipe"]
    del recipe["losses"]
    recipe["constants"] = {"WEIGHTS": {"light": 1.0, "folds": 0.5}}
    recipe["schedule"] = {"steps": 1, "rate": 1e-3, "decay": 0.02}
    checkpoint.save(tmp_path, state)
    assert restored(Skin, tmp_path)[0].size == Skin.debug().size
    capsys.readouterr()
    assert train([*command, "--steps", "2"]) == 1
    error = capsys.readouterr().err
    assert "its recipe is of an older version" in error and error.count("\n") == 1
    assert "--accept-changes" in error
    assert train([*command, "--steps", "2", "--accept-changes"]) == 0
    state["size"] = {"width": 3}
    checkpoint.save(tmp_path, state)
    with pytest.raises(MienError, match="of another kind of skin than this version's"):
        restored(Skin, tmp_path)


def test_tensors_of_older_checkpoints_have_their_names_of_now(tmp_path: Path) -> None:
    before = {"norm1": "listen", "out_proj": "leave", "norm2": "think", "fc1": "widen"}
    before |= {"fc2": "narrow", "query": "query", "key": "key", "value": "value"}
    module = recipes.recipe("speech").debug().build()
    older = {}
    for name, value in module.state_dict().items():
        for new, old in before.items():
            name = re.sub(rf"\b{new}_(\d)", rf"{old}\1", name)
        name = re.sub(r"\bbackbone\.", "ear.", name)
        older[re.sub(r"\bstd$", "spread", name)] = value
    assert {"ear.listen0", "ear.widen0_bias", "ear.key0", "scale.spread"} <= older.keys()
    state = {"step": 1, "name": "speech", "stages": [], "modules": {"speech": older}}
    checkpoint.save(tmp_path, state | {"ema": {"speech": older}})
    loaded = checkpoint.load(tmp_path)
    for part in ("modules", "ema"):
        module.load_state_dict(loaded[part]["speech"])
    names = {
        "decode.told.0.weight": "decode.condition.0.weight",
        "encoder.widen.bias": "encoder.fc1.bias",
        "encoder.narrow.bias": "encoder.fc2.bias",
    }
    state["ema"] = {"other": dict.fromkeys(names, torch.zeros(1))}
    checkpoint.save(tmp_path, state | {"modules": {}})
    assert [*checkpoint.load(tmp_path)["ema"]["other"]] == [*names.values()]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("spech", "there is no network 'spech'; did you mean 'speech'?"),
        ("activity", "activity isn't trained here: python -m export.activity takes it"),
        ("nowhere:Recipe", "there is no module 'nowhere' with a recipe"),
        ("training.recipes.skin:Slin", "no recipe 'Slin' in training.recipes.skin; did you"),
    ],
)
def test_what_is_no_recipe_is_one_line(
    name: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError):
        recipes.recipe(name)
    assert train([name, "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1


def test_a_new_network_is_one_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worked examples of CONTRIBUTING.md, a trainer and a model, by their own commands."""
    (tmp_path / "jaw_trainer.py").write_text(block_after("measures how far a jaw is open:"))
    (tmp_path / "jaw.py").write_text(block_after("`jaw.py`, beside `jaw_trainer.py`:"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    commands = block_after("export it; SHARDS is a folder of prepared clips:").splitlines()
    runs = {"training.train": train, "export": export}
    for command in commands:
        _, _, module, *arguments = command.replace("SHARDS", str(data)).split()
        assert runs[module]([*arguments, *(["--calls", "4"] if module == "export" else [])]) == 0
    kept = checkpoint.load(tmp_path / "runs" / "jaw")
    assert checkpoint.load(tmp_path / "runs" / "jaw" / "best.pt")["best"] == kept["best"] != {}
    assert kept["step"] == 3 and kept["stages"][0]["recipe"]["size"] == {"features": 4}
    said: list[str] = []
    model = Model(tmp_path / "weights" / "jaw", log=said.append)
    answer = model(**zeros(model.card))["opening"]
    model.close()
    assert answer.shape == (1, 1) and 0 < float(answer[0, 0]) < 1
    assert model.card.task == "how far a jaw is open, from 40 ms of sound"
