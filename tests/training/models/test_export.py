"""Clips to shards to trainings to weights to `Model`: the whole way, and what can go wrong."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tomllib
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch

from engine.errors import MienError
from export import samples
from export.fidelity import Fidelity, fidelity
from export.make import precision_of
from export.networks import Network
from export.networks import load as load_network
from export.parity import compare, table
from face.render.detail import skin_mask
from face.types import EMOTIONS
from inference.card import read_card
from inference.model import Backend, Model, missing
from inference.profiles import SIZES
from inference.tensorrt import AHEAD_OF_TIME, engine_key, load_tensorrt, obtain_engine
from inference.weight_sets import SHIPPED
from tests.training.models.conftest import Made
from training import recipes
from training.examples import Call, Example
from training.recipes.skin import Skin

BACKENDS: tuple[Backend, ...] = ("openvino", "onnxruntime")
HERE = [name for name in BACKENDS if missing(name) is None]
NAMES = [kind.name for kind in recipes.trained()]


def load(name: str, run: Path) -> Network:
    return load_network(recipes.recipe(name), run)


def drawn(name: str, made: Made, count: int) -> list[Call]:
    """Calls of people held out."""
    network = load(name, made.runs / name)
    return samples.calls(network, network.recipe.examples(made.taught(name))[1], count)


def quiet(line: str) -> None:
    pass


@pytest.mark.parametrize("name", NAMES)
def test_every_runtime_agrees_with_torch_on_frames(name: str, made: Made) -> None:
    network = load(name, made.runs / name)
    calls = drawn(name, made, 6)
    rows = table(network, made.weights / name, calls)
    assert {"onnxruntime", "openvino_f32", "openvino_bf16"} <= rows.keys() or len(HERE) < 2
    for key, row in rows.items():
        loose = 2e-4 if key in ("onnxruntime", "openvino_f32") else 0.3
        assert max(row.mean.values()) < loose, (key, row)
        if row.agreement is not None:
            assert row.agreement >= (1.0 if loose < 0.1 else 0.8), (key, row)


def test_a_comparison_sees_a_wrong_answer(made: Made) -> None:
    network = load("speech", made.runs / "speech")
    calls = drawn("speech", made, 3)
    row = compare(network, calls, lambda call: {k: v + 1 for k, v in network(call).items()}, "off")
    assert row.largest["emotion"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("backend", HERE)
def test_a_stateful_model_streams_as_torch_does_offline(backend: Backend, made: Made) -> None:
    from training.models.audio_backbone import STEP_SAMPLES
    from training.models.speech import SpeechEncoder
    from training.restore import restore

    sound = np.random.default_rng(0).normal(0, 0.1, (1, 6 * STEP_SAMPLES)).astype(np.float32)
    encoder = restore(made.runs / "speech", "speech", SpeechEncoder)
    offline = encoder.listen(torch.from_numpy(sound)).emotion.numpy()
    with_end = np.concatenate([sound, np.zeros((1, STEP_SAMPLES), np.float32)], axis=1)
    model = Model(made.weights / "speech", backend=backend, precision="f32", log=quiet)
    state, said = model.begin(), []
    for start in range(0, with_end.shape[1], STEP_SAMPLES):
        out = model(sound=with_end[:, start : start + STEP_SAMPLES], **state)
        state = model.carry(out)
        said.append(out["emotion"])
    model.close()
    assert np.allclose(np.concatenate(said[1:]), offline[0], atol=1e-4)


def test_the_card_says_what_the_weight_is(made: Made) -> None:
    card = read_card(made.weights / "visual")
    text = tomllib.loads((made.weights / "visual" / "card.toml").read_text())
    assert card.text["nc"] == "no" and text["data"]["licences"] == ["CC0-1.0"]
    assert text["data"]["sources"] == ["made"] and text["data"]["people"] == 2
    assert "-m training.train visual" in text["training"] and text["seed"] == 0
    card = read_card(made.weights / "skin")
    assert card.text["nc"] == "yes" and card.text["data"]["sources"] == ["photographs"]
    assert card.text["data"]["people"] == 3 and card.text["data"]["calibration_people"] == 2
    by_emotion = card.text["metrics"]["openvino_int8_by_emotion"]
    assert by_emotion.keys() == {"neutral", "happy", "sad"}
    assert by_emotion["happy"]["edits"] == 3 and by_emotion["happy"]["people"] == 1
    assert [tensor.name for tensor in card.outputs] == ["change"]
    assert all(tensor.meaning and tensor.low < tensor.high for tensor in card.inputs)
    assert read_card(made.weights / "speech").state == {"state": "state_next"}


def test_what_is_lost_of_a_change_is_told_on_the_face_alone() -> None:
    face, shape = skin_mask() > 0, (1, 1, *skin_mask().shape)
    asked = [Example({}, True, "happy", who) for who in "abc"]
    truth = {"change": np.full(shape, 0.5, np.float32)}

    def answer(lost: float, beside: float = 0.0) -> Fidelity:
        said = {"change": truth["change"] * np.float32(1 - lost)}
        said["change"][..., ~face] += beside
        (row,) = fidelity(asked, lambda call: truth, lambda call: said, Skin.tolerance)
        return row

    half = answer(0.5)
    assert half.off == half.high == pytest.approx(0.5) and not half.good_enough()
    assert (half.kind, half.edits, half.people) == ("happy", 3, 3)
    assert answer(0.1, beside=9).off == answer(0.1).off and answer(0.1).good_enough()


def test_edits_are_of_all_kinds_in_turn_and_of_people_held_out(made: Made) -> None:
    learn, judge = Skin.debug().examples(made.photographs)
    assert not learn.people & judge.people and len(learn.people | judge.people) == 3
    asked = list(islice(judge.draw(np.random.default_rng(0)), 7))
    assert [edit.kind for edit in asked] == 2 * ["neutral", "happy", "sad"] + ["neutral"]
    assert {edit.subject for edit in asked} == judge.people
    for edit in asked:
        assert edit.call["emotion"].argmax() == EMOTIONS.index(edit.kind)


def test_photographs_of_one_person_are_one_line(made: Made, tmp_path: Path) -> None:
    for file in made.photographs.glob("*/a_*"):
        (tmp_path / file.parent.name).mkdir()
        shutil.copy(file, tmp_path / file.parent.name)
    with pytest.raises(MienError, match="shows one person"):
        Skin.debug().examples(tmp_path)


def test_precision_is_the_recipes_where_it_is_good_enough_or_what_was_asked_for() -> None:
    skin, speech = Skin.debug(), recipes.recipe("speech").debug()
    assert precision_of(skin, None, {"openvino_int8"}) == ("int8", "the recipe's")
    assert precision_of(skin, None, {"openvino_bf16"}) == (
        "f32",
        "the recipe's int8 isn't good enough",
    )
    assert precision_of(skin, "bf16", set()) == ("bf16", "asked for")
    assert precision_of(speech, None, set()) == ("f32", "the recipe's")


def test_the_precision_that_was_asked_for_is_on_the_card(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from export.__main__ import main

    run, data = str(made.runs / "speech"), str(made.data)
    command = ["speech", "--run", run, "--data", data, "--out", str(tmp_path), "--calls", "2"]
    assert main([*command, "--precision", "bf16"]) == 0
    card = read_card(tmp_path / "speech")
    assert card.openvino == "bf16" and card.text["openvino_because"] == "asked for"
    assert card.text["export"].endswith("--precision bf16")
    assert read_card(made.weights / "speech").text["openvino_because"] == "the recipe's"
    capsys.readouterr()
    assert main([*command, "--precision", "int8"]) == 2
    error = capsys.readouterr().err
    assert "speech has no int8: its recipe isn't quantized" in error and error.count("\n") == 1


def test_what_an_evaluator_says_stays_as_long_as_the_network_does(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from export.__main__ import main
    from training.evaluation.on_card import put

    weight = Path(shutil.copytree(made.weights / "intensity", tmp_path / "intensity"))
    put(weight, "read_there", {"accuracy": 0.5}, "python -m there", 0, made.data)
    put(weight, "read_there", {"accuracy": 2 / 3}, "python -m there", 0, made.data)
    row = read_card(weight).text["metrics"]["read_there"]
    assert row["accuracy"] == 0.6667 and row["command"] == "python -m there"
    assert row["model_sha256"] == read_card(weight).files["onnx"].sha256
    command = ["intensity", "--run", str(made.runs / "intensity"), "--data", str(made.data)]
    command += ["--out", str(tmp_path), "--calls", "2", "--to", "onnx"]
    assert main(command) == 0
    assert read_card(weight).text["metrics"]["read_there"] == row
    card = weight / "card.toml"
    card.write_text(card.read_text().replace(row["model_sha256"], "0" * 64, 2))
    capsys.readouterr()
    assert main(command) == 0
    assert "read_there: of another network" in capsys.readouterr().out
    assert "read_there" not in read_card(weight).text["metrics"]


def test_int8_can_be_made_anew_from_a_weight(made: Made, tmp_path: Path) -> None:
    from export.__main__ import main

    shutil.copytree(made.weights / "skin", tmp_path / "skin")
    before = read_card(tmp_path / "skin")
    (tmp_path / "skin" / "int8.bin").write_bytes(b"")
    command = ["skin", "--again", "--data", str(made.photographs), "--out", str(tmp_path)]
    assert main([*command, "--calls", "4", "--edits", "9"]) == 0
    after = read_card(tmp_path / "skin")
    assert after.files["onnx"].sha256 == before.files["onnx"].sha256
    assert after.files["openvino_int8"].read_extra()
    for key in ("training", "recipe", "seed", "steps", "size", "gflop"):
        assert after.text[key] == before.text[key]
    assert after.text["data"]["shards_sha256"] == before.text["data"]["shards_sha256"]


def test_a_card_tells_the_data_of_its_training_whatever_it_is_exported_with(
    made: Made, tmp_path: Path
) -> None:
    from export.__main__ import main
    from tests.training.made_clips import made_clip
    from training.data.clip import write_shard
    from training.train import main as train

    bound = made_clip("a")
    info = dataclasses.replace(bound.info, nc="yes", licence="CC-BY-NC-4.0")
    write_shard(tmp_path / "bound" / "a.tar", [dataclasses.replace(bound, info=info)])
    run, command = str(tmp_path / "run"), ["speech", "--data", str(tmp_path / "bound")]
    assert train([*command, "--out", run, "--steps", "1"]) == 0
    command = ["speech", "--data", str(made.data), "--out", str(tmp_path), "--calls", "2"]
    assert main([*command, "--run", run, "--to", "onnx"]) == 0
    card = read_card(tmp_path / "speech")
    assert card.text["nc"] == "yes" and card.text["data"]["licences"] == ["CC-BY-NC-4.0"]
    assert len(card.text["data"]["shards_sha256"]) == 64
    assert json.loads(card.text["recipe"])["schedule"]["steps"] == 1


def test_an_export_replaces_what_an_older_one_left(made: Made, tmp_path: Path) -> None:
    from export.__main__ import main

    weight = Path(shutil.copytree(made.weights / "intensity", tmp_path / "intensity"))
    (weight / "int8.xml").write_text("old")
    run, data = str(made.runs / "intensity"), str(made.data)
    command = ["intensity", "--run", run, "--data", data, "--out", str(tmp_path), "--calls", "2"]
    assert main([*command, "--to", "onnx"]) == 0
    assert sorted(path.name for path in weight.iterdir()) == ["card.toml", "model.onnx"]
    first = (weight / "model.onnx").read_bytes()
    assert main([*command, "--to", "onnx"]) == 0
    assert (weight / "model.onnx").read_bytes() == first


def test_exporting_what_isnt_there_is_one_line(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from export.__main__ import main

    command = ["visual", "--data", str(made.data), "--out", str(tmp_path), "--run"]
    assert main([*command, str(tmp_path / "none")]) == 1
    assert "no checkpoint in" in capsys.readouterr().err
    assert main([*command, str(made.runs / "speech")]) == 1
    assert "is a run of speech, it has no visual" in capsys.readouterr().err


def test_bench_measures_every_runtime_that_is_here(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from run_engine import main

    out = tmp_path / "models.json"
    command = ["bench", "models", "--weights", str(made.weights), "--seconds", "0.05"]
    assert main([*command, "--only", "skin", "speech", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    rows = found["networks"]
    assert {row["network"] for row in rows} == {"skin", "speech"}
    assert len(rows) == 2 * 3 + 1 or missing("tensorrt") is None
    for row in rows:
        assert row["calls"] >= 5 and 0 < row["min_ms"] <= row["p50_ms"] <= row["p95_ms"]
        assert row["cold_ms"] > row["min_ms"] and row["gflop"] > 0
    assert "tensorrt" in found["left_out"] or missing("tensorrt") is None
    assert "skin" in capsys.readouterr().out
    assert main([*command, "--only", "nothing"]) == 1
    assert "no networks in" in capsys.readouterr().err


def test_float16_is_close_and_runs(made: Made) -> None:
    from export.onnx_file import to_float16
    from export.parity import _half

    network = load("skin", made.runs / "skin")
    half = made.weights / "half.onnx"
    half.write_bytes(to_float16((made.weights / "skin" / "model.onnx").read_bytes()))
    label, call = _half(half)
    row = compare(network, drawn("skin", made, 2), call, label)
    assert row.largest["change"] < 0.01


class TestEngines:
    """Engines for RTX cards, built here, where there is none."""

    capability = (8, 9)

    @pytest.fixture(autouse=True)
    def tensorrt(self) -> Any:
        self.trt = pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13")

    def test_one_is_built_for_each_generation_and_kept(self, made: Made, tmp_path: Path) -> None:
        card = read_card(made.weights / "skin")
        said: list[str] = []
        paths = {
            obtain_engine(card, capability, said.append, tmp_path)
            for capability in ((8, 6), (8, 9), (12, 0))
        }
        assert len(paths) == 3 and all(path.stat().st_size > 10_000 for path in paths)
        assert [line.startswith("building the engine") for line in said] == [True, False] * 3
        stamps = {path: path.stat().st_mtime_ns for path in paths}
        obtain_engine(card, (12, 0), said.append, tmp_path)
        assert len(said) == 6 and stamps == {path: path.stat().st_mtime_ns for path in paths}

    def test_every_network_can_be_built(self, made: Made, tmp_path: Path) -> None:
        for name in NAMES:
            obtain_engine(read_card(made.weights / name), self.capability, quiet, tmp_path)
        assert len(list(tmp_path.glob("*.engine"))) == len(NAMES)

    def test_what_ships_is_built_for_each_generation(self, tmp_path: Path) -> None:
        names = recipes.shipped()
        for name in names:
            for capability in AHEAD_OF_TIME:
                obtain_engine(read_card(SHIPPED / name), capability, quiet, tmp_path)
        assert len(list(tmp_path.glob("*.engine"))) == 3 * len(names)

    def test_batches_of_each_size_have_a_profile(self, tmp_path: Path) -> None:
        card = read_card(SHIPPED / "intensity")
        built = obtain_engine(card, self.capability, quiet, tmp_path, sizes=SIZES)
        assert built != obtain_engine(card, self.capability, quiet, tmp_path)
        assert built == obtain_engine(card, self.capability, quiet, tmp_path, sizes=SIZES)

    def test_a_damaged_or_foreign_engine_is_built_anew(self, made: Made, tmp_path: Path) -> None:
        card = read_card(made.weights / "speech")
        said: list[str] = []
        path = obtain_engine(card, self.capability, quiet, tmp_path)
        good, record = path.read_bytes(), path.with_suffix(".json")
        path.write_bytes(good[:-100] + bytes(100))
        obtain_engine(card, self.capability, said.append, tmp_path)
        assert "is damaged" in said[0]
        other = json.loads(record.read_text())
        other["key"]["tensorrt"] = "tensorrt_rtx 1.0"
        record.write_text(json.dumps(other))
        obtain_engine(card, self.capability, said.append, tmp_path)
        assert "built for something else" in said[2]
        record.write_text("{")
        obtain_engine(card, self.capability, said.append, tmp_path)
        assert "has no record" in said[4]
        assert len(path.read_bytes()) == pytest.approx(len(good), rel=0.01)

    def test_the_key_changes_with_all_that_matters(self, made: Made) -> None:
        trt = load_tensorrt()
        speech, visual = (read_card(made.weights / name) for name in ("speech", "visual"))
        keys = {
            engine_key(speech, trt, (8, 6)),
            engine_key(speech, trt, (8, 9)),
            engine_key(visual, trt, (8, 9)),
        }
        assert len({key.file("x", Path()) for key in keys}) == 3

    def test_a_card_of_no_known_generation_is_one_line(self, made: Made, tmp_path: Path) -> None:
        with pytest.raises(MienError, match="builds no engine for SM90 on another machine"):
            obtain_engine(read_card(made.weights / "speech"), (9, 0), quiet, tmp_path)
