"""Trainers' command line: every field of a recipe, in its type; what is wrong is one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("tyro")

from engine.errors import UsageError
from training import checkpoint, recipes
from training.options import SHORT, parse
from training.recipe import Recipe
from training.recipes.skin import Skin
from training.train import main

TRAINED = recipes.trained()
ROOT = Path(__file__).parents[3]


def flags(tree: dict[str, Any], prefix: str = "--") -> Iterator[tuple[str, Any]]:
    """Every field as a flag, with its value."""
    for name, value in tree.items():
        if isinstance(value, dict) and name != "group_lr":
            yield from flags(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name.replace("_", "-"), value


def where(kind: type[Recipe]) -> list[str]:
    runs = [word for name in kind.leans_on for word in (f"--{name}", "r")]
    return ["--data", "d", "--out", "o", *runs]


@pytest.mark.parametrize("kind", TRAINED, ids=lambda kind: kind.name)
def test_every_field_is_a_flag(kind: type[Recipe], capsys: pytest.CaptureFixture[str]) -> None:
    full = kind.full()
    words: list[str] = []
    for flag, value in flags(full.choices()):
        if isinstance(value, bool):
            words.append(flag if value else ".no-".join(flag.rsplit(".", 1)))
        elif isinstance(value, dict):
            words += [flag, *(str(word) for pair in value.items() for word in pair)]
        elif value != "":
            words += [flag, *map(str, value if isinstance(value, tuple) else [value])]
    assert parse(kind, [*where(kind), *words], "train").recipe == full
    assert parse(kind, [*where(kind), "--config=full"], "train").recipe == full
    with pytest.raises(SystemExit):
        parse(kind, ["--help"], "train")
    said = capsys.readouterr().out
    assert all(flag in said for flag, _ in flags(full.choices()))
    assert "learning rate, once warm" in said and kind.task.split(";")[0] in " ".join(said.split())


def test_a_figure_is_set_and_the_others_stay() -> None:
    asked = parse(Skin, [*where(Skin), "--config", "full", "--schedule.lr", "3e-4"], "train")
    assert asked.recipe == Skin.full().scheduled(lr=3e-4) and asked.where.data == Path("d")
    asked = parse(Skin, [*where(Skin), "--steps=9", "--batch", "5", "--without-fold", "1/4"], "t")
    assert (asked.recipe.schedule.steps, asked.recipe.schedule.batch) == (9, 5)
    assert asked.recipe.plan.without_fold == "1/4"
    debug = dict(flags(Skin.debug().choices()))
    assert all(long in debug for long in SHORT.values())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--schedule.lrr", "3"], "--schedule.lrr, 3; did you mean --schedule.lr?"),
        (["--schedule.lr", "fast"], "--schedule.lr: could not convert string to float"),
        (["--schedule.batch", "0"], "schedule.batch is at least 1, not 0"),
        (["--schedule.ema-decay", "2"], "schedule.ema_decay is between 0 and 1, not 2.0"),
        (["--config", "half"], "invalid choice 'half'"),
        (["--size.channels", "6", "6"], "no network of this size can be made"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["skin", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *words]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"--out PATH .*--visual RUN .*--speech RUN"):
        parse(recipes.recipe("intensity"), ["--data", "d"], "train")
    assert main(["--data", "d"]) == 2
    assert "the network's name comes first" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "--schedule.lr 3e-4" in capsys.readouterr().out


def test_the_recipe_is_shown_and_kept(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["skin", "--data", str(photographs), "--out", str(tmp_path)]
    assert main([*command, "--schedule.steps", "1", "--losses.folds", "0.25"]) == 0
    assert "losses: light 1.0, folds 0.25" in capsys.readouterr().out
    kept = checkpoint.load(tmp_path)["stages"][-1]["recipe"]
    assert kept["losses"]["folds"] == 0.25 and kept["schedule"]["lr"] == 1e-3
    assert main([*command, "--schedule.steps", "1"]) == 1
    error = capsys.readouterr().err
    assert "losses.folds 0.25 -> 0.5" in error and "--accept-changes" in error
    assert main([*command, "--schedule.steps", "1", "--accept-changes"]) == 0
    said = capsys.readouterr().out
    assert "resuming" in said and "losses: light 1.0, folds 0.5" in said


def test_the_live_half_needs_none_of_it() -> None:
    program = (
        "import sys; sys.modules['tyro'] = sys.modules['torch'] = None\n"
        "import commands.doctor, commands.live, commands.file\n"
        "from training import recipes\n"
        "print(recipes.names())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.returncode == 0 and "skin" in done.stdout, done.stderr
