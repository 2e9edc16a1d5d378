"""The loop: validation, the best checkpoint, signals, averages, rates, accumulation, a profile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from tests.training.made_clips import made_clip
from training import checkpoint
from training.data.clip import write_shard
from training.loop import Trainer
from training.recipe import Schedule
from training.recipes.skin import Skin
from training.running import Run
from training.running import train as run_training
from training.train import main


class Line(nn.Module):
    """y = a x, from 0."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(1))
        self.register_buffer("seen", torch.zeros(1))


class LineTrainer(Trainer):
    """Fits two lines to y = 3 x; people held out say 1 x."""

    averaged = ("line",)

    def __init__(self, schedule: Schedule, truth: float = 3.0) -> None:
        recipe = replace(Skin.debug(), schedule=schedule)
        super().__init__(recipe)
        self.truth = truth
        self.modules = {"line": Line(), "other": Line()}

    def draw(self, rng: Any, step: int) -> Any:
        return {"x": rng.normal(size=(self.recipe.schedule.batch, 1)).astype("float32")}

    def losses(self, batch: Any, step: int) -> Any:
        for name in ("line", "other"):
            module = self.modules[name]
            assert isinstance(module, Line)
            wrong = (module.a - self.truth) * batch["x"]
            yield name, {name: wrong.square().mean()}, {name: 1.0}

    def learned_from(self) -> dict[str, Any]:
        return {}

    def held_out(self) -> LineTrainer | None:
        return LineTrainer(self.recipe.schedule, truth=1.0)


def schedule(**changes: Any) -> Schedule:
    return replace(
        Schedule(steps=8, batch=4, lr=0.5, weight_decay=0, ema_decay=0.5, log_every=2,
                 save_every=4, validate_every=2, validation_batches=2, workers=1), **changes,
    )  # fmt: skip


def trained(out: Path, said: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    lines: list[str] = [] if said is None else said
    run_training(LineTrainer(schedule(**changes)), out, 0, "cpu", "made", lines.append)
    return checkpoint.load(out)


def test_the_best_checkpoint_is_that_of_people_held_out(tmp_path: Path) -> None:
    said: list[str] = []
    last = trained(tmp_path, said, steps=20)
    best = checkpoint.load(tmp_path / checkpoint.BEST)
    assert last["step"] == 20 and 0 < best["step"] < 20
    assert last["best"] == best["best"] and best["best"]["step"] == best["step"]
    # The line goes to 3 and passes 1 on its way.
    assert abs(float(best["ema"]["line"]["a"]) - 1) < abs(float(last["ema"]["line"]["a"]) - 1)
    told = [line for line in said if "validation/line" in line]
    assert len(told) == 10
    losses = [float(line.split("validation ")[1].split(",")[0]) for line in told]
    assert min(losses) == pytest.approx(best["best"]["loss"], rel=1e-3)


def test_what_a_line_tells(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    said: list[str] = []
    trained(tmp_path, said)
    (line,) = (line for line in said if "/8: line" in line and " 4/8" in line)
    for word in ("lr/line", "grad norm/line", "s a step", "samples/s", "min left"):
        assert word in line
    (events,) = (tmp_path / "board").iterdir()
    board = EventAccumulator(str(events))
    board.Reload()
    told = {"line", "lr/line", "grad_norm/other", "samples_per_s", "seconds_per_step", "validation"}
    assert told <= set(board.Tags()["scalars"])
    rates = [one.value for one in board.Scalars("lr/line")]
    wanted = [0.5 * schedule().lr_share(step) for step in (1, 3, 5, 7)]
    assert rates == pytest.approx(wanted)


def test_modules_may_have_their_own_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = trained(tmp_path, group_lr={"other": 0.0})
    assert float(state["modules"]["other"]["a"]) == 0 != float(state["modules"]["line"]["a"])
    command = ["skin", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main([*command, "--schedule.group-lr", "skin", "fast"]) == 2
    assert "--schedule.group-lr" in capsys.readouterr().err


def test_a_rate_for_nobody_is_one_line(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["skin", "--data", str(photographs), "--out", str(tmp_path)]
    assert main([*command, "--schedule.group-lr", "skim", "0.1"]) == 1
    error = capsys.readouterr().err
    assert "group_lr names ['skim']; there is skin" in error and error.count("\n") == 1


def test_rates_rise_and_fall_as_the_schedule_says() -> None:
    one = schedule(steps=100, warmup_steps=10)
    assert one.lr_share(0) == pytest.approx(0.1) and one.lr_share(9) == pytest.approx(0.9145)
    assert one.lr_share(99) == pytest.approx(0.0595) and one.lr_share(50) == pytest.approx(0.525)


def test_batches_that_are_gathered_are_one_step(tmp_path: Path) -> None:
    """Two batches of 4 make the step that one of 8 of the same samples would."""
    seen: dict[str, list[Any]] = {"parts": [], "whole": []}

    class Kept(LineTrainer):
        def __init__(self, schedule: Schedule, into: str) -> None:
            super().__init__(schedule)
            self.into = into

        def draw(self, rng: Any, step: int) -> Any:
            if self.into == "whole":
                both = seen["parts"][2 * step : 2 * step + 2]
                return {"x": torch.cat([torch.from_numpy(x) for x in both]).numpy()}
            drawn = super().draw(rng, step)
            seen["parts"].append(drawn["x"])
            return drawn

        def held_out(self) -> None:
            return None

    found = []
    for into, changes in (("parts", {"accumulate": 2}), ("whole", {"batch": 8})):
        trainer = Kept(schedule(steps=3, **changes), into)
        run_training(trainer, tmp_path / into, 0, "cpu", "made", lambda line: None)
        found.append(float(checkpoint.load(tmp_path / into)["modules"]["line"]["a"]))
    assert found[0] == pytest.approx(found[1], rel=1e-5) and found[0] != 0


def test_an_average_forgets_as_the_recipe_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance, values = Run._advance, []

    def kept(run: Run, batches: Any) -> dict[str, float]:
        figures = advance(run, batches)
        values.append(float(run.trainer.modules["line"].state_dict()["a"]))
        return figures

    monkeypatch.setattr(Run, "_advance", kept)
    state, average = trained(tmp_path), 0.0
    for count, value in enumerate(values):
        keep = min(0.5, (1 + count) / (10 + count)) if count else 0.0
        average = keep * average + (1 - keep) * value
    assert float(state["ema"]["line"]["a"]) == pytest.approx(average, rel=1e-5)
    assert float(state["modules"]["line"]["a"]) == values[-1] != pytest.approx(average, rel=1e-2)


STOPPED = """
import signal, sys, torch
from training.running import Run
from training.train import main

torch.set_num_threads(1)
advance = Run._advance

def told(run, batches):
    if run.step == 1:
        signal.raise_signal(int(sys.argv[1]))
    return advance(run, batches)

Run._advance = told
sys.exit(main(sys.argv[2:]))
"""
"""a process of its own: pytest's faulthandler gives signals a stack that is too small for AMX"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_saves_it(
    number: signal.Signals, photographs: Path, tmp_path: Path
) -> None:
    command = ["skin", "--data", str(photographs), "--schedule.save-every", "50", "--steps", "4"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    parts = [*command, "--out", str(tmp_path / "parts")]
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(int(number)), *parts],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 130, done.stderr
    assert "saved at step 2" in done.stdout and done.stderr.count("\n") == 1
    assert "the same command resumes it" in done.stderr
    assert checkpoint.load(tmp_path / "parts")["step"] == 2
    assert main(parts) == 0
    first, second = (checkpoint.load(tmp_path / name) for name in ("whole", "parts"))
    for part in ("modules", "ema"):
        for name, value in first[part]["skin"].items():
            assert torch.equal(value, second[part]["skin"][name])


def test_a_profile_is_a_table_and_a_trace(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["skin", "--data", str(photographs), "--out", str(tmp_path), "--profile"]) == 0
    said = capsys.readouterr().out
    assert "aten::" in said and f"profiled: {tmp_path / 'profile.json'}" in said
    trace = json.loads((tmp_path / "profile.json").read_text())
    assert any("conv" in event.get("name", "") for event in trace["traceEvents"])


@pytest.mark.parametrize("name", ["visual", "speech"])
def test_people_of_the_val_split_are_asked(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [
        made_clip(f"{who}-{emotion}", subject=who, emotion=emotion, split=split)
        for who, split in (("one", "train"), ("two", "val"))
        for emotion in ("happy", "sad")
    ]
    write_shard(tmp_path / "data" / "a.tar", clips)
    run = tmp_path / "run"
    assert main([name, "--data", str(tmp_path / "data"), "--out", str(run)]) == 0
    assert capsys.readouterr().out.count("validation/classification") == 2
    assert checkpoint.load(run)["best"] == checkpoint.load(run / "best.pt")["best"]
    (told,) = checkpoint.load(run)["stages"][0]["data"].values()
    assert told["people"] == ["one"]


def test_who_is_left_out_of_a_fold_is_asked(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["skin", "--data", str(photographs), "--out", str(tmp_path / "run")]
    assert main([*command, "--without-fold", "0/3"]) == 0
    assert "validation/light" in capsys.readouterr().out
    assert main([*command[:-1], str(tmp_path / "all")]) == 0
    assert "nobody is held out: no best checkpoint is kept" in capsys.readouterr().out
    assert not (tmp_path / "all" / "best.pt").exists()
