"""How commands end: an exit code, and one line where it isn't 0."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import MienError, UsageError
from training import command


def raises(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (MienError("no clips"), 1, "made: no clips\n"),
        (UsageError("say which"), 2, "made: say which\n"),
        (KeyboardInterrupt(), 130, "made: stopped; run it again\n"),
    ],
)
def test_what_goes_wrong_is_a_code_and_a_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run("made", lambda: raises(error), "stopped; run it again") == code
    assert capsys.readouterr().err == line


def test_what_goes_well_is_silent_and_what_is_unforeseen_is_not_hidden(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.run("made", lambda: 5) == 0
    assert capsys.readouterr().err == ""
    with pytest.raises(ZeroDivisionError):
        command.run("made", lambda: 1 // 0)


def test_help_is_the_modules_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parser_of("training.made", "First.\n\n  kept as it is").parse_args(["--help"])
    told = capsys.readouterr().out
    assert told.startswith("usage: python -m training.made") and "\n  kept as it is" in told


ROOT = Path(__file__).parents[2]
BARE = """
import importlib, sys
for name in sys.argv[1].split():
    sys.modules[name] = None
for name in sys.argv[2:]:
    try:
        importlib.import_module(name).main(["--help"])
    except SystemExit as ended:
        assert ended.code == 0, name
"""
EXTRAS = (
    "anny dlib h5py librosa nncf onnx onnxruntime onnxscript pocketsphinx scipy tensorboard tflite "
    "torch"
)


def commands() -> list[str]:
    """Every module of training and export that is run by its name."""
    files = [*ROOT.glob("training/**/*.py"), *ROOT.glob("export/*.py")]
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in sorted(files)
        if 'if __name__ == "__main__"' in file.read_text(encoding="utf-8")
    ]


def test_every_command_explains_itself_without_what_only_its_work_needs() -> None:
    names = commands()
    assert {"export.__main__", "training.train", "training.metrics.fetch"} <= set(names)
    done = subprocess.run(
        [sys.executable, "-c", BARE, EXTRAS, *names],
        capture_output=True, text=True, timeout=120, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: python -m ") == len(names)


def test_what_isnt_installed_is_a_line_that_says_how(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.nn", None)
    assert command.run("made", lambda: __import__("torch.nn")) == 1
    assert capsys.readouterr().err == f"made: it needs torch: {command.EXTRAS}\n"
    with pytest.raises(ModuleNotFoundError):
        command.run("made", lambda: __import__("training.nothing"))
