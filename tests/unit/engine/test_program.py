"""What the program calls itself, and the public names, in a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mien
from commands import graph
from commands.line import main
from engine import program
from engine.graph_spec import Graph
from engine.node import Node
from training import command

ROOT = Path(__file__).resolve().parents[3]


def called(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        code: object = main(arguments)
    except SystemExit as ended:  # as argparse ends
        code = ended.code
    assert code == 0
    return capsys.readouterr().out


def test_help_has_the_name_that_was_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = called(["--help"], capsys), called(["graph", "--help"], capsys)
    assert script[0].startswith("usage: run_engine.py ") and "\n    train " not in script[0]
    assert "usage: run_engine.py graph" in script[1] and "mien graph" not in script[1]
    monkeypatch.setenv(program.VARIABLE, program.COMMAND)
    command_line = called(["graph", "--help"], capsys)
    assert command_line.replace("mien graph", "run_engine.py graph").split() == script[1].split()
    assert called(["train", "--help"], capsys).startswith("usage: mien train ")
    assert "  mien export visual --run" in called(["export", "--help"], capsys)


def test_messages_have_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [program.start_line(), program.extra("train"), command.called("export")]
    assert told == ["python run_engine.py", "pip install -e '.[train]'", "python -m export"]
    assert program.launcher() == [sys.executable, str(ROOT / "run_engine.py")]
    monkeypatch.setenv(program.VARIABLE, program.COMMAND)
    monkeypatch.setattr(program, "INSTALLED", True)
    told = [program.start_line(), program.extra("train"), command.called("training.train")]
    assert told == ["mien", "pip install 'mien[train]'", "mien train"]
    assert command.called("training.evaluate") == "mien tool training.evaluate"
    assert program.launcher() == [sys.executable, "-P", "-m", "mien"]


def test_a_graph_that_ships_goes_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert graph.file_of("live") == ROOT / "graphs" / "live.toml"
    assert graph.file_of("none.toml") == Path("none.toml")
    (tmp_path / "live").touch()
    assert graph.file_of("live") == Path("live")


def test_the_public_names_are_the_engines_own() -> None:
    from mien import Graph as PublicGraph
    from mien import Node as PublicNode

    assert (PublicGraph, PublicNode, mien.PACKAGES) == (Graph, Node, ROOT)
    assert callable(mien.run) and mien.run.__doc__
    with pytest.raises(AttributeError, match="no attribute 'walk'"):
        mien.walk  # noqa: B018


def test_importing_it_is_light() -> None:
    code = "import sys, mien; print('numpy' in sys.modules, 'engine' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert told == "False False\n"


def test_other_modules_of_training_are_run_by_their_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(program.VARIABLE, program.COMMAND)
    listed = called(["tool", "--help"], capsys)
    assert listed.startswith("usage: mien tool MODULE") and "\n  training.data.prepare: " in listed
    monkeypatch.delitem(sys.modules, "export.records", raising=False)  # of other tests
    told = called(["tool", "export.records", "--help"], capsys)
    assert told.startswith("usage: mien tool export.records ")
    assert main(["tool", "training.data.prepar"]) == 2
    assert capsys.readouterr().err == (
        "mien: no tool 'training.data.prepar'; did you mean 'training.data.prepare'?; "
        "mien tool --help lists them\n"
    )
