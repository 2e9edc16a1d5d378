"""Trainers: exact resume, full disks, several processes, and one line for what a user can
correct."""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from engine.errors import MienError
from face.types import EMOTIONS
from tests.training.made_clips import made_clip, made_clips
from tests.training.models import both
from tests.training.models.conftest import Made
from training import checkpoint, recipes
from training.data.clip import write_shard
from training.data.own import portraits
from training.models.visual import VisualEncoder
from training.provenance import commands, described
from training.recipes.skin import Skin
from training.restore import restore
from training.running import Run
from training.train import main
from training.trainers.samples import Clips
from training.trainers.skin import Changes, SkinTrainer


def train(name: str, data: Path, out: Path, *more: str) -> int:
    return main([name, "--data", str(data), "--out", str(out), *more])


def same(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    return bool(first == second)


@pytest.mark.parametrize("name", ["visual", "speech"])
def test_a_resumed_training_ends_as_an_uninterrupted_one(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(name, data, whole, "--steps", "4") == 0
    advance, seen = Run._advance, []

    def stop_at_three(run: Run, batch: Any) -> dict[str, float]:
        seen.append(run.step)
        if run.step == 3 and len(seen) == 4:
            raise KeyboardInterrupt
        return advance(run, batch)

    monkeypatch.setattr(Run, "_advance", stop_at_three)
    assert train(name, data, parts, "--steps", "4") == 130
    assert checkpoint.load(parts)["step"] == 2
    assert train(name, data, parts, "--steps", "4") == 0
    assert seen == [0, 1, 2, 3, 2, 3]
    first, second = checkpoint.load(whole), checkpoint.load(parts)
    for part in ("modules", "ema", "optimizers", "step"):
        assert same(first[part], second[part]), part


@pytest.mark.parametrize("name", ["emotion_space", "intensity", "reference_picture", "voice_flow"])
def test_less_precision_and_gathered_batches_are_every_trainers(
    name: str, made: Made, tmp_path: Path
) -> None:
    """Of those that keep, compare or draw what was computed in bfloat16."""
    asked = recipes.recipe(name).leans_on
    runs = [f"--{other.replace('_', '-')}={made.runs / other}" for other in asked]
    more = ("--steps", "1", "--schedule.bf16", "--schedule.accumulate", "2", *runs)
    assert train(name, made.data, tmp_path, *more) == 0
    schedule = checkpoint.load(tmp_path)["stages"][0]["recipe"]["schedule"]
    assert schedule["bf16"] and schedule["accumulate"] == 2


def test_another_seed_trains_otherwise(data: Path, tmp_path: Path) -> None:
    for seed in ("0", "1"):
        assert train("speech", data, tmp_path / seed, "--steps", "1", "--seed", seed) == 0
    first, second = (checkpoint.load(tmp_path / seed)["modules"] for seed in ("0", "1"))
    assert not same(first, second)


def test_what_is_exported_is_the_average(made: Made) -> None:
    state = checkpoint.load(made.runs / "visual")
    assert not same(state["ema"]["visual"], state["modules"]["visual"])
    module = restore(made.runs / "visual", "visual", VisualEncoder)
    assert same(dict(module.state_dict()), state["ema"]["visual"])


def test_a_run_of_another_version_is_one_line(made: Made, tmp_path: Path) -> None:
    state = checkpoint.load(made.runs / "visual")
    del state["ema"]["visual"]["embed.weight"]
    checkpoint.save(tmp_path, state)
    with pytest.raises(MienError, match="another kind of visual than this version's"):
        restore(tmp_path, "visual", VisualEncoder)


def test_the_skins_run_holds_pictures_and_every_loss_and_where_it_comes_from(made: Made) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = (made.runs / "skin" / "board").iterdir()
    board = EventAccumulator(str(events))
    board.Reload()
    tags = board.Tags()
    assert {"light", "folds"} <= set(tags["scalars"]) and "skin" in tags["images"]
    told = described(checkpoint.load(made.runs / "skin")["stages"])
    assert told["nc"] == "yes" and told["people"] == 3 and told["clips"] == 9


def test_changes_go_both_ways_and_are_what_lies_between(made: Made) -> None:
    changes, rng = Changes(portraits(made.photographs), Skin.debug().plan), np.random.default_rng(0)
    assert len(changes.pairs) == 6
    felt, calm = changes.pairs[0]
    for start, goal in ((felt, calm), (calm, felt)):
        row = changes.row(start, goal, rng)
        assert row["emotion"].argmax() == EMOTIONS.index(goal.emotion)
        assert np.abs(row["displacement"]).max() > 0.01 and np.abs(row["change"]).max() > 0.01
    still = changes.row(calm, calm, rng)
    assert not still["displacement"].any() and not still["change"].any()


def test_a_fold_leaves_its_people_out(made: Made) -> None:
    debug, people = Skin.debug(), []
    for k in range(3):
        recipe = replace(debug, plan=replace(debug.plan, without_fold=f"{k}/3"))
        (told,) = SkinTrainer(recipe, made.photographs).learned_from().values()
        people.append(told["people"])
    assert people == [["b", "c"], ["a", "c"], ["a", "b"]]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 60 kB: what a full disk is to a program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_a_checkpoint_is_one_line_and_keeps_the_older(
    tmp_path: Path, small_files: None
) -> None:
    checkpoint.save(tmp_path, _state(2, 1000))
    with pytest.raises(MienError, match=r"^step 3: .*checkpoint before it is kept, resume from"):
        checkpoint.save(tmp_path, _state(3, 100_000))
    assert checkpoint.load(tmp_path)["step"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_training_on_a_full_disk_says_so_and_resumes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("speech", data, tmp_path, "--steps", "2") == 0
    kept, write = checkpoint.load(tmp_path), Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if ".last.pt" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as patch:
        # Only the write after the check: a disk is full once there is something to write.
        patch.setattr("engine.files.begin", lambda path: path.with_name(".last.pt.part"))
        patch.setattr(Path, "write_bytes", full)
        assert train("speech", data, tmp_path, "--steps", "4", "--accept-changes") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no space left" in error and "resume" in error
    assert same(checkpoint.load(tmp_path), kept)
    assert train("speech", data, tmp_path, "--steps", "4", "--accept-changes") == 0
    assert checkpoint.load(tmp_path)["step"] == 4


def test_a_damaged_checkpoint_is_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (b"", b"not a checkpoint", _half_a_checkpoint(tmp_path)):
        (tmp_path / "last.pt").write_bytes(content)
        assert train("speech", data, tmp_path) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "is damaged" in error


def test_another_training_in_the_folder_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("speech", data, tmp_path, "--steps", "1") == 0
    for arguments, line in (
        (("visual",), "(name speech, not visual; size {"),
        (("speech", "--seed", "7"), "(seed 0, not 7)"),
        (("speech", "--size.past", "4"), "(size {'width': 16, 'heads': 2, 'layers': 1, 'past': 8}"),
    ):
        assert train(arguments[0], data, tmp_path, *arguments[1:]) == 1
        assert f"holds another training {line}" in capsys.readouterr().err


def test_a_run_goes_on_as_it_began_or_is_told_to_change(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, run = tmp_path / "other", tmp_path / "run"
    write_shard(other / "a.tar", made_clips(frames=5))
    assert train("speech", data, run, "--steps", "1") == 0
    refused = [
        ("other data", other, ("--steps", "1")),
        ("schedule.steps 1 -> 3", data, ("--steps", "3")),
        ("schedule.batch 4 -> 2", data, ("--steps", "1", "--batch", "2")),
    ]
    for line, folder, more in refused:
        assert train("speech", folder, run, *more) == 1
        error = capsys.readouterr().err
        assert line in error and "--accept-changes" in error and error.count("\n") == 1
    assert train("speech", other, run, "--steps", "2", "--accept-changes") == 0
    stages = checkpoint.load(run)["stages"]
    assert [stage["from_step"] for stage in stages] == [0, 1]
    assert stages[0]["data"].keys() != stages[1]["data"].keys()
    assert stages[1]["recipe"]["schedule"]["steps"] == 2
    assert stages[1]["recipe"]["losses"]["affect"] == 0.5
    assert train("speech", other, run, "--steps", "2") == 0  # that is how it goes on now


def test_what_a_run_began_with_and_leans_on_is_part_of_where_it_comes_from(
    made: Made, data: Path, tmp_path: Path
) -> None:
    stages = checkpoint.load(made.runs / "intensity")["stages"]
    assert stages[0]["leans_on"].keys() == {"visual", "speech"}
    bound = [
        dataclasses.replace(c, info=dataclasses.replace(c.info, nc="yes")) for c in made_clips()
    ]
    write_shard(tmp_path / "bound" / "a.tar", bound)
    assert train("speech", tmp_path / "bound", tmp_path / "first", "--steps", "1") == 0
    more = ("--steps", "1", "--start", str(tmp_path / "first"))
    assert train("speech", data, tmp_path / "second", *more) == 0
    stages = checkpoint.load(tmp_path / "second")["stages"]
    told = described(stages)
    assert len(stages) == 2 and told["nc"] == "yes" and told["shards"] == 2 and told["clips"] == 12
    assert commands(stages).count("training.train speech") == 2
    leaning = (f"--visual={made.runs / 'visual'}", f"--speech={tmp_path / 'first'}")
    assert train("intensity", data, tmp_path / "third", *leaning) == 0
    assert described(checkpoint.load(tmp_path / "third")["stages"])["nc"] == "yes"
    del made


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("intensity",), 2, "--visual RUN a trained run of visual (required)"),
        (("skin",), 1, "holds no neutral face"),
    ],
)
def test_what_is_missing_is_one_line(
    arguments: tuple[str, ...],
    code: int,
    line: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(arguments[0], data, tmp_path, *arguments[1:]) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and line in error


def test_data_without_sound_or_without_its_split_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent, held = tmp_path / "silent", tmp_path / "held"
    write_shard(silent / "a.tar", [made_clip("a", spoken=False)])
    write_shard(held / "a.tar", [made_clip("a", split="test")])
    assert train("speech", silent, tmp_path / "run") == 1
    assert "hardly a clip" in capsys.readouterr().err
    assert train("visual", held, tmp_path / "run") == 1
    assert "no fitting clip in its train split" in capsys.readouterr().err
    assert train("visual", tmp_path / "nothing", tmp_path / "run") == 1
    assert "no shards" in capsys.readouterr().err


def test_a_corrupt_clip_is_one_line_and_the_training_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = made_clips(frames=3)
    bad = dataclasses.replace(clips[0], jpegs=bytes(len(clips[0].jpegs)))
    write_shard(tmp_path / "data" / "a.tar", [bad, *clips[1:]])
    assert train("visual", tmp_path / "data", tmp_path / "run", "--batch", "12") == 0
    error = capsys.readouterr().err
    assert "left out: one-neutral: picture" in error and error.count("\n") <= 3


def test_networks_learn(data: Path, tmp_path: Path) -> None:
    """Not only do the figures move: voices of three emotions are told apart."""
    from training.models.speech import SpeechEncoder

    more = ("--steps", "60", "--batch", "8")
    assert train("speech", data, tmp_path / "speech", *more) == 0
    encoder = restore(tmp_path / "speech", "speech", SpeechEncoder)
    clips = Clips(data, "train")
    right = []
    for index in clips.chosen:
        sample = clips[index]
        said = encoder.listen(torch.from_numpy(sample.clip.samples)[None]).emotion
        right.append(int(said[0, -1].argmax()) == sample.emotion)
    assert sum(right) >= 5


def test_two_processes_train_one_network(data: Path, tmp_path: Path) -> None:
    """Each draws its own samples; the weights stay the same in both (it is checked at the end).
    Two, of two batches a step each, do what one does with four times the batch."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = ["speech", "--data", str(data), "--out", str(tmp_path / "run"), "--device", "cpu"]
    done = subprocess.run(
        [*command, "-m", "tests.training.models.both", str(tmp_path), *arguments, "--steps", "2"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
        env={**_environment(), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    state = checkpoint.load(tmp_path / "run")
    assert state["world"] == 2 and state["step"] == 2
    assert done.stdout.count("speech 2/2: classification") == 1
    assert done.stderr == ""
    for precision, tolerance in (("32", 1e-5), ("bf16", 1e-2)):
        both.play(tmp_path / f"one-{precision}", both.BATCH, 1, precision == "bf16")
        two, one = (checkpoint.load(tmp_path / f"{n}-{precision}") for n in ("two", "one"))
        assert (two["world"], one["world"]) == (2, 1)
        for part in ("modules", "ema"):
            for name, module in one[part].items():
                for key, value in module.items():
                    torch.testing.assert_close(
                        two[part][name][key], value, rtol=tolerance, atol=tolerance
                    )


def _state(step: int, size: int) -> dict[str, Any]:
    return {"step": step, "name": "x", "modules": {"x": torch.zeros(size)}, "ema": {}, "stages": []}


def _half_a_checkpoint(folder: Path) -> bytes:
    path = checkpoint.save(folder, _state(1, 1000))
    return path.read_bytes()[:1500]


def _environment() -> dict[str, str]:
    import os

    root = str(Path(__file__).parents[3])
    return {**os.environ, "PYTHONPATH": root}
